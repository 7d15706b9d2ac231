//! `/api/v1/company`.

use actix_web::{HttpResponse, get, put, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::{Done, Tx};
use bahi_gst::Pan;
use bahi_http::{Amend, Caller, Problem, Versioned, ok, validate};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, Change},
    model::Company,
    store,
};
use crate::{Error, State};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(get_one).service(update);
}

/// The company's details.
#[derive(Debug, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
pub(super) struct CompanyInput {
    /// Name as on the PAN card.
    #[garde(custom(validate::line))]
    legal_name: String,
    /// Name over the door.
    #[garde(inner(custom(validate::line)))]
    trade_name: Option<String>,
    /// Permanent Account Number.
    #[garde(inner(custom(is_pan)))]
    pan: Option<String>,
    /// ISO 4217 currency of the books.
    #[garde(custom(is_currency))]
    currency: String,
    /// Whether everybody needs a second factor to sign in; left as it is where absent.
    #[garde(skip)]
    require_mfa: Option<bool>,
}

impl From<CompanyInput> for Change {
    fn from(body: CompanyInput) -> Self {
        Self {
            legal_name: body.legal_name,
            trade_name: body.trade_name,
            // Kept as the law writes it.
            pan: body.pan.map(|pan| pan.to_ascii_uppercase()),
            currency: body.currency,
            require_mfa: body.require_mfa,
        }
    }
}

fn is_pan(value: &str, (): &()) -> garde::Result {
    value
        .parse::<Pan>()
        .map(|_| ())
        .map_err(|error| garde::Error::new(error.to_string()))
}

fn is_currency(value: &str, (): &()) -> garde::Result {
    if value.len() == 3 && value.chars().all(|c| c.is_ascii_uppercase()) {
        return Ok(());
    }
    Err(garde::Error::new("must be three capital letters, like INR"))
}

/// The company.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Company")]
pub(super) struct CompanyBody {
    legal_name: String,
    trade_name: Option<String>,
    pan: Option<String>,
    currency: String,
    /// Whether everybody needs a second factor to sign in.
    require_mfa: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Company> for CompanyBody {
    fn from(row: Company) -> Self {
        Self {
            legal_name: row.legal_name,
            trade_name: row.trade_name,
            pan: row.pan,
            currency: row.currency,
            require_mfa: row.require_mfa,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl Versioned for CompanyBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// The company.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.read"])), responses((status = 200, body = CompanyBody)))]
#[get("/api/v1/company")]
async fn get_one(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    let found = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(store::get(tx).await?)
    });
    Ok(ok(&Done::first(CompanyBody::from(found.await?))))
}

/// Changes the company's details.
#[utoipa::path(tag = "organisation", security(("bearer" = ["identity.organisation.write"])), request_body = CompanyInput, responses(
    (status = 200, body = CompanyBody), (status = 422, description = "PAN_MISMATCH")))]
#[put("/api/v1/company")]
async fn update(
    state: web::Data<State>,
    req: Amend<CompanyInput>,
) -> Result<HttpResponse, Problem> {
    let done = commands::update(&state, &req.caller.ctx, req.version, req.body.into()).await?;
    Ok(ok(&done.map(CompanyBody::from)))
}
