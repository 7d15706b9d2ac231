//! Closed from a restore until the database has been compared with the topic.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use bahi_db::{Ctx, Db};
use bahi_events::Topic;
use bahi_kafka::{Part, Reader};
use bahi_service::Env;
use bahi_types::TenantId;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    reconcile,
    store::{self, Reached},
};
use crate::error::{Error, Result};

/// The look at the topic's tail must not keep tills waiting.
const GLANCE: Duration = Duration::from_secs(3);

/// Whether this database may be sold from.
#[derive(Clone)]
pub(crate) struct Restore(Arc<Inner>);

struct Inner {
    db: Db,
    place: Option<Place>,
    open: AtomicBool,
    reconciling: AtomicBool,
    /// One looks, the others wait for what it finds.
    turn: Mutex<()>,
}

/// Where the service's events are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub brokers: String,
    pub topics: Vec<String>,
}

/// Of no tenant.
pub(super) fn nobody(db: &Db) -> Ctx {
    Ctx::service(db.service(), TenantId::from_uuid(Uuid::nil()))
}

impl Restore {
    pub(crate) fn new(db: Db, env: &Env) -> Self {
        let prefix = env.optional("BAHI_TOPIC_PREFIX").unwrap_or_default();
        let place = env.optional("BAHI_KAFKA").map(|brokers| Place {
            brokers,
            topics: [Topic::Billing, Topic::Orders]
                .map(|topic| format!("{prefix}{}", topic.name()))
                .to_vec(),
        });
        Self(Arc::new(Inner {
            db,
            place,
            open: AtomicBool::new(false),
            reconciling: AtomicBool::new(false),
            turn: Mutex::default(),
        }))
    }

    /// Refuses from a restore until the topic was read.
    pub(crate) async fn passed(&self) -> Result<()> {
        if self.is_open() {
            return Ok(());
        }
        let _turn = self.0.turn.lock().await;
        if self.is_open() {
            return Ok(());
        }
        match self.look().await {
            Ok(true) => {
                self.0.open.store(true, Ordering::Release);
                Ok(())
            }
            Ok(false) => Err(Error::Restoring),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "nothing is sold");
                Err(Error::Restoring)
            }
        }
    }

    /// Closes the gate when the epoch was raised while the service ran, as the relay does after a failover.
    pub(crate) async fn watch(&self) -> anyhow::Result<()> {
        let db = &self.0.db;
        if self.is_open() && !store::is_reconciled(db, &nobody(db)).await? {
            tracing::warn!("the epoch was raised: nothing is sold until the topic is read");
            self.0.open.store(false, Ordering::Release);
        }
        Ok(self.passed().await?)
    }

    fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Acquire)
    }

    /// Whether the gate opens; if not, the comparison is under way.
    async fn look(&self) -> anyhow::Result<bool> {
        let inner = &self.0;
        if store::is_reconciled(&inner.db, &nobody(&inner.db)).await? {
            if let Some(place) = &inner.place {
                self.glance(place).await?;
            }
            return Ok(true);
        }
        let place = inner
            .place
            .clone()
            .context("the database was restored, and without BAHI_KAFKA nothing can be read")?;
        if !inner.reconciling.swap(true, Ordering::AcqRel) {
            let inner = inner.clone();
            tokio::spawn(async move {
                if let Err(error) = reconcile::run(&inner.db, &place).await {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the restored database was not compared with its topic; trying again"
                    );
                }
                inner.reconciling.store(false, Ordering::Release);
            });
        }
        Ok(false)
    }

    /// The last records of the topic must be ones that this database has written.
    async fn glance(&self, place: &Place) -> anyhow::Result<()> {
        let seen = place.clone();
        let tails = tokio::task::spawn_blocking(move || tails(&seen));
        let last = match tokio::time::timeout(GLANCE, tails).await {
            Ok(Ok(Ok(last))) => last,
            // Kafka may be away for hours; tills sell on.
            unknown => {
                tracing::warn!(?unknown, "the end of the topic cannot be seen");
                return Ok(());
            }
        };
        // Asked after the topic: what is in it was in the outbox before.
        let Reached { epoch, seq } = store::reached(&self.0.db, &nobody(&self.0.db)).await?;
        ensure!(
            last <= (epoch, seq),
            "{} holds event {}/{} of this service, and its database has come to {epoch}/{seq}: it was restored \
             without raising outbox.epoch above {}",
            place.topics.join(" or "),
            last.0,
            last.1,
            last.0
        );
        Ok(())
    }
}

/// The furthest (epoch, number) among the last records of the partitions.
fn tails(place: &Place) -> anyhow::Result<(i64, i64)> {
    let reader = Reader::connect(&place.brokers)?;
    let mut last = (0, 0);
    for topic in &place.topics {
        let parts: Vec<Part> = reader
            .parts(topic)?
            .into_iter()
            .map(|part| Part {
                from: part.from.max(part.to - 1),
                ..part
            })
            .collect();
        reader.read(topic, &parts, |record| {
            if record.header("ce_source") == Some("/services/sales") {
                let number = |name| record.header(name).and_then(|text| text.parse().ok());
                if let (Some(epoch), Some(seq)) = (number("x-outbox-epoch"), number("x-outbox-seq"))
                {
                    last = last.max((epoch, seq));
                }
            }
            Ok(())
        })?;
    }
    Ok(last)
}
