//! The gateway's own settings.

mod file;
mod units;

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use anyhow::Context;
use bahi_register::{Class, Register};
use bahi_service::Env;
use hyper::http::uri::{Authority, Uri};
use serde::{Deserialize, Serialize};

use self::{file::GraphFile, units::text};
pub use self::{
    file::{Compression, File},
    units::{Size, Span},
};
use crate::{
    graphql::Mode,
    upstream::{self, Settings},
};

/// How fast and how much at once: `rate/burst`, requests a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Limit {
    /// Requests a second, for ever.
    pub rate: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

impl Limit {
    /// Not less than one of each.
    pub fn new(rate: u32, burst: u32) -> Self {
        let some = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            rate: some(rate),
            burst: some(burst),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.rate, self.burst)
    }
}

text!(Limit, "^[1-9][0-9]*/[1-9][0-9]*$", "500/1000");
text!(Network, "^[0-9a-fA-F.:]+(/[0-9]+)?$", "10.0.0.0/8");

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassLimits {
    /// Longest body in bytes.
    pub body: usize,
    /// Longest time for the body to come, and again to the answer's first byte.
    pub time: Duration,
    /// Rate: of a user, or of an address for the strict class.
    pub rate: Limit,
}

/// A block of addresses, `10.0.0.0/8` or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = if self.base.is_ipv4() { 32 } else { 128 };
        match self.bits {
            bits if bits == width => self.base.fmt(f),
            bits => write!(f, "{}/{bits}", self.base),
        }
    }
}

impl Network {
    /// This host.
    pub const LOCAL: [Self; 2] = [
        Self {
            base: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
            bits: 8,
        },
        Self {
            base: IpAddr::V6(Ipv6Addr::LOCALHOST),
            bits: 128,
        },
    ];

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
    /// How each service that has routes is reached: `BAHI_UPSTREAM_<SERVICE>` (`http://host:port`, several separated by
    /// commas), by default this host and the register's port.
    pub upstreams: BTreeMap<String, Settings>,
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
    /// How many may be open from one address: `BAHI_WEBSOCKETS_PER_ADDRESS`.
    pub sockets_per_address: u32,
    /// After so long without a byte in either direction a WebSocket is closed: `BAHI_WEBSOCKET_IDLE_MS`.
    pub socket_idle: Duration,
    /// After so long without a piece a body is given up, and a stream of events ended: `BAHI_STREAM_IDLE_MS`.
    pub stream_idle: Duration,
    /// Answers made shorter.
    pub compression: Compression,
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
    /// How many of the operations most used are planned for a new supergraph before it is served.
    pub warm: usize,
    /// Subgraphs that are no services of the register: `BAHI_GRAPHQL_SUBGRAPHS`, `name=http://host:port/path`, separated by
    /// commas.
    pub elsewhere: BTreeMap<String, (Authority, String)>,
}

impl GraphConfig {
    fn read(env: &Env, file: &GraphFile) -> anyhow::Result<Self> {
        let mut said = file.elsewhere.clone();
        for entry in list(env, "BAHI_GRAPHQL_SUBGRAPHS") {
            let (name, url) = entry.split_once('=').context("BAHI_GRAPHQL_SUBGRAPHS")?;
            said.insert(name.to_owned(), url.to_owned());
        }
        let mut elsewhere = BTreeMap::new();
        for (name, url) in said {
            let uri: Uri = url.parse().with_context(|| url.clone())?;
            anyhow::ensure!(
                uri.scheme_str() == Some("http"),
                "{url} must begin with http://"
            );
            let authority = uri.authority().cloned().with_context(|| url.clone())?;
            elsewhere.insert(name, (authority, uri.path().to_owned()));
        }
        let path = |name| env.optional(name).map(PathBuf::from);
        let documents = path("BAHI_GRAPHQL_DOCUMENTS");
        Ok(Self {
            supergraph: path("BAHI_GRAPHQL_SUPERGRAPH").or_else(|| file.supergraph.clone()),
            documents: documents.unwrap_or_else(|| file.documents.clone()),
            mode: env.parse("BAHI_GRAPHQL_MODE", file.mode)?,
            open: env.parse("BAHI_GRAPHQL_OPEN", file.open)?,
            budget: millis(env, "BAHI_GRAPHQL_BUDGET_MS", file.budget)?,
            elsewhere,
            warm: file.warm,
        })
    }
}

