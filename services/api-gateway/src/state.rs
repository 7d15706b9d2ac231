//! What the gateway works with.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use actix_web::http::header::HeaderMap;
use anyhow::Context;
use bahi_http::Fault;
use bahi_register::{Class, Register, Route};
use bahi_service::Parts;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{self, Auth, Known, Principal, Session},
    config::{ClassLimits, Config},
    error::Error,
    graphql::Graph,
    limit::{Limits, Who},
    openapi::Documents,
    peers::Peers,
    search::Finder,
    ticket::{self, Tickets},
    tunnel::Sockets,
    upstream::Upstream,
};

/// What a request works with from its beginning to its end; clones share it.
#[derive(Clone)]
pub struct State(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub config: Config,
    pub limits: Arc<Limits>,
    pub peers: Arc<Peers>,
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    /// Longest prefix first, so that the first that covers a path is the one.
    pub targets: Vec<Target>,
    /// In the order of the register.
    pub finders: Vec<Finder>,
    pub graph: Graph,
    /// Number of the configuration.
    pub generation: u64,
    pub auth: Arc<Auth>,
    pub sockets: Arc<Sockets>,
    /// Cancelled when long connections are to end, because the process does.
    pub leave: CancellationToken,
    pub documents: Arc<Documents>,
    /// What questions about API keys are counted under.
    pub asking: Arc<str>,
    /// What tickets are counted under.
    pub tickets_route: Arc<str>,
    pub tickets: Arc<Tickets>,
}

/// What a configuration is made into.
pub(crate) struct Built {
    pub config: Config,
    limits: Arc<Limits>,
    tickets: Arc<Tickets>,
    peers: Arc<Peers>,
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    targets: Vec<Target>,
    finders: Vec<Finder>,
    graph: Graph,
}

/// What outlives a change of the configuration.
#[derive(Clone)]
pub(crate) struct Lasting {
    auth: Arc<Auth>,
    sockets: Arc<Sockets>,
    leave: CancellationToken,
    documents: Arc<Documents>,
    asking: Arc<str>,
}

/// Where a route leads, and what it takes to go there.
pub(crate) struct Target {
    pub route: Route,
    /// The route's path again, cheap to pass around.
    pub path: Arc<str>,
    pub limits: ClassLimits,
    pub upstream: Arc<Upstream>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    x: String,
}

impl Lasting {
    pub fn new(parts: &Parts) -> Self {
        let auth = Auth::new(
            parts.keys.clone(),
            parts.signer.clone(),
            parts.clock.clone(),
        );
        Self {
            auth: Arc::new(auth),
            sockets: Arc::default(),
            leave: parts.leave.clone(),
            documents: Arc::default(),
            asking: "api-keys".into(),
        }
    }
}

impl Built {
    /// Makes a configuration into what is served. What of `old` is the same goes on: services, whose endpoints are as well
    /// as they were, buckets, and plans.
    ///
    /// # Errors
    /// When it cannot be served.
    pub fn new(config: Config, register: &Register, old: Option<&State>) -> anyhow::Result<Self> {
        let old = old.map(|old| &old.0);
        let mut upstreams = BTreeMap::new();
        for (name, settings) in &config.upstreams {
            let before = old.and_then(|old| old.upstreams.get(name));
            let upstream = match before {
                Some(before) if before.settings == *settings => before.clone(),
                before => {
                    let before = before.map(|before| &**before);
                    Arc::new(Upstream::new(name, settings.clone(), before)?)
                }
            };
            upstreams.insert(name.clone(), upstream);
        }
        let mut targets = Vec::new();
        for (service, route) in register.routes() {
            let upstream = upstreams
                .get(&service.name)
                .context("a route without a service")?
                .clone();
            let limits = *config
                .classes
                .get(&route.class)
                .context("a class without limits")?;
            targets.push(Target {
                path: route.path.as_str().into(),
                route: route.clone(),
                limits,
                upstream,
            });
        }
        let mut finders = Vec::new();
        for (service, search) in register.searches() {
            let upstream = upstreams.get(&service.name).cloned();
            finders.push(Finder {
                search: search.clone(),
                upstream: upstream.context("a search without a service")?,
            });
        }
        let graph = Graph::new(&config, &upstreams, old.map(|old| &old.graph))?;
        let same = |old: &&Arc<Inner>| {
            let old = &old.config;
            old.redis == config.redis && old.patience == config.patience
        };
        let (limits, tickets) = match old.filter(same) {
            Some(old) => (old.limits.heir(&config)?, old.tickets.clone()),
            None => (Limits::new(&config)?, Arc::new(Tickets::new(&config)?)),
        };
        let limits = Arc::new(limits);
        let known = |old: &&Arc<Inner>| {
            let old = &old.config;
            old.connections == config.connections && old.proxies == config.proxies
        };
        let peers = match old.filter(known) {
            Some(old) => old.peers.clone(),
            None => Arc::new(Peers::new(config.connections, &config.proxies)),
        };
        Ok(Self {
            config,
            limits,
            tickets,
            peers,
            upstreams,
            targets,
            finders,
            graph,
        })
    }

    /// With what lasts, as the configuration of this number.
    pub fn with(self, lasting: &Lasting, generation: u64) -> Inner {
        let Lasting {
            auth,
            sockets,
            leave,
            documents,
            asking,
        } = lasting.clone();
        Inner {
            config: self.config,
            limits: self.limits,
            tickets: self.tickets,
            tickets_route: ticket::PATH.into(),
            peers: self.peers,
            upstreams: self.upstreams,
            targets: self.targets,
            finders: self.finders,
            graph: self.graph,
            generation,
            auth,
            sockets,
            leave,
            documents,
            asking,
        }
    }
}

