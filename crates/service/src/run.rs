//! Start-up and shutdown.
//!
//! Start: migrations, pool, gRPC, HTTP, consumers, jobs; then ready. Stop (SIGTERM, SIGINT, or a component that
//! died): not ready, and for `BAHI_DRAIN_MS` everything goes on, so that a load balancer sees it; HTTP drains, consumers finish their batch, pool, telemetry; within 25 seconds.

use std::{
    net::{Shutdown, SocketAddr},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use actix_web::{
    HttpServer,
    dev::ServerHandle,
    middleware::{Condition, from_fn},
    web,
};
use anyhow::Context;
use bahi_db::{Db, DbConfig};
use bahi_http::{Keys, Operations, Ready, Signer};
use bahi_kafka::{Heard, Operator};
use bahi_types::Clock;
use socket2::SockRef;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use utoipa_actix_web::AppExt;

use crate::{
    App, Asked, Env, Parts, cli,
    connection::{Connections, watched},
    consumer,
    telemetry::Telemetry,
};

/// Longest time for the head of a request.
const HEAD: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(25);
/// Longest time for which traffic is taken after readiness is off.
const LONGEST_DRAIN: Duration = Duration::from_secs(8);

/// The `main` of every service.
pub fn main<S: Clone + Send + Sync + 'static>(app: App<S>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{}: no runtime: {error}", app.name);
            return ExitCode::FAILURE;
        }
    };
    let name = app.name;
    // A wrong option prints the usage and ends the process with 2.
    let has = cli::Has {
        consumers: app.has_consumers,
        config_file: app.checks.is_some(),
        own: app.commands,
    };
    let given = cli::parse(name, has);
    let result = runtime.block_on(async move {
        let command = match given {
            cli::Given::Common(command) => command,
            cli::Given::Own(matches) => return carry(app, matches).await,
        };
        match command {
            cli::Command::Run => run(app).await,
            cli::Command::Migrate => migrate(app, &Env::default()).await,
            cli::Command::Config => config(app),
            cli::Command::Openapi => {
                println!("{}", app.openapi().to_pretty_json()?);
                Ok(())
            }
            cli::Command::Graphql => {
                print!("{}", app.sdl().context("this service is not in the graph")?);
                Ok(())
            }
            cli::Command::CheckConfig(file) => {
                let check = app
                    .checks
                    .context("this service has no configuration file")?;
                let found = check(&file, &Env::default())?;
                println!("{}: {found}", file.display());
                Ok(())
            }
            cli::Command::Consumer(command) => return operate(app, command).await,
        }
        .map(|()| ExitCode::SUCCESS)
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A command of an operator, with the service's own configuration.
async fn operate<S: Clone + Send + Sync + 'static>(
    app: App<S>,
    command: cli::Consumer,
) -> anyhow::Result<ExitCode> {
    let env = Env::default();
    let parts = parts(&app, &env, Clock::System)?;
    let db = parts.database()?;
    let state = (app.state)(parts)?;
    let prefix = env.optional("BAHI_TOPIC_PREFIX").unwrap_or_default();
    let consumers = (app.consumers)(&state);
    let heard = consumers.iter().map(|c| Heard::of(c, &prefix)).collect();
    let who = env.optional("BAHI_OPERATOR").unwrap_or_else(cli::caller);
    let operator = Operator::new(db, env.optional("BAHI_KAFKA"), heard, who);
    consumer::run(&operator, &prefix, command).await
}

/// A command that only this service has.
async fn carry<S: Clone + Send + Sync + 'static>(
    app: App<S>,
    matches: clap::ArgMatches,
) -> anyhow::Result<ExitCode> {
    let env = Env::default();
    let state = (app.state)(parts(&app, &env, Clock::System)?)?;
    let who = env.optional("BAHI_OPERATOR").unwrap_or_else(cli::caller);
    let carry = app.carry.context("nobody carries this command out")?;
    carry(state, Asked { matches, who }).await
}

async fn migrate<S: Clone + Send + Sync + 'static>(
    mut app: App<S>,
    env: &Env,
) -> anyhow::Result<()> {
    let Some(migrations) = app.embedded_migrations() else {
        return Ok(());
    };
    let url = env.required("BAHI_MIGRATE_URL")?;
    let role = app_role(app.name);
    // The harness blocks in place, which needs a worker thread.
    tokio::spawn(async move { bahi_db::migrate(&url, &role, migrations).await }).await?
}

