//! Connections that clients have open: one on which nothing is under way is closed when it has been quiet for too long.
//!
//! actix-web gives the head of a connection's first request five seconds. On a connection that is kept alive nobody looks at
//! the clock any more once a byte of the next head is there, so that half a head would keep it for ever.

use std::{
    any::Any,
    io,
    net::Shutdown,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix_web::{
    Error,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
    rt::net::TcpStream,
    web::Bytes,
};
use parking_lot::Mutex;
use socket2::{SockRef, Socket};

/// How often it is looked at which have been quiet.
const LOOK: Duration = Duration::from_secs(1);

/// A connection of a client.
pub(crate) struct Connection {
    standing: Mutex<Standing>,
    #[allow(dead_code, reason = "dropped with the connection")]
    kept: Box<dyn Any + Send + Sync>,
}

struct Standing {
    /// Requests whose answer has not been handed to the server to its end.
    under_way: usize,
    /// When the last one ended.
    since: Instant,
    /// Another descriptor of the socket; none once it speaks something else than HTTP.
    socket: Option<Socket>,
}

/// Those that are open.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<Vec<Weak<Connection>>>>);

impl Connections {
    /// Keeps `kept` as long as a connection lasts.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn add(
        &self,
        socket: &TcpStream,
        kept: Box<dyn Any + Send + Sync>,
    ) -> io::Result<Arc<Connection>> {
        let standing = Standing {
            under_way: 0,
            since: Instant::now(),
            socket: Some(SockRef::from(socket).try_clone()?),
        };
        let connection = Arc::new(Connection {
            standing: Mutex::new(standing),
            kept,
        });
        self.0.lock().push(Arc::downgrade(&connection));
        Ok(connection)
    }

    /// Closes from now on what has been quiet for longer than this, as long as the server is there.
    pub fn watch(&self, longest: Duration) {
        let all = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                match all.upgrade() {
                    Some(all) => Self(all).close_quiet(longest),
                    None => return,
                }
            }
        });
    }

    fn close_quiet(&self, longest: Duration) {
        self.0.lock().retain(|connection| {
            let Some(connection) = connection.upgrade() else {
                return false;
            };
            let standing = connection.standing.lock();
            if standing.under_way == 0
                && standing.since.elapsed() > longest
                && let Some(socket) = &standing.socket
            {
                // Whoever it was may be gone by now.
                let _ = socket.shutdown(Shutdown::Both);
            }
            true
        });
    }
}

/// A request on a connection, until its answer has been handed to the server to its end.
struct UnderWay(Arc<Connection>);

impl UnderWay {
    fn begin(connection: &Arc<Connection>) -> Self {
        connection.standing.lock().under_way += 1;
        Self(connection.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut standing = self.0.standing.lock();
        standing.under_way -= 1;
        standing.since = Instant::now();
    }
}

pin_project_lite::pin_project! {
    /// A body, and the request that it answers.
    pub(crate) struct Watched<B> {
        #[pin]
        body: B,
        request: Option<UnderWay>,
    }
}

impl<B: MessageBody> MessageBody for Watched<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.project().body.poll_next(cx)
    }
}

/// Middleware: notes what is under way on a connection.
///
/// # Errors
/// Whatever the handler answers.
pub(crate) async fn watched<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Watched<B>>, Error> {
    let connection = req.conn_data::<Arc<Connection>>().cloned();
    let request = connection.as_ref().map(UnderWay::begin);
    let response = next.call(req).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(connection) = connection
    {
        connection.standing.lock().socket = None;
    }
    Ok(response.map_body(|_, body| Watched { body, request }))
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn what_is_under_way_is_not_quiet_however_long_it_takes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let all = Connections::default();
        let connection = all.add(&server, Box::new(())).unwrap();
        let (first, second) = (UnderWay::begin(&connection), UnderWay::begin(&connection));
        drop(first);
        all.close_quiet(Duration::ZERO);
        let mut byte = [0];
        let open = client.try_read(&mut byte).unwrap_err();
        assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock);
        drop(second);
        all.close_quiet(Duration::from_secs(60));
        let open = client.try_read(&mut byte).unwrap_err();
        assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock);
        all.close_quiet(Duration::ZERO);
        assert_eq!(client.read(&mut byte).await.unwrap(), 0);
        // What has ended is forgotten.
        drop(connection);
        all.close_quiet(Duration::ZERO);
        assert!(all.0.lock().is_empty());
    }
}
