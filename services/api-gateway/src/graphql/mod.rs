//! The graph: every service's part of it behind one endpoint. A query is measured, validated, planned once, and carried
//! out over the services that know its parts; what each of them allows the caller is asked there.

mod answer;
mod drift;
mod error;
mod execute;
mod graphiql;
mod http;
mod introspect;
mod limits;
mod persisted;
mod prepare;
mod schema;
mod select;
mod subgraphs;
mod value;
mod variables;

use std::{collections::BTreeMap, str::FromStr, sync::Arc, time::Duration};

use anyhow::Context;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use http::serve;
pub(crate) use persisted::Documents;

use self::{limits::Limits, prepare::Plans, schema::Schema, subgraphs::Subgraph};
use crate::{
    config::Config,
    upstream::{Settings, Upstream},
};

/// The graph of the services that this gateway was built beside.
const SUPERGRAPH: &str = include_str!("../../../../proto/graphql/supergraph.graphql");

/// About so many bytes of plans are kept.
const PLANS: u64 = 64 * 1024 * 1024;

/// Who the graph is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Any query, the schema, and a page to try them.
    Development,
    /// Documents that are known beforehand.
    Production,
}

impl FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "development" => Ok(Self::Development),
            "production" => Ok(Self::Production),
            other => Err(format!("{other:?} is neither development nor production")),
        }
    }
}

/// The graph that is served.
pub(crate) struct Graph {
    pub plans: Arc<Plans>,
    /// The text that they are plans for.
    supergraph: Arc<str>,
    pub documents: Documents,
    pub subgraphs: BTreeMap<String, Subgraph>,
    pub mode: Mode,
    /// Nobody is asked who he is.
    pub open: bool,
    /// How long a query may take in all.
    pub budget: Duration,
}

impl Graph {
    /// Reads the supergraph and the documents. Where the parts are, the settings say; what the supergraph says of it is
    /// passed over. Plans for the same supergraph are kept; for another one, what was asked most is planned beforehand.
    ///
    /// # Errors
    /// When one of them is wrong, or a part is nowhere.
    pub fn new(
        config: &Config,
        upstreams: &BTreeMap<String, Arc<Upstream>>,
        old: Option<&Self>,
    ) -> anyhow::Result<Self> {
        let graph = &config.graph;
        let supergraph = match &graph.supergraph {
            None => SUPERGRAPH.to_owned(),
            Some(file) => {
                std::fs::read_to_string(file).with_context(|| file.display().to_string())?
            }
        };
        let same = |old: &&Self| *old.supergraph == *supergraph && old.mode == graph.mode;
        let plans = match old.filter(same) {
            Some(old) => old.plans.clone(),
            None => {
                let introspection = graph.mode == Mode::Development;
                let schema = Arc::new(Schema::new(&supergraph)?);
                let plans = Plans::new(schema, Limits::default(), introspection, PLANS);
                if let Some(old) = old {
                    plans.warm(&old.plans, graph.warm);
                }
                Arc::new(plans)
            }
        };
        let mut subgraphs = BTreeMap::new();
        for name in plans.schema.services() {
            let (upstream, path) = match (graph.elsewhere.get(name), upstreams.get(name)) {
                (Some((authority, path)), _) => {
                    let mut settings = Settings {
                        urls: vec![format!("http://{authority}")],
                        ..Settings::default()
                    };
                    // What is no service of ours has no /readyz to come back by.
                    settings.health.unhealthy = u32::MAX;
                    let upstream = Upstream::new(name, settings, None)?;
                    (Arc::new(upstream), path.clone())
                }
                (None, Some(upstream)) => (upstream.clone(), "/graphql".to_owned()),
                (None, None) => anyhow::bail!("nothing says where the subgraph {name} is"),
            };
            subgraphs.insert(name.to_owned(), Subgraph { upstream, path });
        }
        let documents = Documents::of_folder(&graph.documents)?;
        for text in documents.texts() {
            if let Err(refused) = plans.keep(text) {
                tracing::error!(?refused, "a persisted document does not fit the graph");
            }
        }
        Ok(Self {
            plans,
            supergraph: supergraph.into(),
            documents,
            subgraphs,
            mode: graph.mode,
            open: graph.open,
            budget: graph.budget,
        })
    }
}
