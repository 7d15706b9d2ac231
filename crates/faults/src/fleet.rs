//! The processes under test: two workers and two consumers, started again whenever they end.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use parking_lot::Mutex;

use crate::{
    plan::Role,
    stage::{SOURCES, Source, Stage},
};

/// A run in which processes end by themselves more often than this is not worth its time.
const MOST_ENDS: usize = 20;

/// How the processes are started.
pub struct Fleet {
    stage: Stage,
    worker: PathBuf,
    keys: PathBuf,
    logs: PathBuf,
    clock: Option<PathBuf>,
    seats: [Seat; 4],
}

struct Seat {
    role: Role,
    which: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    child: Option<Child>,
    /// It was killed and is to stay down.
    held: bool,
    /// What it ended with, when it was not killed.
    ends: Vec<String>,
}

impl Fleet {
    /// Of the worker's binary; `clock` is the library between a process and its clock.
    pub fn new(
        stage: &Stage,
        worker: &Path,
        keys: &Path,
        logs: &Path,
        clock: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let services = SOURCES.map(|Source { service, http, .. }| {
            format!(
                "[[service]]\nname = \"{service}\"\nhttp = {http}\ndatabase = \"bahi_{service}\"\n"
            )
        });
        let register = format!(
            "[topics]\npartitions = 12\nretention_days = 1\nnames = []\n{}",
            services.concat()
        );
        fs::write(logs.join("services.toml"), register)?;
        let seat = |role, which| Seat {
            role,
            which,
            state: Mutex::default(),
        };
        let fleet = Self {
            stage: stage.clone(),
            worker: worker.to_owned(),
            keys: keys.to_owned(),
            logs: logs.to_owned(),
            clock,
            seats: [
                seat(Role::Worker, 0),
                seat(Role::Worker, 1),
                seat(Role::Consumer, 0),
                seat(Role::Consumer, 1),
            ],
        };
        for role in [Role::Worker, Role::Consumer] {
            fleet.set_clock(role, 0)?;
            for which in 0..2 {
                fleet.start(role, which)?;
            }
        }
        Ok(fleet)
    }

    fn seat(&self, role: Role, which: usize) -> &Seat {
        let seat = self
            .seats
            .iter()
            .find(|seat| seat.role == role && seat.which == which);
        seat.unwrap_or(&self.seats[0])
    }

    fn name(role: Role, which: usize) -> String {
        let role = match role {
            Role::Worker => "worker",
            Role::Consumer => "consumer",
        };
        format!("{role}-{}", which + 1)
    }

    /// Sets how far the clock of the second process of a role is from the true time.
    pub fn set_clock(&self, role: Role, offset: i64) -> anyhow::Result<()> {
        let file = self.logs.join(format!("{}.clock", Self::name(role, 1)));
        // Whole at any moment: the process reads it when it likes.
        let fresh = file.with_extension("new");
        fs::write(&fresh, format!("{offset:+}"))?;
        fs::rename(fresh, file)?;
        Ok(())
    }

    fn command(&self, role: Role, which: usize) -> anyhow::Result<Command> {
        // A process never outlives the run, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let (1, Some(library)) = (which, &self.clock) {
            let file = self.logs.join(format!("{}.clock", Self::name(role, 1)));
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", file)
                .env("FAKETIME_CACHE_DURATION", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("DONT_FAKE_MONOTONIC", "1")
                .env("FAKETIME_DONT_RESET", "1");
        }
        match role {
            Role::Worker => {
                command
                    .arg(&self.worker)
                    .env("BAHI_LISTEN", "127.0.0.1:0")
                    .env("BAHI_KAFKA", &self.stage.kafka)
                    .env("BAHI_REGISTER", self.logs.join("services.toml"))
                    .env("BAHI_KEY_FILE", self.keys.join("private/outbox-worker.pem"))
                    .env("BAHI_TRUST_DIR", self.keys.join("public"))
                    .env("HOSTNAME", Self::name(role, which))
                    .env("BAHI_LOG", "info");
                for source in SOURCES {
                    let name = format!("BAHI_RELAY_{}_URL", source.service.to_uppercase());
                    command.env(name, self.stage.relay_url(source));
                }
            }
            Role::Consumer => {
                command
                    .arg(std::env::current_exe()?)
                    .args(["consume", "--kafka", &self.stage.kafka])
                    .env("BAHI_FAULTS_EFFECTS", self.stage.effects_url());
            }
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(role, which))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    fn log(&self, role: Role, which: usize) -> PathBuf {
        self.logs.join(format!("{}.log", Self::name(role, which)))
    }

    /// Starts a process, unless it runs.
    pub fn start(&self, role: Role, which: usize) -> anyhow::Result<()> {
        let mut state = self.seat(role, which).state.lock();
        state.held = false;
        if state.child.is_none() {
            let name = Self::name(role, which);
            let child = self.command(role, which)?.spawn();
            state.child = Some(child.with_context(|| format!("starting {name}"))?);
        }
        Ok(())
    }

    /// SIGKILL; it stays down until it is started.
    pub fn kill(&self, role: Role, which: usize) {
        let mut state = self.seat(role, which).state.lock();
        state.held = true;
        if let Some(mut child) = state.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Sends a signal by name.
    pub fn signal(&self, role: Role, which: usize, name: &str) {
        let state = self.seat(role, which).state.lock();
        if let Some(child) = &state.child {
            let pid = child.id().to_string();
            Command::new("kill").args(["-s", name, &pid]).status().ok();
        }
    }

    /// Starts again what ended by itself, and notes that it did; returns when that happens too often.
    pub async fn watch(&self) {
        while self.ends().len() < MOST_ENDS {
            for seat in &self.seats {
                let ended = {
                    let mut state = seat.state.lock();
                    let ended = state
                        .child
                        .as_mut()
                        .and_then(|c| c.try_wait().ok())
                        .flatten();
                    if let Some(status) = ended {
                        state.child = None;
                        let name = Self::name(seat.role, seat.which);
                        println!("        {name} ended by itself: {status}");
                        state.ends.push(format!("{name}: {status}"));
                    }
                    ended.is_some() && !state.held
                };
                if ended && let Err(error) = self.start(seat.role, seat.which) {
                    println!("        {error:#}");
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What ended without having been killed.
    pub fn ends(&self) -> Vec<String> {
        self.seats
            .iter()
            .flat_map(|seat| seat.state.lock().ends.clone())
            .collect()
    }

    /// How often the logs of the workers say this.
    pub fn said(&self, text: &str) -> usize {
        (0..2)
            .filter_map(|which| fs::read_to_string(self.log(Role::Worker, which)).ok())
            .map(|log| log.matches(text).count())
            .sum()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for seat in &self.seats {
            self.kill(seat.role, seat.which);
        }
    }
}
