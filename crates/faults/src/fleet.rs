//! The processes under test, started again whenever they end.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::plan::Role;

/// A run in which processes end by themselves more often than this is not worth its time.
pub const MOST_ENDS: usize = 20;
/// A process that was told to end and has not after this long does not end.
const GRACE: Duration = Duration::from_secs(40);

/// A command whose process never outlives the run, however that ends; what is to run comes first of its arguments.
pub fn mortal() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    command
}

/// A process of the run.
pub struct Seat {
    role: Role,
    which: usize,
    /// Adds to a command what this process is.
    describe: Box<dyn Fn(&mut Command) + Send + Sync>,
    state: Mutex<State>,
}

impl Seat {
    /// Of a role; `describe` adds binary, arguments and environment.
    pub fn of(
        role: Role,
        which: usize,
        describe: impl Fn(&mut Command) + Send + Sync + 'static,
    ) -> Self {
        Self {
            role,
            which,
            describe: Box::new(describe),
            state: Mutex::default(),
        }
    }

    fn name(&self) -> String {
        match self.role.count() {
            1 => self.role.name().to_owned(),
            _ => format!("{}-{}", self.role.name(), self.which + 1),
        }
    }
}

#[derive(Default)]
struct State {
    child: Option<Child>,
    /// It was killed and is to stay down.
    held: bool,
    /// What it ended with, when it was not killed.
    ends: Vec<String>,
}

/// All of them.
pub struct Fleet {
    logs: PathBuf,
    /// The library between the second process of a role and its clock.
    clock: Option<PathBuf>,
    seats: Vec<Seat>,
}

impl Fleet {
    /// Starts them; `clock` is the library between the second process of a role and its clock.
    pub fn start_all(
        logs: &Path,
        clock: Option<PathBuf>,
        seats: Vec<Seat>,
    ) -> anyhow::Result<Self> {
        let fleet = Self {
            logs: logs.to_owned(),
            clock,
            seats,
        };
        for seat in &fleet.seats {
            fleet.set_clock(seat.role, 0)?;
            fleet.start(seat.role, seat.which)?;
        }
        Ok(fleet)
    }

    fn seat(&self, role: Role, which: usize) -> anyhow::Result<&Seat> {
        let mut seats = self.seats.iter();
        let found = seats.find(|seat| seat.role == role && seat.which == which);
        found.with_context(|| format!("no {} {which}", role.name()))
    }

    fn clock_file(&self, role: Role) -> PathBuf {
        self.logs.join(format!("{}.clock", role.name()))
    }

    /// Sets how far the clock of the second process of a role is from the true time.
    pub fn set_clock(&self, role: Role, offset: i64) -> anyhow::Result<()> {
        let file = self.clock_file(role);
        // Whole at any moment: the process reads it when it likes.
        let fresh = file.with_extension("new");
        fs::write(&fresh, format!("{offset:+}"))?;
        fs::rename(fresh, file)?;
        Ok(())
    }

    fn command(&self, seat: &Seat) -> anyhow::Result<Command> {
        let mut command = mortal();
        if let (1, Some(library)) = (seat.which, &self.clock) {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", self.clock_file(seat.role))
                .env("FAKETIME_CACHE_DURATION", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("DONT_FAKE_MONOTONIC", "1")
                .env("FAKETIME_DONT_RESET", "1");
        }
        (seat.describe)(&mut command);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(seat))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    fn log(&self, seat: &Seat) -> PathBuf {
        self.logs.join(format!("{}.log", seat.name()))
    }

    /// Starts a process, unless it runs.
    pub fn start(&self, role: Role, which: usize) -> anyhow::Result<()> {
        let seat = self.seat(role, which)?;
        let mut state = seat.state.lock();
        state.held = false;
        if state.child.is_none() {
            let child = self.command(seat)?.spawn();
            state.child = Some(child.with_context(|| format!("starting {}", seat.name()))?);
        }
        Ok(())
    }

    /// SIGKILL; it stays down until it is started.
    pub fn kill(&self, role: Role, which: usize) {
        let Ok(seat) = self.seat(role, which) else {
            return;
        };
        let mut state = seat.state.lock();
        state.held = true;
        if let Some(mut child) = state.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// SIGTERM, and waits until it has ended; it stays down until it is started.
    ///
    /// # Errors
    /// When it does not end in time, or not well. It is down then, too.
    pub async fn end(&self, role: Role, which: usize) -> anyhow::Result<()> {
        let seat = self.seat(role, which)?;
        self.signal(role, which, "TERM");
        let child = {
            let mut state = seat.state.lock();
            state.held = true;
            state.child.take()
        };
        let Some(mut child) = child else {
            return Ok(());
        };
        let told = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                anyhow::ensure!(status.success(), "{} ended with {status}", seat.name());
                return Ok(());
            }
            if told.elapsed() > GRACE {
                child.kill().ok();
                child.wait().ok();
                anyhow::bail!("{} does not end", seat.name());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a signal by name.
    pub fn signal(&self, role: Role, which: usize, name: &str) {
        let Ok(seat) = self.seat(role, which) else {
            return;
        };
        let state = seat.state.lock();
        if let Some(child) = &state.child {
            bahi_testkit::signal(child.id(), name);
        }
    }

    /// All of them run, by the true time.
    pub fn heal(&self) -> anyhow::Result<()> {
        for seat in &self.seats {
            self.set_clock(seat.role, 0)?;
            self.signal(seat.role, seat.which, "CONT");
            self.start(seat.role, seat.which)?;
        }
        Ok(())
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
                        let name = seat.name();
                        println!("        {name} ended by itself: {status}");
                        state.ends.push(format!("{name}: {status}"));
                    }
                    ended.is_some() && !state.held
                };
                if ended && let Err(error) = self.start(seat.role, seat.which) {
                    println!("        {error:#}");
                }
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// What ended without having been killed.
    pub fn ends(&self) -> Vec<String> {
        self.seats
            .iter()
            .flat_map(|seat| seat.state.lock().ends.clone())
            .collect()
    }

    /// How often the logs of a role say this.
    pub fn said(&self, role: Role, text: &str) -> usize {
        self.seats
            .iter()
            .filter(|seat| seat.role == role)
            .filter_map(|seat| fs::read_to_string(self.log(seat)).ok())
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
