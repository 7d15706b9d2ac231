//! Idempotency keys: key, request hash and answer in the transaction of the effect itself.
//!
//! The row is inserted first. A second request with the same key waits on the first one's row; when the first
//! commits, the second reads its answer; when the first rolls back, the second runs. Scope of a key:
//! (tenant, principal, route).

use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{BigInt, Bytea, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use crate::{Error, Result, Tx, sql};

/// Keys that one statement forgets at most: it ends in good time.
const MANY: i32 = 10_000;

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = Bytea)]
    request_hash: Vec<u8>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    answer: Option<serde_json::Value>,
}

/// Claims the key of the transaction's context, or gives the stored answer of its first use.
pub(crate) async fn claim(tx: &mut Tx) -> Result<Option<serde_json::Value>> {
    let Some(key) = tx.ctx().idempotency.clone() else {
        return Ok(None);
    };
    let (tenant, principal) = (tx.tenant(), tx.ctx().principal());
    let claimed = sql(
        "insert into idempotency (tenant_id, principal, route, key, request_hash)
                       values ($1, $2, $3, $4, $5) on conflict do nothing",
    )
    .bind::<SqlUuid, _>(tenant)
    .bind::<Text, _>(&principal)
    .bind::<Text, _>(&key.route)
    .bind::<Text, _>(&key.key)
    .bind::<Bytea, _>(&key.hash)
    .execute(tx.conn())
    .await
    .map_err(Error::from)
    .map_err(|e| {
        if matches!(e, Error::Locked) {
            Error::KeyBusy
        } else {
            e
        }
    })?;
    if claimed == 1 {
        return Ok(None);
    }
    let stored: Option<Stored> = sql("select request_hash, answer from idempotency
                       where tenant_id = $1 and principal = $2 and route = $3 and key = $4")
    .bind::<SqlUuid, _>(tenant)
    .bind::<Text, _>(principal)
    .bind::<Text, _>(key.route)
    .bind::<Text, _>(key.key)
    .get_result(tx.conn())
    .await
    .optional()?;
    match stored {
        Some(row) if row.request_hash != key.hash => Err(Error::KeyReused),
        Some(Stored {
            answer: Some(answer),
            ..
        }) => Ok(Some(answer)),
        // Purged between the two statements, or stored without an answer: let the client ask again.
        _ => Err(Error::KeyBusy),
    }
}

/// Keeps the answer under the key of the transaction's context.
pub(crate) async fn store(tx: &mut Tx, answer: serde_json::Value) -> Result<()> {
    let Some(key) = tx.ctx().idempotency.clone() else {
        return Ok(());
    };
    sql("update idempotency set answer = $5
         where tenant_id = $1 and principal = $2 and route = $3 and key = $4")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Text, _>(tx.ctx().principal())
    .bind::<Text, _>(key.route)
    .bind::<Text, _>(key.key)
    .bind::<Jsonb, _>(answer)
    .execute(tx.conn())
    .await?;
    Ok(())
}

impl crate::Db {
    /// Forgets idempotency keys older than seven days, of every tenant; how many there were.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn purge_idempotency(&self) -> Result<i64> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            gone: i64,
        }
        let ctx = crate::Ctx::service(
            self.service(),
            bahi_types::TenantId::from_uuid(uuid::Uuid::nil()),
        );
        let mut all = 0;
        loop {
            let step = self.write(&ctx, async |tx: &mut Tx| {
                let call =
                    sql("select tenancy.purge_idempotency($1) as gone").bind::<Integer, _>(MANY);
                let row: Row = call.get_result(tx.conn()).await?;
                Ok::<_, Error>(row.gone)
            });
            let gone = step.await?.value;
            all += gone;
            if gone < i64::from(MANY) {
                return Ok(all);
            }
        }
    }
}
