//! Processes of the shipped binaries, and their databases.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use bahi_events::{Envelope, Outgoing};
use bahi_testkit::{TestDb, TestStore, envelope, eventually, register_of, test_env};
use bahi_types::TenantId;
use chrono::Utc;
use futures::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::send;

/// A shipped binary beside the running test: built by `scripts/test` before the tests run.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("own path");
    let folder = test.ancestors().find(|a| a.join(name).is_file());
    folder
        .unwrap_or_else(|| panic!("{name} is not built: cargo build --workspace --bins"))
        .join(name)
}

/// A running process; killed when it goes out of scope.
pub struct Process {
    child: Child,
    /// `http://127.0.0.1:port`.
    pub url: String,
}

impl Process {
    /// SIGKILL, from outside, and wait until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Whether it has not ended by itself.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port below those that the system gives to connections, so that none takes it before its process does.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = std::process::id() as u16;
    let mut ports = std::iter::repeat_with(|| {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        10_000 + own.wrapping_mul(97).wrapping_add(next) % 20_000
    });
    ports
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// What a service owns while its processes come and go.
struct Seat {
    database: Option<TestDb>,
    http: u16,
    grpc: u16,
}

/// The databases, addresses and topics of a fleet that has its machine to itself.
pub struct Fleet {
    seats: BTreeMap<&'static str, Seat>,
    folder: TempDir,
    prefix: String,
}

/// How a process is started; the default is as in production.
#[derive(Clone, Copy, Default)]
pub struct How<'a> {
    /// Pause points to arm, separated by commas.
    pub pause: &'a str,
    /// Another way to the service's database.
    pub database: Option<&'a str>,
    /// On ports of its own, which no other service calls.
    pub replica: bool,
}

/// Every service, the gateway and the worker.
const WHOLE: [&str; 6] = [
    "outbox-worker",
    "api-gateway",
    "identity",
    "product",
    "inventory",
    "sales",
];

impl Fleet {
    /// The whole fleet, running, with its processes by name; the gateway reaches every service.
    pub async fn whole() -> (Self, BTreeMap<&'static str, Process>) {
        let fleet = Self::of(&WHOLE).await;
        let processes = WHOLE.map(|name| fleet.start(name, How::default()));
        let processes = WHOLE.into_iter().zip(join_all(processes).await).collect();
        let ready = format!("{}/health/ready", fleet.url("api-gateway"));
        let client = reqwest::Client::new();
        eventually(|| async {
            let reply = client.get(&ready).send().await.ok()?;
            reply.status().is_success().then_some(())
        })
        .await;
        (fleet, processes)
    }

