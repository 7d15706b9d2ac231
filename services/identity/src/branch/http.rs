//! `/api/v1/branches`.

use actix_web::{HttpResponse, get, post, put, web};
use async_graphql::{InputObject, SimpleObject};
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
#[derive(Debug, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
pub(super) struct BranchInput {
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
    /// Address, as its documents show it: a tax invoice needs one.
    #[garde(length(min = 1, max = 500))]
    address: Option<String>,
    /// Telephone, as its documents show it.
    #[garde(length(min = 4, max = 20), pattern(r"^\+?[0-9 -]+$"))]
    phone: Option<String>,
    /// Its virtual payment address, to which its tills let customers pay by UPI.
    #[garde(inner(custom(vpa)))]
    upi_vpa: Option<String>,
}

/// What may change.
#[derive(Debug, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
pub(super) struct BranchChange {
    /// Short code; kept in capitals.
    #[garde(custom(code::fit))]
    code: String,
    /// Name.
    #[garde(custom(validate::line))]
    name: String,
    /// Address; stays as it is when absent.
    #[garde(length(min = 1, max = 500))]
    address: Option<String>,
    /// Telephone; stays as it is when absent.
    #[garde(length(min = 4, max = 20), pattern(r"^\+?[0-9 -]+$"))]
    phone: Option<String>,
    /// Virtual payment address for UPI; stays as it is when absent.
    #[garde(inner(custom(vpa)))]
    upi_vpa: Option<String>,
    /// False closes it.
    #[garde(skip)]
    active: bool,
}

impl From<BranchInput> for NewBranch {
    fn from(body: BranchInput) -> Self {
        Self {
            registration_id: body.registration_id,
            code: code::capitals(&body.code),
            name: body.name,
            address: body.address,
            phone: body.phone,
            upi_vpa: body.upi_vpa,
        }
    }
}

impl From<BranchChange> for Change {
    fn from(body: BranchChange) -> Self {
        Self {
            code: code::capitals(&body.code),
            name: body.name,
            address: body.address,
            phone: body.phone,
            upi_vpa: body.upi_vpa,
            active: body.active,
        }
    }
}

/// A virtual payment address: a name at a payment service (`shop.pune@okbank`).
fn vpa(text: &str, (): &()) -> garde::Result {
    let parts = text.split_once('@');
    let fits = parts.is_some_and(|(name, handle)| {
        let in_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        (2..=256).contains(&name.len())
            && name.chars().all(in_name)
            && (2..=64).contains(&handle.len())
            && handle.chars().all(|c| c.is_ascii_alphanumeric())
    });
    if fits {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be a virtual payment address like shop@bank",
        ))
    }
}

/// A branch.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Branch")]
pub struct BranchBody {
    #[schema(value_type = uuid::Uuid)]
    id: BranchId,
    #[schema(value_type = uuid::Uuid)]
    registration_id: RegistrationId,
    code: String,
    name: String,
    address: Option<String>,
    phone: Option<String>,
    upi_vpa: Option<String>,
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
            address: row.address,
            phone: row.phone,
            upi_vpa: row.upi_vpa,
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
#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[graphql(name = "BranchFilter")]
pub(super) struct Filter {
    /// Of one registration.
    #[param(value_type = Option<uuid::Uuid>)]
    registration_id: Option<RegistrationId>,
    /// Open or closed ones.
    active: Option<bool>,
}

/// Opens a branch.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.write"])), request_body = BranchInput, responses(
    (status = 201, body = BranchBody), (status = 403, description = "OTHER_BRANCH"), (status = 409, description = "CODE_TAKEN"),
    (status = 422, description = "UNKNOWN_REFERENCE, CLOSED_REFERENCE")))]
#[post("/api/v1/branches")]
async fn create(state: web::Data<State>, req: Post<BranchInput>) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller.ctx, req.body.into()).await?;
    Ok(created(&made.map(BranchBody::from)))
}

/// Branches, by code unless sorted otherwise.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.read"])), params(PageQuery, Filter), responses((status = 200, body = Page<BranchBody>)))]
#[get("/api/v1/branches")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<Filter>,
) -> Result<HttpResponse, Problem> {
    Ok(page(
        &listed(&state, &caller, filter.into_inner(), &query).await?,
    ))
}

/// A part of the list.
pub(super) async fn listed(
    state: &State,
    caller: &Caller,
    filter: Filter,
    paging: &PageQuery,
) -> Result<Page<BranchBody>, Error> {
    caller.require("identity.organisation.read")?;
    let walk = Walk::read(paging, &store::SORTS)?;
    let filter = store::Filter {
        registration: filter.registration_id,
        active: filter.active,
    };
    let rows = state.db.read(&caller.ctx, async |tx: &mut Tx| {
        store::list(tx, paging, &walk, filter).await
    });
    Ok(rows.await?.map(BranchBody::from))
}

/// A branch.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.read"])), responses((status = 200, body = BranchBody)))]
#[get("/api/v1/branches/{id}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<BranchId>,
) -> Result<HttpResponse, Problem> {
    let found = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(store::get(tx, *id).await?)
    });
    Ok(ok(&Done::first(BranchBody::from(found.await?))))
}

/// Changes a branch, closes it or opens it again.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.write"])), request_body = BranchChange, responses(
    (status = 200, body = BranchBody), (status = 403, description = "OTHER_BRANCH"), (status = 422, description = "STILL_IN_USE, CLOSED_REFERENCE")))]
#[put("/api/v1/branches/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<BranchId>,
    req: Amend<BranchChange>,
) -> Result<HttpResponse, Problem> {
    let (which, change) = ((*id, req.version), req.body.into());
    let done = commands::update(&state, &req.caller.ctx, which, change).await?;
    Ok(ok(&done.map(BranchBody::from)))
}
