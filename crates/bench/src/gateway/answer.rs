//! The services behind every gateway of the comparison, in one process: small answers that cost next to nothing.

use std::{convert::Infallible, path::PathBuf, rc::Rc, sync::Arc};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio::{net::TcpListener, sync::Mutex};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::graph::{Answers, Part};

/// The services that are stood in for.
pub const SERVICES: [&str; 4] = ["identity", "product", "inventory", "sales"];

/// Stand-ins for the services.
#[derive(clap::Args)]
pub struct Args {
    /// The folder of the services' schemas.
    #[arg(long)]
    schemas: PathBuf,
}

/// Bytes of what a path is answered with.
pub const LENGTH: usize = 1024;

struct Desk {
    parts: Vec<(Part, Bytes)>,
    answers: Mutex<Answers>,
    small: Bytes,
}

/// Takes traces, as a collector does, and forgets them.
struct Collector;

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        _: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Listens on a port for each service, and one for traces, prints these, and answers until it is ended.
///
/// # Errors
/// When a schema cannot be read or nothing be listened on.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut parts = Vec::new();
    for name in SERVICES {
        let file = args.schemas.join(format!("{name}.graphql"));
        let sdl = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        parts.push((Part::read(&sdl)?, Bytes::from(sdl)));
    }
    let desk = Arc::new(Desk {
        parts,
        answers: Mutex::default(),
        small: small(),
    });
    let local = tokio::task::LocalSet::new();
    let mut ports = Vec::new();
    for service in 0..SERVICES.len() {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        ports.push(listener.local_addr()?.port());
        local.spawn_local(listen(listener, desk.clone(), service));
    }
    let collector = tonic::transport::server::TcpIncoming::bind(([127, 0, 0, 1], 0).into())
        .context("listening for traces")?;
    ports.push(collector.local_addr()?.port());
    local.spawn_local(
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Collector))
            .serve_with_incoming(collector),
    );
    println!("{}", serde_json::to_string(&ports)?);
    local.await;
    Ok(())
}

/// A row as a service would tell it, of [`LENGTH`] bytes.
fn small() -> Bytes {
    let empty = r#"{"id":"0198f3c2-5d7e-7cc3-98c4-dc0c0c07398f","name":""}"#;
    let name = "Tea, loose, ".chars().cycle().take(LENGTH - empty.len());
    Bytes::from(empty.replace(
        "\"name\":\"\"",
        &format!("\"name\":\"{}\"", name.collect::<String>()),
    ))
}

async fn listen(listener: TcpListener, desk: Arc<Desk>, service: usize) {
    let desk = Rc::new(desk);
    while let Ok((stream, _)) = listener.accept().await {
        // Without it an answer of two pieces may wait for the other side's acknowledgement.
        let _ = stream.set_nodelay(true);
        let desk = desk.clone();
        tokio::task::spawn_local(async move {
            let each = service_fn(|req| {
                let desk = Arc::clone(&desk);
                async move { Ok::<_, Infallible>(desk.answer(service, req).await) }
            });
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), each);
            // A client that goes away is none of our business.
            let _ = served.with_upgrades().await;
        });
    }
}

impl Desk {
    async fn answer(&self, service: usize, req: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = match (req.method(), req.uri().path()) {
            (_, "/readyz") => Bytes::from_static(b"\"ok\""),
            (_, "/internal/v1/revocations") => {
                Bytes::from_static(b"{\"sessions\":[],\"users\":[]}")
            }
            (_, "/.well-known/jwks.json") => Bytes::from_static(b"{\"keys\":[]}"),
            (_, "/ws/pos") => return upgrade(req),
            (&Method::GET, "/graphql") => self.parts[service].1.clone(),
            (_, "/graphql") => return self.graph(service, req).await,
            _ => self.small.clone(),
        };
        json(StatusCode::OK, body)
    }

    async fn graph(&self, service: usize, req: Request<Incoming>) -> Response<Full<Bytes>> {
        let Ok(body) = req.into_body().collect().await else {
            return json(StatusCode::BAD_REQUEST, Bytes::new());
        };
        let mut answers = self.answers.lock().await;
        match answers.of(service, &self.parts[service].0, body.to_bytes()) {
            Ok(said) => json(StatusCode::OK, said),
            Err(error) => {
                let said = serde_json::json!({ "errors": [{ "message": format!("{error:#}") }] });
                json(StatusCode::OK, Bytes::from(said.to_string()))
            }
        }
    }
}

fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// A WebSocket that never says anything.
fn upgrade(mut req: Request<Incoming>) -> Response<Full<Bytes>> {
    let key = req.headers().get(header::SEC_WEBSOCKET_KEY);
    let accept = key.map(|key| derive_accept_key(key.as_bytes()));
    let accept = accept.and_then(|accept| header::HeaderValue::from_str(&accept).ok());
    let Some(accept) = accept else {
        return json(StatusCode::BAD_REQUEST, Bytes::new());
    };
    tokio::task::spawn_local(async move {
        if let Ok(upgraded) = hyper::upgrade::on(&mut req).await {
            let (mut from, mut to) = (TokioIo::new(upgraded), tokio::io::sink());
            let _ = tokio::io::copy(&mut from, &mut to).await;
        }
    });
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(
        header::CONNECTION,
        header::HeaderValue::from_static("upgrade"),
    );
    headers.insert(
        header::UPGRADE,
        header::HeaderValue::from_static("websocket"),
    );
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_kilobyte_of_json() {
        assert_eq!(small().len(), LENGTH);
        assert!(serde_json::from_slice::<serde_json::Value>(&small()).is_ok());
    }
}
