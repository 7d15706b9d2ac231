//! A transaction of one tenant, and the two ways to run one: [`Db::read`] and [`Db::write`].

use std::{future::Future, time::Duration};

use bahi_events::Outgoing;
use bahi_types::{BranchId, TenantId};
use chrono::{DateTime, Utc};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection, pooled_connection::deadpool::Object};
use futures::future::poll_immediate;
use rand::Rng;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{Ctx, Db, Error, Failure, Result, idempotency, outbox};

/// An open transaction of one tenant: the only way to a connection.
pub struct Tx {
    db: Db,
    /// `None` only while dropping.
    conn: Option<Object<AsyncPgConnection>>,
    ctx: Ctx,
    now: DateTime<Utc>,
    events: Vec<Outgoing>,
    /// Events were written by this transaction.
    said: bool,
    /// What it changed, for the witness of the database; empty where there is none.
    changed: Vec<Changed>,
    open: bool,
}

/// An aggregate that a committed transaction has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Whose.
    pub tenant: TenantId,
    /// Kind of the aggregate.
    pub aggregate_type: &'static str,
    /// Its id.
    pub aggregate_id: String,
}

/// A command's answer, and whether it was given before.
#[derive(Clone, Debug)]
pub struct Done<T> {
    /// What the command made.
    pub value: T,
    /// True when the idempotency key had been used and this is the first answer again.
    pub replayed: bool,
}

impl<T> Done<T> {
    /// A first answer.
    pub fn first(value: T) -> Self {
        Self {
            value,
            replayed: false,
        }
    }

    /// The same answer in another shape.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Done<U> {
        Done {
            value: f(self.value),
            replayed: self.replayed,
        }
    }
}

/// Names the future of an async closure, so that it can be required to be `Send`
/// (the return type of `AsyncFnOnce` cannot be bounded in stable Rust).
pub trait Command<A, R>: AsyncFnOnce(A) -> R + FnOnce(A) -> <Self as Command<A, R>>::Fut {
    /// The future.
    type Fut: Future<Output = R>;
}
impl<F, A, Fut, R> Command<A, R> for F
where
    F: AsyncFnOnce(A) -> R + FnOnce(A) -> Fut,
    Fut: Future<Output = R>,
{
    type Fut = Fut;
}

const READ: &str = "BEGIN READ ONLY";
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

// Commands find rows by their keys: to plan them anew each time costs more than to run them. A plan that is kept may
// have been made while its table was empty, so it must not be one that reads the whole table.
macro_rules! planned {
    ($begin:literal) => {
        concat!(
            $begin,
            "; SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true)"
        )
    };
}
const LOOK: &str = planned!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
pub(crate) const WRITE: &str = planned!("BEGIN");
/// A batch that a crash of the database takes back takes its position back with it and is consumed again, so its locks
/// need not wait for the disk; its events wait in the outbox until it is there.
pub(crate) const BATCH: &str = concat!(
    planned!("BEGIN"),
    ", set_config('synchronous_commit', 'off', true)"
);

/// After a restart of the database every idle connection is dead, and what was sent on it has not happened: so many
/// are passed over.
const DEAD: u32 = 32;

/// Times a command may run in all when it keeps losing races.
const ATTEMPTS: u32 = 4;

