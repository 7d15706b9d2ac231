//! Whether the services still have the schemas that the graph was composed of.

use std::sync::LazyLock;

use hyper::header::HeaderValue;
use prometheus::{IntGaugeVec, register_int_gauge_vec};
use sha2::{Digest, Sha256};

use super::Graph;

#[allow(clippy::unwrap_used)] // Constant name and labels.
static DRIFT: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!(
        "gateway_subgraph_drift",
        "1 for a service whose schema is not the one that the graph was composed of",
        &["service"]
    )
    .unwrap()
});

impl Graph {
    /// Asks every service for its schema. What is served stays what it is: one that was put together here would be one
    /// that nobody has looked at.
    pub async fn look_for_drift(&self, token: &HeaderValue) {
        for (name, subgraph) in &self.subgraphs {
            let Some(noted) = self.plans.schema.fingerprint(name) else {
                continue;
            };
            // A service that is away has not changed its mind.
            let Ok(sdl) = subgraph
                .upstream
                .get(&subgraph.path, Some(token.clone()))
                .await
            else {
                continue;
            };
            let now = hex::encode(Sha256::digest(sdl.trim_ascii()));
            let gauge = DRIFT.with_label_values(&[name.as_str()]);
            let drifted = now != noted;
            if drifted && gauge.get() == 0 {
                tracing::warn!(
                    service = name,
                    "its schema is not the one that the graph was composed of"
                );
            }
            gauge.set(i64::from(drifted));
        }
    }
}
