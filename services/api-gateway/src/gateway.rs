//! The process: what it works with just now, and how that is replaced while requests are under way. A new configuration is
//! built whole beside the old one and then takes its place in one step; a request keeps the one it began with. What
//! cannot be built is refused, and the old one goes on.

use std::{
    future::{Ready, ready},
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, error::ErrorInternalServerError, web};
use anyhow::Context;
use arc_swap::ArcSwap;
use bahi_register::Register;
use bahi_service::{Env, Parts};
use bahi_types::Clock;
use parking_lot::Mutex;
use prometheus::{IntCounterVec, IntGauge, register_int_counter_vec, register_int_gauge};
use sha2::{Digest, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    State,
    config::{Config, File},
    graphql::Documents,
    peers::Admitted,
    state::{Built, Inner, Lasting},
};

#[allow(clippy::unwrap_used)] // Constant names and labels.
static TAKEN: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "gateway_config_changes_total",
        "Configurations that were taken over, or refused",
        &["result"]
    )
    .unwrap()
});

#[allow(clippy::unwrap_used)]
static REFUSED: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!(
        "gateway_config_refused",
        "1 while the files hold a configuration that was refused, and an older one is served"
    )
    .unwrap()
});

#[allow(clippy::unwrap_used)]
static GENERATION: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!(
        "gateway_config_generation",
        "Number of the configuration that is served"
    )
    .unwrap()
});

/// The gateway's process; clones share it.
#[derive(Clone)]
pub struct Gateway(Arc<Process>);

struct Process {
    now: ArcSwap<Inner>,
    lasting: Lasting,
    env: Env,
    clock: Clock,
    leave: CancellationToken,
    seen: Mutex<Seen>,
    refused: Mutex<Option<Refused>>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    /// Hangups, from the first moment: one that nobody listens for ends a process.
    told: tokio::sync::Mutex<Signal>,
}

/// Why the files that are there are not what is served.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// When that was found, in RFC 3339.
    pub at: String,
    /// What is wrong.
    pub reason: String,
}

/// Of the configuration and the register, and of the files that the configuration names.
type Fingerprint = [[u8; 32]; 2];

/// What the files were.
struct Seen {
    /// Those that the configuration named which was last taken over or refused.
    named: Named,
    /// When they were taken over or refused.
    used: Fingerprint,
    /// When they were last looked at.
    last: Fingerprint,
}

/// Files that a configuration names.
struct Named {
    supergraph: Option<PathBuf>,
    documents: PathBuf,
}

/// The files of the configuration.
struct Files {
    config: Option<PathBuf>,
    register: PathBuf,
}

impl Files {
    fn of(env: &Env) -> Self {
        let register = env.optional("BAHI_REGISTER");
        Self {
            config: env.optional("BAHI_CONFIG_FILE").map(PathBuf::from),
            register: register
                .unwrap_or_else(|| "deploy/services.toml".into())
                .into(),
        }
    }

    fn read(&self, env: &Env) -> anyhow::Result<(Register, Config)> {
        let file = match &self.config {
            None => File::default(),
            Some(path) => {
                let name = || path.display().to_string();
                let text = std::fs::read_to_string(path).with_context(name)?;
                File::read(&text, &|variable| env.optional(variable)).with_context(name)?
            }
        };
        let register = Register::load(&self.register)?;
        let config = Config::read(env, &register, &file)?;
        Ok((register, config))
    }

    /// What tells these files, and those that the configuration names, from others.
    fn fingerprint(&self, named: &Named) -> Fingerprint {
        let own = self.config.iter().chain([&self.register]);
        [contents(own).finalize().into(), named.fingerprint()]
    }
}

impl Named {
    fn of(config: &Config) -> Self {
        Self {
            supergraph: config.graph.supergraph.clone(),
            documents: config.graph.documents.clone(),
        }
    }

    fn fingerprint(&self) -> [u8; 32] {
        let mut hash = contents(self.supergraph.iter());
        if let Ok(documents) = Documents::of_folder(&self.documents) {
            let mut ids: Vec<&str> = documents.ids().collect();
            ids.sort_unstable();
            for id in ids {
                hash.update(id);
            }
        }
        hash.finalize().into()
    }
}

fn contents<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Sha256 {
    let mut hash = Sha256::new();
    for file in files {
        hash.update([1]);
        hash.update(std::fs::read(file).unwrap_or_default());
    }
    hash
}

/// Says whether a configuration file could be served, with the register and environment that are here.
///
/// # Errors
/// All that is wrong.
pub(crate) fn check(file: &std::path::Path, env: &Env) -> anyhow::Result<String> {
    let files = Files {
        config: Some(file.to_owned()),
        ..Files::of(env)
    };
    let (register, config) = files.read(env)?;
    let (upstreams, routes) = (config.upstreams.len(), register.routes().len());
    Built::new(config, &register, None)?;
    Ok(format!("{upstreams} services, {routes} routes"))
}