/// The runtime role of a service's database.
fn app_role(service: &str) -> String {
    format!("bahi_{}_app", service.replace('-', "_"))
}

fn config<S: Clone + Send + Sync + 'static>(app: App<S>) -> anyhow::Result<()> {
    let env = Env::default();
    let made = parts(&app, &env, Clock::System).and_then(|parts| (app.state)(parts).map(|_| ()));
    for name in [
        "BAHI_LISTEN",
        "BAHI_ADMIN_LISTEN",
        "BAHI_GRPC_LISTEN",
        "BAHI_KAFKA",
        "BAHI_MIGRATE_URL",
        "BAHI_OTLP_ENDPOINT",
        "BAHI_LOG",
    ] {
        env.optional(name);
    }
    for (name, value) in env.masked() {
        println!("{name}={value}");
    }
    let problems = env.problems();
    anyhow::ensure!(problems.is_empty(), "{}", problems.join("; "));
    made
}

fn parts<S>(app: &App<S>, env: &Env, clock: Clock) -> anyhow::Result<Parts> {
    // Ask for everything first, so that `config` and the error name all that is missing.
    let url = app.has_database.then(|| env.required("BAHI_DATABASE_URL"));
    let trust = env.required("BAHI_TRUST_DIR");
    let key = env.required("BAHI_KEY_FILE");
    let connections = env.parse("BAHI_DB_CONNECTIONS", 16);
    let checkout = env.parse("BAHI_DB_CHECKOUT_MS", 250);
    if !env.problems().is_empty() {
        anyhow::bail!("{}", env.problems().join("; "));
    }
    let db = match url {
        None => None,
        Some(url) => {
            let checkout = Duration::from_millis(checkout?);
            let topic_prefix = env.optional("BAHI_TOPIC_PREFIX").unwrap_or_default();
            let connections = connections?;
            let config = DbConfig {
                url: url?,
                connections,
                checkout,
                topic_prefix,
                service: app.name,
            };
            Some(Db::new(&config, clock.clone())?)
        }
    };
    Ok(Parts {
        db,
        clock,
        env: env.clone(),
        keys: Arc::new(Keys::from_folder(trust?.as_ref())?),
        signer: Signer::from_file(key?.as_ref())?,
        leave: CancellationToken::new(),
        stop: CancellationToken::new(),
    })
}

async fn run<S: Clone + Send + Sync + 'static>(app: App<S>) -> anyhow::Result<()> {
    let env = Env::default();
    let telemetry = Telemetry::init(app.name, &env)?;
    let name = app.name;
    let running = start(app, env, Clock::System).await?;
    tracing::info!(service = name, http = %running.http, "ready");
    let result = running.until_stopped().await;
    telemetry.flush();
    result
}

/// A service that is up.
pub struct Running<S> {
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Where those who run it look, for a service that has pages for them.
    pub admin: Option<SocketAddr>,
    /// Where gRPC listens, for a service that has it.
    pub grpc: Option<SocketAddr>,
    /// Its state.
    pub state: S,
    /// Its database.
    pub db: Option<Db>,
    ready: Ready,
    server: ServerHandle,
    leave: CancellationToken,
    parts_stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    drain: Duration,
}

