//! Breaks the endpoints, Redis and the gateways, and mends them; notes from when to when.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use serde_json::Value;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep, timeout},
};

use super::{Mutant, book::Book, client::Gateways, place::Place};
use crate::{
    fleet::Fleet,
    inject::{Hands, control},
    plan::{BEHIND, Kind, Manner, Planned, Role, Server, service_of},
};

/// After a fault a service is left alone for so long: endpoints that a gateway has left out are taken again by then, and a
/// fault is not judged by what the one before it has left behind.
const ALONE: Duration = Duration::from_secs(7);

/// A part of which only one thing is broken at a time, and when the last was mended.
type Part = Mutex<Option<Instant>>;

/// The power over all parts.
pub struct Breaker {
    /// The gateways.
    pub fleet: Arc<Fleet>,
    /// How they are reached.
    pub gateways: Arc<Gateways>,
    /// The endpoints.
    pub places: Vec<Arc<Place>>,
    /// Where it is noted.
    pub book: Arc<Book>,
    /// The script that has power over Redis.
    pub control: PathBuf,
    /// Whether connections can be reset from outside.
    pub cut: bool,
    /// The gateways' configuration.
    pub configuration: Configuration,
    edge: Part,
    redis: Part,
    services: [Part; BEHIND.len()],
}

/// The file that both gateways are configured by.
pub struct Configuration {
    /// The file.
    pub file: PathBuf,
    /// What is wrong on purpose.
    pub mutant: Option<Mutant>,
}

impl Configuration {
    /// One that is good, and differs from others by the longest body that it allows.
    pub fn write(&self, kib: u64) -> anyhow::Result<()> {
        let never = self.mutant == Some(Mutant::Blind);
        let often = |count: u32| if never { 1_000_000 } else { count };
        let text = format!(
            "[classes]\nnormal.body = '{kib}KiB'\n\
             [upstream.health]\ninterval = '{}ms'\ntimeout = '1s'\nunhealthy = {}\n\
             [upstream.outlier]\nconsecutive = {}\neject = '{}s'\nlongest = '{}s'\n\
             [upstream.breaker]\nopen = '2500ms'\nmin_requests = {}\n",
            super::INTERVAL.as_millis(),
            often(3),
            often(super::CONSECUTIVE),
            super::EJECT.as_secs(),
            super::LONGEST.as_secs(),
            often(20),
        );
        self.put(&text)
    }

    fn put(&self, text: &str) -> anyhow::Result<()> {
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, text)?;
        fs::rename(fresh, &self.file).context("the gateways' configuration")
    }
}

impl Breaker {
    /// Over these.
    pub fn new(
        fleet: &Arc<Fleet>,
        gateways: &Arc<Gateways>,
        places: Vec<Arc<Place>>,
        book: &Arc<Book>,
        control: PathBuf,
        cut: bool,
        configuration: Configuration,
    ) -> Self {
        Self {
            fleet: fleet.clone(),
            gateways: gateways.clone(),
            places,
            book: book.clone(),
            control,
            cut,
            configuration,
            edge: Part::default(),
            redis: Part::default(),
            services: Default::default(),
        }
    }

