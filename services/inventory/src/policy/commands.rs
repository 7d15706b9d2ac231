//! Changing what a tenant allows.

use bahi_db::{Ctx, Done, Tx};
use serde_json::json;

use super::{model::Policy, store};
use crate::{Error, State};

/// Replaces the policy that was seen at `seen`.
pub(super) async fn replace(
    state: &State,
    ctx: &Ctx,
    seen: i64,
    mut policy: Policy,
) -> Result<Done<Policy>, Error> {
    ctx.everywhere()?;
    policy.version = seen.saturating_add(1);
    state
        .db
        .write(ctx, async move |tx: &mut Tx| -> Result<Policy, Error> {
            store::save(tx, &policy, seen).await?;
            let object = ("inventory_policy", tx.tenant().uuid());
            tx.audit("inventory.policy.change", object, None, json!(policy));
            Ok(policy)
        })
        .await
}
