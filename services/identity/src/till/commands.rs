//! The use cases of tills.

use bahi_db::{Ctx, Done, Error as DbError, Tx};
use bahi_types::{BranchId, LocationId, TillId};
use serde_json::{Value, json};

use super::{model::Till, store};
use crate::{Error, State, branch, branch::Branch, events, location};

/// A till to be added.
#[derive(Clone, Debug)]
pub struct NewTill {
    /// Branch.
    pub branch_id: BranchId,
    /// Where its sales take stock from.
    pub location_id: LocationId,
    /// Code in capitals.
    pub code: String,
    /// Name.
    pub name: String,
    /// Series, checked.
    pub series: String,
    /// Round to the rupee.
    pub round_to_rupee: bool,
}

/// What may change.
#[derive(Clone, Debug)]
pub struct Change {
    /// Code in capitals.
    pub code: String,
    /// Name.
    pub name: String,
    /// Where its sales take stock from.
    pub location_id: LocationId,
    /// Round to the rupee.
    pub round_to_rupee: bool,
    /// Active or retired.
    pub active: bool,
}

/// Adds a till.
pub async fn create(state: &State, ctx: &Ctx, new: NewTill) -> Result<Done<Till>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            branch::reaches(tx, new.branch_id)?;
            let branch = open_branch(tx, new.branch_id).await?;
            open_location(tx, new.location_id, branch.id).await?;
            let row = Till {
                tenant_id: tx.tenant(),
                id: TillId::new(),
                branch_id: branch.id,
                registration_id: branch.registration_id,
                location_id: new.location_id,
                code: new.code,
                name: new.name,
                series: new.series,
                round_to_rupee: new.round_to_rupee,
                active: true,
                version: 1,
                created_at: tx.now(),
                updated_at: tx.now(),
            };
            store::insert(tx, &row).await?;
            tx.publish(events::till(&row));
            tx.audit(
                "identity.till.create",
                ("till", row.id.uuid()),
                None,
                told(&row),
            );
            Ok(row)
        })
        .await
}

/// Changes a till, retires it or brings it back.
pub async fn update(
    state: &State,
    ctx: &Ctx,
    (id, version): (TillId, i64),
    change: Change,
) -> Result<Done<Till>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let mut row = store::lock(tx, id).await?;
            branch::reaches(tx, row.branch_id)?;
            if row.version != version {
                return Err(DbError::Stale {
                    current: row.version,
                }
                .into());
            }
            if change.active && !row.active {
                open_branch(tx, row.branch_id).await?;
            }
            if change.active && (!row.active || change.location_id != row.location_id) {
                open_location(tx, change.location_id, row.branch_id).await?;
            }
            let before = told(&row);
            row.code = change.code;
            row.name = change.name;
            row.location_id = change.location_id;
            row.round_to_rupee = change.round_to_rupee;
            row.active = change.active;
            row.version += 1;
            row.updated_at = tx.now();
            store::save(tx, &row).await?;
            tx.publish(events::till(&row));
            let details = json!({ "before": before, "after": told(&row) });
            tx.audit("identity.till.update", ("till", id.uuid()), None, details);
            Ok(row)
        })
        .await
}

/// What the trail says of a till.
fn told(row: &Till) -> Value {
    json!({
        "branch_id": row.branch_id, "location_id": row.location_id, "code": row.code, "name": row.name,
        "series": row.series, "round_to_rupee": row.round_to_rupee, "active": row.active,
    })
}

async fn open_branch(tx: &mut Tx, id: BranchId) -> Result<Branch, Error> {
    let branch = branch::store::share(tx, id)
        .await?
        .ok_or(Error::UnknownReference("branch_id"))?;
    if branch.active {
        Ok(branch)
    } else {
        Err(Error::ClosedReference("branch_id"))
    }
}

/// A till sells from a location of its own branch: elsewhere the stock may be another registration's.
async fn open_location(tx: &mut Tx, id: LocationId, branch: BranchId) -> Result<(), Error> {
    let location = location::store::share(tx, id)
        .await?
        .filter(|location| location.branch_id == branch);
    let location = location.ok_or(Error::UnknownReference("location_id"))?;
    if location.active {
        Ok(())
    } else {
        Err(Error::ClosedReference("location_id"))
    }
}
