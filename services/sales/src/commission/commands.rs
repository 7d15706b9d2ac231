//! The job that brings the ledger up to what happened.

use std::collections::{BTreeMap, BTreeSet};

use bahi_db::{Ctx, Tx};
use bahi_types::{ProductId, TenantId};

use super::{
    model::{Place, Sale, Story, post, rates},
    store,
};
use crate::{State, commission_plan, commission_plan::Plan, error::Result, events};

/// Transactions that one look for new invoices goes over.
const TRANSACTIONS: i64 = 20_000;
/// Sales that a plan looks back at in one transaction.
const BACK: i32 = 2_000;
/// Invoices that one transaction takes.
const INVOICES: i64 = 100;
/// Tenants of one run.
const TENANTS: i32 = 1_000;
/// Steps of one run, so that another job of this process is not put off for long; the next run goes on.
const STEPS: usize = 500;

/// Brings the ledger of every tenant up to what is committed. Several may run at a time.
pub(crate) async fn accrue(state: &State) -> anyhow::Result<()> {
    // What a restore still writes again is older than what it has not reached.
    if state.restore.passed().await.is_err() {
        return Ok(());
    }
    let mut steps = 0..STEPS;
    while steps.next().is_some() && store::gather(&state.db, TRANSACTIONS).await? {}
    while steps.next().is_some() && store::look_back(&state.db, BACK).await? {}
    let mut failed = None;
    for tenant in store::tenants(&state.db, TENANTS).await? {
        let mut turns = 0..STEPS;
        while turns.next().is_some() {
            match batch(state, tenant).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    // The others do not wait for it.
                    tracing::error!(%tenant, %error, "commission of a tenant waits for its next turn");
                    failed.get_or_insert(error);
                    break;
                }
            }
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Whether some plan may pay a sale.
fn concerned(plans: &[Plan], story: &Story) -> bool {
    plans.iter().any(|p| p.terms.covers_day(story.sold.date))
}

fn places(plans: &[Plan], stories: &[Story]) -> Vec<Place> {
    let mut places = BTreeSet::new();
    for story in stories {
        let of_story = story.documents.iter().filter_map(|d| d.salesperson);
        let persons: BTreeSet<_> = of_story.filter_map(|(_, to)| to).collect();
        for plan in plans {
            let (first, _) = plan.terms.period_of(story.sold.date);
            let covered = persons.iter().filter(|s| plan.terms.covers(**s));
            places.extend(covered.map(|s| (plan.plan_id, *s, first)));
        }
    }
    places.into_iter().collect()
}

/// Takes the next invoices of a tenant; whether there may be more.
async fn batch(state: &State, tenant: TenantId) -> Result<bool> {
    let ctx = Ctx::service(state.db.service(), tenant);
    let done = state
        .db
        .write(&ctx, async |tx: &mut Tx| -> Result<bool> {
            if !store::claim(tx).await? {
                return Ok(false);
            }
            let ids = store::take(tx, INVOICES).await?;
            if ids.is_empty() {
                return Ok(false);
            }
            let plans = commission_plan::in_force(tx).await?;
            if plans.is_empty() {
                return Ok(true);
            }
            let mut stories = store::stories(tx, &ids).await?;
            stories.retain(|story| concerned(&plans, story));
            if !stories.is_empty() {
                settle(tx, &plans, &stories).await?;
            }
            Ok(true)
        })
        .await?;
    Ok(done.value)
}

/// Writes what is not in the ledger of these.
async fn settle(tx: &mut Tx, plans: &[Plan], stories: &[Story]) -> Result<()> {
    let ids: Vec<_> = stories.iter().map(|s| s.sold.invoice_id).collect();
    let mut known = store::sales(tx, &ids).await?;
    let lines = stories.iter().flat_map(|s| &s.lines);
    let products: BTreeSet<ProductId> = lines.map(|l| l.product_id).collect();
    let products: Vec<ProductId> = products.into_iter().collect();
    let categories = store::categories(tx, &products).await?;
    let before = store::sums(tx, &places(plans, stories)).await?;
    let mut sums = before.clone();
    let (mut sales, mut postings) = (Vec::new(), Vec::new());
    for story in stories {
        let covering = plans.iter().filter(|p| p.terms.covers_day(story.sold.date));
        for plan in covering {
            let key = (story.sold.invoice_id, plan.plan_id);
            let met = known.remove(&key);
            let is_new = met.is_none();
            let mut sale = met.unwrap_or_else(|| Sale {
                rates: rates(&plan.terms, &story.lines, &categories),
                ..Sale::default()
            });
            let seen = sale.seen.len();
            let made = post(plan, story, &mut sale, &mut sums);
            // A sale of which nobody has earned anything yet is met anew.
            let met = !is_new || !made.is_empty() || !sale.rates.is_empty() && pays(plan, story);
            if met && sale.seen.len() > seen {
                sales.push((key, sale));
            }
            postings.extend(made);
        }
    }
    let moved: BTreeMap<_, _> = sums
        .into_iter()
        .filter(|(place, sums)| before.get(place).copied().unwrap_or_default() != *sums)
        .collect();
    store::save_sums(tx, &moved).await?;
    store::save_sales(tx, &sales).await?;
    store::insert(tx, &postings).await?;
    for posting in &postings {
        tx.publish(events::commission_posted(posting));
    }
    Ok(())
}

/// Whether a plan pays one of those who sold.
fn pays(plan: &Plan, story: &Story) -> bool {
    let persons = story.documents.iter().filter_map(|d| d.salesperson);
    persons
        .filter_map(|(_, to)| to)
        .any(|s| plan.terms.covers(s))
}