    async fn part(&self, planned: Planned) -> MutexGuard<'_, Option<Instant>> {
        let part = match planned.kind {
            Kind::Endpoint(_) => &self.services[service_of(planned.which)],
            Kind::Service => &self.services[planned.which],
            Kind::KillRedis
            | Kind::StopRedis
            | Kind::SlowRedis
            | Kind::EmptyRedis
            | Kind::Cut(_) => &self.redis,
            _ => &self.edge,
        };
        let part = part.lock().await;
        if let (Kind::Endpoint(_) | Kind::Service, Some(mended)) = (planned.kind, *part) {
            tokio::time::sleep_until(mended + ALONE).await;
        }
        part
    }

    async fn redis(&self, words: &[&str]) -> anyhow::Result<()> {
        control(&self.control, words).await
    }

    /// Endpoints of a service.
    fn of_service(&self, service: usize) -> impl Iterator<Item = &Arc<Place>> {
        let mut all = self.places.iter();
        std::iter::from_fn(move || all.find(|p| service_of(p.number) == service))
    }

    async fn page(&self, gateway: usize) -> Option<Value> {
        let url = format!("http://{}/configz", self.gateways.admins[gateway]);
        let asked = reqwest::Client::builder().no_proxy().build().ok()?;
        let asked = asked.get(url).timeout(Duration::from_secs(5)).send();
        asked.await.ok()?.json().await.ok()
    }

    /// Waits until both gateways say so of their configuration.
    async fn until(&self, what: &str, so: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let all = async {
            for gateway in 0..2 {
                while !self.page(gateway).await.is_some_and(|page| so(&page)) {
                    sleep(Duration::from_millis(100)).await;
                }
            }
        };
        timeout(Duration::from_secs(30), all)
            .await
            .with_context(|| format!("no gateway says that {what}"))
    }

    async fn reconfigure(&self) -> anyhow::Result<()> {
        let kib = 100 + self.book.number() % 1_000;
        self.configuration.write(kib)?;
        self.until("the configuration is taken over", |page| {
            page["configuration"]["classes"]["normal"]["body"] == kib * 1024
                && page["refused"].is_null()
        })
        .await
    }

    async fn change(&self, planned: Planned) -> anyhow::Result<()> {
        let (which, lasts) = (planned.which, planned.lasts);
        match planned.kind {
            Kind::Endpoint(manner) => {
                let place = self.places.get(which).context("no such endpoint")?;
                place.behave(Some(manner));
                place.listens(manner != Manner::Gone).await;
                sleep(lasts).await;
                place.behave(None);
                place.listens(true).await;
            }
            Kind::Service => {
                self.of_service(which)
                    .for_each(|place| place.behave(Some(Manner::Gone)));
                sleep(lasts).await;
                for place in self.of_service(which) {
                    place.listens(false).await;
                    place.behave(None);
                    place.listens(true).await;
                }
            }
            Kind::KillRedis => {
                self.redis(&["redis-kill"]).await?;
                sleep(lasts).await;
                self.redis(&["redis-start"]).await?;
            }
            Kind::StopRedis => {
                self.redis(&["redis-stop"]).await?;
                sleep(lasts).await;
                self.redis(&["redis-cont"]).await?;
            }
            Kind::SlowRedis => {
                let seconds = lasts.as_secs().max(1).to_string();
                self.redis(&["redis-slow", &seconds]).await?;
            }
            Kind::EmptyRedis => self.redis(&["redis-empty"]).await?,
            Kind::Cut(Server::Redis) => self.redis(&["cut", "redis"]).await?,
            Kind::Kill(role) => {
                self.fleet.kill(role, which);
                sleep(lasts).await;
                self.start(role, which).await?;
            }
            Kind::Stop(role) => {
                self.fleet.signal(role, which, "STOP");
                sleep(lasts).await;
                self.fleet.signal(role, which, "CONT");
                self.gateways.come_up(which).await?;
            }
            Kind::Restart(role) => {
                self.fleet.end(role, which).await?;
                self.start(role, which).await?;
            }
            Kind::Reload => self.reconfigure().await?,
            Kind::ReloadBad => {
                let bad = "[classes]\nnormal.body = '1KiB'\n[upstream.breaker]\nopne = '1s'\n";
                self.configuration.put(bad)?;
                let refused = |page: &Value| !page["refused"].is_null();
                self.until("it refuses a bad configuration", refused)
                    .await?;
                self.reconfigure().await?;
            }
            other => anyhow::bail!("{other} is no fault of this run"),
        }
        Ok(())
    }

    async fn start(&self, role: Role, which: usize) -> anyhow::Result<()> {
        // Until it is seen to be gone, it may still count as ready.
        let gone = async {
            while self.gateways.is_ready(which) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(30), gone).await?;
        self.fleet.start(role, which)?;
        self.gateways.come_up(which).await
    }

    /// Mends whatever is still broken.
    ///
    /// # Errors
    /// When it cannot be mended.
    pub async fn heal(&self) -> anyhow::Result<()> {
        self.fleet.heal()?;
        for place in &self.places {
            place.behave(None);
        }
        self.redis(&["redis-cont"]).await.ok();
        self.redis(&["redis-start"]).await
    }
}

impl Hands for Breaker {
    fn can(&self, kind: Kind) -> bool {
        self.cut || !matches!(kind, Kind::Cut(_))
    }

    async fn inject(&self, planned: Planned, began: Instant) -> anyhow::Result<()> {
        let mut part = self.part(planned).await;
        println!("{:>6.1}s {planned}", began.elapsed().as_secs_f64());
        let from = self.book.now();
        let done = self.change(planned).await;
        self.book.fault(planned.kind, planned.which, from);
        *part = Some(Instant::now());
        done
    }
}
