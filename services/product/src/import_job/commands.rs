//! What can be done with imports that are here: work through, apply, cancel, clear.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use bahi_db::{Ctx, Db, Done, Error as DbError, Tx};
use bahi_service::Failures;
use bahi_types::TenantId;
use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use crate::{
    Error, State, barcode, brand, category, events,
    import_job::{
        model::{ImportJob, Status},
        store::{self, StagedRow},
    },
    import_row::{
        model::{Claim, Known, Outcome, Wanted, claims, decide},
        sheet::Flaw,
    },
    kit,
    product::{self, model::Change},
    tax_profile, unit,
};

/// Rows checked or applied in one transaction.
const CHUNK: i64 = 500;
/// Most events of one transaction.
const EVENTS: usize = 500;
/// Most events of one row: the snapshot, the price and its audit, and a category for each level.
const EVENTS_OF_ROW: usize = 3 + category::model::LEVELS;
/// How long a job may make no progress before somebody else takes it up.
pub const LEASE: TimeDelta = TimeDelta::seconds(30);
/// Times that a chunk is tried again.
const RETRIES: u32 = 6;

/// Applies a dry run.
pub async fn apply(state: &State, ctx: &Ctx, id: Uuid) -> Result<Done<ImportJob>, Error> {
    let apply = async move |tx: &mut Tx| -> Result<ImportJob, Error> {
        let mut job = store::lock(tx, id).await?;
        job.step(Status::Applying, tx.now())?;
        job.lease_until = tx.now() + LEASE;
        store::save(tx, &job).await?;
        Ok(job)
    };
    let done = state.db.write(ctx, apply).await?;
    if !done.replayed {
        start(state, ctx.tenant, id);
    }
    Ok(done)
}

/// Stops a job; what went in stays in.
pub async fn cancel(state: &State, ctx: &Ctx, id: Uuid) -> Result<Done<ImportJob>, Error> {
    let cancel = async move |tx: &mut Tx| -> Result<ImportJob, Error> {
        let mut job = store::lock(tx, id).await?;
        job.step(Status::Cancelled, tx.now())?;
        store::save(tx, &job).await?;
        Ok(job)
    };
    state.db.write(ctx, cancel).await
}

/// Takes up jobs that a process left behind.
pub async fn resume(state: &State) -> Result<(), Error> {
    let tasks = state
        .db
        .read(&nobody(&state.db), async |tx: &mut Tx| {
            store::waiting(tx).await
        })
        .await?;
    let mut failures = Failures::none();
    for task in tasks {
        let ctx = Ctx::service(state.db.service(), task.tenant_id);
        let take = async move |tx: &mut Tx| store::take_over(tx, task.id, tx.now() + LEASE).await;
        let taken = failures.pass(state.db.write(&ctx, take).await);
        if taken.is_some_and(|taken| taken.value) {
            start(state, task.tenant_id, task.id);
        }
    }
    failures.end()
}

/// Clears staged rows that are not needed any more, and uploads that broke off.
pub async fn clear(state: &State) -> Result<(), Error> {
    let tasks = state
        .db
        .read(&nobody(&state.db), async |tx: &mut Tx| {
            store::to_clear(tx).await
        })
        .await?;
    let mut failures = Failures::none();
    for task in tasks {
        failures.pass(clear_one(state, task.tenant_id, task.id).await);
    }
    failures.end()
}

async fn clear_one(state: &State, tenant: TenantId, id: Uuid) -> Result<(), Error> {
    let ctx = Ctx::service(state.db.service(), tenant);
    let some = async move |tx: &mut Tx| store::clear_some(tx, id).await;
    while state.db.write(&ctx, some).await?.value {}
    let close = async move |tx: &mut Tx| -> Result<(), Error> {
        let mut job = store::lock(tx, id).await?;
        match job.status {
            Status::Uploading => return store::delete(tx, job.id).await,
            Status::Ready => job.step(Status::Cancelled, tx.now())?,
            _ => {}
        }
        job.staged = false;
        store::save(tx, &job).await
    };
    state.db.write(&ctx, close).await?;
    Ok(())
}

/// Works a job through in the background, when its turn comes.
pub fn start(state: &State, tenant: TenantId, id: Uuid) {
    let state = state.clone();
    tokio::spawn(async move {
        let Ok(_turn) = state.imports.clone().acquire_owned().await else {
            return;
        };
        if let Err(error) = work(&state, tenant, id).await {
            // The lease runs out, and somebody takes it up again.
            tracing::warn!(job = %id, error = ?error, "an import was interrupted");
        }
    });
}

