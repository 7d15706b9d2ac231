//! The use cases of locations.

use bahi_db::{Ctx, Done, Error as DbError, Tx};
use bahi_types::{BranchId, LocationId};
use serde_json::{Value, json};

use super::{model::Location, store};
use crate::{Error, State, branch, events, till};

/// A location to be added.
#[derive(Clone, Debug)]
pub struct NewLocation {
    /// Branch.
    pub branch_id: BranchId,
    /// Code in capitals.
    pub code: String,
    /// Name.
    pub name: String,
}

/// What may change.
#[derive(Clone, Debug)]
pub struct Change {
    /// Code in capitals.
    pub code: String,
    /// Name.
    pub name: String,
    /// Open or closed.
    pub active: bool,
}

/// Adds a location.
pub async fn create(state: &State, ctx: &Ctx, new: NewLocation) -> Result<Done<Location>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            branch::reaches(tx, new.branch_id)?;
            open_branch(tx, new.branch_id).await?;
            let row = Location {
                tenant_id: tx.tenant(),
                id: LocationId::new(),
                branch_id: new.branch_id,
                code: new.code,
                name: new.name,
                active: true,
                version: 1,
                created_at: tx.now(),
                updated_at: tx.now(),
            };
            store::insert(tx, &row).await?;
            tx.publish(events::location(&row));
            tx.audit(
                "identity.location.create",
                ("location", row.id.uuid()),
                None,
                told(&row),
            );
            Ok(row)
        })
        .await
}

/// Changes a location, closes it or opens it again.
pub async fn update(
    state: &State,
    ctx: &Ctx,
    (id, version): (LocationId, i64),
    change: Change,
) -> Result<Done<Location>, Error> {
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
            if row.active && !change.active {
                if till::store::any_active_from(tx, id).await? {
                    return Err(Error::StillInUse("tills"));
                }
            } else if !row.active && change.active {
                open_branch(tx, row.branch_id).await?;
            }
            let before = told(&row);
            row.code = change.code;
            row.name = change.name;
            row.active = change.active;
            row.version += 1;
            row.updated_at = tx.now();
            store::save(tx, &row).await?;
            tx.publish(events::location(&row));
            let details = json!({ "before": before, "after": told(&row) });
            tx.audit(
                "identity.location.update",
                ("location", id.uuid()),
                None,
                details,
            );
            Ok(row)
        })
        .await
}

/// What the trail says of a location.
fn told(row: &Location) -> Value {
    json!({ "branch_id": row.branch_id, "code": row.code, "name": row.name, "active": row.active })
}

async fn open_branch(tx: &mut Tx, id: BranchId) -> Result<(), Error> {
    match branch::store::share(tx, id)
        .await?
        .map(|branch| branch.active)
    {
        None => Err(Error::UnknownReference("branch_id")),
        Some(false) => Err(Error::ClosedReference("branch_id")),
        Some(true) => Ok(()),
    }
}
