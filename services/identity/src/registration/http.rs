//! `/api/v1/registrations`.

use actix_web::{HttpResponse, get, post, put, web};
use bahi_db::{Done, Tx};
use bahi_http::{Amend, Caller, Post, Problem, Versioned, Walk, created, ok, page, validate};
use bahi_types::{Page, PageQuery, RegistrationId};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, Change, NewRegistration},
    model::{Registration, place},
    store,
};
use crate::{Error, State};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(list)
        .service(get_one)
        .service(update);
}

/// A registration to be added.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RegistrationInput {
    /// GSTIN; absent for an unregistered business.
    #[garde(length(max = 15))]
    gstin: Option<String>,
    /// GST state code of two digits; may be absent where the GSTIN tells it.
    #[garde(length(max = 2))]
    state_code: Option<String>,
    /// Legal name on invoices.
    #[garde(custom(validate::line))]
    legal_name: String,
}

/// What may change.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RegistrationChange {
    /// GSTIN; may be given once.
    #[garde(length(max = 15))]
    gstin: Option<String>,
    /// Legal name on invoices.
    #[garde(custom(validate::line))]
    legal_name: String,
    /// False closes it.
    #[garde(skip)]
    active: bool,
}

/// A registration.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct RegistrationBody {
    #[schema(value_type = uuid::Uuid)]
    id: RegistrationId,
    gstin: Option<String>,
    state_code: String,
    legal_name: String,
    active: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Registration> for RegistrationBody {
    fn from(row: Registration) -> Self {
        Self {
            id: row.id,
            gstin: row.gstin,
            state_code: row.state_code,
            legal_name: row.legal_name,
            active: row.active,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl Versioned for RegistrationBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// What a list may be narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Open or closed ones.
    active: Option<bool>,
}

/// Adds a registration.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.write"])), request_body = RegistrationInput, responses(
    (status = 201, body = RegistrationBody), (status = 409, description = "GSTIN_TAKEN"), (status = 422, description = "PAN_MISMATCH")))]
#[post("/api/v1/registrations")]
async fn create(
    state: web::Data<State>,
    req: Post<RegistrationInput>,
) -> Result<HttpResponse, Problem> {
    let RegistrationInput {
        gstin,
        state_code,
        legal_name,
    } = req.body;
    let (gstin, state_code) = place(gstin.as_deref(), state_code.as_deref())?;
    let made = commands::create(
        &state,
        &req.caller.ctx,
        NewRegistration {
            gstin,
            state_code,
            legal_name,
        },
    )
    .await?;
    Ok(created(&made.map(RegistrationBody::from)))
}

/// Registrations, in the order they were added unless sorted otherwise.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.read"])), params(PageQuery, Filter), responses((status = 200, body = Page<RegistrationBody>)))]
#[get("/api/v1/registrations")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<Filter>,
) -> Result<HttpResponse, Problem> {
    let walk = Walk::read(&query, &store::SORTS)?;
    let rows = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        store::list(tx, &query, &walk, filter.active).await
    });
    Ok(page(&rows.await?.map(RegistrationBody::from)))
}

/// A registration.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.read"])), responses((status = 200, body = RegistrationBody)))]
#[get("/api/v1/registrations/{id}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<RegistrationId>,
) -> Result<HttpResponse, Problem> {
    let found = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(store::get(tx, *id).await?)
    });
    Ok(ok(&Done::first(RegistrationBody::from(found.await?))))
}

/// Changes a registration, or closes it.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.write"])), request_body = RegistrationChange, responses(
    (status = 200, body = RegistrationBody), (status = 422, description = "GSTIN_FIXED, PAN_MISMATCH, STILL_IN_USE")))]
#[put("/api/v1/registrations/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<RegistrationId>,
    req: Amend<RegistrationChange>,
) -> Result<HttpResponse, Problem> {
    let RegistrationChange {
        gstin,
        legal_name,
        active,
    } = req.body;
    let change = Change {
        gstin,
        legal_name,
        active,
    };
    let done = commands::update(&state, &req.caller.ctx, (*id, req.version), change).await?;
    Ok(ok(&done.map(RegistrationBody::from)))
}
