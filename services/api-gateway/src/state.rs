//! What the gateway works with.

use std::{collections::BTreeMap, sync::Arc};

use bahi_register::{Register, Route};
use bahi_service::Parts;
use serde::Deserialize;

use crate::{auth::Auth, config::Config, limit::Limits, openapi::Documents, upstream::Upstream};

/// The gateway's state; clones share it.
#[derive(Clone)]
pub struct State(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub config: Config,
    pub auth: Auth,
    pub limits: Limits,
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    /// Longest prefix first, so that the first that covers a path is the one.
    pub routes: Vec<(Route, Arc<Upstream>)>,
    pub documents: Documents,
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

impl State {
    /// Reads the register and the settings.
    ///
    /// # Errors
    /// When one of them is wrong.
    pub fn new(parts: Parts) -> anyhow::Result<Self> {
        let file = parts.env.optional("BAHI_REGISTER").unwrap_or_else(|| "deploy/services.toml".into());
        let register = Register::load(&file)?;
        let config = Config::read(&parts.env, &register)?;
        let upstreams: BTreeMap<_, _> = config
            .upstreams
            .iter()
            .map(|(name, base)| (name.clone(), Arc::new(Upstream::new(name.clone(), base.clone()))))
            .collect();
        let mut routes = Vec::new();
        for service in register.services() {
            for route in &service.routes {
                routes.push((route.clone(), upstreams[&service.name].clone()));
            }
        }
        routes.sort_by_key(|(route, _)| std::cmp::Reverse(route.path.len()));
        let limits = Limits::new(&config.classes, config.redis.as_deref())?;
        let auth = Auth::new(parts.keys.clone(), parts.signer.clone(), parts.clock.clone());
        Ok(Self(Arc::new(Inner { config, auth, limits, upstreams, routes, documents: Documents::default() })))
    }

    /// The route of a path.
    pub(crate) fn route(&self, path: &str) -> Option<&(Route, Arc<Upstream>)> {
        self.0.routes.iter().find(|(route, _)| route.covers(path))
    }

    pub(crate) async fn check_upstreams(&self) -> anyhow::Result<()> {
        futures::future::join_all(self.0.upstreams.values().map(|u| u.check())).await;
        self.0.limits.sweep();
        Ok(())
    }

    pub(crate) async fn refresh_revocations(&self) -> anyhow::Result<()> {
        let Some(identity) = self.0.upstreams.get("identity") else { return Ok(()) };
        let token = self.0.auth.own()?;
        let body = identity.get("/internal/v1/revocations", Some(&token)).await?;
        self.0.auth.revocations.replace(serde_json::from_slice(&body)?);
        Ok(())
    }

    /// Learns identity's keys beyond those in our folder, so that a rotation needs no restart.
    pub(crate) async fn refresh_keys(&self) -> anyhow::Result<()> {
        let Some(identity) = self.0.upstreams.get("identity") else { return Ok(()) };
        let set: Jwks = serde_json::from_slice(&identity.get("/.well-known/jwks.json", None).await?)?;
        for key in set.keys {
            // Identity may speak for itself only.
            if key.kid == "identity" || key.kid.starts_with("identity.") {
                self.0.auth.keys().learn(&key.kid, &key.x)?;
            }
        }
        Ok(())
    }
}
