//! The gateway's own settings.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    num::{NonZeroU32, NonZeroU64},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use anyhow::Context;
use bahi_register::{Class, Register};
use bahi_service::Env;
use hyper::http::uri::{Authority, Uri};

use crate::graphql::Mode;

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
        Ok(Self {
            rate: rate.parse().map_err(|_| wrong())?,
            burst: burst.parse().map_err(|_| wrong())?,
        })
    }
}

/// What requests of a class may take.
#[derive(Clone, Copy, Debug)]
pub struct ClassLimits {
    /// Longest body in bytes.
    pub body: usize,
    /// Longest time for the body to come, and again to the answer's first byte.
    pub time: Duration,
    /// Rate: of a user, or of an address for the strict class.
    pub rate: Limit,
}

/// A block of addresses, `10.0.0.0/8` or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u32,
}

impl FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no block of addresses");
        let (base, bits) = text
            .split_once('/')
            .map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), str::parse).map_err(|_| wrong())?;
        if bits <= width {
            Ok(Self { base, bits })
        } else {
            Err(wrong())
        }
    }
}

impl Network {
    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (a.to_bits() ^ b.to_bits())
                    .checked_shr(32 - self.bits)
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (a.to_bits() ^ b.to_bits())
                    .checked_shr(128 - self.bits)
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

/// The settings.
pub struct Config {
    /// Host and port of each service that has routes: `BAHI_UPSTREAM_<SERVICE>` (`http://host:port`), by default this
    /// host and the register's port.
    pub upstreams: BTreeMap<String, Authority>,
    /// Origins whose pages may call us: `BAHI_CORS_ORIGINS`, separated by commas.
    pub origins: Vec<String>,
    /// Load balancers in front of us, whose `X-Forwarded-For` is believed: `BAHI_TRUSTED_PROXIES`, blocks of addresses
    /// separated by commas.
    pub proxies: Vec<Network>,
    /// Redis of the rate limits: `BAHI_REDIS`. Without it they are local.
    pub redis: Option<String>,
    /// How long Redis may take before requests are counted locally: `BAHI_REDIS_PATIENCE_MS`.
    pub patience: Duration,
    /// Limits by class: `BAHI_LIMIT_<CLASS>` is the rate, `BAHI_TIME_<CLASS>_MS` the time, `BAHI_BODY_<CLASS>` the
    /// longest body in bytes.
    pub classes: BTreeMap<Class, ClassLimits>,
    /// Rate of a tenant as a whole, in each class but the strict one: `BAHI_LIMIT_TENANT`.
    pub tenant: Limit,
    /// How many connections an address may have open: `BAHI_CONNECTIONS_PER_ADDRESS`.
    pub connections: u32,
    /// How many WebSockets a user may have open: `BAHI_WEBSOCKETS_PER_USER`.
    pub sockets_per_user: u32,
    /// After so long without a byte in either direction a WebSocket is closed: `BAHI_WEBSOCKET_IDLE_MS`.
    pub socket_idle: Duration,
    /// We are reached by https: send HSTS. `BAHI_HSTS`.
    pub hsts: bool,
    /// How long a search through everything may take: `BAHI_SEARCH_BUDGET_MS`.
    pub search_budget: Duration,
    /// The graph.
    pub graph: GraphConfig,
}

/// The settings of the graph.
pub struct GraphConfig {
    /// File of the supergraph: `BAHI_GRAPHQL_SUPERGRAPH`; the one that this gateway was built with when absent.
    pub supergraph: Option<PathBuf>,
    /// Folder of the documents that clients are known to send: `BAHI_GRAPHQL_DOCUMENTS`, by default
    /// `proto/graphql/documents`.
    pub documents: PathBuf,
    /// `BAHI_GRAPHQL_MODE`: `production`, where only those documents are answered, or `development`.
    pub mode: Mode,
    /// Nobody is asked who he is, and no token is sent on: `BAHI_GRAPHQL_OPEN`, for graphs that are not ours.
    pub open: bool,
    /// How long a query may take in all: `BAHI_GRAPHQL_BUDGET_MS`.
    pub budget: Duration,
    /// Subgraphs that are no services of the register: `BAHI_GRAPHQL_SUBGRAPHS`, `name=http://host:port/path`, separated by
    /// commas.
    pub elsewhere: BTreeMap<String, (Authority, String)>,
}

impl GraphConfig {
    fn read(env: &Env) -> anyhow::Result<Self> {
        let mut elsewhere = BTreeMap::new();
        for entry in list(env, "BAHI_GRAPHQL_SUBGRAPHS") {
            let (name, url) = entry.split_once('=').context("BAHI_GRAPHQL_SUBGRAPHS")?;
            let uri: Uri = url.parse().with_context(|| entry.clone())?;
            anyhow::ensure!(
                uri.scheme_str() == Some("http"),
                "{url} must begin with http://"
            );
            let authority = uri.authority().cloned().with_context(|| entry.clone())?;
            elsewhere.insert(name.to_owned(), (authority, uri.path().to_owned()));
        }
        Ok(Self {
            supergraph: env.optional("BAHI_GRAPHQL_SUPERGRAPH").map(PathBuf::from),
            documents: env
                .optional("BAHI_GRAPHQL_DOCUMENTS")
                .unwrap_or_else(|| "proto/graphql/documents".into())
                .into(),
            mode: env.parse("BAHI_GRAPHQL_MODE", Mode::Production)?,
            open: env.parse("BAHI_GRAPHQL_OPEN", false)?,
            budget: Duration::from_millis(env.parse("BAHI_GRAPHQL_BUDGET_MS", 5_000)?),
            elsewhere,
        })
    }
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
            let fallback = || format!("http://127.0.0.1:{}", service.http);
            let url = env.optional(&name).unwrap_or_else(fallback);
            upstreams.insert(
                service.name.clone(),
                authority(&url).with_context(|| format!("{name}={url}"))?,
            );
        }
        let mut classes = BTreeMap::new();
        let defaults = [
            (Class::Normal, 256 * KIB, 10_000, "500/1000"),
            (Class::Strict, 64 * KIB, 10_000, "2/30"),
            (Class::Pos, 256 * KIB, 10_000, "2000/4000"),
            (Class::Bulk, 50 * KIB * KIB, 120_000, "2/20"),
        ];
        for (class, body, millis, rate) in defaults {
            let name = class.name().to_uppercase();
            let fallback = rate.parse().map_err(anyhow::Error::msg)?;
            let rate = env.parse::<Limit>(&format!("BAHI_LIMIT_{name}"), fallback)?;
            let millis = env.parse(&format!("BAHI_TIME_{name}_MS"), millis)?;
            let body = env.parse(&format!("BAHI_BODY_{name}"), body)?;
            classes.insert(
                class,
                ClassLimits {
                    body,
                    time: Duration::from_millis(millis),
                    rate,
                },
            );
        }
        let mut proxies = Vec::new();
        for block in list(env, "BAHI_TRUSTED_PROXIES") {
            let block = block
                .parse()
                .map_err(anyhow::Error::msg)
                .context("BAHI_TRUSTED_PROXIES")?;
            proxies.push(block);
        }
        let patience = env.parse(
            "BAHI_REDIS_PATIENCE_MS",
            const { NonZeroU64::new(100) }.unwrap_or(NonZeroU64::MIN),
        )?;
        Ok(Self {
            upstreams,
            origins: list(env, "BAHI_CORS_ORIGINS"),
            proxies,
            redis: env.optional("BAHI_REDIS"),
            patience: Duration::from_millis(patience.get()),
            classes,
            tenant: env.parse(
                "BAHI_LIMIT_TENANT",
                "5000/10000".parse().map_err(anyhow::Error::msg)?,
            )?,
            connections: env.parse("BAHI_CONNECTIONS_PER_ADDRESS", 512)?,
            sockets_per_user: env.parse("BAHI_WEBSOCKETS_PER_USER", 20)?,
            socket_idle: Duration::from_millis(env.parse("BAHI_WEBSOCKET_IDLE_MS", 60_000)?),
            search_budget: Duration::from_millis(env.parse("BAHI_SEARCH_BUDGET_MS", 1_000)?),
            hsts: env.parse("BAHI_HSTS", false)?,
            graph: GraphConfig::read(env)?,
        })
    }
}

