//! The register of the fleet: every service once, read from `deploy/services.toml` and validated as a whole.

mod check;
mod compose;
mod files;
mod site;

use std::{fmt, path::Path};

use serde::Deserialize;

pub use check::Problem;
pub use files::{Generated, generated};
pub use site::{Env, Network, Site};

/// Why the register could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there or not readable.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file that was asked for.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not the TOML that is expected; the message names line and key.
    #[error("the register is malformed: {0}")]
    Malformed(#[from] toml::de::Error),
    /// The text is well formed and says something that cannot be; every problem is listed.
    #[error("the register contradicts itself: {}", List(.0))]
    Invalid(Vec<Problem>),
    /// Nothing of this name is in the register.
    #[error("the register has no service `{0}`")]
    Unknown(String),
    /// A setting or password that an environment needs was not given.
    #[error("{0} is not set")]
    MissingSetting(String),
}

struct List<'a>(&'a [Problem]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The whole register. Only a valid one can be had.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The topics of the fleet.
    pub topics: Topics,
    /// How services are asked for what they hold of a tenant or a person.
    pub privacy: Option<Privacy>,
    #[serde(rename = "service")]
    services: Vec<Service>,
}

/// The topics, all created alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topics {
    /// Partitions of each topic. Never raised for a topic that exists: keys would move.
    pub partitions: u16,
    /// Days that a record is kept.
    pub retention_days: u16,
    /// Topics whose records are never deleted.
    #[serde(default)]
    pub keep_for_ever: Vec<String>,
    /// Every topic, `<domain>.events.v<n>`.
    pub names: Vec<String>,
}

/// Exports of a tenant's data and erasures of a person's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// The topic of the questions and answers: every service that hears it is asked, and must answer.
    pub topic: String,
    /// The bucket of the archives, which all of them write to.
    pub bucket: String,
}

/// One service of the fleet: folder, package, binary, compose service and metric label bear its name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The name, in kebab-case.
    pub name: String,
    /// HTTP port.
    pub http: u16,
    /// Port for those who run it, where it has one: metrics are there then, and not on `http`.
    pub admin: Option<u16>,
    /// gRPC port, where the service has one: always `http + 1000`.
    pub grpc: Option<u16>,
    /// The service's own database.
    pub database: Option<String>,
    /// The service's own bucket in the object store.
    pub bucket: Option<String>,
    /// Topics that its outbox is relayed to.
    #[serde(default)]
    pub says: Vec<String>,
    /// Topics that it consumes.
    #[serde(default)]
    pub hears: Vec<String>,
    /// RPCs that it may call.
    #[serde(default)]
    pub calls: Vec<Call>,
    /// It has a part of the graph, `proto/graphql/<name>.graphql`.
    #[serde(default)]
    pub graph: bool,
    /// Gateway routes that lead to it.
    #[serde(default, rename = "route")]
    pub routes: Vec<Route>,
    /// Kinds of things that a search through everything asks it for.
    #[serde(default)]
    pub search: Vec<Search>,
}

/// A kind of things that a search through everything finds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// What such a thing is called, one word in the whole fleet.
    pub kind: String,
    /// Where the service is asked, below `/internal/v1/search/`.
    pub path: String,
    /// Permission that whoever looks must have to find any.
    pub read: String,
}

/// A permission to call one RPC of another service, written `<service>/<Rpc>`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Call {
    /// The service that answers.
    pub service: String,
    /// The RPC.
    pub rpc: String,
}

impl TryFrom<String> for Call {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('/') {
            Some((service, rpc))
                if !service.is_empty() && !rpc.is_empty() && !rpc.contains('/') =>
            {
                Ok(Self {
                    service: service.to_owned(),
                    rpc: rpc.to_owned(),
                })
            }
            _ => Err(format!("`{text}` is not <service>/<Rpc>")),
        }
    }
}

/// A path prefix of the gateway.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The prefix; it ends at a `/`, a `:` or the end of a path.
    pub path: String,
    /// Needs no token.
    #[serde(default)]
    pub public: bool,
    /// Permission that GET and HEAD need; without one any signed-in user may.
    pub read: Option<String>,
    /// Permission that everything else needs; without one any signed-in user may.
    pub write: Option<String>,
    /// Limits of body, time and rate.
    #[serde(default)]
    pub class: Class,
    /// A WebSocket: opened by whoever may read.
    #[serde(default)]
    pub websocket: bool,
}

