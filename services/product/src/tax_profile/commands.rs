//! What can be done with tax profiles.

use bahi_db::{Ctx, Done, Tx};
use bahi_types::TaxProfileId;
use serde_json::json;

use crate::{
    Error, State, events,
    tax_profile::{
        model::{Draft, NewRate, TaxProfile},
        store,
    },
};

/// Adds a profile.
pub async fn create(state: &State, ctx: &Ctx, draft: Draft) -> Result<Done<TaxProfile>, Error> {
    let create = async move |tx: &mut Tx| -> Result<TaxProfile, Error> {
        let profile = TaxProfile::new(draft, tx.now())?;
        store::insert(tx, &profile).await?;
        tell(tx, "product.tax_profile.create", None, &profile);
        Ok(profile)
    };
    state.db.write(ctx, create).await
}

/// Changes a profile as far as its use allows.
pub async fn amend(
    state: &State,
    ctx: &Ctx,
    id: TaxProfileId,
    seen: i64,
    draft: Draft,
) -> Result<Done<TaxProfile>, Error> {
    let amend = async move |tx: &mut Tx| -> Result<TaxProfile, Error> {
        let before = store::lock(tx, id, seen).await?;
        let in_use = store::in_use(tx, id).await?;
        let after = before.amended(draft, in_use, tx.now())?;
        if after != before {
            store::save(tx, &after).await?;
            tell(tx, "product.tax_profile.update", Some(&before), &after);
        }
        Ok(after)
    };
    state.db.write(ctx, amend).await
}

/// Adds a rate, which ends the one that held before it.
pub async fn add_rate(
    state: &State,
    ctx: &Ctx,
    id: TaxProfileId,
    rate: NewRate,
) -> Result<Done<TaxProfile>, Error> {
    let add_rate = async move |tx: &mut Tx| -> Result<TaxProfile, Error> {
        let before = store::lock_any_version(tx, id).await?;
        let after = before.with_rate(rate, tx.now())?;
        store::save(tx, &after).await?;
        tell(tx, "product.tax_profile.rate_change", Some(&before), &after);
        Ok(after)
    };
    state.db.write(ctx, add_rate).await
}

/// Deletes a profile that no product uses.
pub async fn delete(
    state: &State,
    ctx: &Ctx,
    id: TaxProfileId,
    seen: i64,
) -> Result<Done<()>, Error> {
    let delete = async move |tx: &mut Tx| -> Result<(), Error> {
        let profile = store::lock(tx, id, seen).await?;
        store::delete(tx, id).await?;
        tx.audit(
            "product.tax_profile.delete",
            ("tax_profile", id.uuid()),
            None,
            json!({ "old": profile }),
        );
        Ok(())
    };
    state.db.write(ctx, delete).await
}

/// Audits and tells a change.
pub fn tell(tx: &mut Tx, action: &str, before: Option<&TaxProfile>, after: &TaxProfile) {
    let details = json!({ "old": before, "new": after });
    tx.audit(action, ("tax_profile", after.head.id.uuid()), None, details);
    tx.publish(events::tax_rate_changed(after));
}
