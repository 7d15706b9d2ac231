//! Drafting, activating and ending plans.

use bahi_db::{Done, Error as DbError, Tx};
use bahi_http::{Caller, Fault};
use chrono::NaiveDate;
use serde_json::json;

use super::{
    model::{Plan, PlanId, Terms},
    store,
};
use crate::{
    State, catalogue,
    error::{Error, Result},
    invoice::today,
};

/// That the catalogue knows what the rules name.
async fn known(tx: &Tx, terms: &Terms) -> Result<()> {
    let products: Vec<_> = terms.rules.iter().filter_map(|r| r.product_id).collect();
    let categories: Vec<_> = terms.rules.iter().filter_map(|r| r.category_id).collect();
    match catalogue::stranger(tx, &products, &categories).await? {
        None => Ok(()),
        Some(stranger) => Err(Fault::NotYetKnown(stranger).into()),
    }
}

async fn locked(tx: &mut Tx, id: PlanId, seen: i64) -> Result<Plan> {
    let plan = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
    if plan.version != seen {
        let current = plan.version;
        return Err(DbError::Stale { current }.into());
    }
    Ok(plan)
}

/// Drafts one.
pub(super) async fn draft(state: &State, caller: &Caller, terms: Terms) -> Result<Done<Plan>> {
    terms.sound()?;
    let by = caller.user().ok();
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            known(tx, &terms).await?;
            let plan = Plan {
                plan_id: PlanId::new(),
                status: "draft".to_owned(),
                terms: terms.clone(),
                created_by: by,
                created_at: tx.now(),
                version: 1,
            };
            store::put(tx, &plan).await?;
            Ok(plan)
        })
        .await
}

/// Lets a draft say something else.
pub(super) async fn revise(
    state: &State,
    caller: &Caller,
    id: PlanId,
    seen: i64,
    terms: Terms,
) -> Result<Done<Plan>> {
    terms.sound()?;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let mut plan = locked(tx, id, seen).await?;
            plan.must_be("draft", today(tx))?;
            known(tx, &terms).await?;
            plan.terms = terms.clone();
            plan.version += 1;
            store::put(tx, &plan).await?;
            Ok(plan)
        })
        .await
}

/// Takes a draft away.
pub(super) async fn discard(
    state: &State,
    caller: &Caller,
    id: PlanId,
    seen: i64,
) -> Result<Done<()>> {
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let plan = locked(tx, id, seen).await?;
            plan.must_be("draft", today(tx))?;
            Ok(store::delete(tx, id).await?)
        })
        .await
}

/// From now on a draft pays. Said again, nothing happens.
pub(super) async fn activate(state: &State, caller: &Caller, id: PlanId) -> Result<Done<Plan>> {
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let mut plan = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
            if plan.status == "active" {
                return Ok(plan);
            }
            plan.must_be("draft", today(tx))?;
            plan.status = "active".to_owned();
            plan.version += 1;
            store::set_status(tx, &plan).await?;
            let details = json!({ "name": plan.terms.name, "valid_from": plan.terms.valid_from });
            let object = ("commission_plan", id.uuid());
            tx.audit("sales.commission_plan.activate", object, None, details);
            Ok(plan)
        })
        .await
}

/// Gives an active plan its last day: today's or a later one, and no later than the one it had.
pub(super) async fn end(
    state: &State,
    caller: &Caller,
    id: PlanId,
    last: Option<NaiveDate>,
) -> Result<Done<Plan>> {
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let mut plan = store::lock(tx, id).await?.ok_or(Fault::NotFound)?;
            let today = today(tx);
            plan.must_be("active", today)?;
            let last = last.unwrap_or(today);
            if last < today || last < plan.terms.valid_from {
                let why = "must be today or later, and not before valid_from";
                return Err(Fault::field("valid_to", why).into());
            }
            if plan.terms.valid_to.is_some_and(|until| until < last) {
                return Err(Fault::field("valid_to", "must not be after the one it has").into());
            }
            plan.status = "ended".to_owned();
            plan.terms.valid_to = Some(last);
            plan.version += 1;
            store::set_status(tx, &plan).await?;
            let details = json!({ "name": plan.terms.name, "valid_to": last });
            let object = ("commission_plan", id.uuid());
            tx.audit("sales.commission_plan.end", object, None, details);
            Ok::<_, Error>(plan)
        })
        .await
}