async fn work(state: &State, tenant: TenantId, id: Uuid) -> Result<(), Error> {
    let ctx = Ctx::service(state.db.service(), tenant);
    let job = state
        .db
        .read(&ctx, async |tx: &mut Tx| store::get(tx, id).await)
        .await?;
    let ctx = job.ctx(state.db.service(), tenant)?;
    let mut lost = 0;
    loop {
        match state
            .db
            .write(&ctx, async move |tx: &mut Tx| advance(tx, id).await)
            .await
        {
            Ok(Done { value: false, .. }) => return Ok(()),
            Ok(_) => lost = 0,
            Err(error) if lost < RETRIES && (error.is_race() || passes(&error)) => {
                lost += 1;
                tokio::time::sleep(Duration::from_millis(20 << lost)).await;
            }
            Err(error) if passes(&error) => return Err(error),
            Err(error) => {
                tracing::error!(job = %id, error = ?error, "an import failed");
                let fail = async move |tx: &mut Tx| fail(tx, id).await;
                state.db.write(&ctx, fail).await?;
                return Ok(());
            }
        }
        bahi_service::pause_point("product.after_import_step").await;
    }
}

/// Trouble of the database that passes.
fn passes(error: &Error) -> bool {
    use DbError::{CommitUnknown, Contention, Locked, Timeout, Unavailable};
    matches!(
        error,
        Error::Db(Contention | Locked | Timeout | Unavailable | CommitUnknown)
    )
}

async fn fail(tx: &mut Tx, id: Uuid) -> Result<(), Error> {
    let mut job = store::lock(tx, id).await?;
    job.step(Status::Failed, tx.now())?;
    job.reason = Some("An unexpected error; it has been logged.".into());
    store::save(tx, &job).await?;
    tx.publish(events::import_completed(&job));
    Ok(())
}

/// Takes a job one step further; false when there is none to take.
async fn advance(tx: &mut Tx, id: Uuid) -> Result<bool, Error> {
    let mut job = store::lock(tx, id).await?;
    let now = tx.now();
    match job.status {
        Status::Uploaded => job.step(Status::Validating, now)?,
        Status::Validating => check_some(tx, &mut job).await?,
        Status::Ready if !job.dry_run => job.step(Status::Applying, now)?,
        Status::Applying => apply_some(tx, &mut job).await?,
        _ => return Ok(false),
    }
    job.lease_until = now + LEASE;
    store::save(tx, &job).await?;
    Ok(true)
}

/// Checks the next rows, or ends the checking.
async fn check_some(tx: &mut Tx, job: &mut ImportJob) -> Result<(), Error> {
    let rows = if job.reason.is_none() {
        store::next_rows(tx, job.id, job.cursor, CHUNK).await?
    } else {
        Vec::new()
    };
    let Some(last) = rows.last().map(|row| row.line) else {
        let to = job.checked_out();
        return job.step(to, tx.now());
    };
    let wanted = Wanted::by(rows.iter().map(|row| &row.cells));
    let products = product::store::by_sku(tx, &wanted.skus).await?;
    let mut known = know(tx, &wanted, products).await?;
    let (mut flaws, mut good) = (Vec::new(), Vec::new());
    for row in &rows {
        match decide(&mut known, row.line, &row.cells, tx.now()) {
            Ok(outcome) => good.push((row, outcome)),
            Err(found) => flaws.extend(found),
        }
    }
    let repeated = repeated(tx, job.id, good.iter().map(|(row, _)| *row)).await?;
    let refused: HashSet<i64> = repeated.iter().map(|flaw| flaw.line).collect();
    good.iter()
        .filter(|(row, _)| !refused.contains(&row.line))
        .for_each(|(_, outcome)| job.count(outcome));
    flaws.extend(repeated);
    refuse(tx, job, &flaws).await?;
    job.checked += i64::try_from(rows.len()).unwrap_or(i64::MAX);
    job.cursor = last;
    Ok(())
}

