//! The configuration file: everything that an operator may want otherwise, in TOML. What is not in it is as the gateway
//! has it by itself; what the environment says comes before it. Where requests go by their paths is not here but in the register.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{Limit, Network, Size, Span};
use crate::{compress::Coding, graphql::Mode, upstream::Settings};

/// The configuration of the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// How every service is reached, unless its own table says otherwise.
    pub upstream: Settings,
    /// How single services are reached: only what differs.
    pub upstreams: BTreeMap<String, Settings>,
    /// What requests of each class of routes may take.
    pub classes: Classes,
    /// Who may call.
    pub edge: Edge,
    /// Redis, where limits are shared between gateways.
    pub redis: Redis,
    /// WebSockets.
    pub websockets: WebSockets,
    /// Bodies that pass in pieces.
    pub streams: Streams,
    /// Answers made shorter.
    pub compression: Compression,
    /// The search through everything.
    pub search: Search,
    /// The graph.
    pub graph: GraphFile,
}

/// What requests of each class may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Classes {
    /// Ordinary traffic.
    pub normal: ClassFile,
    /// Sign-in and the like.
    pub strict: ClassFile,
    /// The till.
    pub pos: ClassFile,
    /// Imports and exports.
    pub bulk: ClassFile,
    /// What a tenant as a whole may take, in each class but the strict one.
    pub tenant: Limit,
}

/// What requests of one class may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClassFile {
    /// Longest body.
    pub body: Size,
    /// Longest time for the body to come, and again to the answer's first byte.
    pub time: Span,
    /// Requests a second for ever, and at once.
    pub rate: Limit,
}

impl ClassFile {
    fn new(body: usize, seconds: u64, rate: u32, burst: u32) -> Self {
        Self {
            body: Size(body),
            time: Span::secs(seconds),
            rate: Limit::new(rate, burst),
        }
    }
}

impl Default for ClassFile {
    fn default() -> Self {
        Classes::default().normal
    }
}

impl Default for Classes {
    fn default() -> Self {
        const KIB: usize = 1024;
        Self {
            normal: ClassFile::new(256 * KIB, 10, 500, 1000),
            strict: ClassFile::new(64 * KIB, 10, 2, 30),
            pos: ClassFile::new(256 * KIB, 10, 2000, 4000),
            bulk: ClassFile::new(50 * KIB * KIB, 120, 2, 20),
            tenant: Limit::new(5000, 10_000),
        }
    }
}

/// Who may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Edge {
    /// Origins whose pages may call us: scheme, host and port.
    pub origins: Vec<String>,
    /// Load balancers in front of us, whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// How many connections an address may have open that is no load balancer of ours.
    pub connections_per_address: u32,
    /// We are reached by https: send `Strict-Transport-Security`.
    pub hsts: bool,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
            connections_per_address: 512,
            hsts: false,
        }
    }
}

/// Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// `redis://host:port/db`; without it every gateway counts alone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// How long it may take.
    pub patience: Span,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: String::new(),
            patience: Span::millis(100),
        }
    }
}

/// WebSockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebSockets {
    /// How many a user may have open, in each gateway.
    pub per_user: u32,
    /// How many may be open from one address, in each gateway.
    pub per_address: u32,
    /// After so long without a byte in either direction one is closed.
    pub idle: Span,
}

impl Default for WebSockets {
    fn default() -> Self {
        Self {
            per_user: 20,
            per_address: 500,
            idle: Span::secs(60),
        }
    }
}

/// Bodies that pass in pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Streams {
    /// After so long without a piece a body is given up, and a stream of events ended.
    pub idle: Span,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            idle: Span::secs(60),
        }
    }
}

/// Answers made shorter where the service has not done it: reads by a signed-in user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Compression {
    /// The codings, the best first; none is none.
    pub codings: Vec<Coding>,
    /// What is shorter is sent as it is.
    pub least: Size,
    /// Paths below which answers hold secrets beside what a client has said.
    pub never: Vec<String>,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            codings: vec![Coding::Zstd, Coding::Br, Coding::Gzip],
            least: Size(1024),
            never: vec!["/api/v1/auth".to_owned(), "/api/v1/api-keys".to_owned()],
        }
    }
}

/// The search through everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    /// How long it may take; what has not answered then is named.
    pub budget: Span,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            budget: Span::secs(1),
        }
    }
}

/// The graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GraphFile {
    /// Whether any query is answered, or persisted documents only.
    pub mode: Mode,
    /// Ask nobody who he is; for graphs that are not ours.
    pub open: bool,
    /// File of the supergraph; without it the one that the gateway was built with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supergraph: Option<PathBuf>,
    /// Folder of the persisted documents.
    pub documents: PathBuf,
    /// How long a query may take in all.
    pub budget: Span,
    /// Where parts are that are no services of the register: `http://host:port/path`.
    pub elsewhere: BTreeMap<String, String>,
    /// How many of the operations most used are planned for a new supergraph before it is served.
    pub warm: usize,
}

impl Default for GraphFile {
    fn default() -> Self {
        Self {
            mode: Mode::Production,
            open: false,
            supergraph: None,
            documents: "proto/graphql/documents".into(),
            budget: Span::secs(5),
            elsewhere: BTreeMap::new(),
            warm: 200,
        }
    }
}

