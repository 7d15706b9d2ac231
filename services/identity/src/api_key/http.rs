//! `/api/v1/api-keys`, and `/internal/v1/api-keys:verify` for the gateway, which does not route it.

use actix_web::{
    HttpResponse, get,
    http::header::{CACHE_CONTROL, HeaderValue},
    post, web,
};
use bahi_db::{Done, Tx};
use bahi_http::{
    Caller, Fault, Post, Problem, Versioned, Walk, created, ok, page, token::API_KEY, validate,
};
use bahi_types::{Page, PageQuery, Scope, TenantId, UserId};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands::{self, NewKey},
    model::{ApiKey, Presented},
    store,
};
use crate::{
    Error, State,
    password::{self, Password},
    revocation,
    role::http::grant,
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(list)
        .service(get_one)
        .service(rotate)
        .service(revoke)
        .service(verify);
}

/// A key to be made.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyInput {
    /// What it is for.
    #[garde(custom(validate::line), length(chars, max = 60))]
    name: String,
    /// Grants, none wider than the caller's: `sales.order.read`, `product.*`.
    #[garde(length(min = 1, max = 200), inner(custom(grant)))]
    permissions: Vec<String>,
    /// Its end, within a year.
    #[garde(skip)]
    expires_at: DateTime<Utc>,
    /// Requests that it may make in a minute.
    #[garde(range(min = 1, max = 60_000))]
    #[serde(default = "usual_rate")]
    requests_per_minute: i32,
}

const fn usual_rate() -> i32 {
    600
}

/// When the key ends from now on.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// Its end, within a year; as it was where absent.
    #[garde(skip)]
    expires_at: Option<DateTime<Utc>>,
}

/// Why.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Revocation {
    /// For the audit trail.
    #[garde(inner(custom(validate::line)))]
    reason: Option<String>,
}

/// An API key, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct KeyBody {
    id: Uuid,
    name: String,
    /// With `bahi_` before it and the secret behind it, the key; alone, the client id.
    prefix: String,
    permissions: Vec<String>,
    requests_per_minute: i32,
    /// Who has seen the secret.
    #[schema(value_type = Uuid)]
    made_by: UserId,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// To the minute.
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl From<ApiKey> for KeyBody {
    fn from(row: ApiKey) -> Self {
        Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            permissions: row.permissions,
            requests_per_minute: row.rate,
            made_by: row.made_by,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        }
    }
}

impl Versioned for KeyBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// A key whose secret was just made.
#[derive(Clone, Serialize, ToSchema)]
struct Shown {
    /// What is known of it later.
    #[serde(flatten)]
    body: KeyBody,
    /// The whole key, shown this once: `Authorization: Bearer <key>`.
    key: String,
}

impl Versioned for Shown {
    fn version(&self) -> Option<i64> {
        self.body.version()
    }
}

impl Shown {
    fn new(state: &State, key: ApiKey) -> Self {
        Self {
            key: key.text(&state.secret),
            body: key.into(),
        }
    }
}

fn private(mut response: HttpResponse) -> HttpResponse {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

/// Makes a key.
#[utoipa::path(tag = "api-keys", security(("bearer" = ["identity.api_key.write", "person"])), request_body = KeyInput, responses(
    (status = 201, body = Shown), (status = 403, description = "ESCALATION"), (status = 422, description = "KEY_EXPIRY")))]
#[post("/api/v1/api-keys")]
async fn create(state: web::Data<State>, req: Post<KeyInput>) -> Result<HttpResponse, Problem> {
    let new = NewKey {
        name: req.body.name,
        permissions: req.body.permissions,
        rate: req.body.requests_per_minute,
        expires_at: req.body.expires_at,
    };
    let made = commands::create(&state, &req.caller, new).await?;
    Ok(private(created(&made.map(|key| Shown::new(&state, key)))))
}

