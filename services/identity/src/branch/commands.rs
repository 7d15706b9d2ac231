//! The use cases of branches.

use bahi_db::{Ctx, Done, Error as DbError, Tx};
use bahi_types::{BranchId, RegistrationId};
use serde_json::{Value, json};

use super::{model::Branch, store};
use crate::{Error, State, events, location, registration, till};

/// A branch to be opened.
#[derive(Clone, Debug)]
pub struct NewBranch {
    /// Registration.
    pub registration_id: RegistrationId,
    /// Code in capitals.
    pub code: String,
    /// Name.
    pub name: String,
    /// Address.
    pub address: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// Virtual payment address.
    pub upi_vpa: Option<String>,
}

/// What may change.
#[derive(Clone, Debug)]
pub struct Change {
    /// Code in capitals.
    pub code: String,
    /// Name.
    pub name: String,
    /// Address; none leaves it as it is.
    pub address: Option<String>,
    /// Telephone; none leaves it as it is.
    pub phone: Option<String>,
    /// Virtual payment address; none leaves it as it is.
    pub upi_vpa: Option<String>,
    /// Open or closed.
    pub active: bool,
}

/// Nobody changes a branch, or what stands in one, where he does not work.
pub fn reaches(tx: &Tx, id: BranchId) -> Result<(), Error> {
    if tx.ctx().scope.has(id) {
        Ok(())
    } else {
        Err(DbError::OtherBranch.into())
    }
}

/// Opens a branch. Nobody works for it yet but who works for all.
pub async fn create(state: &State, ctx: &Ctx, new: NewBranch) -> Result<Done<Branch>, Error> {
    ctx.everywhere()?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            open_registration(tx, new.registration_id).await?;
            let row = Branch {
                tenant_id: tx.tenant(),
                id: BranchId::new(),
                registration_id: new.registration_id,
                code: new.code,
                name: new.name,
                active: true,
                version: 1,
                created_at: tx.now(),
                updated_at: tx.now(),
                address: new.address,
                phone: new.phone,
                upi_vpa: new.upi_vpa,
            };
            store::insert(tx, &row).await?;
            tx.publish(events::branch(&row));
            tx.audit(
                "identity.branch.create",
                ("branch", row.id.uuid()),
                None,
                told(&row),
            );
            Ok(row)
        })
        .await
}

/// Changes a branch, closes it or opens it again.
pub async fn update(
    state: &State,
    ctx: &Ctx,
    (id, version): (BranchId, i64),
    change: Change,
) -> Result<Done<Branch>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let mut row = store::lock(tx, id).await?;
            reaches(tx, id)?;
            if row.version != version {
                return Err(DbError::Stale {
                    current: row.version,
                }
                .into());
            }
            if row.active && !change.active {
                if till::store::any_active_in(tx, id).await? {
                    return Err(Error::StillInUse("tills"));
                }
                if location::store::any_active(tx, id).await? {
                    return Err(Error::StillInUse("locations"));
                }
            } else if !row.active && change.active {
                open_registration(tx, row.registration_id).await?;
            }
            let before = told(&row);
            row.code = change.code;
            row.name = change.name;
            row.address = change.address.or(row.address);
            row.phone = change.phone.or(row.phone);
            row.upi_vpa = change.upi_vpa.or(row.upi_vpa);
            row.active = change.active;
            row.version += 1;
            row.updated_at = tx.now();
            store::save(tx, &row).await?;
            tx.publish(events::branch(&row));
            let details = json!({ "before": before, "after": told(&row) });
            tx.audit(
                "identity.branch.update",
                ("branch", id.uuid()),
                None,
                details,
            );
            Ok(row)
        })
        .await
}

/// What the trail says of a branch: also to which address its customers pay, which may be put back before anybody looks.
fn told(row: &Branch) -> Value {
    json!({
        "registration_id": row.registration_id, "code": row.code, "name": row.name, "address": row.address,
        "phone": row.phone, "upi_vpa": row.upi_vpa, "active": row.active,
    })
}

async fn open_registration(tx: &mut Tx, id: RegistrationId) -> Result<(), Error> {
    match registration::store::share_active(tx, id).await? {
        None => Err(Error::UnknownReference("registration_id")),
        Some(false) => Err(Error::ClosedReference("registration_id")),
        Some(true) => Ok(()),
    }
}