impl File {
    /// Reads the text of a file. `${NAME}` and `${NAME:-default}` in a string stand for a variable of the environment.
    ///
    /// # Errors
    /// When it is not TOML, a key is unknown, a value of the wrong type, or a variable missing.
    pub fn read(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let mut said: Table = text.parse().context("the file is not TOML")?;
        for value in said.iter_mut().map(|(_, value)| value) {
            expand(value, variable)?;
        }
        // What differs from service to service cannot be said of all.
        if let Some(Value::Table(all)) = said.get("upstream") {
            for key in ["urls", "discover"] {
                anyhow::ensure!(
                    !all.contains_key(key),
                    "upstream.{key}: say it of each service"
                );
            }
        }
        let mut whole = Table::try_from(Self::default())?;
        overlay(&mut whole, said);
        let of_all = whole.get("upstream").and_then(Value::as_table).cloned();
        if let Some(Value::Table(upstreams)) = whole.get_mut("upstreams") {
            for (_, one) in upstreams.iter_mut() {
                if let (Value::Table(one), Some(of_all)) = (one, &of_all) {
                    let mut merged = of_all.clone();
                    overlay(&mut merged, std::mem::take(one));
                    *one = merged;
                }
            }
        }
        Ok(serde_path_to_error::deserialize(Value::Table(whole))?)
    }
}

/// Puts what is said over what is there, table by table.
fn overlay(there: &mut Table, said: Table) {
    for (key, value) in said {
        match (there.get_mut(&key), value) {
            (Some(Value::Table(there)), Value::Table(said)) => overlay(there, said),
            (_, value) => {
                there.insert(key, value);
            }
        }
    }
}

fn expand(value: &mut Value, variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    match value {
        Value::String(text) => *text = expanded(text, variable)?,
        Value::Array(items) => {
            for item in items {
                expand(item, variable)?;
            }
        }
        Value::Table(table) => {
            for (_, value) in table.iter_mut() {
                expand(value, variable)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn expanded(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, after) = after
            .split_once('}')
            .with_context(|| format!("{text:?}: a ${{ is not closed"))?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        anyhow::ensure!(
            !name.is_empty() && name.chars().all(plain),
            "{text:?}: {name:?} is no name of a variable"
        );
        let value = variable(name).or_else(|| default.map(str::to_owned));
        out.push_str(before);
        out.push_str(&value.with_context(|| format!("{text:?}: {name} is not set"))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    fn read(text: &str) -> anyhow::Result<File> {
        File::read(text, &none)
    }

    fn checked_in(name: &str) -> String {
        format!("{}/../../deploy/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn the_example_says_what_holds_without_it() {
        let text = std::fs::read_to_string(checked_in("gateway.toml")).unwrap();
        assert_eq!(read(&text).unwrap(), File::default());
        assert_eq!(read("").unwrap(), File::default());
        // And it says all of it.
        let said: Table = text.parse().unwrap();
        let mut whole = Table::try_from(File::default()).unwrap();
        whole["upstream"].as_table_mut().unwrap().remove("discover");
        assert_eq!(said, whole);
    }

    #[test]
    fn the_schema_is_that_of_the_types() {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(File)).unwrap() + "\n";
        let file = checked_in("gateway.schema.json");
        if std::env::var_os("BAHI_UPDATE").is_some() {
            std::fs::write(&file, &schema).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap();
        assert_eq!(kept, schema, "BAHI_UPDATE=1 writes it anew");
    }

    #[test]
    fn a_service_differs_in_what_its_table_says() {
        let file = read(
            "[upstream]\nmax_inflight = 10\n[upstream.breaker]\nopen = '1s'\n\
             [upstreams.sales]\nurls = ['http://sales:8003']\ndiscover = 'dns'\n\
             [upstreams.sales.breaker]\nmin_requests = 7\n[classes.bulk]\nbody = '1GiB'",
        )
        .unwrap();
        let sales = &file.upstreams["sales"];
        assert_eq!(sales.max_inflight, 10);
        assert_eq!(
            (sales.breaker.open, sales.breaker.min_requests),
            (Span::secs(1), 7)
        );
        assert_eq!(file.upstream.breaker.min_requests, 20);
        assert_eq!(file.classes.bulk.time, Span::secs(120));
        assert_eq!(file.classes.bulk.body, Size(1 << 30));
    }

    #[test]
    fn what_is_not_known_is_an_error_that_names_the_place() {
        for (text, place) in [
            ("upstrem = 1", "upstrem"),
            ("[upstream.helth]", "helth"),
            ("[upstreams.sales.breaker]\nmin_request = 1", "min_request"),
            ("[classes.large]", "large"),
            ("[classes.bulk]\nbody = 5", "classes.bulk.body"),
            ("[classes.bulk]\nrate = '5'", "classes.bulk.rate"),
            ("[upstream]\nconnect = 'soon'", "upstream.connect"),
            (
                "[edge]\ntrusted_proxies = ['10.0.0.0/99']",
                "edge.trusted_proxies",
            ),
            ("[graph]\nmode = 'fast'", "graph.mode"),
            ("[upstream]\nurls = ['http://a']", "upstream.urls"),
            ("[upstream]\ndiscover = 'dns'", "upstream.discover"),
            ("x = [", "TOML"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(place), "{text}: {error}");
        }
    }

    #[test]
    fn variables_stand_for_their_values() {
        let variable = |name: &str| (name == "HOST").then(|| "sales".to_owned());
        let of = |text: &str| expanded(text, &variable).map_err(|e| e.to_string());
        assert_eq!(
            of("http://${HOST}:${PORT:-8003}/").unwrap(),
            "http://sales:8003/"
        );
        assert_eq!(of("${PORT:-}").unwrap(), "");
        assert_eq!(of("$HOST {}").unwrap(), "$HOST {}");
        for (wrong, why) in [
            ("${PORT}", "PORT is not set"),
            ("${HOST", "not closed"),
            ("${}", "no name"),
            ("${a b:-c}", "no name"),
        ] {
            let error = of(wrong).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