/// Keys, by name unless sorted otherwise.
#[utoipa::path(tag = "api-keys", security(("bearer" = ["identity.api_key.read"])), params(PageQuery), responses((status = 200, body = Page<KeyBody>)))]
#[get("/api/v1/api-keys")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let walk = Walk::read(&query, &store::SORTS)?;
    let keys = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        store::list(tx, &query, &walk).await
    });
    Ok(page(&keys.await?.map(KeyBody::from)))
}

/// A key.
#[utoipa::path(tag = "api-keys", security(("bearer" = ["identity.api_key.read"])), responses((status = 200, body = KeyBody)))]
#[get("/api/v1/api-keys/{id:[^:/]+}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let found = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(store::get(tx, *id).await?)
    });
    Ok(ok(&Done::first(KeyBody::from(found.await?))))
}

/// Makes the secret of a key anew; the one before is void at once.
#[utoipa::path(tag = "api-keys", security(("bearer" = ["identity.api_key.write", "person"])), request_body = Rotation, responses(
    (status = 200, body = Shown), (status = 403, description = "ESCALATION, OTHER_BRANCH"), (status = 409, description = "KEY_ENDED"),
    (status = 422, description = "KEY_EXPIRY")))]
#[post("/api/v1/api-keys/{id:[^:/]+}:rotate")]
async fn rotate(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<Rotation>,
) -> Result<HttpResponse, Problem> {
    let made = commands::rotate(&state, &req.caller, *id, req.body.expires_at).await?;
    Ok(private(ok(&made.map(|key| Shown::new(&state, key)))))
}

/// Ends a key.
#[utoipa::path(tag = "api-keys", security(("bearer" = ["identity.api_key.write"])), request_body = Revocation, responses(
    (status = 200, body = KeyBody), (status = 403, description = "ESCALATION, OTHER_BRANCH")))]
#[post("/api/v1/api-keys/{id:[^:/]+}:revoke")]
async fn revoke(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<Revocation>,
) -> Result<HttpResponse, Problem> {
    let (ctx, grants) = (&req.caller.ctx, &req.caller.grants);
    let ended = commands::revoke(&state, ctx, grants, *id, req.body.reason).await?;
    Ok(ok(&ended.map(KeyBody::from)))
}

/// A key that somebody has presented.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Presentation {
    /// The whole key.
    #[garde(custom(password::given))]
    #[schema(value_type = String)]
    key: Password,
}

/// Who a key speaks for, and what it may do.
#[derive(Serialize, ToSchema)]
struct Principal {
    /// Subject of the tokens that are minted for it.
    sub: String,
    #[schema(value_type = Uuid)]
    tenant_id: TenantId,
    name: String,
    permissions: Vec<String>,
    /// The branches that they are good at; all of them where there is none.
    #[schema(value_type = Option<Vec<Uuid>>)]
    branches: Scope,
    requests_per_minute: i32,
    /// The Unix second of which this is true.
    issued_at: i64,
    /// The Unix second of its end.
    expires_at: i64,
}

/// Looks at a key that was presented at the gateway: 404 for whatever is wrong with it.
#[utoipa::path(tag = "internal", security(("bearer" = ["service"])), request_body = Presentation, responses((status = 200, body = Principal), (status = 404)))]
#[post("/internal/v1/api-keys:verify")]
async fn verify(state: web::Data<State>, req: Post<Presentation>) -> Result<HttpResponse, Problem> {
    revocation::gateway(&req.caller)?;
    let presented = Presented::read(req.body.key.as_str()).ok_or(Fault::NotFound)?;
    let good = commands::verify(&state, presented).await?;
    let good = good.ok_or(Fault::NotFound)?;
    Ok(private(HttpResponse::Ok().json(Principal {
        sub: format!("{API_KEY}{}", good.key.id),
        tenant_id: good.key.tenant_id,
        name: good.key.name,
        permissions: good.permissions,
        branches: good.scope,
        requests_per_minute: good.key.rate,
        issued_at: good.issued_at,
        expires_at: good.key.expires_at.timestamp(),
    })))
}
