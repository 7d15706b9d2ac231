//! Every SQL statement about policies.

use bahi_db::{Error, Result, Tx, sql};
use bahi_types::Money;
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{BigInt, Jsonb, Nullable, Numeric, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use super::model::Policy;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<Numeric>)]
    adjust_limit: Option<Money>,
    #[diesel(sql_type = Nullable<Numeric>)]
    count_limit: Option<Money>,
    #[diesel(sql_type = Numeric)]
    second_person_above: Money,
    #[diesel(sql_type = Nullable<Numeric>)]
    transfer_second_person_above: Option<Money>,
    #[diesel(sql_type = Jsonb)]
    reasons: serde_json::Value,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

/// What the tenant allows.
pub(crate) async fn get(tx: &mut Tx) -> Result<Policy> {
    let row: Option<Row> = sql(
        "select adjust_limit, count_limit, second_person_above, transfer_second_person_above, reasons, version
         from policy where tenant_id = $1",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .get_result(tx.conn())
    .await
    .optional()?;
    let Some(row) = row else {
        return Ok(Policy::default());
    };
    Ok(Policy {
        adjust_limit: row.adjust_limit,
        count_limit: row.count_limit,
        second_person_above: row.second_person_above,
        transfer_second_person_above: row.transfer_second_person_above,
        reasons: serde_json::from_value(row.reasons)?,
        version: row.version,
    })
}

/// Writes the policy that follows `seen`.
///
/// # Errors
/// [`Error::Stale`] when another has been written since.
pub(super) async fn save(tx: &mut Tx, policy: &Policy, seen: i64) -> Result<()> {
    let known = get(tx).await?.version;
    let rows = if known == seen {
        sql("insert into policy (tenant_id, adjust_limit, count_limit, second_person_above, transfer_second_person_above,
                                 reasons, version)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (tenant_id) do update
             set adjust_limit = excluded.adjust_limit, count_limit = excluded.count_limit,
                 second_person_above = excluded.second_person_above,
                 transfer_second_person_above = excluded.transfer_second_person_above, reasons = excluded.reasons,
                 version = excluded.version
             where policy.version = $8")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<Numeric>, _>(policy.adjust_limit)
        .bind::<Nullable<Numeric>, _>(policy.count_limit)
        .bind::<Numeric, _>(policy.second_person_above)
        .bind::<Nullable<Numeric>, _>(policy.transfer_second_person_above)
        .bind::<Jsonb, _>(serde_json::to_value(&policy.reasons)?)
        .bind::<BigInt, _>(policy.version)
        .bind::<BigInt, _>(seen)
        .execute(tx.conn())
        .await?
    } else {
        0
    };
    if rows == 0 {
        let current = get(tx).await?.version;
        return Err(Error::Stale { current });
    }
    Ok(())
}
