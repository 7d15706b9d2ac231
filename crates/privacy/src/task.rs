//! Every statement on `privacy.task`.

use bahi_db::{Ctx, Result, Tx, sql};
use bahi_events::Envelope;
use bahi_types::TenantId;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{Array, Integer, Jsonb, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// How long whoever works on a task has it, unless he says that he is still at it.
pub(crate) const LEASE: TimeDelta = TimeDelta::seconds(60);

/// Something that was asked and is not answered yet.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Waiting {
    #[diesel(sql_type = SqlUuid)]
    pub tenant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
}

/// A task that somebody works on.
#[derive(Clone, Debug, Serialize, Deserialize, QueryableByName)]
pub(crate) struct Task {
    #[diesel(sql_type = SqlUuid)]
    pub tenant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Jsonb)]
    pub asked: Value,
    #[diesel(sql_type = SqlUuid)]
    pub correlation_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub causation_id: Uuid,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
}

impl Task {
    /// In whose name it is answered: this service's, in the flow of the question.
    pub(crate) fn ctx(&self, service: &str) -> Ctx {
        Ctx {
            correlation_id: self.correlation_id,
            causation_id: Some(self.causation_id),
            ..Ctx::service(service, TenantId::from_uuid(self.tenant_id))
        }
    }
}

/// Notes what was asked; what is noted already stays as it is.
pub(crate) async fn note<P: Serialize>(
    tx: &mut Tx,
    kind: &'static str,
    id: Uuid,
    event: &Envelope<P>,
) -> Result<()> {
    let now = tx.now();
    sql("insert into privacy.task (tenant_id, id, kind, asked, correlation_id, causation_id, lease_until, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .bind::<Text, _>(kind)
        .bind::<Jsonb, _>(serde_json::to_value(&event.payload)?)
        .bind::<SqlUuid, _>(event.correlation_id.unwrap_or(event.event_id))
        .bind::<SqlUuid, _>(event.event_id)
        // Free at once, also for whoever asks in the same microsecond.
        .bind::<Timestamptz, _>(now - TimeDelta::microseconds(1))
        .bind::<Timestamptz, _>(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What nobody works on, of every tenant.
pub(crate) async fn waiting(tx: &mut Tx, kind: &str) -> Result<Vec<Waiting>> {
    let now = tx.now();
    Ok(sql("select tenant_id, id from privacy.waiting($1, $2)")
        .bind::<Timestamptz, _>(now)
        .bind::<Array<Text>, _>(vec![kind])
        .load(tx.conn())
        .await?)
}

/// Takes a task; none when somebody else has it, or has answered.
pub(crate) async fn take(tx: &mut Tx, id: Uuid) -> Result<Option<Task>> {
    let now = tx.now();
    Ok(sql(
        "update privacy.task set attempts = attempts + 1, lease_until = $3
          where tenant_id = $1 and id = $2 and finished_at is null and lease_until < $4
         returning tenant_id, id, asked, correlation_id, causation_id, attempts",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Timestamptz, _>(now + LEASE)
    .bind::<Timestamptz, _>(now)
    .get_result(tx.conn())
    .await
    .optional()?)
}

/// Keeps a task until a moment; false when it is somebody else's by now.
pub(crate) async fn keep(
    tx: &mut Tx,
    id: Uuid,
    attempt: i32,
    until: DateTime<Utc>,
) -> Result<bool> {
    let kept = sql("update privacy.task set lease_until = $4
          where tenant_id = $1 and id = $2 and attempts = $3 and finished_at is null")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(attempt)
    .bind::<Timestamptz, _>(until)
    .execute(tx.conn())
    .await?;
    Ok(kept == 1)
}

/// Ends a task with its answer; false when it is somebody else's by now, and nothing may be said.
pub(crate) async fn finish(tx: &mut Tx, id: Uuid, attempt: i32, answer: Value) -> Result<bool> {
    let now = tx.now();
    let ended = sql("update privacy.task set finished_at = $4, answer = $5
          where tenant_id = $1 and id = $2 and attempts = $3 and finished_at is null")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(attempt)
    .bind::<Timestamptz, _>(now)
    .bind::<Jsonb, _>(answer)
    .execute(tx.conn())
    .await?;
    Ok(ended == 1)
}
