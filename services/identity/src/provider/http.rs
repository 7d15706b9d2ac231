//! `/api/v1/identity-providers`.

use actix_web::{HttpResponse, delete, get, post, put, web};
use bahi_db::{Done, Tx};
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, no_content, ok, page, validate,
};
use bahi_types::{BranchId, Page, PageQuery, RoleId, Scope};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands::{self, Change, Settings},
    model::{Provider, is_domain, is_redirect},
    store,
};
use crate::{
    Error, State,
    password::{self, Password},
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(list)
        .service(get_one)
        .service(update)
        .service(delete_one)
        .service(check);
}

/// A provider to be made.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProviderInput {
    /// What people see: `Office account`.
    #[garde(custom(validate::line), length(chars, max = 60))]
    name: String,
    /// Its address, letter by letter as its tokens say it; it stays.
    #[garde(length(min = 1, max = 300))]
    issuer: String,
    /// The client id that it has given us.
    #[garde(custom(validate::line))]
    client_id: String,
    /// The client secret; a public client has none.
    #[garde(inner(custom(secret)))]
    #[schema(value_type = Option<String>, format = "password")]
    client_secret: Option<Password>,
    /// Where it may send people back to, letter by letter: `https`, this machine, or the scheme of an app.
    #[garde(length(min = 1, max = 10), inner(custom(redirect)))]
    redirect_uris: Vec<String>,
    /// Domains of e-mail addresses for which it speaks.
    #[garde(length(max = 50), inner(custom(domain)))]
    #[serde(default)]
    domains: Vec<String>,
    /// Whether somebody whose address it has verified, in one of the domains, is the user with that address. Without it
    /// people link their accounts themselves.
    #[garde(skip)]
    #[serde(default)]
    link_by_email: bool,
    /// The role that people with a verified address in one of the domains get who have no account. Without it they stay
    /// outside.
    #[garde(skip)]
    #[schema(value_type = Option<Uuid>)]
    role_id: Option<RoleId>,
    /// The branches that the role is good at; all of them, also those to come, without.
    #[garde(inner(length(min = 1, max = 200)))]
    #[schema(value_type = Option<Vec<Uuid>>)]
    branch_ids: Option<Vec<BranchId>>,
    /// Whether a second factor that was shown there counts here.
    #[garde(skip)]
    #[serde(default)]
    trusts_mfa: bool,
    /// False keeps it closed.
    #[garde(skip)]
    #[serde(default = "yes")]
    active: bool,
}

/// What may change of a provider.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProviderChange {
    /// What people see.
    #[garde(custom(validate::line), length(chars, max = 60))]
    name: String,
    /// The client id that it has given us.
    #[garde(custom(validate::line))]
    client_id: String,
    /// Another client secret; stays as it is when absent.
    #[garde(inner(custom(secret)))]
    #[schema(value_type = Option<String>, format = "password")]
    client_secret: Option<Password>,
    /// Forgets the client secret: it is a public client from now on.
    #[garde(skip)]
    #[serde(default)]
    public_client: bool,
    /// Where it may send people back to.
    #[garde(length(min = 1, max = 10), inner(custom(redirect)))]
    redirect_uris: Vec<String>,
    /// Domains of e-mail addresses for which it speaks.
    #[garde(length(max = 50), inner(custom(domain)))]
    domains: Vec<String>,
    /// Whether a verified address finds its user.
    #[garde(skip)]
    link_by_email: bool,
    /// The role of people who have no account; none keeps them outside.
    #[garde(skip)]
    #[schema(value_type = Option<Uuid>)]
    role_id: Option<RoleId>,
    /// The branches that the role is good at for those who come from now on; `null` for every one, also those to come.
    /// Without it they stay what they are.
    #[garde(inner(inner(length(min = 1, max = 200))))]
    #[schema(value_type = Option<Vec<Uuid>>)]
    #[serde(default, deserialize_with = "validate::said")]
    branch_ids: Option<Option<Vec<BranchId>>>,
    /// Whether its second factor counts.
    #[garde(skip)]
    trusts_mfa: bool,
    /// False closes it.
    #[garde(skip)]
    active: bool,
}

const fn yes() -> bool {
    true
}

fn secret(value: &Password, ctx: &()) -> garde::Result {
    password::given(value, ctx)?;
    if value.as_str().is_empty() {
        return Err(garde::Error::new("must not be empty"));
    }
    Ok(())
}

fn redirect(value: &str, (): &()) -> garde::Result {
    if is_redirect(value) {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be an absolute https address without fragment, http on this machine, or the scheme of an app",
        ))
    }
}

fn domain(value: &str, (): &()) -> garde::Result {
    if is_domain(value) {
        Ok(())
    } else {
        Err(garde::Error::new("must be a domain such as example.in"))
    }
}

impl ProviderInput {
    fn split(self) -> (String, Settings) {
        let settings = Settings {
            name: self.name,
            client_id: self.client_id,
            secret: self.client_secret.map_or(Change::Drop, Change::Take),
            redirect_uris: self.redirect_uris,
            domains: self.domains,
            link_by_email: self.link_by_email,
            role_id: self.role_id,
            scope: Some(Scope::new(self.branch_ids)),
            trusts_mfa: self.trusts_mfa,
            active: self.active,
        };
        (self.issuer, settings)
    }
}

