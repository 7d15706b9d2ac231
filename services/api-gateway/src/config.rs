//! The gateway's own settings.

use std::{collections::BTreeMap, num::NonZeroU32, str::FromStr, time::Duration};

use bahi_register::{Class, Register};
use bahi_service::Env;

/// How fast and how much at once: `rate/burst`, requests a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Requests a second, for ever.
    pub rate: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

impl FromStr for Limit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is not <requests a second>/<burst>".to_owned();
        let (rate, burst) = text.split_once('/').ok_or_else(wrong)?;
        Ok(Self { rate: rate.parse().map_err(|_| wrong())?, burst: burst.parse().map_err(|_| wrong())? })
    }
}

/// What requests of a class may take.
#[derive(Clone, Copy, Debug)]
pub struct ClassLimits {
    /// Longest body in bytes.
    pub body: usize,
    /// Longest time to the answer's first byte.
    pub time: Duration,
    /// Rate: of a user, or of an address for the strict class.
    pub rate: Limit,
}

/// The settings.
pub struct Config {
    /// Base URL of each service that has routes: `BAHI_UPSTREAM_<SERVICE>`, by default this host and the register's port.
    pub upstreams: BTreeMap<String, String>,
    /// Origins whose pages may call us: `BAHI_CORS_ORIGINS`, separated by commas.
    pub origins: Vec<String>,
    /// Redis of the strict limits: `BAHI_REDIS`. Without it they are local.
    pub redis: Option<String>,
    /// Limits by class: `BAHI_LIMIT_NORMAL`, `_STRICT`, `_POS`, `_BULK`.
    pub classes: BTreeMap<Class, ClassLimits>,
    /// We are reached by https: send HSTS. `BAHI_HSTS`.
    pub hsts: bool,
}

const KIB: usize = 1024;

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// When one is malformed.
    pub fn read(env: &Env, register: &Register) -> anyhow::Result<Self> {
        let mut upstreams = BTreeMap::new();
        for service in register.services().iter().filter(|s| !s.routes.is_empty()) {
            let name = format!("BAHI_UPSTREAM_{}", service.env_name());
            let url = env.optional(&name).unwrap_or_else(|| format!("http://127.0.0.1:{}", service.http));
            upstreams.insert(service.name.clone(), url.trim_end_matches('/').to_owned());
        }
        let mut classes = BTreeMap::new();
        let defaults = [
            (Class::Normal, 256 * KIB, 10, "500/1000"),
            (Class::Strict, 64 * KIB, 10, "2/30"),
            (Class::Pos, 256 * KIB, 10, "2000/4000"),
            (Class::Bulk, 50 * KIB * KIB, 120, "2/20"),
        ];
        for (class, body, seconds, rate) in defaults {
            let name = format!("BAHI_LIMIT_{}", class.name().to_uppercase());
            let fallback = rate.parse().map_err(anyhow::Error::msg)?;
            let rate = env.parse::<Limit>(&name, fallback)?;
            classes.insert(class, ClassLimits { body, time: Duration::from_secs(seconds), rate });
        }
        let origins = env.optional("BAHI_CORS_ORIGINS").unwrap_or_default();
        Ok(Self {
            upstreams,
            origins: origins.split(',').map(|o| o.trim().to_owned()).filter(|o| !o.is_empty()).collect(),
            redis: env.optional("BAHI_REDIS"),
            classes,
            hsts: env.parse("BAHI_HSTS", false)?,
        })
    }
}