fn list(env: &Env, name: &str) -> Vec<String> {
    let text = env.optional(name).unwrap_or_default();
    text.split(',')
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

/// A service is a host and a port; a path in front of its own would make two readings of one request.
fn authority(url: &str) -> anyhow::Result<Authority> {
    let uri: Uri = url.parse()?;
    anyhow::ensure!(uri.scheme_str() == Some("http"), "must begin with http://");
    anyhow::ensure!(
        matches!(uri.path(), "" | "/") && uri.query().is_none(),
        "must be http://host:port"
    );
    uri.authority().cloned().context("has no host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_the_addresses_that_share_its_bits() {
        let holds = |block: &str, ip: &str| {
            block
                .parse::<Network>()
                .unwrap()
                .contains(ip.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.255.1.2"));
        assert!(!holds("10.0.0.0/8", "11.0.0.0"));
        assert!(holds("10.1.2.3", "10.1.2.3"));
        assert!(!holds("10.1.2.3", "10.1.2.2"));
        assert!(holds("0.0.0.0/0", "8.8.8.8"));
        assert!(!holds("0.0.0.0/0", "::1"));
        assert!(holds("fd00::/8", "fd12::1"));
        for wrong in ["10.0.0.0/33", "ten", "10.0.0.0/x", ""] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_upstream_is_a_host_and_a_port() {
        assert_eq!(authority("http://sales:8003").unwrap(), "sales:8003");
        assert_eq!(authority("http://sales:8003/").unwrap(), "sales:8003");
        for wrong in [
            "sales:8003",
            "https://sales",
            "http://sales/api",
            "http://sales?x",
            "",
        ] {
            assert!(authority(wrong).is_err(), "{wrong}");
        }
    }
}
