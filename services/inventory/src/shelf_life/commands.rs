//! Making, changing and deleting rules of minimum shelf life.

use bahi_db::{Ctx, Done, Tx};
use serde_json::json;
use uuid::Uuid;

use super::store::{self, Rule};
use crate::{Error, State};

/// Adds a rule.
///
/// # Errors
/// [`Error::RuleTaken`].
pub(super) async fn create(state: &State, ctx: &Ctx, rule: Rule) -> Result<Done<Rule>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Rule, Error> {
            store::insert(tx, &rule).await?;
            Ok(rule)
        })
        .await
}

/// Gives a rule other days.
///
/// # Errors
/// When it is not there, or has changed since it was seen.
pub(super) async fn change(
    state: &State,
    ctx: &Ctx,
    (id, seen): (Uuid, i64),
    min_days: i32,
) -> Result<Done<Rule>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Rule, Error> {
            let mut rule = store::lock(tx, id, seen).await?;
            rule.min_days = min_days;
            rule.version += 1;
            store::save(tx, &rule).await?;
            Ok(rule)
        })
        .await
}

/// Deletes a rule.
///
/// # Errors
/// When it is not there, or has changed since it was seen.
pub(super) async fn delete(
    state: &State,
    ctx: &Ctx,
    (id, seen): (Uuid, i64),
) -> Result<Done<()>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<(), Error> {
            let rule = store::lock(tx, id, seen).await?;
            store::delete(tx, id).await?;
            tx.audit(
                "inventory.shelf_life_rule.delete",
                ("shelf_life_rule", id),
                None,
                json!(rule),
            );
            Ok(())
        })
        .await
}
