//! A private database with an outbox, topics, and the worker under test.

use std::{
    fmt::Display,
    future::Future,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bahi_testkit::Entry;
use outbox_worker::{
    config::{Config, Database},
    relay::Limits,
    worker,
};
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use tokio::{
    sync::{Notify, OnceCell},
    task::JoinHandle,
};
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::log::Log;

pub const APP: &str = "relay_test_app";

/// A test's own world. `close` it at the end; what a failed test leaves is swept by a later run.
pub struct World {
    pub name: String,
    topics: Mutex<Vec<String>>,
}

pub fn env(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: eval \"$(scripts/infra test env)\""))
}

/// Asks again and again until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: impl Display,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("PostgreSQL of the tests");
    tokio::spawn(connection);
    client
}

async fn prepare_cluster() {
    static ONCE: OnceCell<()> = OnceCell::const_new();
    let prepare = || async {
        let admin = connect(&env("BAHI_TEST_PG")).await;
        let role = format!(
            "do $$ begin create role {APP}; exception when duplicate_object then null; end $$"
        );
        admin.batch_execute(&role).await.expect("role of the tests");
        for row in admin
            .query(
                "select datname from pg_database where datname like 't\\_%\\_relay\\_%'",
                &[],
            )
            .await
            .unwrap()
        {
            let name: String = row.get(0);
            let alive = name
                .split('_')
                .nth(1)
                .is_some_and(|pid| Path::new(&format!("/proc/{pid}")).exists());
            if !alive {
                admin
                    .batch_execute(&format!("drop database if exists {name} with (force)"))
                    .await
                    .ok();
            }
        }
    };
    ONCE.get_or_init(prepare).await;
}

fn admin_client() -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", env("BAHI_TEST_KAFKA"))
        .create()
        .expect("Kafka of the tests")
}

impl World {
    pub async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        prepare_cluster().await;
        let name = format!(
            "t_{}_relay_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        connect(&env("BAHI_TEST_PG"))
            .await
            .batch_execute(&format!("create database {name}"))
            .await
            .expect("create database");
        let world = Self {
            name,
            topics: Default::default(),
        };
        let admin = world.admin().await;
        admin
            .batch_execute(&bahi_db::outbox_sql(APP))
            .await
            .expect("outbox.sql");
        let aggregates = format!(
            "create table aggregate (id text primary key, version bigint not null default 0); grant select, update on aggregate to {APP}; \
             create table noise (n bigint); grant insert on noise to {APP}"
        );
        admin.batch_execute(&aggregates).await.unwrap();
        world
    }

    /// The service whose database it is.
    pub fn service(&self) -> String {
        self.name.replace('_', "-")
    }

    fn url(&self, options: &str) -> String {
        let url = env("BAHI_TEST_PG");
        let (server, _) = url
            .rsplit_once('/')
            .expect("BAHI_TEST_PG ends in /database");
        format!("{server}/{}?options={options}", self.name)
    }

    /// As the worker connects: with the grants of its role.
    pub fn relay_url(&self) -> String {
        self.url("-c%20role%3Dbahi_relay")
    }

    /// The operator.
    pub async fn admin(&self) -> Client {
        connect(&self.url("-c%20synchronous_commit%3Don")).await
    }

    /// The service, with the grants of its role.
    pub async fn app(&self) -> Client {
        connect(&self.url(&format!("-c%20role%3D{APP}%20-c%20synchronous_commit%3Don"))).await
    }

    /// The worker's role.
    pub async fn relay_client(&self) -> Client {
        outbox_worker::session::connect(
            &outbox_worker::session::configure(&self.relay_url()).unwrap(),
        )
        .await
        .unwrap()
    }

