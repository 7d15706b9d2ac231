//! Does to the processes and servers what the schedule says, and undoes it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use tokio::{
    process::Command,
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    fleet::Fleet,
    plan::{Kind, Need, Planned, Server, Sessions},
    stage::Stage,
};

/// What can be broken on this machine, and how.
pub struct Injector {
    /// The servers.
    pub stage: Stage,
    /// The processes.
    pub fleet: Arc<Fleet>,
    /// What sessions call themselves, and the databases they are in.
    pub sessions: fn(Sessions) -> (&'static str, Vec<&'static str>),
    /// The script that has power over the servers.
    pub control: PathBuf,
    /// Whether the servers have disks of their own.
    pub disks: bool,
    /// Whether connections can be reset from outside.
    pub cut: bool,
    /// Whether there is a library between a process and its clock.
    pub clock: bool,
    /// One at a time does something to a server: a fault that finds it still coming up waits.
    pub kafka: Mutex<()>,
    /// As `kafka`.
    pub postgres: Mutex<()>,
}

/// Who breaks things and mends them.
pub trait Hands: Send + Sync + 'static {
    /// Whether this machine can do it.
    fn can(&self, kind: Kind) -> bool;

    /// Does it, and undoes it when its time is over.
    fn inject(
        &self,
        planned: Planned,
        began: Instant,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Runs a schedule; returns what was done, in the order it was done, and what could not be done or undone.
pub async fn carry_out<H: Hands>(
    hands: &Arc<H>,
    plan: &[Planned],
    began: Instant,
) -> (Vec<Kind>, Vec<String>) {
    let done = Arc::new(parking_lot::Mutex::new((Vec::new(), Vec::new())));
    let mut tasks = tokio::task::JoinSet::new();
    for planned in plan.iter().copied().filter(|p| hands.can(p.kind)) {
        let (hands, done) = (hands.clone(), done.clone());
        tasks.spawn(async move {
            sleep_until(began + planned.at).await;
            match hands.inject(planned, began).await {
                Ok(()) => done.lock().0.push(planned.kind),
                Err(error) => {
                    println!("        {planned} failed: {error:#}");
                    done.lock().1.push(planned.to_string());
                }
            }
        });
    }
    tasks.join_all().await;
    std::mem::take(&mut *done.lock())
}

/// Says what is planned, and what of it cannot be done here.
pub fn announce(hands: &impl Hands, plan: &[Planned]) {
    let possible = plan.iter().filter(|p| hands.can(p.kind)).count();
    println!(
        "{} faults planned, {possible} of them possible here:",
        plan.len()
    );
    for planned in plan {
        let not = if hands.can(planned.kind) {
            ""
        } else {
            " (not here)"
        };
        println!("{:>6.1}s {planned}{not}", planned.at.as_secs_f64());
    }
}

impl Hands for Injector {
    fn can(&self, kind: Kind) -> bool {
        match kind.need() {
            Need::Nothing => true,
            Need::Disk => self.disks,
            Need::Cut => self.cut,
            Need::Clock => self.clock,
        }
    }

    async fn inject(&self, planned: Planned, began: Instant) -> anyhow::Result<()> {
        let _server = self.server(planned.kind).await;
        println!("{:>6.1}s {planned}", began.elapsed().as_secs_f64());
        let (which, lasts) = (planned.which, planned.lasts);
        match planned.kind {
            Kind::Kill(role) => {
                self.fleet.kill(role, which);
                sleep(lasts).await;
                self.fleet.start(role, which)?;
            }
            Kind::Stop(role) => {
                self.fleet.signal(role, which, "STOP");
                sleep(lasts).await;
                self.fleet.signal(role, which, "CONT");
            }
            Kind::Restart(role) => {
                self.fleet.end(role, which).await?;
                self.fleet.start(role, which)?;
            }
            Kind::KillBroker => {
                self.control(&["broker-kill"]).await?;
                sleep(lasts).await;
                self.control(&["broker-start"]).await?;
            }
            Kind::StopBroker => {
                self.control(&["broker-stop"]).await?;
                sleep(lasts).await;
                self.control(&["broker-cont"]).await?;
            }
            Kind::RestartBroker => {
                self.control(&["broker-end"]).await?;
                self.control(&["broker-start"]).await?;
            }
            Kind::KillPostgres => {
                self.control(&["postgres-kill"]).await?;
                sleep(lasts).await;
                self.control(&["postgres-start"]).await?;
            }
            Kind::StopPostgres => {
                self.control(&["postgres-stop"]).await?;
                sleep(lasts).await;
                self.control(&["postgres-cont"]).await?;
            }
            Kind::RestartPostgres => {
                self.control(&["postgres-end"]).await?;
                self.control(&["postgres-start"]).await?;
            }
            Kind::End(sessions) => self.end(sessions).await?,
            Kind::Cut(server) => self.control(&["cut", name(server)]).await?,
            Kind::Stall(server) => {
                self.control(&["freeze", name(server)]).await?;
                sleep(lasts).await;
                self.control(&["thaw", name(server)]).await?;
            }
            Kind::Slow(server) => {
                let seconds = lasts.as_secs().max(1).to_string();
                self.control(&["slow", name(server), &seconds]).await?;
            }
            Kind::Fill(server) => {
                self.control(&["fill", name(server)]).await?;
                sleep(lasts).await;
                self.control(&["empty", name(server)]).await?;
                match server {
                    Server::Postgres => self.control(&["postgres-start"]).await?,
                    Server::Redis => anyhow::bail!("Redis has no disk"),
                    Server::Kafka => {
                        // The broker gives up by itself when it cannot write; one that had nothing to write is ended.
                        self.control(&["broker-kill"]).await.ok();
                        self.control(&["broker-start"]).await?;
                    }
                }
            }
            Kind::Jump(role) => self.fleet.set_clock(role, planned.offset)?,
            of_gateways => anyhow::bail!("{of_gateways} is no fault of this run"),
        }
        Ok(())
    }
}

impl Injector {
    async fn server(&self, kind: Kind) -> Option<MutexGuard<'_, ()>> {
        match kind {
            Kind::KillBroker
            | Kind::StopBroker
            | Kind::RestartBroker
            | Kind::Stall(Server::Kafka)
            | Kind::Slow(Server::Kafka)
            | Kind::Fill(Server::Kafka) => Some(self.kafka.lock().await),
            Kind::KillPostgres
            | Kind::StopPostgres
            | Kind::RestartPostgres
            | Kind::Stall(Server::Postgres)
            | Kind::Slow(Server::Postgres)
            | Kind::Fill(Server::Postgres) => Some(self.postgres.lock().await),
            _ => None,
        }
    }

    async fn control(&self, words: &[&str]) -> anyhow::Result<()> {
        control(&self.control, words).await
    }

    async fn end(&self, sessions: Sessions) -> anyhow::Result<()> {
        // One that is itself in trouble cannot end sessions: the next moment will do.
        for _ in 0..100 {
            match self.try_end(sessions).await {
                Ok(0) | Err(_) => sleep(Duration::from_millis(200)).await,
                Ok(_) => return Ok(()),
            }
        }
        anyhow::bail!("there was no session to end within 20 s")
    }

    async fn try_end(&self, sessions: Sessions) -> anyhow::Result<i64> {
        let (name, databases) = (self.sessions)(sessions);
        let admin = self.stage.admin("postgres").await?;
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = any($1) and application_name = $2";
        Ok(admin.query_one(end, &[&databases, &name]).await?.get(0))
    }

    /// Undoes whatever is still broken.
    pub async fn heal(&self) -> anyhow::Result<()> {
        self.fleet.heal()?;
        if self.disks {
            for server in [Server::Kafka, Server::Postgres] {
                self.control(&["thaw", name(server)]).await.ok();
                self.control(&["empty", name(server)]).await.ok();
            }
        }
        self.control(&["broker-cont"]).await.ok();
        self.control(&["postgres-cont"]).await.ok();
        self.control(&["broker-start"]).await?;
        self.control(&["postgres-start"]).await
    }
}

/// Has the script do something to a server.
///
/// # Errors
/// When it cannot.
pub async fn control(script: &Path, words: &[&str]) -> anyhow::Result<()> {
    let out = Command::new(script).arg("control").args(words).output();
    let out = out.await.context("scripts/faults")?;
    anyhow::ensure!(
        out.status.success(),
        "{}: {}",
        words.join(" "),
        String::from_utf8_lossy(&out.stderr).trim()
    );
    Ok(())
}

fn name(server: Server) -> &'static str {
    match server {
        Server::Kafka => "kafka",
        Server::Postgres => "postgres",
        Server::Redis => "redis",
    }
}
