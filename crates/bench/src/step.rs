//! A step of a load: how fast, how long each took, and what was refused.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

/// What was done in a step, and the latencies in microseconds.
pub struct Step {
    /// Per second.
    pub rate: f64,
    /// Microseconds.
    pub latency: Histogram<u64>,
}

/// Refusals of all steps together: one fails the run.
#[derive(Default)]
pub struct Refusals {
    count: AtomicU64,
    first: Mutex<Option<String>>,
}

impl Refusals {
    /// Counts a refusal.
    pub fn note<T>(&self, result: anyhow::Result<T>) {
        if let Err(error) = result {
            self.count.fetch_add(1, Ordering::Relaxed);
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| format!("{error:#}"));
        }
    }

    /// # Errors
    /// When anything was refused.
    pub fn verdict(&self) -> anyhow::Result<()> {
        let count = self.count.load(Ordering::Relaxed);
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(
            count == 0,
            "{count} were refused; the first: {}",
            first.as_deref().unwrap_or_default()
        );
        Ok(())
    }
}

/// As fast as `lanes` of them can, for `time`.
///
/// # Errors
/// When a lane panics.
pub async fn closed<F, Fut>(lanes: usize, time: Duration, one: &F) -> anyhow::Result<Step>
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let started = Instant::now();
    let end = started + time;
    let lanes = (0..lanes).map(|lane| {
        let one = one.clone();
        tokio::spawn(async move {
            let mut latency = microseconds()?;
            while Instant::now() < end {
                let began = Instant::now();
                one(lane).await;
                latency.saturating_record(micros(began));
            }
            anyhow::Ok(latency)
        })
    });
    let mut latency = microseconds()?;
    for lane in futures::future::join_all(lanes).await {
        latency.add(lane??)?;
    }
    Ok(Step {
        rate: per_second(latency.len(), started.elapsed()),
        latency,
    })
}

/// On a schedule: one is due every 1/`rate` second and its time runs from when it was due, sent or not.
///
/// # Errors
/// When one panics.
pub async fn open<F, Fut>(rate: u32, time: Duration, one: &F) -> anyhow::Result<Step>
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let latency = Arc::new(Mutex::new(microseconds()?));
    let started = Instant::now();
    let count = rate * u32::try_from(time.as_secs())?;
    let mut running = tokio::task::JoinSet::new();
    for n in 0..count {
        let due = started + Duration::from_secs(1) * n / rate;
        tokio::time::sleep_until(due.into()).await;
        let (one, latency) = (one.clone(), latency.clone());
        running.spawn(async move {
            one(n as usize).await;
            latency
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .saturating_record(micros(due));
        });
    }
    while let Some(done) = running.join_next().await {
        done?;
    }
    let latency = latency
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    Ok(Step {
        rate: per_second(latency.len(), started.elapsed()),
        latency,
    })
}

/// The line above the steps.
pub fn heading(what: &str, rate: &str) {
    println!(
        "\n{what:28} {rate:>9} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "p50 ms", "p95 ms", "p99 ms", "floor/s", "ratio"
    );
}

impl Step {
    /// Milliseconds at a quantile.
    #[allow(clippy::float_arithmetic)] // a time, not money
    pub fn millis(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// One line; with the floor and the ratio to it where there is one.
    pub fn print(&self, name: &str, floor: Option<(f64, f64)>) {
        let (at_floor, ratio) = floor.map_or_else(Default::default, |(f, r)| {
            (format!("{f:.0}"), format!("{r:.3}"))
        });
        println!(
            "{name:28} {:>9.1} {:>9.2} {:>9.2} {:>9.2} {at_floor:>9} {ratio:>7}",
            self.rate,
            self.millis(0.5),
            self.millis(0.95),
            self.millis(0.99)
        );
    }
}

/// Up to a minute.
///
/// # Errors
/// Never.
pub fn microseconds() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(60_000_000, 3)?)
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// A rate.
#[allow(clippy::float_arithmetic)] // a rate, not money
pub fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
