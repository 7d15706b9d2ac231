//! The socket of a till.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, get, rt, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason};
use bahi_http::{Caller, Fault, Problem};
use bahi_kafka::Place;
use bahi_types::{BranchId, ProductId, TenantId, TillId};
use chrono::Utc;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    hub::{Seat, Told},
    model::{Interest, News, place, token},
    replay,
};
use crate::{State, error::Result, organisation};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(pos);
}

/// What is spoken; a client that offers subprotocols must offer this one.
const PROTOCOL: &str = "bahi.v1";
/// Longest message of a client in bytes.
const LONGEST: usize = 64 * 1024;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether the topics are followed.
const SOON: Duration = Duration::from_millis(50);
/// How often a client is asked whether it is there.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// Silence after which it is taken for gone.
const GONE: Duration = Duration::from_secs(45);
/// Most events of one frame.
const FRAME: usize = 100;
/// Most ids of one list.
const MOST: usize = 5_000;

/// The client's message is none.
const GARBAGE: u16 = 4400;
/// Its session is over.
const SESSION_OVER: u16 = 4401;
/// It does not take what it is told, or does not answer.
const TOO_SLOW: u16 = 4408;

/// What a client says.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    /// What it wants to be told from here on. The first message; later ones change it, without `resume`.
    Subscribe {
        /// The token of the last frame it took before it was cut off.
        resume: Option<String>,
        /// Stock at, and held bills of, these branches; of all without.
        branches: Option<Vec<BranchId>>,
        /// Sessions of these tills; of all without.
        tills: Option<Vec<TillId>>,
        /// Stock and changes of these products; of all without.
        products: Option<Vec<ProductId>>,
    },
}

/// A frame towards a client.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame<'a> {
    /// The subscription holds. `resumed: false`: what was missed is not known (or nothing was asked for), load anew.
    Ready {
        seq: u64,
        token: &'a str,
        resumed: bool,
    },
    /// What happened, in order.
    Events {
        seq: u64,
        token: &'a str,
        events: Vec<&'a News>,
    },
}

/// A WebSocket: what happens to stock, prices, held bills and sessions. See the service's README for its frames.
#[utoipa::path(tag = "live", security(("bearer" = ["sales.pos.use"])), responses((status = 101, description = "Switching to WebSocket")))]
#[get("/ws/pos")]
async fn pos(
    req: HttpRequest,
    body: web::Payload,
    caller: Caller,
    state: web::Data<State>,
) -> std::result::Result<HttpResponse, Problem> {
    let malformed = |e: actix_web::Error| Fault::Malformed(e.to_string());
    let (mut response, session, messages) = actix_ws::handle(&req, body).map_err(malformed)?;
    let offered = req.headers().get("sec-websocket-protocol");
    let offered = offered.and_then(|v| v.to_str().ok()).unwrap_or_default();
    if offered.split(',').any(|name| name.trim() == PROTOCOL) {
        let name = actix_web::http::header::SEC_WEBSOCKET_PROTOCOL;
        let spoken = actix_web::http::header::HeaderValue::from_static(PROTOCOL);
        response.headers_mut().insert(name, spoken);
    }
    let messages = messages
        .max_frame_size(LONGEST)
        .aggregate_continuations()
        .max_continuation_size(LONGEST);
    let socket = Socket {
        state: state.get_ref().clone(),
        tenant: caller.tenant(),
        caller,
        session,
        messages,
        seq: 0,
        token: String::new(),
    };
    rt::spawn(socket.serve());
    Ok(response)
}

/// One connection.
struct Socket {
    state: State,
    tenant: TenantId,
    caller: Caller,
    session: actix_ws::Session,
    messages: AggregatedMessageStream,
    seq: u64,
    token: String,
}

