//! Periodic work.

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

/// Work done again and again. It must be idempotent: it may be cut off anywhere, and several replicas may do it
/// at once.
#[derive(Clone)]
pub struct Job {
    name: &'static str,
    every: Duration,
    work: Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>,
}

impl Job {
    /// A job that runs when the service starts and then each time `every` has passed since its last end.
    pub fn every<F, Fut>(name: &'static str, every: Duration, work: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self {
            name,
            every,
            work: Arc::new(move || Box::pin(work())),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs it once now.
    ///
    /// # Errors
    /// What the work reports.
    pub async fn once(&self) -> anyhow::Result<()> {
        (self.work)().await
    }

    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.once().await {
                tracing::warn!(
                    job = self.name,
                    error = format!("{error:#}"),
                    "the job failed; it runs again"
                );
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.every) => {}
            }
        }
    }
}

/// What failed of a job's tasks. Each failure is logged and the other tasks go on, so that one bad row, or one tenant's
/// trouble, stops nobody else's work; the job itself fails with the first of them.
#[derive(Debug)]
pub struct Failures<E>(Option<E>);

impl<E: Debug> Failures<E> {
    /// Nothing has failed yet.
    pub fn none() -> Self {
        Self(None)
    }

    /// What a task came to; none when it failed.
    pub fn pass<T>(&mut self, task: Result<T, E>) -> Option<T> {
        match task {
            Ok(done) => Some(done),
            Err(error) => {
                tracing::warn!(?error, "a task of a job failed; the others go on");
                self.0.get_or_insert(error);
                None
            }
        }
    }

    /// The end of the job.
    ///
    /// # Errors
    /// The first failure.
    pub fn end(self) -> Result<(), E> {
        self.0.map_or(Ok(()), Err)
    }
}