    /// Databases and topics for these services; no process runs yet.
    pub async fn of(services: &[&'static str]) -> Self {
        let mut seats = BTreeMap::new();
        for service in services {
            let migrations = match *service {
                "identity" => identity::app().embedded_migrations(),
                "product" => product::app().embedded_migrations(),
                "inventory" => inventory::app().embedded_migrations(),
                "sales" => sales::app().embedded_migrations(),
                _ => None,
            };
            let database = match migrations {
                Some(_) => Some(TestDb::create(service, migrations).await),
                None => None,
            };
            let (http, grpc) = (free_port(), free_port());
            seats.insert(
                *service,
                Seat {
                    database,
                    http,
                    grpc,
                },
            );
        }
        let fleet = Self {
            seats,
            folder: TempDir::new().expect("a folder"),
            prefix: format!("proof-{}.", Uuid::now_v7().simple()),
        };
        fs::write(fleet.register(), register_of(services)).expect("a register");
        let topics = [
            "billing",
            "orders",
            "inventory",
            "products",
            "identity",
            "crm",
            "audit",
            "privacy",
        ]
        .map(|d| fleet.topic(d));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        bahi_kafka::create_topics(&test_env("BAHI_TEST_KAFKA"), &topics, 2)
            .await
            .expect("topics");
        fleet
    }

    /// The database of a service.
    pub fn database(&self, service: &str) -> &TestDb {
        let seat = &self.seats[service];
        seat.database.as_ref().expect("it has a database")
    }

    /// Services with a database.
    pub fn databases(&self) -> impl Iterator<Item = (&'static str, &TestDb)> {
        self.seats
            .iter()
            .filter_map(|(name, seat)| Some((*name, seat.database.as_ref()?)))
    }

    /// Kafka topic of a domain.
    pub fn topic(&self, domain: &str) -> String {
        format!("{}{domain}.events.v1", self.prefix)
    }

    /// Says what a service says that does not run here.
    ///
    /// # Panics
    /// When it is not taken.
    pub fn say(&self, event: Outgoing, tenant: TenantId) {
        let topic = format!("{}{}", self.prefix, event.topic);
        let key = event.key.clone();
        let said: Envelope<Value> = envelope(event, tenant, Utc::now());
        send(&topic, &key, &[&json!(said).to_string()]);
    }

    /// Runs a command of a service's binary to its end, with the service's configuration.
    pub fn command(&self, service: &'static str, args: &[&str]) -> Output {
        let (mut command, _) = self.prepare(service, How::default());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.args(args).output().expect("the binary starts")
    }

    /// Starts a service and waits until it is ready.
    pub async fn start(&self, service: &'static str, how: How<'_>) -> Process {
        let (mut command, url) = self.prepare(service, how);
        let mut process = Process {
            child: command.spawn().expect("the binary starts"),
            url,
        };
        let client = reqwest::Client::new();
        let ready = format!("{}/readyz", process.url);
        eventually(|| {
            let ended = process.child.try_wait().expect("a child");
            assert!(
                ended.is_none(),
                "{service} ended at once: {}",
                self.said(service)
            );
            let asked = client.get(&ready).send();
            async { asked.await.ok()?.status().is_success().then_some(()) }
        })
        .await;
        process
    }

    /// The command that starts a service, and its address.
    fn prepare(&self, service: &'static str, how: How<'_>) -> (Command, String) {
        let seat = &self.seats[service];
        let (http, grpc) = if how.replica {
            (free_port(), free_port())
        } else {
            (seat.http, seat.grpc)
        };
        let keys = test_env("BAHI_TEST_KEYS");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log(service))
            .expect("log");
        let mut command = Command::new(binary(service));
        command
            .env("BAHI_LISTEN", format!("127.0.0.1:{http}"))
            .env("BAHI_KAFKA", test_env("BAHI_TEST_KAFKA"))
            .env("BAHI_REDIS", test_env("BAHI_TEST_REDIS"))
            .envs(TestStore::of_env().settings())
            .env("BAHI_TOPIC_PREFIX", &self.prefix)
            .env("BAHI_TRUST_DIR", format!("{keys}/public"))
            .env("BAHI_KEY_FILE", format!("{keys}/private/{service}.pem"))
            .env("BAHI_REGISTER", self.register())
            .env("BAHI_HOLD_SECONDS", "1")
            .env("BAHI_DB_CHECKOUT_MS", "10000")
            .env("BAHI_PAUSE_DIR", self.folder.path())
            .env("BAHI_LOG", "info")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log);
        if !how.pause.is_empty() {
            command.env("BAHI_PAUSE", how.pause);
        }
        if let Some(database) = &seat.database {
            let own = database.url();
            command.env("BAHI_DATABASE_URL", how.database.unwrap_or(&own));
        }
        if matches!(service, "inventory" | "sales") {
            command.env("BAHI_GRPC_LISTEN", format!("127.0.0.1:{grpc}"));
        }
        for (name, seat) in &self.seats {
            let name = name.to_uppercase();
            command
                .env(
                    format!("BAHI_UPSTREAM_{name}"),
                    format!("http://127.0.0.1:{}", seat.http),
                )
                .env(
                    format!("BAHI_{name}_GRPC"),
                    format!("http://127.0.0.1:{}", seat.grpc),
                );
            if let Some(database) = &seat.database {
                let relay = format!("{}?options=-c%20role%3Dbahi_relay", database.admin_url());
                command.env(format!("BAHI_RELAY_{name}_URL"), relay);
            }
        }
        (command, format!("http://127.0.0.1:{http}"))
    }

    /// Where a service answers when it runs.
    pub fn url(&self, service: &str) -> String {
        format!("http://127.0.0.1:{}", self.seats[service].http)
    }

    /// The log of a service.
    pub fn said(&self, service: &str) -> String {
        fs::read_to_string(self.log(service)).unwrap_or_default()
    }

    fn log(&self, service: &str) -> PathBuf {
        self.folder.path().join(format!("{service}.log"))
    }

    fn register(&self) -> PathBuf {
        self.folder.path().join("services.toml")
    }

    /// Waits until `process` stands at the pause point.
    pub async fn reached(&self, process: &Process, point: &str) {
        let file = self.pause(process, point);
        eventually(|| async { file.exists().then_some(()) }).await;
    }

    /// Lets a process that stands at the pause point go on.
    pub fn go_on(&self, process: &Process, point: &str) {
        fs::remove_file(self.pause(process, point)).expect("it stands there");
    }

    fn pause(&self, process: &Process, point: &str) -> PathBuf {
        self.folder
            .path()
            .join(format!("{point}.{}", process.pid()))
    }
}
