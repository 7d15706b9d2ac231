//! Every statement on plans.

use bahi_db::{Error as DbError, Result, Tx, sql};
use bahi_http::Timed;
use bahi_types::UserId;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{Array, BigInt, Date, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

use super::model::{Plan, PlanId};

macro_rules! columns {
    () => {
        "plan_id, name, status, basis, salesperson_ids, valid_from, valid_to, period, rules, slabs, target, created_by,
         created_at, version"
    };
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    plan_id: PlanId,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Text)]
    basis: String,
    #[diesel(sql_type = Array<SqlUuid>)]
    salesperson_ids: Vec<UserId>,
    #[diesel(sql_type = Date)]
    valid_from: NaiveDate,
    #[diesel(sql_type = Nullable<Date>)]
    valid_to: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Text>)]
    period: Option<String>,
    #[diesel(sql_type = Jsonb)]
    rules: Value,
    #[diesel(sql_type = Nullable<Jsonb>)]
    slabs: Option<Value>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    target: Option<Value>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    created_by: Option<UserId>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

impl Row {
    fn plan(self) -> Result<Plan> {
        let terms = json!({
            "name": self.name, "basis": self.basis, "salesperson_ids": self.salesperson_ids,
            "valid_from": self.valid_from, "valid_to": self.valid_to, "period": self.period, "rules": self.rules,
            "slabs": self.slabs, "target": self.target,
        });
        Ok(Plan {
            plan_id: self.plan_id,
            status: self.status,
            terms: serde_json::from_value(terms).map_err(DbError::from)?,
            created_by: self.created_by,
            created_at: self.created_at,
            version: self.version,
        })
    }
}

fn json_of<T: serde::Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(DbError::from)
}

/// Writes a draft: a new one, or what a locked one says now.
pub(super) async fn put(tx: &mut Tx, plan: &Plan) -> Result<()> {
    let t = &plan.terms;
    sql("insert into commission_plan (tenant_id, plan_id, name, basis, salesperson_ids, valid_from, valid_to, period, rules,
                                      slabs, target, created_by, created_at, version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         on conflict (tenant_id, plan_id) do update set name = excluded.name, basis = excluded.basis,
                salesperson_ids = excluded.salesperson_ids, valid_from = excluded.valid_from, valid_to = excluded.valid_to,
                period = excluded.period, rules = excluded.rules, slabs = excluded.slabs, target = excluded.target,
                version = excluded.version")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(plan.plan_id)
    .bind::<Text, _>(t.name.as_str())
    .bind::<Text, _>(t.basis.name())
    .bind::<Array<SqlUuid>, _>(&t.salesperson_ids)
    .bind::<Date, _>(t.valid_from)
    .bind::<Nullable<Date>, _>(t.valid_to)
    .bind::<Nullable<Text>, _>(t.period.map(|p| p.name()))
    .bind::<Jsonb, _>(json_of(&t.rules)?)
    .bind::<Nullable<Jsonb>, _>(t.slabs.as_ref().map(json_of).transpose()?)
    .bind::<Nullable<Jsonb>, _>(t.target.as_ref().map(json_of).transpose()?)
    .bind::<Nullable<SqlUuid>, _>(plan.created_by)
    .bind::<Timestamptz, _>(plan.created_at)
    .bind::<BigInt, _>(plan.version)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Sets status and last day of a locked plan. From its activation on it looks back at the sales since its first day; what a till
/// made away from the network may bear another day than that on which it came.
pub(super) async fn set_status(tx: &mut Tx, plan: &Plan) -> Result<()> {
    sql("update commission_plan set
                looked_at = case when status = 'draft' then valid_from - interval '30 days' else looked_at end,
                looked_id = case when status = 'draft' then '00000000-0000-0000-0000-000000000000' else looked_id end,
                status = $3, valid_to = $4, version = $5
          where tenant_id = $1 and plan_id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(plan.plan_id)
    .bind::<Text, _>(plan.status.as_str())
    .bind::<Nullable<Date>, _>(plan.terms.valid_to)
    .bind::<BigInt, _>(plan.version)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A plan.
pub(super) async fn find(tx: &Tx, id: PlanId) -> Result<Option<Plan>> {
    let row: Option<Row> = sql(concat!(
        "select ",
        columns!(),
        " from commission_plan where tenant_id = $1 and plan_id = $2"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(&mut tx.shared())
    .await
    .optional()?;
    row.map(Row::plan).transpose()
}

/// A plan, locked.
pub(super) async fn lock(tx: &mut Tx, id: PlanId) -> Result<Option<Plan>> {
    let row: Option<Row> = sql(concat!(
        "select ",
        columns!(),
        " from commission_plan where tenant_id = $1 and plan_id = $2 for update"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(tx.conn())
    .await
    .optional()?;
    row.map(Row::plan).transpose()
}

/// Takes a locked draft away.
pub(super) async fn delete(tx: &mut Tx, id: PlanId) -> Result<()> {
    sql("delete from commission_plan where tenant_id = $1 and plan_id = $2")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(id)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The plans that are or were active.
pub(crate) async fn in_force(tx: &mut Tx) -> Result<Vec<Plan>> {
    let rows: Vec<Row> = sql(concat!(
        "select ",
        columns!(),
        " from commission_plan where tenant_id = $1 and status <> 'draft' order by plan_id"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .load(tx.conn())
    .await?;
    rows.into_iter().map(Row::plan).collect()
}

/// Which plans a list shows.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    /// As it is `today`.
    pub status: Option<String>,
    /// Those that pay somebody.
    pub salesperson_id: Option<UserId>,
    pub today: NaiveDate,
    pub walk: Timed,
}

macro_rules! filters {
    () => {
        " where tenant_id = $1 and ($2 is null or $2 = case when status = 'active' and valid_to < $3 then 'ended' else status end)
            and ($4 is null or salesperson_ids = '{}' or $4 = any(salesperson_ids))"
    };
}
macro_rules! listing {
    ($than:literal, $direction:literal) => {
        concat!(
            "select ",
            columns!(),
            " from commission_plan",
            filters!(),
            " and ($5 is null or (created_at, plan_id) ",
            $than,
            " ($5, $6)) order by created_at ",
            $direction,
            ", plan_id ",
            $direction,
            " limit $7 offset $8"
        )
    };
}

/// A page of plans, and how many there are.
pub(super) async fn list(tx: &Tx, filter: &Filter) -> Result<(Vec<Plan>, i64)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let text = if filter.walk.descending {
        listing!("<", "desc")
    } else {
        listing!(">", "asc")
    };
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<Text>, _>(filter.status.as_deref())
        .bind::<Date, _>(filter.today)
        .bind::<Nullable<SqlUuid>, _>(filter.salesperson_id)
        .bind::<Nullable<Timestamptz>, _>(filter.walk.after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(filter.walk.after.map(|a| a.1))
        .bind::<BigInt, _>(filter.walk.limit)
        .bind::<BigInt, _>(filter.walk.offset)
        .load::<Row>(&mut reader);
    let total = sql(concat!(
        "select count(*) as total from commission_plan",
        filters!()
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<Text>, _>(filter.status.as_deref())
    .bind::<Date, _>(filter.today)
    .bind::<Nullable<SqlUuid>, _>(filter.salesperson_id)
    .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    let plans = rows.into_iter().map(Row::plan).collect::<Result<_>>()?;
    Ok((plans, total.total))
}
