//! The endpoints of a service: the URLs themselves, or the addresses behind their names.

use std::{collections::BTreeSet, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::http::uri::Authority;

use super::{Upstream, endpoint::Endpoint, metrics, settings::Discover};

/// How often a name is asked for.
pub const EVERY: Duration = Duration::from_secs(5);
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The addresses behind a name, from the system's resolver.
pub async fn addresses(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let asked = tokio::net::lookup_host((host, port));
    Ok(tokio::time::timeout(PATIENCE, asked).await??.collect())
}

impl Upstream {
    /// Asks the system for the addresses behind the names.
    pub async fn find(&self) {
        self.discover(addresses).await;
    }

    /// Asks for the addresses behind the names again. What cannot be resolved leaves everything as it is.
    pub(super) async fn discover(
        &self,
        resolve: impl AsyncFn(String, u16) -> io::Result<Vec<SocketAddr>>,
    ) {
        if self.settings.discover == Discover::Static {
            return;
        }
        let mut found = BTreeSet::new();
        for host in &self.hosts {
            let name = host.host().trim_matches(['[', ']']).to_owned();
            match resolve(name, host.port_u16().unwrap_or(80)).await {
                Ok(some) if !some.is_empty() => found.extend(some),
                answer => {
                    metrics::UNRESOLVED.with_label_values(&[&self.name]).inc();
                    let error = answer.err();
                    tracing::warn!(service = self.name, %host, ?error, "the name cannot be resolved; its last addresses are kept");
                    return;
                }
            }
        }
        let found = found
            .iter()
            .filter_map(|address| Authority::try_from(address.to_string()).ok());
        self.take_over(found.collect());
    }

    /// Makes these the endpoints; those that stay keep what is known of them.
    pub(super) fn take_over(&self, found: Vec<Authority>) {
        let mut set = self.set.write();
        let same =
            set.len() == found.len() && found.iter().all(|a| set.iter().any(|e| e.authority == *a));
        if same {
            return;
        }
        let new = found.into_iter().map(|authority| {
            let known = set.iter().find(|e| e.authority == authority).cloned();
            known.unwrap_or_else(|| Arc::new(Endpoint::new(authority, &self.settings)))
        });
        let new: Arc<[Arc<Endpoint>]> = new.collect();
        let names: Vec<&str> = new.iter().map(|e| e.authority.as_str()).collect();
        tracing::info!(service = self.name, endpoints = ?names, "the service has other endpoints");
        *set = new;
    }
}