/// Why a connection ends.
enum End {
    /// The client has gone.
    Gone,
    /// It is told this code and reason.
    Close(u16, &'static str),
}

impl Socket {
    async fn serve(mut self) {
        let (leave, session_ends) = (self.state.leave.clone(), self.caller.session_ends);
        let end = tokio::select! {
            end = self.talk() => end,
            () = ends(session_ends) => End::Close(SESSION_OVER, "the session is over"),
            () = leave.cancelled() => End::Close(1001, "the server goes"),
        };
        if let End::Close(code, why) = end {
            let reason = CloseReason {
                code: CloseCode::from(code),
                description: Some(why.to_owned()),
            };
            self.session.close(Some(reason)).await.ok();
        }
    }

    async fn talk(&mut self) -> End {
        match self.conversation().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn conversation(&mut self) -> std::result::Result<std::convert::Infallible, End> {
        let first = timeout(PATIENCE, self.hear()).await;
        let first = first.map_err(|_| End::Close(GARBAGE, "say what you want to be told"))??;
        let Said::Subscribe { resume, .. } = &first;
        let resume = resume.clone();
        let interest = self.interest(first).await?;
        let mut seat = self.seat(interest.clone()).await?;
        let resumed = self.catch_up(&seat, &interest, resume).await?;
        self.token = token(&seat.place);
        self.send(|seq, token| Frame::Ready {
            seq,
            token,
            resumed: resumed.is_some(),
        })
        .await?;
        let missed = resumed.unwrap_or_default();
        for missed in missed.chunks(FRAME) {
            self.tell(missed).await?;
        }
        let mut beats = interval(HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut events = Vec::new();
        loop {
            tokio::select! {
                said = self.hear_any() => {
                    heard = Instant::now();
                    if let Some(said) = said? {
                        let interest = self.interest(said).await?;
                        seat.change(interest);
                    }
                }
                told = seat.told.recv() => {
                    let mut told = told;
                    loop {
                        match told {
                            Some(Told::News(news)) => events.push(news),
                            Some(Told::Upto(place)) => self.token = token(&place),
                            None => return Err(End::Close(TOO_SLOW, "too slow")),
                        }
                        if events.len() >= FRAME {
                            break;
                        }
                        match seat.told.try_recv() {
                            Ok(more) => told = Some(more),
                            Err(_) => break,
                        }
                    }
                    if !events.is_empty() {
                        let batch = std::mem::take(&mut events);
                        self.tell(&batch).await?;
                    }
                }
                _ = beats.tick() => {
                    if heard.elapsed() >= GONE {
                        return Err(End::Close(TOO_SLOW, "no answer"));
                    }
                    self.session.ping(b"").await.map_err(|_| End::Gone)?;
                }
            }
        }
    }

    /// The next message, other than control frames.
    async fn hear(&mut self) -> std::result::Result<Said, End> {
        loop {
            if let Some(said) = self.hear_any().await? {
                return Ok(said);
            }
        }
    }

    /// The next frame; `None` for one that only shows that the client is there.
    async fn hear_any(&mut self) -> std::result::Result<Option<Said>, End> {
        match self.messages.next().await {
            None => Err(End::Gone),
            Some(Err(_)) => Err(End::Close(GARBAGE, "no frame, or one too long")),
            Some(Ok(AggregatedMessage::Text(text))) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|_| End::Close(GARBAGE, "no message of this protocol")),
            Some(Ok(AggregatedMessage::Binary(_))) => {
                Err(End::Close(GARBAGE, "text is spoken here"))
            }
            Some(Ok(AggregatedMessage::Ping(bytes))) => {
                self.session.pong(&bytes).await.map_err(|_| End::Gone)?;
                Ok(None)
            }
            Some(Ok(AggregatedMessage::Pong(_))) => Ok(None),
            Some(Ok(AggregatedMessage::Close(reason))) => {
                self.session.clone().close(reason).await.ok();
                Err(End::Gone)
            }
        }
    }

    async fn interest(&self, said: Said) -> std::result::Result<Interest, End> {
        let Said::Subscribe {
            branches,
            tills,
            products,
            ..
        } = said;
        let sizes = [
            branches.as_ref().map_or(0, Vec::len),
            tills.as_ref().map_or(0, Vec::len),
            products.as_ref().map_or(0, Vec::len),
        ];
        if sizes.iter().any(|size| *size > MOST) {
            return Err(End::Close(GARBAGE, "a list names at most 5000"));
        }
        // Nobody is told of branches he does not work for, whatever he asks for.
        let scope = &self.caller.ctx.scope;
        let branches = match (branches, scope.branches()) {
            (None, own) => own.map(<[_]>::to_vec),
            (Some(mut asked), _) => {
                asked.retain(|branch| scope.has(*branch));
                Some(asked)
            }
        };
        let mut tills: Option<BTreeSet<_>> = tills.map(|ids| ids.into_iter().collect());
        let mut locations = None;
        if let Some(branches) = &branches {
            let found: Result<_> = self
                .state
                .db
                .read(&self.caller.ctx, async |tx| {
                    let places = organisation::locations_of(tx, branches).await?;
                    let own = match scope.branches() {
                        Some(own) => Some(organisation::tills_of(tx, own).await?),
                        None => None,
                    };
                    Ok((places, own))
                })
                .await;
            let (places, own) = found.map_err(|_| End::Close(1011, "the database is away"))?;
            locations = Some(places.into_iter().collect());
            if let Some(mut own) = own {
                own.retain(|till| tills.as_ref().is_none_or(|asked| asked.contains(till)));
                tills = Some(own.into_iter().collect());
            }
        }
        Ok(Interest {
            locations,
            branches: branches.map(|ids| ids.into_iter().collect()),
            tills,
            products: products.map(|ids| ids.into_iter().collect()),
        })
    }

    async fn seat(&self, interest: Interest) -> std::result::Result<Seat, End> {
        // A process that has just begun follows the topics in a moment.
        let (until, mut looks) = (Instant::now() + PATIENCE, interval(SOON));
        while Instant::now() < until {
            looks.tick().await;
            if let Some(seat) = self.state.hub.join(self.tenant, interest.clone()) {
                return Ok(seat);
            }
        }
        Err(End::Close(1013, "the topics cannot be read yet"))
    }

    /// What was missed since the token; `None` where that cannot be said.
    async fn catch_up(
        &self,
        seat: &Seat,
        interest: &Interest,
        resume: Option<String>,
    ) -> std::result::Result<Option<Vec<Arc<News>>>, End> {
        let Some(resume) = resume else {
            return Ok(None);
        };
        let from: Place = place(&resume).ok_or(End::Close(GARBAGE, "the token is none of ours"))?;
        let Some(kafka) = self.state.kafka.clone() else {
            return Ok(None);
        };
        let (to, tenant, interest) = (seat.place.clone(), self.tenant, interest.clone());
        let read = move || replay::missed(&kafka, tenant, &interest, (&from, &to));
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(Some(missed))) => {
                seat.touch(missed.touched);
                Ok(Some(missed.news))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "what a till missed cannot be read"
                );
                Ok(None)
            }
            Err(_) => Err(End::Close(1011, "an error of the server")),
        }
    }

    async fn tell(&mut self, news: &[Arc<News>]) -> std::result::Result<(), End> {
        let events = news.iter().map(|news| &**news).collect();
        self.send(|seq, token| Frame::Events { seq, token, events })
            .await
    }

    async fn send<'a>(
        &'a mut self,
        frame: impl FnOnce(u64, &'a str) -> Frame<'a>,
    ) -> std::result::Result<(), End> {
        let seq = self.seq;
        self.seq += 1;
        let text = serde_json::to_string(&frame(seq, &self.token)).map_err(|_| End::Gone)?;
        self.session.text(text).await.map_err(|_| End::Gone)
    }
}

/// Returns when the session does not live any more; never where that is not known.
async fn ends(at: Option<i64>) {
    let Some(at) = at else {
        return std::future::pending().await;
    };
    let left = at.saturating_sub(Utc::now().timestamp());
    sleep_until(Instant::now() + Duration::from_secs(u64::try_from(left).unwrap_or(0))).await;
}
