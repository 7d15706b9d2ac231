//! A process that is measured: started with all that it needs, ended with us.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::Instant,
};

use crate::usage;

/// How long one may take until it listens. Node loads a thousand files first.
const START: Duration = Duration::from_secs(60);

/// How long one may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A process that runs until this is dropped.
pub struct Process {
    child: Child,
    /// Its number.
    pub pid: u32,
    /// Where it listens on this host.
    pub port: u16,
}

/// A command that runs on these cores, where any are named (as taskset takes them), and writes to a log.
///
/// # Errors
/// When the log cannot be written.
pub fn command(cores: Option<&str>, program: &Path, log: &Path) -> anyhow::Result<Command> {
    let mut command = match cores {
        Some(cores) => {
            let mut command = Command::new("taskset");
            command.args(["-c", cores]).arg(program);
            command
        }
        None => Command::new(program),
    };
    let log = std::fs::File::create(log).with_context(|| log.display().to_string())?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    Ok(command)
}

/// A port of this host that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}

impl Process {
    /// Starts a command that will listen on a port, and waits until it does.
    ///
    /// # Errors
    /// When it does not, or ends.
    pub async fn start(mut command: Command, port: u16) -> anyhow::Result<Self> {
        let name = format!("{:?}", command.as_std().get_program());
        let mut child = command.spawn().with_context(|| name.clone())?;
        let pid = child.id().context("it has ended")?;
        let until = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("{:?} ended while starting: {status}", command.as_std());
            }
            ensure!(
                Instant::now() < until,
                "{:?} does not listen",
                command.as_std()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { child, pid, port })
    }

    /// What it has used of the processors.
    pub fn cpu(&self) -> Duration {
        usage::cpu(self.pid)
    }

    /// Resident memory, in KiB.
    pub fn resident(&self) -> u64 {
        usage::resident(self.pid)
    }

    /// Ends it and waits for that. It is asked first: a master that is killed leaves its workers behind.
    pub async fn end(mut self) {
        bahi_testkit::signal(self.pid, "TERM");
        if tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await;
        }
    }
}
