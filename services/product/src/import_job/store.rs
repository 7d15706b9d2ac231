//! Every statement about import jobs.

use bahi_db::{Error as Db, Tx, sql};
use bahi_http::{Walk, walk};
use bahi_types::TenantId;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Jsonb, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::{
    Error,
    import_job::model::{ImportJob, Status},
    import_row::{
        model::Claim,
        sheet::{Cells, Flaw},
    },
    schema::{
        import_error,
        import_job::{self, dsl},
        import_key, import_row,
    },
};

/// A staged row.
pub struct StagedRow {
    /// Line of the file.
    pub line: i64,
    /// Its cells.
    pub cells: Cells,
}

/// A stored flaw.
#[derive(Clone, Debug, Queryable)]
pub struct StoredFlaw {
    /// Line of the file.
    pub line: i64,
    /// Column.
    pub column: String,
    /// The cell.
    pub value: String,
    /// What is wrong.
    pub reason: String,
}

/// A job of some tenant.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct Task {
    /// Tenant.
    #[diesel(sql_type = SqlUuid)]
    pub tenant_id: TenantId,
    /// Job.
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
}

/// One job whose file is here.
pub async fn get(tx: &mut Tx, id: Uuid) -> Result<ImportJob, Error> {
    let row = dsl::import_job
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let seen = row
        .filter(dsl::status.ne(Status::Uploading))
        .select(ImportJob::as_select());
    Ok(seen.first(tx.conn()).await?)
}

/// One job, locked.
pub async fn lock(tx: &mut Tx, id: Uuid) -> Result<ImportJob, Error> {
    let row = dsl::import_job
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    Ok(row
        .select(ImportJob::as_select())
        .for_update()
        .first(tx.conn())
        .await?)
}

