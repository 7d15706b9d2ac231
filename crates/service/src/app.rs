//! What a service is made of.

use std::{any::Any, collections::BTreeMap, net::IpAddr, path::Path, process::ExitCode, sync::Arc};

use bahi_db::{Db, EmbeddedMigrations};
use bahi_graphql::Subgraph;
use bahi_http::{Keys, Needs, Signer};
use bahi_kafka::{Consumer, Follow};
use bahi_types::Clock;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{Env, Job};

/// What a service's state is built from.
#[derive(Clone)]
pub struct Parts {
    /// Its database; services without one must not ask.
    pub db: Option<Db>,
    /// The clock.
    pub clock: Clock,
    /// Its settings.
    pub env: Env,
    /// Public keys of the fleet.
    pub keys: Arc<Keys>,
    /// Its own key, with which it signs tokens for calls to other services.
    pub signer: Signer,
    /// Cancelled when the process begins to stop, before its last requests are waited for: what would last for ever,
    /// such as a WebSocket, says goodbye.
    pub leave: CancellationToken,
    /// Cancelled when no request is served any more.
    pub stop: CancellationToken,
}

impl Parts {
    /// The database.
    ///
    /// # Errors
    /// For a service that has none.
    pub fn database(&self) -> anyhow::Result<Db> {
        self.db
            .clone()
            .ok_or_else(|| anyhow::anyhow!("this service has no database"))
    }
}

/// A command of an operator as it was given.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The whole command line.
    pub matches: clap::ArgMatches,
    /// Who gave it: `BAHI_OPERATOR`, or the user at this host.
    pub who: String,
}

type Carry<S> = fn(S, Asked) -> BoxFuture<'static, anyhow::Result<ExitCode>>;
/// What keeps the connections of each address within bounds.
pub(crate) type Admits<S> =
    Arc<dyn Fn(&S, IpAddr) -> Option<Box<dyn Any + Send + Sync>> + Send + Sync>;

/// A service: its parts in the order in which they start.
pub struct App<S> {
    pub(crate) name: &'static str,
    pub(crate) migrations: Option<EmbeddedMigrations>,
    pub(crate) has_database: bool,
    pub(crate) state: fn(Parts) -> anyhow::Result<S>,
    pub(crate) routes: fn(&mut ServiceConfig),
    pub(crate) fallback: Option<fn(&mut actix_web::web::ServiceConfig)>,
    pub(crate) admits: Option<Admits<S>>,
    pub(crate) admin: Option<fn(&mut actix_web::web::ServiceConfig)>,
    pub(crate) consumers: fn(&S) -> Vec<Consumer>,
    pub(crate) has_consumers: bool,
    pub(crate) follows: fn(&S) -> Vec<Follow>,
    pub(crate) jobs: fn(&S) -> Vec<Job>,
    pub(crate) grpc: Option<fn(&S) -> tonic::service::Routes>,
    pub(crate) graphql: Option<fn() -> Subgraph>,
    pub(crate) permissions: &'static [(&'static str, &'static str)],
    pub(crate) checks: Option<Check>,
    pub(crate) commands: fn(clap::Command) -> clap::Command,
    pub(crate) carry: Option<Carry<S>>,
}

/// Looks whether a configuration file could be served, and says what is in it.
pub(crate) type Check = fn(&Path, &Env) -> anyhow::Result<String>;

