//! After a restore no hold is granted and nobody moves stock by hand until the events of the meantime have been read: goods
//! may be gone that the restored balances still show. What happened (events) moves stock, and a batch can be blocked.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use bahi_db::{Ctx, Db, Tx, sql};
use bahi_kafka::{Ends, Status};
use bahi_types::TenantId;
use diesel::{QueryableByName, sql_types::Bool};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::Error;

/// Whether this database has caught up with its topics since it was restored.
#[derive(Clone)]
pub struct Restore(Arc<Inner>);

struct Inner {
    db: Db,
    open: AtomicBool,
    status: OnceLock<Status>,
    /// The ends that were read at start.
    ends: tokio::sync::OnceCell<Ends>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Bool)]
    caught_up: bool,
}

impl Restore {
    pub(crate) fn new(db: Db) -> Self {
        Self(Arc::new(Inner {
            db,
            open: AtomicBool::new(false),
            status: OnceLock::new(),
            ends: tokio::sync::OnceCell::new(),
        }))
    }

    /// The consumer whose progress counts.
    pub(crate) fn watch(&self, status: Status) {
        // A second consumer of this process reads the same topics; the first is enough.
        let _ = self.0.status.set(status);
    }

    /// Refuses while a restored database has not caught up.
    ///
    /// # Errors
    /// [`Error::Restoring`].
    pub async fn passed(&self) -> Result<(), Error> {
        if AtomicBool::load(&self.0.open, Ordering::Acquire) {
            return Ok(());
        }
        self.look().await.map_err(|error| {
            tracing::warn!(
                error = format!("{error:#}"),
                "stock is neither promised nor moved until the events since the restore are read"
            );
            Error::Restoring
        })
    }

    async fn look(&self) -> anyhow::Result<()> {
        let inner = &self.0;
        if !self.recorded().await? {
            let Some(status) = inner.status.get() else {
                anyhow::bail!("nothing is heard")
            };
            let ends = inner
                .ends
                .get_or_try_init(|| async { status.ends().await })
                .await?;
            anyhow::ensure!(status.reached(ends).await?, "events are still to be read");
            self.record().await?;
        }
        inner.open.store(true, Ordering::Release);
        Ok(())
    }

    fn ctx(&self) -> Ctx {
        Ctx::service(self.0.db.service(), TenantId::from_uuid(Uuid::nil()))
    }

    async fn recorded(&self) -> bahi_db::Result<bool> {
        self.0
            .db
            .read(&self.ctx(), async |tx: &mut Tx| -> bahi_db::Result<bool> {
                let row: Row = sql(
                    "select c.epoch >= e.epoch as caught_up from inbox.caught_up c, outbox.epoch e",
                )
                .get_result(tx.conn())
                .await?;
                Ok(row.caught_up)
            })
            .await
    }

    async fn record(&self) -> bahi_db::Result<()> {
        self.0
            .db
            .write(&self.ctx(), async |tx: &mut Tx| -> bahi_db::Result<()> {
                sql("update inbox.caught_up set epoch = (select epoch from outbox.epoch)")
                    .execute(tx.conn())
                    .await?;
                Ok(())
            })
            .await?;
        Ok(())
    }
}