/// A page of jobs, and how many there are.
pub async fn list(
    tx: &mut Tx,
    status: Option<Status>,
    at: &Walk,
) -> Result<(Vec<ImportJob>, i64), Error> {
    let tenant = tx.tenant();
    let matching = || {
        let seen = dsl::import_job
            .filter(dsl::tenant_id.eq(tenant))
            .filter(dsl::status.ne(Status::Uploading));
        let mut rows = seen.into_boxed();
        if let Some(status) = status {
            rows = rows.filter(dsl::status.eq(status));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(ImportJob::as_select());
    let page = walk!(rows, at, dsl::created_at, DateTime<Utc>, dsl::id)
        .load(tx.conn())
        .await?;
    Ok((page, total))
}

/// Adds a job.
pub async fn insert(tx: &mut Tx, job: &ImportJob) -> Result<(), Error> {
    let row = (dsl::tenant_id.eq(tx.tenant()), job);
    diesel::insert_into(import_job::table)
        .values(row)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Stores a job that is locked.
pub async fn save(tx: &mut Tx, job: &ImportJob) -> Result<(), Error> {
    let row = dsl::import_job
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(job.id));
    diesel::update(row).set(job).execute(tx.conn()).await?;
    Ok(())
}

/// Stages rows.
pub async fn stage(tx: &mut Tx, job: Uuid, rows: &[StagedRow]) -> Result<(), Error> {
    let lines: Vec<i64> = rows.iter().map(|row| row.line).collect();
    let cells: Result<Vec<serde_json::Value>, _> = rows
        .iter()
        .map(|row| serde_json::to_value(&row.cells))
        .collect();
    sql(
        "insert into import_row (tenant_id, job_id, line, cells, refused)
         select $1, $2, r.line, r.cells, false from unnest($3, $4) as r(line, cells)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(job)
    .bind::<Array<BigInt>, _>(lines)
    .bind::<Array<Jsonb>, _>(cells.map_err(Db::from)?)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The next rows after a line that are not refused.
pub async fn next_rows(
    tx: &mut Tx,
    job: Uuid,
    after: i64,
    most: i64,
) -> Result<Vec<StagedRow>, Error> {
    let rows: Vec<(i64, serde_json::Value)> = import_row::table
        .filter(import_row::tenant_id.eq(tx.tenant()))
        .filter(import_row::job_id.eq(job))
        .filter(import_row::line.gt(after))
        .filter(import_row::refused.eq(false))
        .order(import_row::line)
        .limit(most)
        .select((import_row::line, import_row::cells))
        .load(tx.conn())
        .await?;
    let row = |(line, cells)| {
        Ok(StagedRow {
            line,
            cells: serde_json::from_value(cells).map_err(Db::from)?,
        })
    };
    rows.into_iter().map(row).collect()
}

/// Claims keys of a file for their lines and returns those that an earlier line has, with that line.
pub async fn claim_keys(
    tx: &mut Tx,
    job: Uuid,
    claims: &[Claim],
) -> Result<Vec<(String, i64)>, Error> {
    let (keys, lines): (Vec<&str>, Vec<i64>) = claims
        .iter()
        .map(|claim| (claim.key.as_str(), claim.line))
        .unzip();
    sql("insert into import_key (tenant_id, job_id, key, line)
         select $1, $2, k.key, k.line from unnest($3, $4) as k(key, line) order by k.line
         on conflict do nothing")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(job)
    .bind::<Array<Text>, _>(&keys)
    .bind::<Array<BigInt>, _>(lines)
    .execute(tx.conn())
    .await?;
    let rows = import_key::table
        .filter(import_key::tenant_id.eq(tx.tenant()))
        .filter(import_key::job_id.eq(job));
    let rows = rows
        .filter(import_key::key.eq_any(keys))
        .select((import_key::key, import_key::line));
    Ok(rows.load(tx.conn()).await?)
}

/// Keeps flaws and takes their rows out of the job; two flaws of one cell are one.
pub async fn refuse(tx: &mut Tx, job: Uuid, flaws: &[Flaw]) -> Result<(), Error> {
    if flaws.is_empty() {
        return Ok(());
    }
    let lines: Vec<i64> = flaws.iter().map(|flaw| flaw.line).collect();
    let columns: Vec<&str> = flaws.iter().map(|flaw| flaw.column).collect();
    let values: Vec<&str> = flaws.iter().map(|flaw| flaw.value.as_str()).collect();
    let reasons: Vec<&str> = flaws.iter().map(|flaw| flaw.reason.as_str()).collect();
    sql(
        "insert into import_error (tenant_id, job_id, line, \"column\", value, reason)
         select $1, $2, e.* from unnest($3, $4, $5, $6) as e on conflict do nothing",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(job)
    .bind::<Array<BigInt>, _>(&lines)
    .bind::<Array<Text>, _>(columns)
    .bind::<Array<Text>, _>(values)
    .bind::<Array<Text>, _>(reasons)
    .execute(tx.conn())
    .await?;
    let rows = import_row::table
        .filter(import_row::tenant_id.eq(tx.tenant()))
        .filter(import_row::job_id.eq(job));
    let rows = rows.filter(import_row::line.eq_any(lines));
    diesel::update(rows)
        .set(import_row::refused.eq(true))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The next flaws after a place, in the order of the file.
pub async fn next_flaws(
    tx: &mut Tx,
    job: Uuid,
    after: &(i64, String),
    most: i64,
) -> Result<Vec<StoredFlaw>, Error> {
    use import_error::dsl as e;
    let (line, column) = after;
    let rows = e::import_error
        .filter(e::tenant_id.eq(tx.tenant()))
        .filter(e::job_id.eq(job));
    let rows = rows.filter(
        e::line
            .gt(*line)
            .or(e::line.eq(*line).and(e::column.gt(column))),
    );
    let rows = rows.order((e::line, e::column)).limit(most).select((
        e::line,
        e::column,
        e::value,
        e::reason,
    ));
    Ok(rows.load(tx.conn()).await?)
}

/// Unfinished jobs of every tenant that nobody works on.
pub async fn waiting(tx: &mut Tx) -> Result<Vec<Task>, Error> {
    let now = tx.now();
    Ok(sql("select tenant_id, id from import_jobs_waiting($1)")
        .bind::<Timestamptz, _>(now)
        .load(tx.conn())
        .await?)
}

/// Jobs of every tenant whose staged rows can go.
pub async fn to_clear(tx: &mut Tx) -> Result<Vec<Task>, Error> {
    let now = tx.now();
    Ok(sql("select tenant_id, id from import_jobs_to_clear($1)")
        .bind::<Timestamptz, _>(now)
        .load(tx.conn())
        .await?)
}

/// Takes over a job that nobody works on; false when somebody does after all.
pub async fn take_over(tx: &mut Tx, id: Uuid, until: DateTime<Utc>) -> Result<bool, Error> {
    let now = tx.now();
    let row = dsl::import_job
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let free = row.filter(dsl::lease_until.lt(now));
    Ok(diesel::update(free)
        .set(dsl::lease_until.eq(until))
        .execute(tx.conn())
        .await?
        == 1)
}

/// Deletes some staged rows and keys of a job; false when there are none left.
pub async fn clear_some(tx: &mut Tx, job: Uuid) -> Result<bool, Error> {
    let rows = sql("delete from import_row where tenant_id = $1 and job_id = $2 and line in (
           select line from import_row where tenant_id = $1 and job_id = $2 order by line limit 5000)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(job)
    .execute(tx.conn())
    .await?;
    let keys = sql("delete from import_key where tenant_id = $1 and job_id = $2 and key in (
           select key from import_key where tenant_id = $1 and job_id = $2 order by key limit 5000)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(job)
    .execute(tx.conn())
    .await?;
    Ok(rows + keys > 0)
}

/// Deletes a job that never came to be.
pub async fn delete(tx: &mut Tx, id: Uuid) -> Result<(), Error> {
    let row = dsl::import_job
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}
