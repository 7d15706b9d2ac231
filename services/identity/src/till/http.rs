//! `/api/v1/tills`.

use actix_web::{HttpResponse, get, post, put, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::{Done, Tx};
use bahi_http::{
    Amend, Caller, Fault, Post, Problem, Versioned, Walk, created, ok, page, validate,
};
use bahi_types::{BranchId, LocationId, Page, PageQuery, RegistrationId, TillId};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, Change, NewTill},
    model::{Till, series},
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

/// A till to be added.
#[derive(Debug, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
pub(super) struct TillInput {
    /// The branch it stands in; it stays.
    #[garde(skip)]
    #[schema(value_type = uuid::Uuid)]
    branch_id: BranchId,
    /// Where its sales take stock from: a location of that branch.
    #[garde(skip)]
    #[schema(value_type = uuid::Uuid)]
    location_id: LocationId,
    /// Prefix of its invoice numbers, at most three characters; kept in capitals, and for ever.
    #[garde(custom(prefix))]
    series: String,
    /// Round the payable amount to the nearest rupee.
    #[garde(skip)]
    #[serde(default)]
    #[graphql(default)]
    round_to_rupee: bool,
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
pub(super) struct TillChange {
    /// Short code; kept in capitals.
    #[garde(custom(code::fit))]
    code: String,
    /// Name.
    #[garde(custom(validate::line))]
    name: String,
    /// Where its sales take stock from: a location of its branch.
    #[garde(skip)]
    #[schema(value_type = uuid::Uuid)]
    location_id: LocationId,
    /// Round the payable amount to the nearest rupee.
    #[garde(skip)]
    round_to_rupee: bool,
    /// False retires it.
    #[garde(skip)]
    active: bool,
}

impl TryFrom<TillInput> for NewTill {
    type Error = Fault;

    fn try_from(body: TillInput) -> Result<Self, Fault> {
        Ok(Self {
            branch_id: body.branch_id,
            location_id: body.location_id,
            code: code::capitals(&body.code),
            name: body.name,
            series: series(&body.series).map_err(|wrong| Fault::field("series", wrong))?,
            round_to_rupee: body.round_to_rupee,
        })
    }
}

impl From<TillChange> for Change {
    fn from(body: TillChange) -> Self {
        Self {
            code: code::capitals(&body.code),
            name: body.name,
            location_id: body.location_id,
            round_to_rupee: body.round_to_rupee,
            active: body.active,
        }
    }
}

fn prefix(value: &str, (): &()) -> garde::Result {
    series(value).map(|_| ()).map_err(garde::Error::new)
}

/// A till.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Till", complex)]
pub struct TillBody {
    #[schema(value_type = uuid::Uuid)]
    id: TillId,
    #[schema(value_type = uuid::Uuid)]
    pub(super) branch_id: BranchId,
    #[schema(value_type = uuid::Uuid)]
    registration_id: RegistrationId,
    #[schema(value_type = uuid::Uuid)]
    pub(super) location_id: LocationId,
    code: String,
    name: String,
    series: String,
    round_to_rupee: bool,
    active: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Till> for TillBody {
    fn from(row: Till) -> Self {
        Self {
            id: row.id,
            branch_id: row.branch_id,
            registration_id: row.registration_id,
            location_id: row.location_id,
            code: row.code,
            name: row.name,
            series: row.series,
            round_to_rupee: row.round_to_rupee,
            active: row.active,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl Versioned for TillBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// What a list may be narrowed to.
#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[graphql(name = "TillFilter")]
pub(super) struct Filter {
    /// Of one branch.
    #[param(value_type = Option<uuid::Uuid>)]
    branch_id: Option<BranchId>,
    /// Selling from one location.
    #[param(value_type = Option<uuid::Uuid>)]
    location_id: Option<LocationId>,
    /// Active or retired ones.
    active: Option<bool>,
}

/// Adds a till.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.write"])), request_body = TillInput, responses(
    (status = 201, body = TillBody), (status = 403, description = "OTHER_BRANCH"), (status = 409, description = "CODE_TAKEN, SERIES_TAKEN"),
    (status = 422, description = "UNKNOWN_REFERENCE, CLOSED_REFERENCE")))]
#[post("/api/v1/tills")]
async fn create(state: web::Data<State>, req: Post<TillInput>) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller.ctx, req.body.try_into()?).await?;
    Ok(created(&made.map(TillBody::from)))
}

/// Tills, by code unless sorted otherwise.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.read"])), params(PageQuery, Filter), responses((status = 200, body = Page<TillBody>)))]
#[get("/api/v1/tills")]
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
) -> Result<Page<TillBody>, Error> {
    caller.require("identity.organisation.read")?;
    let walk = Walk::read(paging, &store::SORTS)?;
    let filter = store::Filter {
        branch: filter.branch_id,
        location: filter.location_id,
        active: filter.active,
    };
    let rows = state.db.read(&caller.ctx, async |tx: &mut Tx| {
        store::list(tx, paging, &walk, filter).await
    });
    Ok(rows.await?.map(TillBody::from))
}

/// A till.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.read"])), responses((status = 200, body = TillBody)))]
#[get("/api/v1/tills/{id}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<TillId>,
) -> Result<HttpResponse, Problem> {
    let found = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(store::get(tx, *id).await?)
    });
    Ok(ok(&Done::first(TillBody::from(found.await?))))
}

/// Changes a till, retires it or brings it back.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.write"])), request_body = TillChange, responses(
    (status = 200, body = TillBody), (status = 403, description = "OTHER_BRANCH"), (status = 422, description = "UNKNOWN_REFERENCE, CLOSED_REFERENCE")))]
#[put("/api/v1/tills/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<TillId>,
    req: Amend<TillChange>,
) -> Result<HttpResponse, Problem> {
    let (which, change) = ((*id, req.version), req.body.into());
    let done = commands::update(&state, &req.caller.ctx, which, change).await?;
    Ok(ok(&done.map(TillBody::from)))
}