impl State {
    /// Where a path leads.
    pub(crate) fn target(&self, path: &str) -> Option<&Target> {
        self.0
            .targets
            .iter()
            .find(|target| target.route.covers(path))
    }

    /// The session of a request.
    pub(crate) async fn session(
        &self,
        headers: &HeaderMap,
        client: IpAddr,
    ) -> Result<Arc<Session>, Error> {
        self.speaker(auth::bearer(headers)?, client).await
    }

    /// The session of an access token, or of an API key. Who guesses is counted by address.
    pub(crate) async fn speaker(&self, token: &str, client: IpAddr) -> Result<Arc<Session>, Error> {
        let session = self.found(token, client).await?;
        if self.0.auth.revocations.is_suspended(&session.claims) {
            return Err(Error::TenantSuspended);
        }
        Ok(session)
    }

    async fn found(&self, token: &str, client: IpAddr) -> Result<Arc<Session>, Error> {
        let known = self.known(token, client).await;
        self.counted(known, client).await
    }

    /// Counts an address that showed nothing good.
    async fn counted(
        &self,
        known: Result<Arc<Session>, Error>,
        client: IpAddr,
    ) -> Result<Arc<Session>, Error> {
        if let Err(Error::Fault(Fault::Unauthenticated)) = &known {
            let who = Who::Address(client);
            let standing = self.0.limits.ordinary(Class::Normal, who, None).await;
            if let Some(refused) = standing.filter(|s| !s.allowed()) {
                return Err(Error::TooMany(refused.reset));
            }
        }
        known
    }

    async fn known(&self, token: &str, client: IpAddr) -> Result<Arc<Session>, Error> {
        if !auth::is_key(token) {
            return Ok(self.0.auth.verified(token)?);
        }
        if !auth::is_shaped(token) {
            return Err(Fault::Unauthenticated.into());
        }
        let digest = auth::digest(token);
        let asking = match self.0.auth.known(&digest).await {
            Known::Good(session) => return Ok(session),
            Known::Unknown => return Err(Fault::Unauthenticated.into()),
            Known::Ask(asking) => asking,
        };
        // Who makes keys up must not keep identity busy.
        let standing = self.0.limits.strict(client, &self.0.asking).await;
        if !standing.allowed() {
            return Err(Error::TooMany(standing.reset));
        }
        let said = self.ask(token).await.map_err(|error| {
            tracing::warn!(%error, "identity cannot be asked about an API key");
            Error::Down("identity".to_owned())
        })?;
        Ok(self.0.auth.learn(asking, digest, said)?)
    }

    /// The session that a ticket stands for, the first time that it is shown. Who guesses is counted by address.
    pub(crate) async fn admitted(
        &self,
        ticket: &str,
        client: IpAddr,
    ) -> Result<Arc<Session>, Error> {
        // Who makes tickets up must not keep Redis busy.
        let who = Who::Address(client);
        if let Some(refused) = self.0.limits.refusal(Class::Normal, who) {
            return Err(Error::TooMany(refused.reset));
        }
        let session = self.stood_for(ticket).await;
        self.counted(session, client).await
    }

    async fn stood_for(&self, ticket: &str) -> Result<Arc<Session>, Error> {
        let kept = self.0.tickets.take(ticket).await.map_err(|error| {
            tracing::warn!(
                error = format!("{error:#}"),
                "Redis cannot be asked about a ticket"
            );
            Error::Down("redis".to_owned())
        })?;
        let signed = kept.ok_or(Fault::Unauthenticated)?;
        Ok(self.0.auth.stood_for(&signed)?)
    }

    /// Asks identity about an API key.
    async fn ask(&self, key: &str) -> anyhow::Result<Option<Principal>> {
        let identity = self.0.upstreams.get("identity").context("no identity")?;
        let question = serde_json::to_vec(&json!({ "key": key }))?;
        let path = "/internal/v1/api-keys:verify";
        let answer = identity.post(path, self.0.auth.own()?, question).await?;
        Ok(answer
            .map(|body| serde_json::from_slice(&body))
            .transpose()?)
    }

    pub(crate) async fn check_upstreams(&self) -> anyhow::Result<()> {
        for upstream in self.0.upstreams.values() {
            upstream.tend();
        }
        Ok(())
    }

    pub(crate) async fn sweep(&self) -> anyhow::Result<()> {
        self.0.limits.sweep();
        Ok(())
    }

    pub(crate) async fn refresh_revocations(&self) -> anyhow::Result<()> {
        let Some(identity) = self.0.upstreams.get("identity") else {
            return Ok(());
        };
        let token = self.0.auth.own()?;
        let body = identity
            .get("/internal/v1/revocations", Some(token))
            .await?;
        self.0
            .auth
            .revocations
            .replace(serde_json::from_slice(&body)?);
        Ok(())
    }

    pub(crate) async fn look_for_drift(&self) -> anyhow::Result<()> {
        self.0.graph.look_for_drift(&self.0.auth.own()?).await;
        Ok(())
    }

    /// Learns identity's keys beyond those in our folder, so that a rotation needs no restart, and forgets those that are in
    /// neither any longer.
    pub(crate) async fn refresh_keys(&self) -> anyhow::Result<()> {
        let keys = self.0.auth.keys();
        keys.reread();
        let Some(identity) = self.0.upstreams.get("identity") else {
            return Ok(());
        };
        let set: Jwks =
            serde_json::from_slice(&identity.get("/.well-known/jwks.json", None).await?)?;
        // Identity may speak for itself only.
        let own = |key: &&Jwk| key.kid == "identity" || key.kid.starts_with("identity.");
        let own = set.keys.iter().filter(own);
        keys.learn(own.map(|key| (key.kid.as_str(), key.x.as_str())))?;
        Ok(())
    }
}
