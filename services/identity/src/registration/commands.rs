//! The use cases of registrations.

use bahi_db::{Ctx, Done, Error as DbError, Tx};
use bahi_types::RegistrationId;
use serde_json::json;

use super::{
    model::{Registration, settle},
    store,
};
use crate::{
    Error, State, branch,
    company::{self, same_pan},
    events,
};

/// A registration to be added, its GSTIN and state checked.
#[derive(Clone, Debug)]
pub struct NewRegistration {
    /// GSTIN.
    pub gstin: Option<String>,
    /// State code.
    pub state_code: String,
    /// Legal name.
    pub legal_name: String,
}

/// What may change.
#[derive(Clone, Debug)]
pub struct Change {
    /// GSTIN, where there was none.
    pub gstin: Option<String>,
    /// Legal name.
    pub legal_name: String,
    /// Open or closed.
    pub active: bool,
}

/// Adds a registration.
pub async fn create(
    state: &State,
    ctx: &Ctx,
    new: NewRegistration,
) -> Result<Done<Registration>, Error> {
    ctx.everywhere()?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            check_pan(tx, new.gstin.as_deref()).await?;
            let row = Registration {
                tenant_id: tx.tenant(),
                id: RegistrationId::new(),
                gstin: new.gstin,
                state_code: new.state_code,
                legal_name: new.legal_name,
                active: true,
                version: 1,
                created_at: tx.now(),
                updated_at: tx.now(),
            };
            store::insert(tx, &row).await?;
            say(tx, &row, "identity.registration.create");
            Ok(row)
        })
        .await
}

/// Changes a registration, or closes it.
pub async fn update(
    state: &State,
    ctx: &Ctx,
    (id, version): (RegistrationId, i64),
    change: Change,
) -> Result<Done<Registration>, Error> {
    ctx.everywhere()?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let mut row = store::lock(tx, id).await?;
            if row.version != version {
                return Err(DbError::Stale {
                    current: row.version,
                }
                .into());
            }
            let gstin = settle(&row, change.gstin.as_deref())?;
            check_pan(tx, gstin.as_deref()).await?;
            if row.active && !change.active && branch::store::any_active(tx, id).await? {
                return Err(Error::StillInUse("branches"));
            }
            row.gstin = gstin;
            row.legal_name = change.legal_name;
            row.active = change.active;
            row.version += 1;
            row.updated_at = tx.now();
            store::save(tx, &row).await?;
            say(tx, &row, "identity.registration.update");
            Ok(row)
        })
        .await
}

async fn check_pan(tx: &mut Tx, gstin: Option<&str>) -> Result<(), Error> {
    let Some(gstin) = gstin else { return Ok(()) };
    let pan = company::store::share_pan(tx).await?;
    same_pan(pan.as_deref(), gstin)
}

fn say(tx: &mut Tx, row: &Registration, action: &str) {
    tx.publish(events::registration(row));
    let details = json!({ "gstin": row.gstin, "legal_name": row.legal_name, "active": row.active });
    tx.audit(action, ("registration", row.id.uuid()), None, details);
}