impl Config {
    /// Puts the settings together: the file, and the environment before it.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn read(env: &Env, register: &Register, file: &File) -> anyhow::Result<Self> {
        let mut wrong = Vec::new();
        let routed = || register.services().iter().filter(|s| !s.routes.is_empty());
        for name in file.upstreams.keys() {
            if !routed().any(|service| service.name == *name) {
                wrong.push(format!(
                    "upstreams.{name}: the register has no service of this name with routes"
                ));
            }
        }
        let mut upstreams = BTreeMap::new();
        for service in routed() {
            let name = format!("BAHI_UPSTREAM_{}", service.env_name());
            let own = file.upstreams.get(&service.name);
            let mut settings = own.unwrap_or(&file.upstream).clone();
            let urls = list(env, &name);
            if !urls.is_empty() {
                settings.urls = urls;
            } else if settings.urls.is_empty() {
                settings.urls = vec![format!("http://127.0.0.1:{}", service.http)];
            }
            for url in &settings.urls {
                if let Err(error) = upstream::authority(url) {
                    wrong.push(format!(
                        "{name}, or upstreams.{}.urls: {url}: {error:#}",
                        service.name
                    ));
                }
            }
            settings.problems(&service.name, &mut wrong);
            upstreams.insert(service.name.clone(), settings);
        }
        let mut classes = BTreeMap::new();
        let by_class = [
            (Class::Normal, &file.classes.normal),
            (Class::Strict, &file.classes.strict),
            (Class::Pos, &file.classes.pos),
            (Class::Bulk, &file.classes.bulk),
        ];
        for (class, said) in by_class {
            let name = class.name().to_uppercase();
            let limits = ClassLimits {
                body: env.parse(&format!("BAHI_BODY_{name}"), said.body.0)?,
                time: millis(env, &format!("BAHI_TIME_{name}_MS"), said.time)?,
                rate: env.parse(&format!("BAHI_LIMIT_{name}"), said.rate)?,
            };
            if limits.body == 0 || limits.time.is_zero() {
                wrong.push(format!(
                    "classes.{}: neither body nor time may be 0",
                    class.name()
                ));
            }
            classes.insert(class, limits);
        }
        let mut proxies = file.edge.trusted_proxies.clone();
        let said = list(env, "BAHI_TRUSTED_PROXIES");
        if !said.is_empty() {
            proxies.clear();
        }
        for block in said {
            match block.parse() {
                Ok(block) => proxies.push(block),
                Err(error) => wrong.push(format!("BAHI_TRUSTED_PROXIES: {error}")),
            }
        }
        let mut origins = list(env, "BAHI_CORS_ORIGINS");
        if origins.is_empty() {
            origins.clone_from(&file.edge.origins);
        }
        for origin in &origins {
            let host = origin.split_once("://").map(|(_, host)| host);
            if host.is_none_or(|host| host.is_empty() || host.contains(['/', '*', ' '])) {
                wrong.push(format!("{origin:?} is no origin: scheme, host and port"));
            }
        }
        let url = (!file.redis.url.is_empty()).then(|| file.redis.url.clone());
        let patience = millis(env, "BAHI_REDIS_PATIENCE_MS", file.redis.patience)?;
        if patience.is_zero() {
            wrong.push("redis.patience is 0".to_owned());
        }
        let sockets = &file.websockets;
        let config = Self {
            upstreams,
            origins,
            proxies,
            redis: env.optional("BAHI_REDIS").or(url),
            patience,
            classes,
            tenant: env.parse("BAHI_LIMIT_TENANT", file.classes.tenant)?,
            connections: env.parse(
                "BAHI_CONNECTIONS_PER_ADDRESS",
                file.edge.connections_per_address,
            )?,
            sockets_per_user: env.parse("BAHI_WEBSOCKETS_PER_USER", sockets.per_user)?,
            sockets_per_address: env.parse("BAHI_WEBSOCKETS_PER_ADDRESS", sockets.per_address)?,
            socket_idle: millis(env, "BAHI_WEBSOCKET_IDLE_MS", sockets.idle)?,
            stream_idle: millis(env, "BAHI_STREAM_IDLE_MS", file.streams.idle)?,
            compression: file.compression.clone(),
            hsts: env.parse("BAHI_HSTS", file.edge.hsts)?,
            search_budget: millis(env, "BAHI_SEARCH_BUDGET_MS", file.search.budget)?,
            graph: GraphConfig::read(env, &file.graph)?,
        };
        anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(config)
    }
}

/// A length of time that the environment says in milliseconds.
fn millis(env: &Env, name: &str, otherwise: Span) -> anyhow::Result<Duration> {
    let otherwise = u64::try_from(otherwise.0.as_millis()).unwrap_or(u64::MAX);
    Ok(Duration::from_millis(env.parse(name, otherwise)?))
}

fn list(env: &Env, name: &str) -> Vec<String> {
    let text = env.optional(name).unwrap_or_default();
    text.split(',')
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
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
        let authority = upstream::authority;
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