/// Starts a service. With `BAHI_MIGRATE_URL` it migrates first; without `BAHI_KAFKA` it hears nothing.
/// Needs a multi-threaded runtime.
///
/// # Errors
/// When a setting, the database, or a port is not to be had.
pub async fn start<S: Clone + Send + Sync + 'static>(
    mut app: App<S>,
    env: Env,
    clock: Clock,
) -> anyhow::Result<Running<S>> {
    let parts = parts(&app, &env, clock)?;
    if let Some(url) = env.optional("BAHI_MIGRATE_URL")
        && let Some(migrations) = app.migrations.take()
    {
        let role = app_role(app.name);
        tokio::spawn(async move { bahi_db::migrate(&url, &role, migrations).await }).await??;
    }
    let drain = Duration::from_millis(env.parse("BAHI_DRAIN_MS", 0)?).min(LONGEST_DRAIN);
    let state = (app.state)(parts.clone())?;
    let (leave, stop) = (parts.leave.clone(), parts.stop.clone());
    let mut tasks = JoinSet::new();
    let ready = Ready::new(parts.db.clone());
    let grpc = match app.grpc {
        None => None,
        Some(routes) => Some(serve_grpc(routes(&state), &env, &stop, &mut tasks).await?),
    };
    let (http, server) = serve_http(&app, &state, &parts, &ready, &env, &mut tasks)?;
    let admin = match app.admin {
        None => None,
        Some(pages) => Some(serve_admin(pages, &state, &ready, &env, &stop, &mut tasks)?),
    };
    if let (Some(db), Some(brokers)) = (&parts.db, env.optional("BAHI_KAFKA")) {
        // Several stacks may share a broker, each with topics of its own.
        let prefix = env.optional("BAHI_TOPIC_PREFIX").unwrap_or_default();
        for consumer in (app.consumers)(&state) {
            let consumer = consumer.with_topic_prefix(&prefix);
            let (db, brokers, stop) = (db.clone(), brokers.clone(), stop.clone());
            tasks.spawn(async move { consumer.run(db, &brokers, stop).await });
        }
        for follow in (app.follows)(&state) {
            let follow = follow.with_topic_prefix(&prefix);
            let (brokers, stop) = (brokers.clone(), stop.clone());
            tasks.spawn(async move { follow.run(&brokers, stop).await });
        }
    }
    if env.optional("BAHI_JOBS").as_deref() != Some("off") {
        for job in (app.jobs)(&state) {
            let stop = stop.clone();
            tasks.spawn(async move {
                job.run(stop).await;
                Ok(())
            });
        }
        if let Some(db) = parts.db.clone() {
            let purge =
                crate::Job::every("purge_idempotency", Duration::from_secs(3600), move || {
                    let db = db.clone();
                    async move { Ok(db.purge_idempotency().await.map(|_| ())?) }
                });
            let stop = stop.clone();
            tasks.spawn(async move {
                purge.run(stop).await;
                Ok(())
            });
        }
    }
    ready.set(true);
    Ok(Running {
        http,
        admin,
        grpc,
        state,
        db: parts.db,
        ready,
        server,
        leave,
        parts_stop: stop,
        tasks,
        drain,
    })
}

fn serve_http<S: Clone + Send + Sync + 'static>(
    app: &App<S>,
    state: &S,
    parts: &Parts,
    ready: &Ready,
    env: &Env,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<(SocketAddr, ServerHandle)> {
    let listen: SocketAddr = env.parse("BAHI_LISTEN", SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let workers = env.parse("BAHI_HTTP_WORKERS", 2)?;
    let state = web::Data::new(state.clone());
    let keys = web::Data::from(parts.keys.clone());
    let ready = web::Data::new(ready.clone());
    let openapi = app.openapi();
    let operations = web::Data::new(Operations::of(&serde_json::to_value(&openapi)?)?);
    let openapi = web::Data::new(openapi.to_json()?);
    let (routes, fallback) = (app.routes, app.fallback);
    let measured = app.admin.is_none();
    let subgraph = app.graphql.map(|graphql| graphql());
    let db = parts.db.clone();
    let keep_alive = Duration::from_secs(env.parse("BAHI_KEEP_ALIVE_SECONDS", 30)?);
    let (admits, admitting) = (app.admits.clone(), state.clone());
    let (faces_clients, connections) = (admits.is_some(), Connections::default());
    if faces_clients {
        connections.watch(keep_alive + HEAD);
    }
    let server = HttpServer::new(move || {
        let app = actix_web::App::new()
            .into_utoipa_app()
            .app_data(state.clone())
            .app_data(keys.clone())
            .app_data(ready.clone())
            .configure(routes)
            .into_app()
            .app_data(openapi.clone())
            .app_data(operations.clone())
            .configure(bahi_http::extractor_config)
            .configure(bahi_http::health_routes)
            .configure(move |cfg| {
                if measured {
                    bahi_http::metrics_route(cfg);
                }
            })
            .route("/openapi.json", web::get().to(openapi_document));
        let app = match subgraph.clone() {
            Some(subgraph) => app.configure(subgraph.routes::<S>(db.clone())),
            None => app,
        };
        let app = match fallback {
            Some(fallback) => app.configure(fallback),
            None => app.default_service(web::to(bahi_http::not_found)),
        };
        // What a client of the gateway says of its patience is no affair of ours.
        let deadline = Condition::new(fallback.is_none(), from_fn(bahi_http::deadline));
        app.wrap(deadline)
            .wrap(from_fn(bahi_http::observe))
            .wrap(Condition::new(faces_clients, from_fn(watched)))
    })
    .on_connect(move |io, kept| {
        let socket = io.downcast_ref::<actix_web::rt::net::TcpStream>();
        let (Some(admits), Some(socket)) = (&admits, socket) else {
            return;
        };
        let Ok(peer) = socket.peer_addr() else { return };
        let admitted = admits(&admitting, peer.ip());
        match admitted.and_then(|admitted| connections.add(socket, admitted).ok()) {
            Some(connection) => drop(kept.insert(connection)),
            None => drop(SockRef::from(socket).shutdown(Shutdown::Both)),
        }
    })
    .workers(workers)
    .client_request_timeout(HEAD)
    .keep_alive(keep_alive)
    .shutdown_timeout(15)
    .disable_signals()
    .bind(listen)
    .with_context(|| format!("listening on {listen}"))?;
    let http = *server.addrs().first().context("no address")?;
    let server = server.run();
    let handle = server.handle();
    tasks.spawn(async move { server.await.context("HTTP server") });
    Ok((http, handle))
}

/// What those who run the service look at; it is there until the service has stopped.
fn serve_admin<S: Clone + Send + Sync + 'static>(
    pages: fn(&mut web::ServiceConfig),
    state: &S,
    ready: &Ready,
    env: &Env,
    stop: &CancellationToken,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<SocketAddr> {
    let listen = env.parse("BAHI_ADMIN_LISTEN", SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let (state, ready) = (web::Data::new(state.clone()), web::Data::new(ready.clone()));
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(state.clone())
            .app_data(ready.clone())
            .configure(bahi_http::health_routes)
            .configure(bahi_http::metrics_route)
            .configure(pages)
            .default_service(web::to(bahi_http::not_found))
            .wrap(from_fn(bahi_http::observe))
    })
    .workers(1)
    .disable_signals()
    .bind(listen)
    .with_context(|| format!("listening on {listen}"))?;
    let address = *server.addrs().first().context("no address")?;
    let (server, stop) = (server.run(), stop.clone());
    let handle = server.handle();
    tasks.spawn(async move {
        let served = stop.run_until_cancelled(server).await;
        handle.stop(false).await;
        served.unwrap_or(Ok(())).context("HTTP server")
    });
    Ok(address)
}

