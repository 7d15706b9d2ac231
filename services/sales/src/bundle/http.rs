//! The bundle over HTTP: read page by page, compressed as it is read, sent as it is compressed.

use std::io::Write;

use actix_web::{
    HttpRequest, HttpResponse, get,
    http::header::{self, HeaderMap},
    web::{self, Bytes},
};
use bahi_db::Tx;
use bahi_http::{Caller, Fault, Problem};
use bahi_types::{BranchId, TillId, business_date};
use chrono::NaiveDate;
use flate2::{Compression, write::GzEncoder};
use futures::stream;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    model::Version,
    store::{self, Place, Slice},
};
use crate::{
    State,
    error::{Error, Result},
    offline,
};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(catalogue);
}

/// Rows of a page.
const PAGE: i32 = 2_000;
/// Pages that wait for a slow client; then the reading waits.
const AHEAD: usize = 2;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Ask {
    till_id: TillId,
    /// The version that the till has; the whole without it, or when it is not of this history.
    since: Option<String>,
}

/// How the bundle is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Zstd,
    Gzip,
    Plain,
}

impl Coding {
    /// The best one that the client takes.
    fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT_ENCODING);
        let accepted: Vec<String> = accepted
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|part| {
                let mut part = part.split(';');
                let name = part.next()?.trim().to_ascii_lowercase();
                let refused = part.any(|q| {
                    let q = q.trim().strip_prefix("q=");
                    q.is_some_and(|q| q.trim_end_matches(['0', '.']).is_empty())
                });
                (!refused).then_some(name)
            })
            .collect();
        let takes = |name: &str| accepted.iter().any(|a| a == name);
        if takes("zstd") {
            Self::Zstd
        } else if takes("gzip") || takes("*") {
            Self::Gzip
        } else {
            Self::Plain
        }
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Self::Zstd => Some("zstd"),
            Self::Gzip => Some("gzip"),
            Self::Plain => None,
        }
    }
}

/// Packs what is written to it.
enum Packer {
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Plain(Vec<u8>),
}

impl Packer {
    fn new(coding: Coding) -> std::io::Result<Self> {
        Ok(match coding {
            Coding::Zstd => Self::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), 3)?)),
            Coding::Gzip => Self::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::new(4)))),
            Coding::Plain => Self::Plain(Vec::new()),
        })
    }

    fn line(&mut self, line: &str) -> std::io::Result<()> {
        let to: &mut dyn Write = match self {
            Self::Zstd(to) => to,
            Self::Gzip(to) => to,
            Self::Plain(to) => to,
        };
        to.write_all(line.as_bytes())?;
        to.write_all(b"\n")
    }

    /// What is packed so far.
    fn take(&mut self) -> Bytes {
        let packed = match self {
            Self::Zstd(from) => from.get_mut(),
            Self::Gzip(from) => from.get_mut(),
            Self::Plain(from) => from,
        };
        Bytes::from(std::mem::take(packed))
    }

    fn finish(self) -> std::io::Result<Bytes> {
        Ok(Bytes::from(match self {
            Self::Zstd(last) => last.finish()?,
            Self::Gzip(last) => last.finish()?,
            Self::Plain(last) => last,
        }))
    }
}

/// What a till needs to sell without the network, or what has changed of it.
///
/// JSON documents, one a line. The first is the head: `version` (send it as `since` next time, and with what you sync),
/// `whole`, `date`, `till`, `branch`, `location`, `registration`, `session` and `offline_series` with how far they have
/// come. Then, for each section, `{"section", "columns"}`, its rows as arrays in the order of the columns, and lines
/// `{"gone": [..]}` of ids to forget. A till that gets the whole forgets all it had. The last is `{"end": rows}`; without it
/// the bundle is not whole. Packed with zstd or gzip as `Accept-Encoding` asks.
#[utoipa::path(tag = "offline", security(("bearer" = ["sales.pos.use"])), params(Ask), responses(
    (status = 200, description = "Lines of JSON", content_type = "application/x-ndjson", body = String),
    (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
    (status = 404, description = "No such till"),
    (status = 409, description = "NOT_YET_KNOWN: its branch or registration")))]