    /// Creates a topic and follows it.
    pub async fn topic(&self, partitions: i32, settings: &[(&str, &str)]) -> Log {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}.{}", self.name, COUNT.fetch_add(1, Ordering::Relaxed));
        self.create_topic(name, partitions, settings).await
    }

    pub async fn topic_named(&self, name: &str, partitions: i32) -> Log {
        self.create_topic(name.to_owned(), partitions, &[]).await
    }

    async fn create_topic(&self, name: String, partitions: i32, settings: &[(&str, &str)]) -> Log {
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let results = admin_client()
            .create_topics([&topic], &AdminOptions::new())
            .await
            .expect("create topic");
        results.into_iter().for_each(|result| {
            result.expect("create topic");
        });
        self.topics.lock().push(name.clone());
        Log::follow(&env("BAHI_TEST_KAFKA"), name, partitions)
    }

    fn config(&self) -> Config {
        Config {
            kafka: env("BAHI_TEST_KAFKA"),
            owner: format!("test/{}", Uuid::now_v7()),
            databases: vec![Database {
                service: self.service(),
                url: self.relay_url(),
            }],
            retention: Duration::from_secs(3600),
        }
    }

    /// Starts the worker inside this process.
    pub fn start(&self) -> Worker {
        self.start_with(Limits::default())
    }

    /// Starts it for another broker.
    pub fn start_on(&self, kafka: String) -> Worker {
        let config = Config {
            kafka,
            ..self.config()
        };
        Worker::start(config, Limits::default())
    }

    /// Starts it for a database elsewhere.
    pub fn start_elsewhere(&self, url: String) -> Worker {
        let mut config = self.config();
        config.databases[0].url = url;
        Worker::start(config, Limits::default())
    }

    pub fn start_with(&self, limits: Limits) -> Worker {
        Worker::start(self.config(), limits)
    }

    /// Starts the worker for these worlds, and for a database that is not there.
    pub fn start_all(worlds: &[&Self]) -> Worker {
        let mut config = worlds[0].config();
        let gone = worlds[0].relay_url().replace(&worlds[0].name, "t_gone");
        config.databases.insert(
            0,
            Database {
                service: "gone".into(),
                url: gone,
            },
        );
        for world in &worlds[1..] {
            config.databases.extend(world.config().databases);
        }
        Worker::start(config, Limits::default())
    }

    /// The shipped binary in the environment of an operator or an orchestrator.
    fn binary(&self) -> Command {
        let folder = std::env::temp_dir().join(&self.name);
        std::fs::create_dir_all(&folder).unwrap();
        let register = folder.join("services.toml");
        let service = self.service();
        let text = format!(
            "[topics]\npartitions = 1\nretention_days = 1\nnames = []\n[[service]]\nname = \"{service}\"\nhttp = 8003\ndatabase = \"bahi_{}\"\n",
            self.name
        );
        std::fs::write(&register, text).unwrap();
        let keys = env("BAHI_TEST_KEYS");
        let mut command = Command::new(env!("CARGO_BIN_EXE_outbox-worker"));
        command
            .env("BAHI_LISTEN", "127.0.0.1:0")
            .env("BAHI_KAFKA", env("BAHI_TEST_KAFKA"))
            .env("BAHI_REGISTER", register)
            .env("BAHI_KEY_FILE", format!("{keys}/private/outbox-worker.pem"))
            .env("BAHI_TRUST_DIR", format!("{keys}/public"))
            .env(
                format!("BAHI_RELAY_{}_URL", self.name.to_uppercase()),
                self.relay_url(),
            )
            .env("BAHI_OPERATOR", "ops@test")
            .env("BAHI_LOG", "warn");
        command
    }

    /// Starts the worker as a process of its own, to be killed.
    pub fn spawn(&self) -> Process {
        let child = self
            .binary()
            .stdout(Stdio::null())
            .spawn()
            .expect("start the worker");
        Process(child)
    }

    /// Runs an operator's command, `@` standing for this world's service: the exit code, and all it said.
    pub async fn operate(&self, arguments: &str) -> (i32, String) {
        let mut command = self.binary();
        for argument in arguments.split_whitespace() {
            command.arg(argument.replace('@', &self.service()));
        }
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(said).unwrap(),
        )
    }

    /// Keeps the database as it is now.
    pub async fn keep_copy(&self) {
        let admin = connect(&env("BAHI_TEST_PG")).await;
        let copy = format!("create database {0}_old template {0}", self.name);
        eventually("the last session to end", || async {
            admin.batch_execute(&copy).await.ok()
        })
        .await;
    }

    /// Puts the copy in the place of the database.
    pub async fn put_copy_back(&self) {
        let admin = connect(&env("BAHI_TEST_PG")).await;
        for statement in [
            format!("drop database {} with (force)", self.name),
            format!("alter database {0}_old rename to {0}", self.name),
        ] {
            admin.batch_execute(&statement).await.unwrap();
        }
    }

    /// Deletes a topic and makes it anew, as after the loss of a broker.
    pub async fn empty_topic(&self, name: &str, partitions: i32) {
        let admin = admin_client();
        admin
            .delete_topics(&[name], &AdminOptions::new())
            .await
            .unwrap();
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        eventually("the topic anew", || async {
            let results = admin.create_topics([&topic], &AdminOptions::new()).await;
            results
                .is_ok_and(|all| all.iter().all(Result::is_ok))
                .then_some(())
        })
        .await;
    }

    pub async fn close(self) {
        let topics = self.topics.into_inner();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        admin_client()
            .delete_topics(&topics, &AdminOptions::new())
            .await
            .ok();
        std::fs::remove_dir_all(std::env::temp_dir().join(&self.name)).ok();
        let drop = format!("drop database {} with (force)", self.name);
        connect(&env("BAHI_TEST_PG"))
            .await
            .batch_execute(&drop)
            .await
            .expect("drop database");
    }
}