impl Db {
    /// Runs `f` in a read-only transaction of `ctx`'s tenant.
    ///
    /// # Errors
    /// What `f` returns, or why the database could not be reached.
    pub async fn read<T, E, F>(&self, ctx: &Ctx, f: F) -> std::result::Result<T, E>
    where
        E: From<Error>,
        F: for<'r> AsyncFnOnce(&'r mut Tx) -> std::result::Result<T, E>
            + for<'r> Command<&'r mut Tx, std::result::Result<T, E>, Fut: Send>,
    {
        self.reading(ctx, READ, f).await
    }

    /// As [`Db::read`], for what a command must know before it begins: rows found by their keys, with the plans of a
    /// command, all of one moment, and the first statement does not wait for the transaction to open.
    ///
    /// # Errors
    /// As [`Db::read`].
    pub async fn look<T, E, F>(&self, ctx: &Ctx, f: F) -> std::result::Result<T, E>
    where
        E: Failure,
        F: for<'r> AsyncFnOnce(&'r mut Tx) -> std::result::Result<T, E>
            + for<'r> Command<&'r mut Tx, std::result::Result<T, E>, Fut: Send>
            + Clone,
    {
        let mut dead = 0;
        loop {
            let mut tx = Tx::checkout(self, ctx.clone()).await?;
            let result = match tx.begin_unheard(LOOK).await {
                Ok(()) => (f.clone())(&mut tx).await,
                Err(error) => Err(error.into()),
            };
            match result.as_ref().err().and_then(|e| e.database()) {
                Some(Error::Unavailable) if dead < DEAD => dead += 1,
                _ => {
                    tokio::spawn(tx.rollback());
                    return result;
                }
            }
        }
    }

    /// As [`Db::read`], and every statement of it sees the database as the first one did. Blocks nobody.
    ///
    /// # Errors
    /// As [`Db::read`].
    pub async fn read_snapshot<T, E, F>(&self, ctx: &Ctx, f: F) -> std::result::Result<T, E>
    where
        E: From<Error>,
        F: for<'r> AsyncFnOnce(&'r mut Tx) -> std::result::Result<T, E>
            + for<'r> Command<&'r mut Tx, std::result::Result<T, E>, Fut: Send>,
    {
        self.reading(ctx, SNAPSHOT, f).await
    }

    async fn reading<T, E, F>(&self, ctx: &Ctx, how: &str, f: F) -> std::result::Result<T, E>
    where
        E: From<Error>,
        F: for<'r> AsyncFnOnce(&'r mut Tx) -> std::result::Result<T, E>
            + for<'r> Command<&'r mut Tx, std::result::Result<T, E>, Fut: Send>,
    {
        let mut tx = Tx::begin(self, ctx.clone(), how).await?;
        let result = f(&mut tx).await;
        // Nobody waits for the end of what has only read; should it fail, the connection is closed.
        tokio::spawn(tx.rollback());
        result
    }

    /// Runs `f` in a transaction of `ctx`'s tenant, writes its events last and commits.
    ///
    /// The transaction runs in a task of its own: a client that hangs up cannot leave it half done.
    /// With an idempotency key in `ctx`, a repeated request gets the first answer. Lost races
    /// (40001, 40P01) are run again, at most three times, after a short random pause; what was lost with its
    /// connection before COMMIT was sent has not happened and is run again on another.
    ///
    /// # Errors
    /// What `f` returns (nothing is written then), or why the database refused.
    pub async fn write<T, E, F>(&self, ctx: &Ctx, f: F) -> std::result::Result<Done<T>, E>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        E: Failure,
        F: for<'r> AsyncFnOnce(&'r mut Tx) -> std::result::Result<T, E>
            + for<'r> Command<&'r mut Tx, std::result::Result<T, E>, Fut: Send>
            + Clone
            + Send
            + 'static,
    {
        let (db, ctx) = (self.clone(), ctx.clone());
        let task = async move {
            let (mut attempt, mut dead) = (1, 0);
            loop {
                let mut tx = Tx::checkout(&db, ctx.clone()).await?;
                let result = match tx.begin_unheard(WRITE).await {
                    Ok(()) => once(tx, f.clone()).await,
                    Err(error) => Err(error.into()),
                };
                match result.as_ref().err().and_then(|e| e.database()) {
                    Some(Error::Unavailable) if dead < DEAD => {
                        dead += 1;
                        continue;
                    }
                    Some(error) if error.is_retryable() && attempt < ATTEMPTS => {}
                    _ => return result,
                }
                let pause = rand::rng().random_range(1..=10u64 << attempt);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                attempt += 1;
            }
        };
        use tracing::Instrument;
        match tokio::spawn(task.in_current_span()).await {
            Ok(result) => result,
            Err(panic) => {
                tracing::error!(%panic, "a command panicked; its transaction is rolled back");
                Err(Error::Other(diesel::result::Error::RollbackTransaction).into())
            }
        }
    }
}

