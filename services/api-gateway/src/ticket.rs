//! Tickets for WebSockets. A page cannot send its token with a handshake, and what stands in an address ends up in logs: so it
//! asks for a ticket, which opens one WebSocket within half a minute and is good for nothing else.
//!
//! A ticket is 256 bits by chance; it is kept by its hash alone, with the session that it stands for, signed by us: who
//! reads Redis finds no ticket, who writes there no session that we would believe. With Redis any gateway takes it, without it
//! the one that gave it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, HttpResponse, ResponseError, http::header, web};
use anyhow::Context;
use bahi_http::{Fault, Problem};
use bahi_register::Class;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use redis::{AsyncCommands, aio::ConnectionManager};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{
    State,
    auth::{Digested, digest},
    config::Config,
    edge,
    error::Error,
    proxy,
};

/// Where one is asked for.
pub const PATH: &str = "/api/v1/auth/ws-ticket";
/// Seconds that a ticket is good for.
pub const LIFE: u32 = 30;
/// Characters of one.
const LENGTH: usize = 43;
/// Tickets kept here at once.
const MOST: usize = 10_000;

/// The tickets that are out.
pub struct Tickets {
    here: Mutex<HashMap<Digested, (Instant, String)>>,
    shared: Option<Shared>,
}

/// Those in Redis.
struct Shared {
    client: redis::Client,
    connection: OnceCell<ConnectionManager>,
    patience: Duration,
}

impl Tickets {
    /// None are out.
    ///
    /// # Errors
    /// When the URL of Redis is none.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let shared = config.redis.as_deref().map(|url| {
            anyhow::Ok(Shared {
                client: redis::Client::open(url).context("BAHI_REDIS")?,
                connection: OnceCell::new(),
                patience: config.patience,
            })
        });
        Ok(Self {
            here: Mutex::default(),
            shared: shared.transpose()?,
        })
    }

    /// Keeps what a ticket stands for; in Redis, or here where that does not answer. Says whether there was room.
    async fn keep(&self, ticket: &str, session: String) -> bool {
        let digest = digest(ticket);
        if let Some(shared) = &self.shared {
            match shared.keep(&digest, &session).await {
                Ok(()) => return true,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "Redis takes no ticket; it is kept here"
                    );
                }
            }
        }
        let (mut here, now) = (self.here.lock(), Instant::now());
        if here.len() >= MOST {
            here.retain(|_, (until, _)| now < *until);
        }
        let room = here.len() < MOST;
        if room {
            let until = now + Duration::from_secs(LIFE.into());
            here.insert(digest, (until, session));
        }
        room
    }

    /// What a ticket stands for, the first time that it is shown.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn take(&self, ticket: &str) -> anyhow::Result<Option<String>> {
        if ticket.len() != LENGTH || !ticket.is_ascii() {
            return Ok(None);
        }
        let digest = digest(ticket);
        if let Some((until, session)) = self.here.lock().remove(&digest) {
            return Ok((Instant::now() < until).then_some(session));
        }
        match &self.shared {
            Some(shared) => shared.take(&digest).await,
            None => Ok(None),
        }
    }
}

impl Shared {
    fn key(digest: &Digested) -> String {
        format!("bahi:ticket:{}", hex::encode(digest))
    }

    async fn connection(&self) -> anyhow::Result<ConnectionManager> {
        let connect = || {
            let config = redis::aio::ConnectionManagerConfig::new()
                .set_number_of_retries(1)
                .set_connection_timeout(Some(self.patience))
                .set_response_timeout(Some(self.patience));
            self.client.get_connection_manager_with_config(config)
        };
        Ok(self.connection.get_or_try_init(connect).await?.clone())
    }

    async fn keep(&self, digest: &Digested, session: &str) -> anyhow::Result<()> {
        let keep = async {
            let mut redis = self.connection().await?;
            let done: () = redis
                .set_ex(Self::key(digest), session, LIFE.into())
                .await?;
            anyhow::Ok(done)
        };
        tokio::time::timeout(self.patience, keep).await?
    }

    async fn take(&self, digest: &Digested) -> anyhow::Result<Option<String>> {
        let take = async {
            let mut redis = self.connection().await?;
            let found: Option<String> = redis.get_del(Self::key(digest)).await?;
            anyhow::Ok(found)
        };
        tokio::time::timeout(self.patience, take).await?
    }
}

/// Gives a ticket.
pub(crate) async fn give(req: HttpRequest, state: State) -> Result<HttpResponse, Problem> {
    let client = edge::client(&req, &state.0.config.proxies);
    let session = state.session(req.headers(), client).await?;
    // Counted by address, as sign-in is, and among what its user asks.
    let by_address = state.0.limits.strict(client, &state.0.tickets_route).await;
    if let Some(refused) = proxy::refused(Some(by_address)) {
        return Ok(refused);
    }
    let by_user = proxy::count_ordinary(&state, Class::Normal, Some(&session), client).await;
    if let Some(refused) = proxy::refused(by_user) {
        return Ok(refused);
    }
    let ticket = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let stands_for = state.0.auth.stand_in(&session, LIFE)?;
    if !state.0.tickets.keep(&ticket, stands_for).await {
        return Err(Error::Busy("api-gateway".to_owned()).into());
    }
    let mut answer = HttpResponse::Created().json(json!({ "ticket": ticket, "expires_in": LIFE }));
    proxy::limit_headers(answer.headers_mut(), by_address);
    Ok(answer)
}

/// The answer to anything but asking for one.
pub(crate) async fn only_post() -> HttpResponse {
    let mut refused = Problem::from(Fault::MethodNotAllowed).error_response();
    let allowed = header::HeaderValue::from_static("POST");
    refused.headers_mut().insert(header::ALLOW, allowed);
    refused
}

/// The resource.
pub(crate) fn resource() -> actix_web::Resource {
    web::resource(PATH)
        .route(web::post().to(give))
        .default_service(web::to(only_post))
}