pub struct Worker {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    reload: Arc<Notify>,
    config: Arc<Mutex<Config>>,
}

impl Worker {
    fn start(config: Config, limits: Limits) -> Self {
        let (stop, reload) = (CancellationToken::new(), Arc::new(Notify::new()));
        let config = Arc::new(Mutex::new(config));
        let load = {
            let config = config.clone();
            move || Ok(config.lock().clone())
        };
        let relays = worker::run(load, limits, reload.clone(), stop.clone());
        Self {
            task: tokio::spawn(relays),
            stop,
            reload,
            config,
        }
    }

    /// Relays this world as well, from now on.
    pub fn add(&self, world: &World) {
        self.config
            .lock()
            .databases
            .extend(world.config().databases);
        self.reload.notify_one();
    }

    /// Relays this world no longer.
    pub fn remove(&self, world: &World) {
        self.config
            .lock()
            .databases
            .retain(|d| d.service != world.service());
        self.reload.notify_one();
    }

    /// Stops it in order.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// A worker that is killed when it is dropped.
pub struct Process(Child);

impl Process {
    /// As a crash does: no goodbye.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// As an orchestrator does.
    pub fn signal(&self, name: &str) {
        assert!(bahi_testkit::signal(self.0.id(), name));
    }

    pub async fn terminate(mut self) {
        self.signal("TERM");
        eventually("the end of the process", || {
            let ended = self.0.try_wait().unwrap();
            async move { ended }
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Inserts an event about version `version` of `key`; the key is the aggregate's id.
pub async fn emit(client: &Client, topic: &str, key: &str, version: i64, payload: &str) -> Entry {
    let event_id = Uuid::now_v7();
    let insert = "insert into outbox.event (event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version, tenant_id, payload) \
                  values ($1, $2, $3, 'thing.changed', 'thing', $3, $4, $1, $5::text::json)";
    client
        .execute(insert, &[&event_id, &topic, &key, &version, &payload])
        .await
        .unwrap();
    Entry::committed(event_id, key, version, payload)
}