impl From<ProviderChange> for Settings {
    fn from(body: ProviderChange) -> Self {
        let secret = match body.client_secret {
            Some(secret) => Change::Take(secret),
            None if body.public_client => Change::Drop,
            None => Change::Keep,
        };
        Self {
            name: body.name,
            client_id: body.client_id,
            secret,
            redirect_uris: body.redirect_uris,
            domains: body.domains,
            link_by_email: body.link_by_email,
            role_id: body.role_id,
            scope: body.branch_ids.map(Scope::new),
            trusts_mfa: body.trusts_mfa,
            active: body.active,
        }
    }
}

/// An identity provider, without its client secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ProviderBody {
    id: Uuid,
    name: String,
    issuer: String,
    client_id: String,
    redirect_uris: Vec<String>,
    domains: Vec<String>,
    link_by_email: bool,
    #[schema(value_type = Option<Uuid>)]
    role_id: Option<RoleId>,
    #[schema(value_type = Option<Vec<Uuid>>)]
    branch_ids: Option<Vec<BranchId>>,
    trusts_mfa: bool,
    active: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Provider> for ProviderBody {
    fn from(row: Provider) -> Self {
        Self {
            id: row.id,
            name: row.name,
            issuer: row.issuer,
            client_id: row.client_id,
            redirect_uris: row.redirect_uris,
            domains: row.domains,
            link_by_email: row.link_by_email,
            role_id: row.role_id,
            branch_ids: row.branch_ids,
            trusts_mfa: row.trusts_mfa,
            active: row.active,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl Versioned for ProviderBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// What a provider says of itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct CheckBody {
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    /// Public keys with which its tokens can be checked.
    keys: usize,
}

/// Makes an identity provider.
#[utoipa::path(tag = "identity-providers", security(("bearer" = ["identity.provider.write"])), request_body = ProviderInput, responses(
    (status = 201, body = ProviderBody), (status = 403, description = "ESCALATION, unless the caller holds everything; OTHER_BRANCH"),
    (status = 409, description = "PROVIDER_TAKEN"), (status = 422, description = "UNKNOWN_REFERENCE")))]
#[post("/api/v1/identity-providers")]
async fn create(
    state: web::Data<State>,
    req: Post<ProviderInput>,
) -> Result<HttpResponse, Problem> {
    let (issuer, settings) = req.body.split();
    let made = commands::create(&state, &req.caller, issuer, settings).await?;
    Ok(created(&made.map(ProviderBody::from)))
}

/// Identity providers, by name unless sorted otherwise.
#[utoipa::path(tag = "identity-providers", security(("bearer" = ["identity.provider.read"])), params(PageQuery), responses((status = 200, body = Page<ProviderBody>)))]
#[get("/api/v1/identity-providers")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let walk = Walk::read(&query, &store::SORTS)?;
    let rows = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        store::list(tx, &query, &walk).await
    });
    Ok(page(&rows.await?.map(ProviderBody::from)))
}

/// An identity provider.
#[utoipa::path(tag = "identity-providers", security(("bearer" = ["identity.provider.read"])), responses((status = 200, body = ProviderBody)))]
#[get("/api/v1/identity-providers/{id:[^:/]+}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let found = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(store::get(tx, *id).await?)
    });
    Ok(ok(&Done::first(ProviderBody::from(found.await?))))
}

/// Changes an identity provider, closes it or opens it again.
#[utoipa::path(tag = "identity-providers", security(("bearer" = ["identity.provider.write"])), request_body = ProviderChange, responses(
    (status = 200, body = ProviderBody), (status = 403, description = "ESCALATION, unless the caller holds everything; OTHER_BRANCH"),
    (status = 422, description = "UNKNOWN_REFERENCE")))]
#[put("/api/v1/identity-providers/{id:[^:/]+}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Amend<ProviderChange>,
) -> Result<HttpResponse, Problem> {
    let which = (*id, req.version);
    let done = commands::update(&state, &req.caller, which, req.body.into()).await?;
    Ok(ok(&done.map(ProviderBody::from)))
}

/// Deletes an identity provider and the links to it.
#[utoipa::path(tag = "identity-providers", security(("bearer" = ["identity.provider.write"])), responses(
    (status = 204), (status = 403, description = "ESCALATION, unless the caller holds everything; OTHER_BRANCH"),
    (status = 412, description = "STALE_VERSION")))]
#[delete("/api/v1/identity-providers/{id:[^:/]+}")]
async fn delete_one(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    let gone = commands::delete(&state, &req.caller, (*id, req.version)).await?;
    Ok(no_content(&gone))
}

/// Asks an identity provider for what it says of itself, as a sign-in does: for who sets one up.
#[utoipa::path(tag = "identity-providers", security(("bearer" = ["identity.provider.write"])), request_body = Empty, responses(
    (status = 200, body = CheckBody), (status = 422, description = "PROVIDER_UNUSABLE, with the reason")))]
#[post("/api/v1/identity-providers/{id:[^:/]+}:check")]
async fn check(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let found = state.db.read(&req.caller.ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(store::get(tx, *id).await?)
    });
    let known = state.providers.look(&found.await?.issuer).await;
    let known = known.map_err(|why| Error::ProviderUnusable(why.to_string()))?;
    Ok(HttpResponse::Ok().json(CheckBody {
        authorization_endpoint: known.metadata.authorization_endpoint.clone(),
        token_endpoint: known.metadata.token_endpoint.clone(),
        jwks_uri: known.metadata.jwks_uri.clone(),
        keys: known.keys.len(),
    }))
}