#[get("/api/v1/pos/catalogue")]
async fn catalogue(
    state: web::Data<State>,
    caller: Caller,
    ask: web::Query<Ask>,
    req: HttpRequest,
) -> std::result::Result<HttpResponse, Problem> {
    let till = ask.till_id;
    let (version, branch, head, date) = state
        .db
        .read(&caller.ctx, async |tx| -> Result<_> {
            let tx: &Tx = tx;
            let date = business_date(tx.now());
            // The version first: what changes while the rest is read comes again next time.
            let version = store::version(tx).await?;
            offline::desk(tx, till).await?;
            let (branch, head) = store::head(tx, till).await?.ok_or(Fault::NotFound)?;
            Ok((version, branch, head, date))
        })
        .await?;
    if head["registration"].is_null() {
        return Err(Fault::NotYetKnown("The till's branch or registration".into()).into());
    }
    let had = ask.since.as_deref().and_then(Version::read);
    let since = version.after(had);
    let head = first_line(version, since, date, head);
    let coding = Coding::of(req.headers());
    let digest = Sha256::digest(format!("{since}\n{head}"));
    let tag: String = digest.iter().take(16).map(|b| format!("{b:02x}")).collect();
    let tag = format!("W/\"{tag}\"");
    let known = req
        .headers()
        .get(header::IF_NONE_MATCH)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|t| t.trim() == tag));
    if known {
        let mut unchanged = HttpResponse::NotModified();
        return Ok(unchanged.insert_header((header::ETAG, tag)).finish());
    }
    let (send, receive) = mpsc::channel(AHEAD);
    let walk = Walk {
        state: state.get_ref().clone(),
        caller,
        branch,
        date,
        since,
        send,
        rows: 0,
    };
    tokio::spawn(walk.run(coding, head));
    let body = stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|part| (part, receive))
    });
    let mut response = HttpResponse::Ok();
    response
        .content_type("application/x-ndjson")
        .insert_header((header::ETAG, tag))
        .insert_header((header::VARY, "Accept-Encoding"));
    if let Some(name) = coding.name() {
        response.insert_header((header::CONTENT_ENCODING, name));
    }
    Ok(response.streaming(body))
}

fn first_line(version: Version, since: i64, date: NaiveDate, head: Value) -> String {
    let mut line = Map::new();
    line.insert("version".into(), json!(version.to_string()));
    line.insert("whole".into(), json!(since == 0));
    line.insert("date".into(), json!(date));
    if let Value::Object(head) = head {
        line.extend(head);
    }
    Value::Object(line).to_string()
}