/// Which limits a route has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Ordinary traffic.
    #[default]
    Normal,
    /// Sign-in and the like: few attempts.
    Strict,
    /// The till: short deadline.
    Pos,
    /// Imports: large bodies, long deadline.
    Bulk,
}

impl Class {
    /// The name, as the register and the metrics write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Strict => "strict",
            Self::Pos => "pos",
            Self::Bulk => "bulk",
        }
    }
}

impl Route {
    /// Whether the route covers a path. A prefix covers whole segments only.
    pub fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
    }
}

impl Service {
    /// The name as part of an environment variable: `api-gateway` is `API_GATEWAY`.
    pub fn env_name(&self) -> String {
        env_name(&self.name)
    }

    /// The role that owns the database and migrates it.
    pub fn owner_role(&self) -> Option<String> {
        self.database
            .as_ref()
            .map(|database| format!("{database}_owner"))
    }

    /// The runtime role.
    pub fn app_role(&self) -> Option<String> {
        self.database
            .as_ref()
            .map(|database| format!("{database}_app"))
    }
}

pub(crate) fn env_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

impl Register {
    /// Reads the register from a file.
    ///
    /// # Errors
    /// When the file cannot be read, is malformed or contradicts itself.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(&text)
    }

    /// Reads the register from its text.
    ///
    /// # Errors
    /// When the text is malformed or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let register: Self = toml::from_str(text)?;
        let problems = check::problems(&register);
        if problems.is_empty() {
            Ok(register)
        } else {
            Err(Error::Invalid(problems))
        }
    }

    /// Every service, in the order of the file.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// A service by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn service(&self, name: &str) -> Result<&Service, Error> {
        self.services
            .iter()
            .find(|service| service.name == name)
            .ok_or_else(|| Error::Unknown(name.to_owned()))
    }

    /// Every service that has a database, with the database's name.
    pub fn databases(&self) -> impl Iterator<Item = (&Service, &str)> {
        self.services
            .iter()
            .filter_map(|service| Some((service, service.database.as_deref()?)))
    }

    /// Every service that is asked for what it holds of a tenant or a person.
    pub fn answerers(&self) -> impl Iterator<Item = &Service> {
        self.services
            .iter()
            .filter(|service| self.exports_of(service).is_some())
    }

    /// The bucket that a service writes archives to; none for one that is not asked for any.
    pub fn exports_of(&self, service: &Service) -> Option<&str> {
        let privacy = self.privacy.as_ref()?;
        let hears = service.hears.contains(&privacy.topic);
        hears.then_some(privacy.bucket.as_str())
    }

    /// Every service that has a bucket, with the bucket's name.
    pub fn buckets(&self) -> impl Iterator<Item = (&Service, &str)> {
        self.services
            .iter()
            .filter_map(|service| Some((service, service.bucket.as_deref()?)))
    }

    /// Every gateway route with its service, longest prefix first: the first that covers a path is the one.
    pub fn routes(&self) -> Vec<(&Service, &Route)> {
        let mut routes: Vec<_> = self
            .services
            .iter()
            .flat_map(|service| service.routes.iter().map(move |route| (service, route)))
            .collect();
        routes.sort_by_key(|(_, route)| std::cmp::Reverse(route.path.len()));
        routes
    }

    /// Every kind that a search through everything finds, with its service, in the order of the file.
    pub fn searches(&self) -> impl Iterator<Item = (&Service, &Search)> {
        let services = self.services.iter();
        services.flat_map(|service| service.search.iter().map(move |search| (service, search)))
    }

    /// Whether a service may call an RPC of another.
    pub fn may_call(&self, caller: &str, service: &str, rpc: &str) -> bool {
        self.services
            .iter()
            .filter(|known| known.name == caller)
            .flat_map(|known| &known.calls)
            .any(|call| call.service == service && call.rpc == rpc)
    }
}