async fn once<T, E, F>(mut tx: Tx, f: F) -> std::result::Result<Done<T>, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    E: Failure,
    F: for<'r> AsyncFnOnce(&'r mut Tx) -> std::result::Result<T, E>
        + for<'r> Command<&'r mut Tx, std::result::Result<T, E>, Fut: Send>
        + Send,
{
    match idempotency::claim(&mut tx).await {
        Ok(None) => {}
        Ok(Some(stored)) => {
            tx.rollback().await?;
            return Ok(Done {
                value: serde_json::from_value(stored).map_err(Error::from)?,
                replayed: true,
            });
        }
        Err(error) => {
            tx.rollback().await.ok();
            return Err(error.into());
        }
    }
    match f(&mut tx).await {
        Ok(value) => {
            if tx.ctx.idempotency.is_some() {
                let answer = serde_json::to_value(&value).map_err(Error::from)?;
                idempotency::store(&mut tx, answer).await?;
            }
            tx.commit().await?;
            Ok(Done::first(value))
        }
        Err(error) => {
            // The refusal is what the caller must see, whatever becomes of the connection.
            tx.rollback().await.ok();
            Err(error)
        }
    }
}

impl Tx {
    /// Opens a transaction and sets its tenant in the same round trip.
    pub(crate) async fn begin(db: &Db, ctx: Ctx, how: &str) -> Result<Self> {
        let opening = opening(how, &ctx);
        let mut dead = 0;
        loop {
            let mut tx = Self::checkout(db, ctx.clone()).await?;
            match tx.conn().batch_execute(&opening).await.map_err(Error::from) {
                Ok(()) => return Ok(tx),
                Err(Error::Unavailable) if dead < DEAD => dead += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// The same without waiting for it: the first statement follows at once. On a connection that is broken
    /// that statement fails, and nothing has happened.
    async fn begin_unheard(&mut self, how: &str) -> Result<()> {
        let opening = opening(how, &self.ctx);
        send(self.conn(), &opening).await
    }

    async fn checkout(db: &Db, ctx: Ctx) -> Result<Self> {
        Ok(Self {
            db: db.clone(),
            conn: Some(db.checkout().await?),
            ctx,
            now: db.clock().now(),
            events: Vec::new(),
            said: false,
            changed: Vec::new(),
            open: true,
        })
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.ctx.tenant
    }

    /// The circumstances.
    pub fn ctx(&self) -> &Ctx {
        &self.ctx
    }

    /// The time of this transaction, the same for all of it, to the microsecond.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// The connection.
    pub fn conn(&mut self) -> &mut AsyncPgConnection {
        self.conn
            .as_deref_mut()
            .unwrap_or_else(|| unreachable!("a Tx has its connection until it is dropped"))
    }

    /// The connection for pipelining: statements started through `&mut tx.shared()` and awaited together
    /// go out without waiting for each other, and run in the order they were started.
    pub fn shared(&self) -> &AsyncPgConnection {
        self.conn
            .as_deref()
            .unwrap_or_else(|| unreachable!("a Tx has its connection until it is dropped"))
    }

    /// Says `event` when this transaction commits. Lock the aggregate's row first: the events are written
    /// as the last statement, so the order of the outbox is the order of the locks.
    pub fn publish(&mut self, event: Outgoing) {
        self.events.push(event);
    }

    /// Notes a change that no event tells, for the witness of [`Db::on_commit`].
    pub fn touch(&mut self, aggregate_type: &'static str, id: Uuid) {
        let (tenant, aggregate_id) = (self.ctx.tenant, id.to_string());
        self.note(Changed {
            tenant,
            aggregate_type,
            aggregate_id,
        });
    }

    fn note(&mut self, changed: Changed) {
        if self.db.witness().is_some() {
            self.changed.push(changed);
        }
    }

    /// Records a sensitive operation (`audit.recorded`).
    pub fn audit(
        &mut self,
        action: &str,
        object: (&str, Uuid),
        reason: Option<String>,
        details: serde_json::Value,
    ) {
        let audit_id = Uuid::now_v7();
        let record = bahi_events::AuditRecorded {
            audit_id,
            action: action.to_owned(),
            object_type: object.0.to_owned(),
            object_id: object.1.to_string(),
            reason,
            details,
        };
        self.publish(bahi_events::AUDIT_RECORDED.of(audit_id, 1, &record));
    }

    /// Goes on as another tenant. Only for a transaction that learns its tenant on the way (sign-in,
    /// registration) and for consumer batches.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn enter(&mut self, tenant: TenantId) -> Result<()> {
        self.flush().await?;
        self.ctx.tenant = tenant;
        send(self.conn(), &set_tenant(tenant)).await
    }

    pub(crate) fn set_ctx(&mut self, ctx: Ctx) {
        self.ctx = ctx;
    }

    pub(crate) fn discard_events(&mut self) {
        self.events.clear();
    }

    /// Writes the events said so far.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        let events = std::mem::take(&mut self.events);
        self.said |= !events.is_empty();
        for event in &events {
            let tenant = self.ctx.tenant;
            self.note(Changed {
                tenant,
                aggregate_type: event.aggregate_type,
                aggregate_id: event.aggregate_id.clone(),
            });
        }
        outbox::insert(self, &events).await
    }

    pub(crate) async fn commit(mut self) -> Result<()> {
        self.flush().await?;
        let committed = self
            .conn()
            .batch_execute("COMMIT")
            .await
            .map_err(Error::from);
        // Also where nobody knows whether it happened.
        if let (Some(witness), false) = (self.db.witness(), self.changed.is_empty()) {
            witness(&self.changed);
        }
        match committed {
            Ok(()) => {
                self.open = false;
                if self.said {
                    self.db.hint().poke();
                }
                Ok(())
            }
            Err(Error::Unavailable) => Err(Error::CommitUnknown),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn rollback(mut self) -> Result<()> {
        self.conn().batch_execute("ROLLBACK").await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        // A transaction that was neither committed nor rolled back (an error on the way, a dropped
        // future) must not go back to the pool: closing the connection ends it on the server.
        if self.open
            && let Some(conn) = self.conn.take()
        {
            drop(Object::take(conn));
        }
    }
}

/// Sends what cannot fail on a sound connection and does not wait for the answer; on a broken one the next statement
/// fails too.
async fn send(mut conn: &AsyncPgConnection, text: &str) -> Result<()> {
    let sent = poll_immediate(conn.batch_execute(text)).await;
    sent.unwrap_or(Ok(())).map_err(Error::from)
}

fn opening(how: &str, ctx: &Ctx) -> String {
    let mut opening = format!("{how}; {}", set_tenant(ctx.tenant));
    if let Some(branches) = ctx.scope.branches() {
        let list: Vec<_> = branches.iter().map(BranchId::to_string).collect();
        let list = list.join(",");
        opening += &format!(", set_config('app.branches', '{{{list}}}', true)");
        if [READ, SNAPSHOT].contains(&how) {
            opening += &format!(", set_config('app.branches_shown', '{{{list}}}', true)");
        }
    }
    opening
}

fn set_tenant(tenant: TenantId) -> String {
    // Transaction-local, so it cannot leak through the pool. A Uuid needs no quoting.
    format!("SELECT set_config('app.tenant_id', '{tenant}', true)")
}
