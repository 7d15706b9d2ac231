//! `/api/v1/locations`.

use actix_web::{HttpResponse, get, post, put, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::{Done, Tx};
use bahi_http::{Amend, Caller, Post, Problem, Versioned, Walk, created, ok, page, validate};
use bahi_types::{BranchId, LocationId, Page, PageQuery};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, Change, NewLocation},
    model::Location,
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

/// A location to be added.
#[derive(Debug, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
pub(super) struct LocationInput {
    /// The branch it belongs to; it stays.
    #[garde(skip)]
    #[schema(value_type = uuid::Uuid)]
    branch_id: BranchId,
    /// Short code; kept in capitals.
    #[garde(custom(code::fit))]
    code: String,
    /// Name.
    #[garde(custom(validate::line))]
    name: String,
}

/// What may change.
#[derive(Debug, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
pub(super) struct LocationChange {
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

impl From<LocationInput> for NewLocation {
    fn from(body: LocationInput) -> Self {
        Self {
            branch_id: body.branch_id,
            code: code::capitals(&body.code),
            name: body.name,
        }
    }
}

impl From<LocationChange> for Change {
    fn from(body: LocationChange) -> Self {
        Self {
            code: code::capitals(&body.code),
            name: body.name,
            active: body.active,
        }
    }
}

/// A location.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Location", complex)]
pub struct LocationBody {
    #[schema(value_type = uuid::Uuid)]
    id: LocationId,
    #[schema(value_type = uuid::Uuid)]
    pub(super) branch_id: BranchId,
    code: String,
    name: String,
    active: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Location> for LocationBody {
    fn from(row: Location) -> Self {
        Self {
            id: row.id,
            branch_id: row.branch_id,
            code: row.code,
            name: row.name,
            active: row.active,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl Versioned for LocationBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// What a list may be narrowed to.
#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[graphql(name = "LocationFilter")]
pub(super) struct Filter {
    /// Of one branch.
    #[param(value_type = Option<uuid::Uuid>)]
    branch_id: Option<BranchId>,
    /// Open or closed ones.
    active: Option<bool>,
}

/// Adds a location.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.write"])), request_body = LocationInput, responses(
    (status = 201, body = LocationBody), (status = 403, description = "OTHER_BRANCH"), (status = 409, description = "CODE_TAKEN"),
    (status = 422, description = "UNKNOWN_REFERENCE, CLOSED_REFERENCE")))]
#[post("/api/v1/locations")]
async fn create(
    state: web::Data<State>,
    req: Post<LocationInput>,
) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller.ctx, req.body.into()).await?;
    Ok(created(&made.map(LocationBody::from)))
}

/// Locations, by code unless sorted otherwise.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.read"])), params(PageQuery, Filter), responses((status = 200, body = Page<LocationBody>)))]
#[get("/api/v1/locations")]
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
) -> Result<Page<LocationBody>, Error> {
    caller.require("identity.organisation.read")?;
    let walk = Walk::read(paging, &store::SORTS)?;
    let filter = store::Filter {
        branch: filter.branch_id,
        active: filter.active,
    };
    let rows = state.db.read(&caller.ctx, async |tx: &mut Tx| {
        store::list(tx, paging, &walk, filter).await
    });
    Ok(rows.await?.map(LocationBody::from))
}

/// A location.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.read"])), responses((status = 200, body = LocationBody)))]
#[get("/api/v1/locations/{id}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<LocationId>,
) -> Result<HttpResponse, Problem> {
    let found = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(store::get(tx, *id).await?)
    });
    Ok(ok(&Done::first(LocationBody::from(found.await?))))
}

/// Changes a location, closes it or opens it again.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.write"])), request_body = LocationChange, responses(
    (status = 200, body = LocationBody), (status = 403, description = "OTHER_BRANCH"), (status = 422, description = "STILL_IN_USE, CLOSED_REFERENCE")))]
#[put("/api/v1/locations/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<LocationId>,
    req: Amend<LocationChange>,
) -> Result<HttpResponse, Problem> {
    let (which, change) = ((*id, req.version), req.body.into());
    let done = commands::update(&state, &req.caller.ctx, which, change).await?;
    Ok(ok(&done.map(LocationBody::from)))
}
