//! `/api/v1/auth/register`, and `/internal/v1/tenants` for services, which the gateway does not route.

use actix_web::{HttpResponse, post, web};
use bahi_db::Ctx;
use bahi_events::Actor;
use bahi_http::{Caller, Fault, Post, Problem, Public, Versioned, ok, validate};
use bahi_types::TenantId;
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands,
    model::{Tenant, is_slug},
};
use crate::{
    State,
    password::{self, Password},
    session::{Device, Tokens},
    user::http::address,
};

/// The endpoint.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(register).service(suspend).service(reactivate);
}

/// A business and its owner.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Registration {
    /// Name of the business.
    #[garde(custom(validate::line))]
    tenant_name: String,
    /// Short name for signing in: lower-case letters, digits, inner hyphens. Made of the name when absent.
    #[garde(inner(custom(short_name)))]
    slug: Option<String>,
    /// Name of the owner.
    #[garde(custom(validate::line))]
    name: String,
    /// E-mail of the owner.
    #[garde(custom(address))]
    #[schema(format = "email")]
    email: String,
    /// Password of 10 to 128 characters.
    #[garde(custom(password::fit))]
    #[schema(value_type = String, format = "password")]
    password: Password,
}

fn short_name(value: &str, (): &()) -> garde::Result {
    if is_slug(value) {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be lower-case letters, digits and inner hyphens, at most 40",
        ))
    }
}

/// Registers a business and signs its owner in.
#[utoipa::path(tag = "auth", security(()), request_body = Registration, responses(
    (status = 201, body = Tokens), (status = 409, description = "SLUG_TAKEN"), (status = 422, description = "PASSWORD_IS_ADDRESS, PASSWORD_IS_NAME, PASSWORD_BREACHED")))]
#[post("/api/v1/auth/register")]
async fn register(
    state: web::Data<State>,
    device: Device,
    req: Public<Registration>,
) -> Result<HttpResponse, Problem> {
    let Registration {
        tenant_name,
        slug,
        name,
        email,
        password,
    } = req.body;
    let new = commands::Registration {
        tenant_name,
        slug,
        name,
        email: email.to_lowercase(),
        password,
    };
    let signed = commands::register(&state, req.ctx, device, new).await?;
    let mut response = HttpResponse::Created();
    if signed.replayed {
        response.insert_header(("Idempotency-Hit", "true"));
    }
    Ok(Tokens::first(&state, &signed.value)?.answer(response))
}

/// Why.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Because {
    /// For the audit trail.
    #[garde(custom(validate::line))]
    reason: String,
}

/// Whether a tenant is let in.
#[derive(Clone, Serialize, ToSchema)]
struct StandingBody {
    #[schema(value_type = uuid::Uuid)]
    tenant_id: TenantId,
    slug: String,
    /// When it was suspended, while it is.
    suspended_at: Option<DateTime<Utc>>,
    version: i64,
}

impl From<Tenant> for StandingBody {
    fn from(row: Tenant) -> Self {
        Self {
            tenant_id: row.tenant_id,
            slug: row.slug,
            suspended_at: row.suspended_at,
            version: row.version,
        }
    }
}

impl Versioned for StandingBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Refuses everybody but the services that a setting names, each on its own account.
fn entitled(state: &State, caller: &Caller, tenant: TenantId) -> Result<Ctx, Fault> {
    match &caller.ctx.actor {
        Actor::Service { id } if state.may_suspend.contains(id) => Ok(Ctx {
            tenant,
            ..caller.ctx.clone()
        }),
        _ => Err(Fault::Forbidden(
            "a service that may suspend tenants".into(),
        )),
    }
}

/// Suspends a tenant: its sessions and keys are refused within two seconds, until it is reactivated.
#[utoipa::path(tag = "internal", security(("bearer" = ["service"])), request_body = Because, responses((status = 200, body = StandingBody), (status = 404)))]
#[post("/internal/v1/tenants/{id:[^:/]+}:suspend")]
async fn suspend(
    state: web::Data<State>,
    id: web::Path<TenantId>,
    req: Post<Because>,
) -> Result<HttpResponse, Problem> {
    let ctx = entitled(&state, &req.caller, *id)?;
    let done = commands::suspend(&state, &ctx, req.body.reason, None).await?;
    Ok(ok(&done.map(StandingBody::from)))
}

/// Lets a suspended tenant in again.
#[utoipa::path(tag = "internal", security(("bearer" = ["service"])), request_body = Because, responses((status = 200, body = StandingBody), (status = 404)))]
#[post("/internal/v1/tenants/{id:[^:/]+}:reactivate")]
async fn reactivate(
    state: web::Data<State>,
    id: web::Path<TenantId>,
    req: Post<Because>,
) -> Result<HttpResponse, Problem> {
    let ctx = entitled(&state, &req.caller, *id)?;
    let done = commands::reactivate(&state, &ctx, req.body.reason, None).await?;
    Ok(ok(&done.map(StandingBody::from)))
}
