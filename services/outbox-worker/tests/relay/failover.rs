//! A primary dies and its standby, which lags, is promoted: real servers, real WAL.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use bahi_testkit::judge;
use outbox_worker::metrics::Metrics;
use tokio_postgres::{Client, NoTls};

use crate::{
    load::committed,
    world::{APP, World, emit, eventually},
};

/// A server of this test alone; stopped and removed when it goes out of scope.
struct Server {
    folder: PathBuf,
    port: u16,
}

/// PostgreSQL refuses to run as root.
fn postgres(program: &str) -> Command {
    let mut folders: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|version| version.unwrap().path().join("bin"))
        .collect();
    folders.sort();
    let found = folders.pop().map(|folder| folder.join(program));
    let program = found.unwrap_or_else(|| program.into());
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let mut command = if is_root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

impl Server {
    fn new(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = std::env::temp_dir().join(name);
        Self {
            folder,
            port: listener.local_addr().unwrap().port(),
        }
    }

    fn primary(name: &str) -> Self {
        let server = Self::new(name);
        let make = [
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "-D",
        ];
        run(postgres("initdb").args(make).arg(&server.folder));
        server.start();
        server
    }

    fn standby_of(primary: &Self, name: &str) -> Self {
        let server = Self::new(name);
        let port = primary.port.to_string();
        let take = [
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
            "-p",
            &port,
            "-D",
        ];
        run(postgres("pg_basebackup").args(take).arg(&server.folder));
        server.start();
        server
    }

    fn control(&self, arguments: &[&str]) -> Command {
        let mut command = postgres("pg_ctl");
        command
            .arg("-D")
            .arg(&self.folder)
            .args(["-w", "-s", "-t", "60"])
            .args(arguments);
        // The server inherits what is open here.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn start(&self) {
        let log = self.folder.join("server.log");
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=50",
            self.port
        );
        let mut start = self.control(&["-o", &options, "-l"]);
        start.arg(log).arg("start");
        assert!(start.status().unwrap().success(), "{start:?}");
    }

    fn stop(&self, mode: &str) {
        self.control(&["-m", mode, "stop"]).status().unwrap();
    }

    async fn connect(&self, options: &str) -> Client {
        let url = format!("postgres://postgres@127.0.0.1:{}/shop{options}", self.port);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop("immediate");
        fs::remove_dir_all(Path::new(&self.folder)).ok();
    }
}

async fn position(client: &Client, function: &str) -> i64 {
    let query = format!("select ({function}() - '0/0')::int8");
    client.query_one(&query, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_lagged_and_was_promoted_is_relayed_with_a_new_epoch() {
    let world = World::new().await;
    let log = world.topic(2, &[]).await;
    let primary = Server::primary(&format!("{}_a", world.name));
    {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", primary.port);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let roles =
            format!("create role {APP}; create role bahi_relay; grant pg_monitor to bahi_relay");
        client.batch_execute(&roles).await.unwrap();
        client.batch_execute("create database shop").await.unwrap();
    }
    let app = primary.connect("").await;
    app.batch_execute(&bahi_db::outbox_sql(APP)).await.unwrap();
    let standby = Server::standby_of(&primary, &format!("{}_b", world.name));

    let worker = world.start_elsewhere(format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/shop?target_session_attrs=read-write&options=-c%20role%3Dbahi_relay",
        primary.port, standby.port
    ));
    let mut ledger = Vec::new();
    for version in 1..=20 {
        ledger.push(emit(&app, &log.name, "k", version, "{\"life\":1}").await);
    }
    log.until_all(&committed(&ledger)).await;
    let published = "select count(*) from outbox.status where published";
    eventually("a checkpoint", || async {
        let count: i64 = app.query_one(published, &[]).await.unwrap().get(0);
        (count == 20).then_some(())
    })
    .await;
    let (reached, replica) = (
        position(&app, "pg_current_wal_lsn").await,
        standby.connect("").await,
    );
    eventually("the standby to follow", || async {
        (position(&replica, "pg_last_wal_replay_lsn").await >= reached).then_some(())
    })
    .await;
    // From here on it lags; what is committed and published now will be lost with the primary.
    drop(replica);
    standby.stop("fast");
    let mut lost = Vec::new();
    for version in 21..=25 {
        lost.push(emit(&app, &log.name, "k", version, "{\"life\":1}").await);
    }
    log.until_all(&committed(&lost)).await;
    primary.stop("immediate");
    standby.start();
    run(&mut standby.control(&["promote"]));

    // The service goes on with the versions that it knows of.
    let app = standby.connect("").await;
    let epoch = "select outbox.current_epoch()";
    eventually("the new epoch", || async {
        let epoch: i64 = app.query_one(epoch, &[]).await.unwrap().get(0);
        (epoch == 2).then_some(())
    })
    .await;
    for version in 21..=23 {
        ledger.push(emit(&app, &log.name, "k", version, "{\"life\":2}").await);
    }
    log.until_all(&committed(&ledger)).await;
    worker.stop().await;
    assert_eq!(Metrics::of(&world.service(), 0).failovers.get(), 1);
    let verdict = judge(&ledger, &log.seen());
    assert_eq!(
        (verdict.lost, verdict.disorders, verdict.altered),
        (0, 0, 0),
        "{verdict:?}"
    );
    assert_eq!(
        verdict.phantoms,
        lost.len(),
        "published, and lost by the failover"
    );
    // A consumer that applies only a greater (epoch, version) ends where the database is.
    let places = log.records().into_iter().map(|record| {
        let value: serde_json::Value = serde_json::from_str(&record.value).unwrap();
        let number = |name: &str| value[name].as_i64().unwrap();
        (
            (number("epoch"), number("aggregate_version")),
            value["payload"]["life"].as_i64().unwrap(),
        )
    });
    let held = places.fold(
        ((0, 0), 0),
        |held, next| if next.0 > held.0 { next } else { held },
    );
    assert_eq!(held, ((2, 23), 2));
    world.close().await;
}
