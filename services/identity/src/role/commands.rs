//! The use cases of roles.

use bahi_db::{Ctx, Done, Error as DbError, Tx};
use bahi_http::Grants;
use bahi_types::RoleId;
use serde_json::json;

use super::{
    model::{Role, grant_set, within},
    store,
};
use crate::{Error, State, events, user};

/// Makes a role.
pub async fn create(
    state: &State,
    ctx: &Ctx,
    grants: &Grants,
    name: String,
    permissions: Vec<String>,
) -> Result<Done<Role>, Error> {
    let grants = grants.clone();
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let permissions = grant_set(permissions);
            within(&grants, &permissions)?;
            let role = Role {
                tenant_id: tx.tenant(),
                id: RoleId::new(),
                name,
                permissions,
                is_owner: false,
                version: 1,
                created_at: tx.now(),
                updated_at: tx.now(),
            };
            store::insert(tx, std::slice::from_ref(&role)).await?;
            tx.publish(events::role_created(&role));
            let details = json!({ "permissions": role.permissions });
            tx.audit(
                "identity.role.create",
                ("role", role.id.uuid()),
                None,
                details,
            );
            Ok(role)
        })
        .await
}

/// Changes name and permissions. Who works for some branches only changes the name alone.
pub async fn update(
    state: &State,
    ctx: &Ctx,
    grants: &Grants,
    (id, version): (RoleId, i64),
    name: String,
    permissions: Vec<String>,
) -> Result<Done<Role>, Error> {
    let (clock, grants) = (state.clock.clone(), grants.clone());
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let mut role = changeable(tx, &grants, id, version).await?;
            let permissions = grant_set(permissions);
            within(&grants, &permissions)?;
            if permissions != role.permissions {
                // Those who hold it may work anywhere.
                tx.ctx().everywhere()?;
                let holders = user::store::lock_holders(tx, id).await?;
                user::void_tokens(tx, &clock, &holders).await?;
                let details = json!({ "before": role.permissions, "after": permissions });
                tx.audit("identity.role.update", ("role", id.uuid()), None, details);
            }
            role.name = name;
            role.permissions = permissions;
            role.version += 1;
            role.updated_at = tx.now();
            store::save(tx, &role).await?;
            tx.publish(events::role_updated(&role));
            Ok(role)
        })
        .await
}

/// Deletes a role that nobody has. It is the tenant's, so nobody does who works for some branches only.
pub async fn delete(
    state: &State,
    ctx: &Ctx,
    grants: &Grants,
    (id, version): (RoleId, i64),
) -> Result<Done<()>, Error> {
    ctx.everywhere()?;
    let grants = grants.clone();
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let mut role = changeable(tx, &grants, id, version).await?;
            store::delete(tx, id).await?;
            role.version += 1;
            tx.publish(events::role_deleted(&role));
            let details = json!({ "name": role.name, "permissions": role.permissions });
            tx.audit("identity.role.delete", ("role", id.uuid()), None, details);
            Ok(())
        })
        .await
}

async fn changeable(tx: &mut Tx, grants: &Grants, id: RoleId, version: i64) -> Result<Role, Error> {
    let role = store::lock(tx, id).await?;
    if role.version != version {
        return Err(DbError::Stale {
            current: role.version,
        }
        .into());
    }
    if role.is_owner {
        return Err(Error::OwnerRoleFixed);
    }
    within(grants, &role.permissions)?;
    Ok(role)
}