async fn openapi_document(text: web::Data<String>) -> actix_web::HttpResponse {
    actix_web::HttpResponse::Ok()
        .content_type("application/json")
        .body(text.get_ref().clone())
}

async fn serve_grpc(
    routes: tonic::service::Routes,
    env: &Env,
    stop: &CancellationToken,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<SocketAddr> {
    let listen: SocketAddr =
        env.parse("BAHI_GRPC_LISTEN", SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let incoming = tonic::transport::server::TcpIncoming::bind(listen)
        .with_context(|| format!("listening on {listen}"))?
        .with_nodelay(Some(true));
    let address = incoming.local_addr()?;
    let stop = stop.clone();
    tasks.spawn(async move {
        tonic::transport::Server::builder()
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, async move { stop.cancelled().await })
            .await
            .context("gRPC server")
    });
    Ok(address)
}

impl<S> Running<S> {
    /// Waits for a signal or the death of a component, then stops.
    ///
    /// # Errors
    /// What the component died of.
    pub async fn until_stopped(mut self) -> anyhow::Result<()> {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let died = tokio::select! {
            _ = terminate.recv() => None,
            _ = tokio::signal::ctrl_c() => None,
            ended = self.tasks.join_next() => ended,
        };
        let result = match died {
            None => Ok(()),
            Some(Ok(Err(error))) => Err(error.context("a component died")),
            Some(Ok(Ok(()))) => Err(anyhow::anyhow!("a component ended before its time")),
            Some(Err(panic)) => Err(anyhow::anyhow!("a component panicked: {panic}")),
        };
        if let Err(error) = &result {
            tracing::error!(error = format!("{error:#}"), "stopping");
        }
        self.stop().await;
        result
    }

    /// Stops: no more traffic, drain, end.
    pub async fn stop(mut self) {
        self.ready.set(false);
        let orderly = async {
            // Whoever sends us traffic sees that none is wanted, while what is on its way is still answered.
            tokio::time::sleep(self.drain).await;
            self.leave.cancel();
            self.server.stop(true).await;
            self.parts_stop.cancel();
            while self.tasks.join_next().await.is_some() {}
        };
        if tokio::time::timeout(GRACE, orderly).await.is_err() {
            tracing::warn!("not everything ended in time");
        }
        if let Some(db) = &self.db {
            db.close();
        }
    }
}