/// A client that hung up, or a page that could not be read.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the client is gone")]
    Gone,
    #[error("{0}")]
    Read(#[from] Error),
    #[error("{0}")]
    Pack(#[from] std::io::Error),
}

/// Walks over the sections.
struct Walk {
    state: State,
    caller: Caller,
    branch: BranchId,
    date: NaiveDate,
    since: i64,
    send: mpsc::Sender<std::result::Result<Bytes, Broken>>,
    rows: u64,
}

impl Walk {
    async fn run(mut self, coding: Coding, head: String) {
        let send = self.send.clone();
        match self.all(coding, head).await {
            Ok(()) | Err(Broken::Gone) => {}
            Err(broken) => {
                tracing::warn!(%broken, "a bundle breaks off");
                // The client sees that the body breaks off.
                let _ = send.send(Err(broken)).await;
            }
        }
    }

    async fn all(&mut self, coding: Coding, head: String) -> std::result::Result<(), Broken> {
        let mut packer = Packer::new(coding)?;
        packer.line(&head)?;
        let (state, ctx) = (self.state.clone(), self.caller.ctx.clone());
        let (since, branch, date) = (self.since, self.branch, self.date);
        // What products and prices refer to comes after them: it is as new as they are, or newer.
        section(&mut packer, "products", store::PRODUCT)?;
        let mut after = Some(Uuid::nil());
        while let Some(from) = after {
            let page = state
                .db
                .read(&ctx, async |tx| -> Result<Slice> {
                    Ok(store::products(tx, since, from, PAGE).await?)
                })
                .await?;
            after = self.page(&mut packer, page).await?;
        }
        section(&mut packer, "prices", store::PRICES)?;
        let mut after = Some(Place::default());
        while let Some(from) = after {
            let (rows, next) = state
                .db
                .read(&ctx, async |tx| -> Result<_> {
                    Ok(store::prices(tx, branch, date, since, from, PAGE).await?)
                })
                .await?;
            let page = Slice {
                rows,
                ..Slice::default()
            };
            self.page(&mut packer, page).await?;
            after = next;
        }
        section(&mut packer, "price_lists", store::PRICE_LIST)?;
        let mut after = Some(Uuid::nil());
        while let Some(from) = after {
            let page = state
                .db
                .read(&ctx, async |tx| -> Result<Slice> {
                    Ok(store::price_lists(tx, branch, date, since, from, PAGE).await?)
                })
                .await?;
            after = self.page(&mut packer, page).await?;
        }
        section(&mut packer, "promotions", store::PROMOTION)?;
        let mut after = Some(Uuid::nil());
        while let Some(from) = after {
            let page = state
                .db
                .read(&ctx, async |tx| -> Result<Slice> {
                    Ok(store::promotions(tx, branch, date, since, from, PAGE).await?)
                })
                .await?;
            after = self.page(&mut packer, page).await?;
        }
        section(&mut packer, "categories", store::CATEGORY)?;
        let mut after = Some(Uuid::nil());
        while let Some(from) = after {
            let page = state
                .db
                .read(&ctx, async |tx| -> Result<Slice> {
                    Ok(store::categories(tx, since, from, PAGE).await?)
                })
                .await?;
            after = self.page(&mut packer, page).await?;
        }
        section(&mut packer, "tax_profiles", store::TAX_PROFILE)?;
        let mut after = Some(Uuid::nil());
        while let Some(from) = after {
            let page = state
                .db
                .read(&ctx, async |tx| -> Result<Slice> {
                    Ok(store::tax_profiles(tx, since, from, PAGE).await?)
                })
                .await?;
            after = self.page(&mut packer, page).await?;
        }
        packer.line(&json!({ "end": self.rows }).to_string())?;
        self.part(packer.finish()?).await
    }

    /// Packs a page and sends what is ready; says where the next one begins.
    async fn page(
        &mut self,
        packer: &mut Packer,
        page: Slice,
    ) -> std::result::Result<Option<Uuid>, Broken> {
        for row in &page.rows {
            packer.line(row)?;
        }
        self.rows += page.rows.len() as u64;
        if !page.gone.is_empty() {
            packer.line(&json!({ "gone": page.gone }).to_string())?;
        }
        self.part(packer.take()).await?;
        Ok(page.next)
    }

    async fn part(&self, part: Bytes) -> std::result::Result<(), Broken> {
        if part.is_empty() {
            return Ok(());
        }
        self.send.send(Ok(part)).await.map_err(|_| Broken::Gone)
    }
}

fn section(packer: &mut Packer, name: &str, columns: &[&str]) -> std::io::Result<()> {
    packer.line(&json!({ "section": name, "columns": columns }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_as_the_client_takes_it() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, text.parse().unwrap());
            Coding::of(&headers)
        };
        assert_eq!(of("gzip, zstd"), Coding::Zstd);
        assert_eq!(of("gzip, zstd;q=0"), Coding::Gzip);
        assert_eq!(of("br, *"), Coding::Gzip);
        assert_eq!(of("identity"), Coding::Plain);
        assert_eq!(of("gzip;q=0.0"), Coding::Plain);
        assert_eq!(of("gzip;q=0.5"), Coding::Gzip);
        assert_eq!(Coding::of(&HeaderMap::new()), Coding::Plain);
    }
}
