//! Connections that clients have open: one on which nothing is under way is closed when it has been quiet for too long, and
//! one whose client does not read what it asked for when that has lasted too long.
//!
//! actix-web gives the head of a connection's first request five seconds. On a connection that is kept alive nobody looks at
//! the clock any more once a byte of the next head is there, so that half a head would keep it for ever. Nor does anybody
//! while an answer is on its way: a client that stops reading would keep it, and all that it holds, for ever.

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
    Error, HttpRequest,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    rt::net::TcpStream,
    web::Bytes,
};
use parking_lot::Mutex;
use socket2::{SockRef, Socket};

/// How often it is looked at which have been quiet.
const LOOK: Duration = Duration::from_secs(1);

/// Most bytes of an answer that the server is handed at once: of a part that is not asked on after it cannot be told whether the
/// client reads none of it or only slowly.
const PART: usize = 16 * 1024;

/// A connection of a client.
pub struct Connection {
    standing: Mutex<Standing>,
    /// Another descriptor of the socket.
    socket: Socket,
    #[allow(dead_code, reason = "dropped with the connection")]
    kept: Box<dyn Any + Send + Sync>,
}

struct Standing {
    /// Requests whose answer has not been handed to the server to its end.
    under_way: usize,
    /// When the last one ended.
    since: Instant,
    /// Since when the server has a part of an answer and has not asked for the next: it does once the client has read enough.
    unread: Option<Instant>,
    /// How long that may last; as long as a connection may be quiet, where nobody has said.
    patience: Option<Duration>,
    /// When it is closed, whatever is under way.
    end: Option<Instant>,
}

impl Standing {
    /// Whether it is to be closed, if it may be quiet for `longest`.
    fn is_over(&self, longest: Duration) -> bool {
        let quiet = self.under_way == 0 && self.since.elapsed() > longest;
        let patience = self.patience.unwrap_or(longest);
        let unread = self.unread.is_some_and(|since| since.elapsed() > patience);
        quiet || unread || self.end.is_some_and(|end| end <= Instant::now())
    }
}

impl Connection {
    /// The connection that a request came on; nothing in a service that does not say who may connect.
    #[must_use]
    pub fn of(req: &HttpRequest) -> Option<Arc<Self>> {
        req.conn_data::<Arc<Self>>().cloned()
    }

    /// From now on its client may take so long to read a part of an answer.
    pub fn patience(&self, longest: Duration) {
        self.standing.lock().patience = Some(longest);
    }