/// Applies the next rows, or ends the job.
async fn apply_some(tx: &mut Tx, job: &mut ImportJob) -> Result<(), Error> {
    let rows = store::next_rows(tx, job.id, job.cursor, CHUNK).await?;
    if rows.is_empty() {
        job.step(job.applied_out(), tx.now())?;
        let counts =
            json!({ "created": job.created, "updated": job.updated, "refused": job.refused });
        tx.audit(
            "product.product.import",
            ("import_job", job.id),
            None,
            counts,
        );
        tx.publish(events::import_completed(job));
        return Ok(());
    }
    let wanted = Wanted::by(rows.iter().map(|row| &row.cells));
    let products = product::store::lock_by_sku(tx, &wanted.skus).await?;
    let mut known = know(tx, &wanted, products).await?;
    let (mut flaws, mut changes) = (Vec::new(), Vec::<Change>::new());
    let mut said = 0;
    for row in &rows {
        if said + known.new_categories.len() + EVENTS_OF_ROW > EVENTS {
            break;
        }
        job.cursor = row.line;
        job.applied += 1;
        match decide(&mut known, row.line, &row.cells, tx.now()) {
            Ok(outcome) => {
                job.count(&outcome);
                if let Outcome::Change(change) = outcome {
                    // With a new price comes its audit record.
                    said += change.events() + usize::from(change.reprices());
                    // The variants of a template change with it: they are enough for one transaction.
                    said += if change.after.template { EVENTS } else { 0 };
                    changes.push(*change);
                }
            }
            Err(found) => flaws.extend(found),
        }
    }
    brand::store::insert(tx, &known.new_brands).await?;
    category::store::insert(tx, &known.new_categories).await?;
    known
        .new_categories
        .iter()
        .for_each(|category| tx.publish(events::category_created(category)));
    product::commands::record(tx, &changes).await?;
    refuse(tx, job, &flaws).await
}

/// Everything that rows refer to, given the products they are about.
async fn know(
    tx: &mut Tx,
    wanted: &Wanted,
    products: Vec<product::model::Product>,
) -> Result<Known, Error> {
    let unit_ids: Vec<_> = products.iter().map(|product| product.unit_id).collect();
    let profile_ids: Vec<_> = products
        .iter()
        .map(|product| product.tax_profile_id)
        .collect();
    let units = unit::store::hold_any(tx, &unit_ids, &wanted.units).await?;
    let profiles =
        tax_profile::store::hold_any(tx, &profile_ids, &wanted.profiles, &wanted.codes).await?;
    let brands = brand::store::ids_by_name(tx, &wanted.brands).await?;
    let categories = category::store::named(tx, &wanted.categories).await?;
    let owners = barcode::store::owners(tx, &wanted.barcodes).await?;
    let ids: Vec<_> = products.iter().map(|product| product.id).collect();
    let components = kit::store::components_among(tx, &ids).await?;
    Ok(Known {
        components: components.into_iter().collect(),
        products: products
            .into_iter()
            .map(|product| (crate::text::fold(&product.sku), product))
            .collect(),
        units: units
            .iter()
            .map(|unit| (crate::text::fold(&unit.code), unit.clone()))
            .collect(),
        units_by_id: units.into_iter().map(|unit| (unit.id, unit)).collect(),
        profiles,
        brands: brands.into_iter().collect(),
        categories: categories
            .into_iter()
            .map(|c| ((c.parent_id, c.key), c.id))
            .collect(),
        owners: owners.into_iter().collect(),
        ..Known::default()
    })
}

/// Flaws of the rows whose SKU or barcode an earlier row of the file has.
async fn repeated(
    tx: &mut Tx,
    job: Uuid,
    rows: impl Iterator<Item = &StagedRow>,
) -> Result<Vec<Flaw>, Error> {
    let claims: Vec<Claim> = rows.flat_map(|row| claims(row.line, &row.cells)).collect();
    let holders = store::claim_keys(tx, job, &claims).await?;
    let holders: HashMap<String, i64> = holders.into_iter().collect();
    let flaw = |claim: &Claim| {
        let holder = holders
            .get(&claim.key)
            .filter(|holder| **holder != claim.line)?;
        let reason = format!("stands in line {holder} already");
        Some(Flaw::new(
            claim.line,
            claim.column.word(),
            &claim.value,
            reason,
        ))
    };
    Ok(claims.iter().filter_map(flaw).collect())
}

async fn refuse(tx: &mut Tx, job: &mut ImportJob, flaws: &[Flaw]) -> Result<(), Error> {
    let lines: HashSet<i64> = flaws.iter().map(|flaw| flaw.line).collect();
    job.refused += i64::try_from(lines.len()).unwrap_or(i64::MAX);
    store::refuse(tx, job.id, flaws).await
}

/// For what concerns every tenant; it sees no tenant's rows but through the functions made for it.
fn nobody(db: &Db) -> Ctx {
    Ctx::service(db.service(), TenantId::from_uuid(Uuid::nil()))
}