impl<S: Clone + Send + Sync + 'static> App<S> {
    /// A service called `name` whose state is made by `state`.
    pub fn new(name: &'static str, state: fn(Parts) -> anyhow::Result<S>) -> Self {
        Self {
            name,
            migrations: None,
            has_database: false,
            state,
            routes: |_| {},
            fallback: None,
            admits: None,
            admin: None,
            consumers: |_| Vec::new(),
            has_consumers: false,
            follows: |_| Vec::new(),
            jobs: |_| Vec::new(),
            grpc: None,
            graphql: None,
            permissions: &[],
            checks: None,
            commands: |command| command,
            carry: None,
        }
    }

    /// The service has a database with these migrations.
    pub fn migrations(mut self, migrations: EmbeddedMigrations) -> Self {
        self.migrations = Some(migrations);
        self.has_database = true;
        self
    }

    /// Its REST endpoints.
    pub fn routes(mut self, routes: fn(&mut ServiceConfig)) -> Self {
        self.routes = routes;
        self
    }

    /// What answers paths that are not endpoints of its own; a problem with status 404 otherwise.
    pub fn fallback(mut self, fallback: fn(&mut actix_web::web::ServiceConfig)) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// Who may connect: what this gives is kept until the connection ends, and where it gives nothing the connection is
    /// closed at once.
    pub fn admits<T: Send + Sync + 'static>(mut self, admits: fn(&S, IpAddr) -> Option<T>) -> Self {
        self.admits = Some(Arc::new(move |state, peer| {
            admits(state, peer).map(|kept| Box::new(kept) as Box<dyn Any + Send + Sync>)
        }));
        self
    }

    /// Pages for those who run it. They are on an address of their own, `BAHI_ADMIN_LISTEN`, and the metrics with them: whoever
    /// can reach the service sees neither.
    pub fn admin(mut self, pages: fn(&mut actix_web::web::ServiceConfig)) -> Self {
        self.admin = Some(pages);
        self
    }

    /// What it hears.
    pub fn consumers(mut self, consumers: fn(&S) -> Vec<Consumer>) -> Self {
        self.consumers = consumers;
        self.has_consumers = true;
        self
    }

    /// What every process of it follows, for what it keeps in memory.
    pub fn follows(mut self, follows: fn(&S) -> Vec<Follow>) -> Self {
        self.follows = follows;
        self
    }

    /// Its periodic work.
    pub fn jobs(mut self, jobs: fn(&S) -> Vec<Job>) -> Self {
        self.jobs = jobs;
        self
    }

    /// Its gRPC services.
    pub fn grpc(mut self, grpc: fn(&S) -> tonic::service::Routes) -> Self {
        self.grpc = Some(grpc);
        self
    }

    /// Its part of the graph.
    pub fn graphql(mut self, graphql: fn() -> Subgraph) -> Self {
        self.graphql = Some(graphql);
        self
    }

    /// Permissions that no operation asks for by itself but some uses of one do, each with what it allows. `<n>` stands for a
    /// number.
    pub fn permissions(mut self, permissions: &'static [(&'static str, &'static str)]) -> Self {
        self.permissions = permissions;
        self
    }

    /// What can be granted in this service, and what each permission opens.
    pub fn catalogue(&self) -> BTreeMap<String, Vec<String>> {
        let mut all = BTreeMap::<String, Vec<String>>::new();
        let api = serde_json::to_value(self.openapi()).unwrap_or_default();
        for (name, operation) in bahi_http::described(&api) {
            if let Some(Needs::Permission(permission) | Needs::Person(Some(permission))) =
                bahi_http::needs(operation)
            {
                let line = operation["summary"].as_str().unwrap_or_default();
                let line = format!("{name}: {}", line.trim_end_matches('.'));
                all.entry(permission).or_default().push(line);
            }
        }
        for (permission, what) in self.permissions {
            let entry = all.entry((*permission).to_owned()).or_default();
            entry.push((*what).to_owned());
        }
        all
    }

    /// What looks at a configuration file of the service's own, for `--check-config`.
    pub fn checks(mut self, checks: fn(&Path, &Env) -> anyhow::Result<String>) -> Self {
        self.checks = Some(checks);
        self
    }

    /// Commands of an operator that only this service has: what adds them to its command line, and what carries one out
    /// with the service's own configuration.
    pub fn commands(
        mut self,
        commands: fn(clap::Command) -> clap::Command,
        carry: fn(S, Asked) -> BoxFuture<'static, anyhow::Result<ExitCode>>,
    ) -> Self {
        self.commands = commands;
        self.carry = Some(carry);
        self
    }

    /// The schema of its part of the graph. `None` for a service that is not in the graph.
    pub fn sdl(&self) -> Option<String> {
        self.graphql.map(|graphql| graphql().sdl().to_owned())
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Takes its migrations out, for tools and tests. `None` for a service without a database.
    pub fn embedded_migrations(&mut self) -> Option<EmbeddedMigrations> {
        self.migrations.take()
    }

    /// Its OpenAPI document.
    pub fn openapi(&self) -> utoipa::openapi::OpenApi {
        use utoipa_actix_web::AppExt;
        let (_, mut api) = actix_web::App::new()
            .into_utoipa_app()
            .configure(self.routes)
            .split_for_parts();
        self.name.clone_into(&mut api.info.title);
        env!("CARGO_PKG_VERSION").clone_into(&mut api.info.version);
        api.info.description = None;
        // utoipa takes these from a Cargo.toml that is not ours.
        api.info.contact = None;
        api.info.license = None;
        crate::openapi::complete(&mut api);
        api
    }

    /// What makes its consumers, for tools and tests.
    pub fn hears(&self) -> fn(&S) -> Vec<Consumer> {
        self.consumers
    }
}
