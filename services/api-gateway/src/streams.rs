//! Answers on their way to a client: in pieces as they come, nothing kept.

use std::{io, sync::Arc, time::Duration};

use actix_web::rt;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, timeout},
};

use crate::{State, auth::Session, compress::Encoder, tunnel::Socket, upstream::Held};

/// How often it is looked whether a session lives.
const LOOK: Duration = Duration::from_secs(1);
/// Seconds that a service has to end a stream after the session has ended.
const GRACE: i64 = 5;

/// Bytes of which at least so many are taken in time. A service's piece may be hundreds of thousands, a minute's worth of a
/// slow line.
const PART: usize = 16 * 1024;

/// The pieces of a body, each within `idle`; it is under way until the last has passed.
pub fn pieces(body: Incoming, held: Held, idle: Duration) -> impl Stream<Item = io::Result<Bytes>> {
    let coming = (body.into_data_stream(), held);
    let pieces = futures::stream::unfold(Some(coming), move |coming| async move {
        let mut coming = coming?;
        match timeout(idle, coming.0.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(coming))),
            Ok(Some(Err(error))) => Some((Err(io::Error::other(error)), None)),
            Err(late) => Some((Err(late.into()), None)),
        }
    });
    taken(pieces, idle)
}

/// The same as long as somebody takes it. The server does not ask for the next piece while the client does not read: so a task
/// does, which lets go of everything when nothing is taken for `idle`. The answer breaks off then.
fn taken(
    pieces: impl Stream<Item = io::Result<Bytes>> + 'static,
    idle: Duration,
) -> impl Stream<Item = io::Result<Bytes>> {
    let (sends, takes) = mpsc::channel::<Option<io::Result<Bytes>>>(1);
    rt::spawn(async move {
        let mut pieces = std::pin::pin!(pieces);
        let mut piece = Bytes::new();
        // There is a place when the part before has passed: the last one too, before the end is asked for.
        while let Ok(Ok(place)) = timeout(idle, sends.reserve()).await {
            if piece.is_empty() {
                let next = tokio::select! {
                    next = pieces.next() => next,
                    () = sends.closed() => return,
                };
                match next {
                    Some(Ok(next)) => piece = next,
                    over => return place.send(over),
                }
            }
            if !piece.is_empty() {
                place.send(Some(Ok(piece.split_to(piece.len().min(PART)))));
            }
        }
    });
    futures::stream::unfold(Some(takes), async |takes| {
        let mut takes = takes?;
        match takes.recv().await {
            Some(Some(piece)) => {
                let more = piece.is_ok().then_some(takes);
                Some((piece, more))
            }
            Some(None) => None,
            // It was given up before its end.
            None => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    })
}

/// The same, written shorter.
pub fn shorter(
    pieces: impl Stream<Item = io::Result<Bytes>>,
    encoder: Encoder,
) -> impl Stream<Item = io::Result<Bytes>> {
    let start = (Box::pin(pieces), Some(encoder));
    futures::stream::unfold(start, async |(mut pieces, encoder)| {
        let mut encoder = encoder?;
        match pieces.next().await {
            Some(Ok(piece)) => {
                let written = encoder.piece(&piece);
                Some((written, (pieces, Some(encoder))))
            }
            Some(Err(error)) => Some((Err(error), (pieces, None))),
            None => Some((encoder.end(), (pieces, None))),
        }
    })
}

/// Events (text/event-stream), which have no end of their own: they end with the session, when it is revoked, when nothing comes
/// for long, and when the gateway stops; they are among the connections of which a user may have so many. A client asks again, and shows again who it is.
pub fn events(
    body: Incoming,
    state: &State,
    session: Option<Arc<Session>>,
    socket: Option<Socket>,
) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    struct Events {
        body: http_body_util::BodyDataStream<Incoming>,
        state: State,
        session: Option<Arc<Session>>,
        looks: Interval,
        last: Instant,
        over: bool,
        _socket: Option<Socket>,
    }
    let idle = state.0.config.stream_idle;
    let events = Events {
        body: body.into_data_stream(),
        state: state.clone(),
        session,
        looks: tokio::time::interval(LOOK),
        last: Instant::now(),
        over: false,
        _socket: socket,
    };
    let events = futures::stream::unfold(events, async |mut events| {
        if events.over {
            return None;
        }
        loop {
            tokio::select! {
                piece = events.body.next() => {
                    events.last = Instant::now();
                    let piece = piece?.map_err(io::Error::other);
                    events.over = piece.is_err();
                    return Some((piece, events));
                }
                () = events.state.0.leave.cancelled() => return None,
                _ = events.looks.tick() => {
                    let state = &events.state.0;
                    let dead = |s: &Arc<Session>| !state.auth.lives(s, GRACE);
                    let idle = events.last.elapsed() >= state.config.stream_idle;
                    if idle || events.session.as_ref().is_some_and(dead) {
                        return None;
                    }
                }
            }
        }
    });
    taken(events, idle)
}
