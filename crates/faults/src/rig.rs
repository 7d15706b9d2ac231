//! What `scripts/faults` lends a run: servers, keys, binaries and the power over them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use tokio::time::{Instant, sleep};

use crate::{
    fleet::{Fleet, Seat},
    inject::Injector,
    plan::{Kind, Role, Sessions},
    stage::Stage,
};

/// A variable that the script sets.
///
/// # Errors
/// When it does not.
pub fn var(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: scripts/faults starts this"))
}

fn given(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What there is.
pub struct Rig {
    /// The servers.
    pub stage: Stage,
    /// Folder of logs.
    pub logs: PathBuf,
    /// Folder of keys.
    pub keys: PathBuf,
    /// Folder of the binaries.
    pub bin: PathBuf,
    /// The library between a process and its clock.
    pub clock: Option<PathBuf>,
    /// The script that has power over the servers.
    pub control: PathBuf,
    disks: bool,
    /// Whether connections can be reset from outside.
    pub cut: bool,
}

impl Rig {
    /// Prints what is wrong, and says whether nothing is.
    pub fn tell(&self, seed: u64, wrong: &[String]) -> bool {
        for one in wrong.iter().take(60) {
            println!("{one}");
        }
        println!(
            "{}; {} wrong; seed {seed}; logs in {}",
            if wrong.is_empty() {
                "ALL WELL"
            } else {
                "BROKEN"
            },
            wrong.len(),
            self.logs.display()
        );
        wrong.is_empty()
    }

    /// As the environment says.
    ///
    /// # Errors
    /// When it does not.
    pub fn of_env() -> anyhow::Result<Self> {
        Ok(Self {
            stage: Stage {
                postgres: var("BAHI_FAULTS_PG")?,
                kafka: var("BAHI_FAULTS_KAFKA")?,
            },
            logs: PathBuf::from(var("BAHI_FAULTS_LOGS")?),
            keys: PathBuf::from(var("BAHI_FAULTS_KEYS")?),
            bin: PathBuf::from(var("BAHI_FAULTS_BIN")?),
            clock: given("BAHI_FAULTS_CLOCK").map(PathBuf::from),
            control: PathBuf::from(var("BAHI_FAULTS_CONTROL")?),
            disks: given("BAHI_FAULTS_DISKS").is_some(),
            cut: given("BAHI_FAULTS_CUT").is_some(),
        })
    }

    /// What breaks them.
    pub fn injector(
        &self,
        fleet: &Arc<Fleet>,
        sessions: fn(Sessions) -> (&'static str, Vec<&'static str>),
    ) -> Injector {
        Injector {
            stage: self.stage.clone(),
            fleet: fleet.clone(),
            sessions,
            control: self.control.clone(),
            disks: self.disks,
            cut: self.cut,
            clock: self.clock.is_some(),
            kafka: Default::default(),
            postgres: Default::default(),
        }
    }

    /// An outbox worker that relays the databases of these services.
    pub fn worker(&self, which: usize, register: &Path, relayed: &[(&str, &str)]) -> Seat {
        let relays: Vec<(String, String)> = relayed
            .iter()
            .map(|(service, database)| {
                let name = format!("BAHI_RELAY_{}_URL", service.to_uppercase());
                (name, self.stage.relay_url(database))
            })
            .collect();
        let (kafka, keys) = (self.stage.kafka.clone(), self.keys.clone());
        let (binary, register) = (self.bin.join("outbox-worker"), register.to_owned());
        Seat::of(Role::Worker, which, move |command| {
            command
                .arg(&binary)
                .env("BAHI_LISTEN", "127.0.0.1:0")
                .env("BAHI_KAFKA", &kafka)
                .env("BAHI_REGISTER", &register)
                .env("BAHI_KEY_FILE", keys.join("private/outbox-worker.pem"))
                .env("BAHI_TRUST_DIR", keys.join("public"))
                .env("HOSTNAME", format!("worker-{}", which + 1))
                .env("BAHI_LOG", "info")
                .envs(relays.clone());
        })
    }
}

/// Says which faults were done.
pub fn tell_faults(done: &[Kind]) {
    let mut kinds = BTreeMap::<Kind, usize>::new();
    for kind in done {
        *kinds.entry(*kind).or_default() += 1;
    }
    println!("\n{} faults", done.len());
    for (kind, count) in kinds {
        println!("{count:>6}  {kind}");
    }
}

/// Waits until `left` says that nothing committed is left to publish, read and handle; says what is missing when nothing
/// moves for a minute.
pub async fn drained(left: impl AsyncFn() -> anyhow::Result<Option<String>>) -> Option<String> {
    let (mut last, mut moved) = (String::new(), Instant::now());
    loop {
        let state = match left().await {
            Ok(None) => return None,
            Ok(Some(state)) => state,
            Err(error) => format!("{error:#}"),
        };
        if state != last {
            (last, moved) = (state, Instant::now());
        } else if moved.elapsed() > Duration::from_secs(60) {
            return Some(last);
        }
        sleep(Duration::from_millis(250)).await;
    }
}
