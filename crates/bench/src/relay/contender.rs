//! The relays that are compared, and how each is started and ended.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;

use super::{
    site::{DEBEZIUM_ROLE, Site},
    usage,
};

/// A relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contender {
    /// The outbox worker.
    Bahi,
    /// Debezium on Kafka Connect, with short polls, large batches and our producer's settings.
    Tuned,
    /// Debezium on Kafka Connect as it comes.
    Default,
}

impl Contender {
    /// As the report calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bahi => "Bahi",
            Self::Tuned => "Debezium tuned",
            Self::Default => "Debezium default",
        }
    }

    /// A word for names of files, topics and slots.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bahi => "bahi",
            Self::Tuned => "tuned",
            Self::Default => "default",
        }
    }

    /// Its header that carries the event's id.
    pub fn id_header(self) -> &'static str {
        match self {
            Self::Bahi => "ce_id",
            Self::Tuned | Self::Default => "id",
        }
    }

    /// All of them in the order of run `run`, so that none always comes first.
    pub fn in_turn(run: usize, with_debezium: bool) -> Vec<Self> {
        let mut all = vec![Self::Bahi];
        if with_debezium {
            all.extend([Self::Tuned, Self::Default]);
        }
        let first = run % all.len();
        all.rotate_left(first);
        all
    }
}

/// A running relay; killed when it is dropped.
pub struct Relay {
    child: Child,
    /// When it was started, in milliseconds since 1970, as the broker counts.
    pub started_at: i64,
}

/// Milliseconds since 1970.
pub fn now_millis() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Relay {
    fn spawn(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let started_at = now_millis();
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self { child, started_at })
    }

    /// Starts the worker for databases of services of `register`; `host` is its name in the lease.
    pub fn worker(
        site: &Site,
        register: &Path,
        host: &str,
        databases: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(&site.worker);
        for (service, url) in databases {
            let name = service.to_uppercase().replace('-', "_");
            command.env(format!("BAHI_RELAY_{name}_URL"), url);
        }
        command
            .env("BAHI_LISTEN", "127.0.0.1:0")
            .env("BAHI_KAFKA", &site.kafka)
            .env("BAHI_REGISTER", register)
            .env("BAHI_KEY_FILE", site.keys.join("private/outbox-worker.pem"))
            .env("BAHI_TRUST_DIR", site.keys.join("public"))
            .env("BAHI_LOG", "warn")
            .env("HOSTNAME", host);
        Self::spawn(&mut command, &site.folder.join("worker.log"))
    }

    /// Starts Kafka Connect with Debezium reading `slot` of `database` into `topic`.
    pub fn debezium(
        site: &Site,
        contender: Contender,
        database: &str,
        slot: &str,
        topic: &str,
    ) -> anyhow::Result<Self> {
        let folder = site.folder.join(slot);
        // No offsets of an earlier run: the slot says where to begin.
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder)?;
        let fill = |part: &str| -> anyhow::Result<PathBuf> {
            let common = fs::read_to_string(site.debezium.join(format!("{part}.properties")))?;
            let own = format!("{}.{part}.properties", contender.word());
            let own = fs::read_to_string(site.debezium.join(own))?;
            let text = format!("{common}{own}")
                .replace("@KAFKA@", &site.kafka)
                .replace("@FOLDER@", &folder.display().to_string())
                .replace("@PG_PORT@", site.postgres_port())
                .replace("@PASSWORD@", &debezium_password())
                .replace("@DATABASE@", database)
                .replace("@SLOT@", slot)
                .replace("@TOPIC@", topic);
            let path = folder.join(format!("{part}.properties"));
            fs::write(&path, text)?;
            Ok(path)
        };
        let mut command = Command::new("java");
        command
            .args(["-Xms256m", "-Xmx2g", "-XX:+UseG1GC"])
            .arg(format!(
                "-Dlog4j2.configurationFile={}",
                site.debezium.join("log4j2.properties").display()
            ))
            .arg("-cp")
            .arg(format!("{}/*", site.debezium_jars.display()))
            .arg("org.apache.kafka.connect.cli.ConnectStandalone")
            .args([fill("worker")?, fill("connector")?]);
        Self::spawn(&mut command, &site.folder.join("debezium.log"))
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Most memory it ever had, in MiB.
    pub fn peak(&self) -> f64 {
        usage::memory(self.pid()).1
    }

    /// Fails when it has ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("the relay ended by itself: {status}; see its log"),
        }
    }

    /// As a crash does: no goodbye.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Its role lives as long as the instance and can reach nothing else.
fn debezium_password() -> String {
    format!("{:x}", std::process::id())
}

/// Makes Debezium's role.
pub async fn create_debezium_role(site: &Site) -> anyhow::Result<()> {
    let admin = site.connect("postgres").await?;
    let known = "select 1 from pg_roles where rolname = $1";
    if admin.query_opt(known, &[&DEBEZIUM_ROLE]).await?.is_none() {
        admin
            .batch_execute(&format!("create role {DEBEZIUM_ROLE}"))
            .await?;
    }
    let alter = format!(
        "alter role {DEBEZIUM_ROLE} login replication password '{}'",
        debezium_password()
    );
    Ok(admin.batch_execute(&alter).await?)
}