    /// Closes it when this time is over, if it is still there.
    pub fn ends_within(&self, time: Duration) {
        self.standing.lock().end = Some(Instant::now() + time);
    }
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
            unread: None,
            patience: None,
            end: None,
        };
        let connection = Arc::new(Connection {
            standing: Mutex::new(standing),
            socket: SockRef::from(socket).try_clone()?,
            kept,
        });
        self.0.lock().push(Arc::downgrade(&connection));
        Ok(connection)
    }

    /// Closes from now on what has been quiet for longer than this, or is not read, as long as the server is there.
    pub fn watch(&self, longest: Duration) {
        let all = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                match all.upgrade() {
                    Some(all) => Self(all).close_over(longest),
                    None => return,
                }
            }
        });
    }

    fn close_over(&self, longest: Duration) {
        self.0.lock().retain(|connection| {
            let Some(connection) = connection.upgrade() else {
                return false;
            };
            if connection.standing.lock().is_over(longest) {
                // Whoever it was may be gone by now.
                let _ = connection.socket.shutdown(Shutdown::Both);
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

    /// Notes since when a part of the answer waits for its reader; nothing when none does.
    fn waits(&self, since: Option<Instant>) {
        self.0.standing.lock().unread = since;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut standing = self.0.standing.lock();
        standing.under_way -= 1;
        standing.since = Instant::now();
        standing.unread = None;
    }
}

pin_project_lite::pin_project! {
    /// A body, what is left of the piece of it that came last, and the request that it answers.
    pub(crate) struct Watched<B> {
        #[pin]
        body: B,
        rest: Bytes,
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
        let this = self.project();
        let note = |since| {
            if let Some(request) = &*this.request {
                request.waits(since);
            }
        };
        if this.rest.is_empty() {
            match this.body.poll_next(cx) {
                Poll::Ready(Some(Ok(piece))) => *this.rest = piece,
                // Who waits for the service is not to blame.
                other => {
                    note(None);
                    return other;
                }
            }
        }
        note(Some(Instant::now()));
        let part = this.rest.split_to(this.rest.len().min(PART));
        Poll::Ready(Some(Ok(part)))
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
    let connection = Connection::of(req.request());
    let request = connection.as_ref().map(UnderWay::begin);
    let response = next.call(req).await?;
    Ok(response.map_body(|_, body| Watched {
        body,
        rest: Bytes::new(),
        request,
    }))
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, task::Waker};

    use actix_web::body::BodyStream;
    use futures::StreamExt;
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A connection among these, and its client.
    async fn connected(all: &Connections) -> (Arc<Connection>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (server, _) = listener.accept().await.unwrap();
        // Its other descriptor keeps it open.
        (all.add(&server, Box::new(())).unwrap(), client)
    }

    #[track_caller]
    fn assert_open(client: &TcpStream) {
        // The system is asked: the runtime may not have heard of an end yet.
        let open = io::Read::read(&mut &*SockRef::from(client), &mut [0]).unwrap_err();
        assert_eq!(open.kind(), ErrorKind::WouldBlock);
    }

    async fn assert_closed(client: &mut TcpStream) {
        let end = tokio::time::timeout(MINUTE, client.read(&mut [0])).await;
        assert_eq!(end.expect("it is closed").unwrap(), 0);
    }

    #[tokio::test]
    async fn what_is_under_way_is_not_quiet_however_long_it_takes() {
        let all = Connections::default();
        let (connection, mut client) = connected(&all).await;
        let (first, second) = (UnderWay::begin(&connection), UnderWay::begin(&connection));
        drop(first);
        all.close_over(Duration::ZERO);
        assert_open(&client);
        drop(second);
        all.close_over(MINUTE);
        assert_open(&client);
        all.close_over(Duration::ZERO);
        assert_closed(&mut client).await;
        // What has ended is forgotten.
        drop(connection);
        all.close_over(Duration::ZERO);
        assert!(all.0.lock().is_empty());
    }

    /// Takes a part of an answer as the server does; its length, if there is one.
    fn part<B: MessageBody>(answer: Pin<&mut Watched<B>>) -> Option<usize> {
        match answer.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(part))) => Some(part.len()),
            Poll::Ready(Some(Err(_))) => panic!("it breaks"),
            Poll::Ready(None) | Poll::Pending => None,
        }
    }

    fn answer<B>(body: B, connection: &Arc<Connection>) -> Pin<Box<Watched<B>>> {
        Box::pin(Watched {
            body,
            rest: Bytes::new(),
            request: Some(UnderWay::begin(connection)),
        })
    }

    /// What is said of a connection, and how long any may be quiet: no time at all.
    const IMPATIENT: [(Option<Duration>, Duration); 2] =
        [(None, Duration::ZERO), (Some(Duration::ZERO), MINUTE)];

    #[tokio::test]
    async fn who_waits_for_the_service_is_not_sent_away() {
        for (patience, longest) in IMPATIENT {
            let all = Connections::default();
            let (connection, client) = connected(&all).await;
            connection.standing.lock().patience = patience;
            let piece = Bytes::from(vec![7; 2 * PART + 1]);
            let pieces = futures::stream::iter([piece]).map(Ok::<_, io::Error>);
            let pieces = pieces.chain(futures::stream::pending());
            let mut answer = answer(BodyStream::new(pieces), &connection);
            // Nothing was handed over yet.
            all.close_over(longest);
            assert_open(&client);
            for length in [PART, PART, 1] {
                assert_eq!(part(answer.as_mut()), Some(length));
            }
            // The server asks for more: the client has read what there was.
            assert_eq!(part(answer.as_mut()), None);
            all.close_over(longest);
            assert_open(&client);
        }
    }

    #[tokio::test]
    async fn who_does_not_read_is_sent_away_even_if_it_is_the_last_part() {
        for (patience, longest) in IMPATIENT {
            for read in [0, 1] {
                let all = Connections::default();
                let (connection, mut client) = connected(&all).await;
                let mut answer = answer(Bytes::from(vec![7; PART + 1]), &connection);
                for length in [PART, 1].into_iter().take(read + 1) {
                    assert_eq!(part(answer.as_mut()), Some(length));
                }
                // There is time.
                all.close_over(MINUTE);
                assert_open(&client);
                connection.standing.lock().patience = patience;
                all.close_over(longest);
                assert_closed(&mut client).await;
            }
        }
    }

    #[tokio::test]
    async fn one_that_is_to_end_ends_whatever_is_under_way() {
        let all = Connections::default();
        let (connection, mut client) = connected(&all).await;
        let _request = UnderWay::begin(&connection);
        connection.ends_within(MINUTE);
        all.close_over(MINUTE);
        assert_open(&client);
        connection.ends_within(Duration::ZERO);
        all.close_over(MINUTE);
        assert_closed(&mut client).await;
    }
}
