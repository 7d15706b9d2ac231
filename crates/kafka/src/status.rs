//! How far a running consumer is, for metrics, readiness and tests.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context;
use bahi_db::{Batch, Db};
use tokio::sync::{mpsc, oneshot};

use crate::ends::Ends;

/// A partition of a running consumer, as of its last look (every five seconds).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The offset it reads next.
    pub next: i64,
    /// The offset the topic's next record will get.
    pub end: i64,
}

/// A question to the running consumer.
pub(crate) type Ask = oneshot::Sender<anyhow::Result<Ends>>;

/// A handle on a consumer that may be running. Cheap to clone.
#[derive(Clone)]
pub struct Status {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    seen: Mutex<Vec<PartitionStatus>>,
    asks: mpsc::UnboundedSender<Ask>,
    db: OnceLock<Db>,
}

impl Status {
    pub(crate) fn new(name: &str) -> (Self, mpsc::UnboundedReceiver<Ask>) {
        let (asks, asked) = mpsc::unbounded_channel();
        let inner = Inner {
            name: name.to_owned(),
            seen: Mutex::default(),
            asks,
            db: OnceLock::new(),
        };
        (
            Self {
                inner: Arc::new(inner),
            },
            asked,
        )
    }

    pub(crate) fn running_on(&self, db: &Db) {
        // A consumer runs once.
        self.inner.db.set(db.clone()).ok();
    }

    pub(crate) fn saw(&self, partitions: Vec<PartitionStatus>) {
        *self
            .inner
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = partitions;
    }

    /// The partitions that belong to this process.
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        self.inner
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Where all partitions of the consumer's topics end, asked of the broker now.
    ///
    /// # Errors
    /// When the consumer does not run, or the broker does not answer.
    pub async fn ends(&self) -> anyhow::Result<Ends> {
        let (ask, answer) = oneshot::channel();
        self.inner
            .asks
            .send(ask)
            .ok()
            .context("the consumer has ended")?;
        answer.await.context("the consumer has ended")?
    }

    /// Whether everything before `ends` has been consumed, by whichever process. Rejected records and those
    /// that wait behind them count as consumed.
    ///
    /// # Errors
    /// When the database cannot be reached, or the consumer was never started.
    pub async fn reached(&self, ends: &Ends) -> anyhow::Result<bool> {
        let db = self
            .inner
            .db
            .get()
            .context("the consumer was never started")?;
        let mut batch = Batch::begin(db, None).await?;
        let positions = batch.standing(&self.inner.name).await?;
        batch.rollback().await?;
        Ok(ends.0.iter().all(|end| {
            let position = positions
                .iter()
                .find(|p| p.topic == end.topic && p.partition == end.partition);
            end.lag(position.map_or(0, |position| position.next)) == 0
        }))
    }

    /// Whether everything that is in the topics now has been consumed.
    ///
    /// # Errors
    /// As [`Status::ends`] and [`Status::reached`].
    pub async fn caught_up(&self) -> anyhow::Result<bool> {
        self.reached(&self.ends().await?).await
    }
}