impl Gateway {
    /// Reads the register and the settings.
    ///
    /// # Errors
    /// When one of them is wrong.
    pub fn new(parts: Parts) -> anyhow::Result<Self> {
        let files = Files::of(&parts.env);
        let (register, config) = files.read(&parts.env)?;
        let named = Named::of(&config);
        let used = files.fingerprint(&named);
        let lasting = Lasting::new(&parts);
        let built = Built::new(config, &register, None)?;
        GENERATION.set(1);
        Ok(Self(Arc::new(Process {
            now: ArcSwap::from_pointee(built.with(&lasting, 1)),
            lasting,
            env: parts.env.clone(),
            clock: parts.clock.clone(),
            leave: parts.leave.clone(),
            seen: Mutex::new(Seen {
                named,
                used,
                last: used,
            }),
            refused: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            told: tokio::sync::Mutex::new(signal(SignalKind::hangup())?),
        })))
    }

    /// What it works with just now. A request asks once.
    pub fn now(&self) -> State {
        State(self.0.now.load_full())
    }

    /// Counts a connection; nothing when its address has too many.
    pub(crate) fn admit(&self, peer: IpAddr) -> Option<Option<Admitted>> {
        self.now().0.peers.admit(peer)
    }

    /// What is served, and why the files that are there are not it.
    pub(crate) fn standing(&self) -> (State, Option<Refused>) {
        let refused = self.0.refused.lock();
        (self.now(), refused.clone())
    }

    /// The file of the configuration.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        Files::of(&self.0.env).config
    }

    /// Takes the files over if they have changed, and were the same when they were last looked at: a file that is being
    /// written is half a file.
    pub(crate) async fn follow(&self) -> anyhow::Result<()> {
        self.change(false).await;
        Ok(())
    }

    /// Waits for SIGHUP, which makes it look at the files at once.
    pub(crate) async fn listen(&self) -> anyhow::Result<()> {
        let mut told = self.0.told.lock().await;
        tokio::select! {
            _ = told.recv() => self.change(true).await,
            () = self.0.leave.cancelled() => {}
        }
        Ok(())
    }

    /// Looks at the files; `anyway` even if they are what they were.
    async fn change(&self, anyway: bool) {
        let _turn = self.0.changing.lock().await;
        let this = self.clone();
        let built = tokio::task::spawn_blocking(move || this.build(anyway)).await;
        let built = built.unwrap_or_else(|panic| Err(anyhow::anyhow!("{panic}")));
        match built {
            Ok(None) => {}
            Ok(Some(built)) => self.replace(built).await,
            Err(error) => {
                let reason = format!("{error:#}");
                tracing::error!(
                    reason,
                    "the configuration is refused; the old one is served"
                );
                TAKEN.with_label_values(&["refused"]).inc();
                REFUSED.set(1);
                let at = self.0.clock.now().to_rfc3339();
                *self.0.refused.lock() = Some(Refused { at, reason });
            }
        }
    }

    fn build(&self, anyway: bool) -> anyhow::Result<Option<Built>> {
        let files = Files::of(&self.0.env);
        let found = {
            let mut seen = self.0.seen.lock();
            let found = files.fingerprint(&seen.named);
            let settled = std::mem::replace(&mut seen.last, found) == found;
            if !anyway && (found == seen.used || !settled) {
                return Ok(None);
            }
            seen.used = found;
            found
        };
        let (register, config) = files.read(&self.0.env)?;
        // It may name other files than the one before. What changes from here on is a change.
        let named = Named::of(&config);
        let used = [found[0], named.fingerprint()];
        *self.0.seen.lock() = Seen {
            named,
            used,
            last: used,
        };
        Built::new(config, &register, Some(&self.now())).map(Some)
    }

    /// Serves a new configuration.
    async fn replace(&self, built: Built) {
        // A service that is found by its name has no endpoints before it is asked for.
        let nowhere = built
            .upstreams
            .values()
            .filter(|u| u.endpoints().is_empty());
        let found = futures::future::join_all(nowhere.map(|upstream| upstream.find()));
        let _ = tokio::time::timeout(Duration::from_secs(5), found).await;
        let generation = self.now().0.generation + 1;
        let state = Arc::new(built.with(&self.0.lasting, generation));
        {
            // Nobody sees the new one with what was refused before it.
            let mut refused = self.0.refused.lock();
            self.0.now.store(state);
            *refused = None;
        }
        TAKEN.with_label_values(&["taken"]).inc();
        REFUSED.set(0);
        GENERATION.set(i64::try_from(generation).unwrap_or(i64::MAX));
        tracing::info!(generation, "a new configuration is served");
    }
}

impl FromRequest for State {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let gateway = req.app_data::<web::Data<Gateway>>();
        ready(
            gateway
                .map(|gateway| gateway.now())
                .ok_or_else(|| ErrorInternalServerError("no gateway")),
        )
    }
}

#[cfg(test)]
mod tests;
