//! `/api/v1/branches`.

use actix_web::{HttpResponse, get, post, put, web};
use bahi_db::{Done, Tx};
use bahi_http::{Amend, Caller, Post, Problem, Versioned, Walk, created, ok, page, validate};
use bahi_types::{BranchId, Page, PageQuery, RegistrationId};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, Change, NewBranch},
    model::Branch,
    store,
};
use crate::{Error, State, code};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(list)
        .service(get_one)
        .service(update);
}

/// A branch to be opened.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct BranchInput {
    /// The registration under which it sells; it stays.
    #[garde(skip)]
    #[schema(value_type = uuid::Uuid)]
    registration_id: RegistrationId,
    /// Short code; kept in capitals.
    #[garde(custom(code::fit))]
    code: String,
    /// Name.
    #[garde(custom(validate::line))]
    name: String,
}

/// What may change.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct BranchChange {
    /// Short code; kept in capitals.
    #[garde(custom(code::fit))]
    code: String,
    /// Name.
    #[garde(custom(validate::line))]
    name: String,
    /// False closes it.
    #[garde(skip)]
    active: bool,
}

/// A branch.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct BranchBody {
    #[schema(value_type = uuid::Uuid)]
    id: BranchId,
    #[schema(value_type = uuid::Uuid)]
    registration_id: RegistrationId,
    code: String,
    name: String,
    active: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Branch> for BranchBody {
    fn from(row: Branch) -> Self {
        Self {
            id: row.id,
            registration_id: row.registration_id,
            code: row.code,
            name: row.name,
            active: row.active,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl Versioned for BranchBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// What a list may be narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Of one registration.
    #[param(value_type = Option<uuid::Uuid>)]
    registration_id: Option<RegistrationId>,
    /// Open or closed ones.
    active: Option<bool>,
}

/// Opens a branch.
#[utoipa::path(tag = "organisation", request_body = BranchInput, responses(
    (status = 201, body = BranchBody), (status = 409, description = "CODE_TAKEN"),
    (status = 422, description = "UNKNOWN_REFERENCE, CLOSED_REFERENCE")))]
#[post("/api/v1/branches")]
async fn create(state: web::Data<State>, req: Post<BranchInput>) -> Result<HttpResponse, Problem> {
    req.caller.require("identity.organisation.write")?;
    let BranchInput {
        registration_id,
        code,
        name,
    } = req.body;
    let new = NewBranch {
        registration_id,
        code: code::capitals(&code),
        name,
    };
    let made = commands::create(&state, &req.caller.ctx, new).await?;
    Ok(created(&made.map(BranchBody::from)))
}

/// Branches, by code unless sorted otherwise.
#[utoipa::path(tag = "organisation", params(PageQuery, Filter), responses((status = 200, body = Page<BranchBody>)))]
#[get("/api/v1/branches")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<Filter>,
) -> Result<HttpResponse, Problem> {
    caller.require("identity.organisation.read")?;
    let walk = Walk::read(&query, &store::SORTS)?;
    let filter = store::Filter {
        registration: filter.registration_id,
        active: filter.active,
    };
    let rows = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        store::list(tx, &query, &walk, filter).await
    });
    Ok(page(&rows.await?.map(BranchBody::from)))
}

/// A branch.
#[utoipa::path(tag = "organisation", responses((status = 200, body = BranchBody)))]
#[get("/api/v1/branches/{id}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<BranchId>,
) -> Result<HttpResponse, Problem> {
    caller.require("identity.organisation.read")?;
    let found = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(store::get(tx, *id).await?)
    });
    Ok(ok(&Done::first(BranchBody::from(found.await?))))
}

/// Changes a branch, closes it or opens it again.
#[utoipa::path(tag = "organisation", request_body = BranchChange, responses(
    (status = 200, body = BranchBody), (status = 422, description = "STILL_IN_USE, CLOSED_REFERENCE")))]
#[put("/api/v1/branches/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<BranchId>,
    req: Amend<BranchChange>,
) -> Result<HttpResponse, Problem> {
    req.caller.require("identity.organisation.write")?;
    let BranchChange { code, name, active } = req.body;
    let change = Change {
        code: code::capitals(&code),
        name,
        active,
    };
    let done = commands::update(&state, &req.caller.ctx, (*id, req.version), change).await?;
    Ok(ok(&done.map(BranchBody::from)))
}
