//! `/api/v1/roles`.

use actix_web::{HttpResponse, delete, get, post, put, web};
use bahi_db::{Done, Tx};
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, no_content, ok, page, validate,
};
use bahi_types::{Page, PageQuery, RoleId};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands,
    model::{PERMISSIONS, Role, is_grant, opens},
    store,
};
use crate::{Error, State};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(list)
        .service(get_one)
        .service(update)
        .service(delete_one)
        .service(list_permissions);
}

/// Name and permissions.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RoleInput {
    /// Name; unique in the tenant, ignoring case.
    #[garde(custom(validate::line), length(chars, max = 60))]
    name: String,
    /// Grants: `sales.pos.use`, `sales.pos.*`, `sales.*`.
    #[garde(length(max = 200), inner(custom(grant)))]
    permissions: Vec<String>,
}

/// A grant: for `#[garde(custom(..))]`.
///
/// # Errors
/// When it is none.
pub fn grant(value: &str, (): &()) -> garde::Result {
    if !is_grant(value) {
        return Err(garde::Error::new(
            "must be <service>.<noun>.<verb>, or end early in *",
        ));
    }
    if !opens(value) {
        return Err(garde::Error::new("is no permission that any service knows"));
    }
    Ok(())
}

/// A role.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct RoleBody {
    #[schema(value_type = uuid::Uuid)]
    id: RoleId,
    name: String,
    permissions: Vec<String>,
    /// The owner role cannot be changed.
    is_owner: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Role> for RoleBody {
    fn from(role: Role) -> Self {
        Self {
            id: role.id,
            name: role.name,
            permissions: role.permissions,
            is_owner: role.is_owner,
            version: role.version,
            created_at: role.created_at,
            updated_at: role.updated_at,
        }
    }
}

impl Versioned for RoleBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Makes a role.
#[utoipa::path(tag = "roles", security(("bearer" = ["identity.role.write"])), request_body = RoleInput, responses(
    (status = 201, body = RoleBody), (status = 403, description = "ESCALATION"), (status = 409, description = "ROLE_NAME_TAKEN")))]
#[post("/api/v1/roles")]
async fn create(state: web::Data<State>, req: Post<RoleInput>) -> Result<HttpResponse, Problem> {
    let RoleInput { name, permissions } = req.body;
    let made = commands::create(
        &state,
        &req.caller.ctx,
        &req.caller.grants,
        name,
        permissions,
    )
    .await?;
    Ok(created(&made.map(RoleBody::from)))
}

/// Roles, by name unless sorted otherwise.
#[utoipa::path(tag = "roles", security(("bearer" = ["identity.role.read"])), params(PageQuery), responses((status = 200, body = Page<RoleBody>)))]
#[get("/api/v1/roles")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let walk = Walk::read(&query, &store::SORTS)?;
    let roles = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        store::list(tx, &query, &walk).await
    });
    Ok(page(&roles.await?.map(RoleBody::from)))
}

/// A role.
#[utoipa::path(tag = "roles", security(("bearer" = ["identity.role.read"])), responses((status = 200, body = RoleBody)))]
#[get("/api/v1/roles/{id}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<RoleId>,
) -> Result<HttpResponse, Problem> {
    let found = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(store::get(tx, *id).await?)
    });
    Ok(ok(&Done::first(RoleBody::from(found.await?))))
}

/// Changes name and permissions.
#[utoipa::path(tag = "roles", security(("bearer" = ["identity.role.write"])), request_body = RoleInput, responses(
    (status = 200, body = RoleBody), (status = 403, description = "ESCALATION, OTHER_BRANCH"), (status = 422, description = "OWNER_ROLE_FIXED")))]
#[put("/api/v1/roles/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<RoleId>,
    req: Amend<RoleInput>,
) -> Result<HttpResponse, Problem> {
    let RoleInput { name, permissions } = req.body;
    let (caller, which) = (req.caller, (*id, req.version));
    let done = commands::update(
        &state,
        &caller.ctx,
        &caller.grants,
        which,
        name,
        permissions,
    )
    .await?;
    Ok(ok(&done.map(RoleBody::from)))
}

/// Deletes a role that nobody has.
#[utoipa::path(tag = "roles", security(("bearer" = ["identity.role.write"])), responses(
    (status = 204), (status = 403, description = "ESCALATION, OTHER_BRANCH"), (status = 409, description = "ROLE_IN_USE"), (status = 412, description = "STALE_VERSION")))]
#[delete("/api/v1/roles/{id}")]
async fn delete_one(
    state: web::Data<State>,
    id: web::Path<RoleId>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    let gone = commands::delete(
        &state,
        &req.caller.ctx,
        &req.caller.grants,
        (*id, req.version),
    )
    .await?;
    Ok(no_content(&gone))
}

/// A permission, and what it opens.
#[derive(Debug, Serialize, ToSchema)]
struct PermissionBody {
    /// What a role names to hold it. In the place of `<n>` stands a number, which holds every lower one too.
    permission: &'static str,
    /// Operations, by method and path with a line about each, or what else it allows.
    opens: &'static [String],
}

/// All permissions that there are.
#[derive(Debug, Serialize, ToSchema)]
struct PermissionList {
    items: Vec<PermissionBody>,
}

/// What can be granted, by name.
#[utoipa::path(tag = "roles", security(("bearer" = ["identity.role.read"])), responses((status = 200, body = PermissionList)))]
#[get("/api/v1/permissions")]
async fn list_permissions(_: Caller) -> HttpResponse {
    let items = PERMISSIONS
        .iter()
        .map(|(permission, opens)| PermissionBody { permission, opens });
    HttpResponse::Ok().json(PermissionList {
        items: items.collect(),
    })
}
