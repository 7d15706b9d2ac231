//! `/api/v1/auth/oidc...` for who signs in, and `/api/v1/auth/identities` for who is signed in.

use actix_web::{HttpResponse, delete, get, http::header::CACHE_CONTROL, post, web};
use bahi_http::{Caller, Post, Problem, Public, no_content};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands::{self, Begun, Returned, Wish},
    model::Link,
};
use crate::{
    Error, State,
    password::{self, Password},
    secret::Token,
    session::{self, Challenge, Device, Tokens, name_of_device},
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(offered)
        .service(begin)
        .service(complete)
        .service(links)
        .service(begin_link)
        .service(complete_link)
        .service(unlink);
}

/// Which tenant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Of {
    /// Its short name.
    tenant: String,
}

/// A provider to sign in with.
#[derive(Serialize, ToSchema)]
struct Offer {
    id: Uuid,
    /// What it is called.
    name: String,
}

/// The providers to sign in with.
#[derive(Serialize, ToSchema)]
struct Offers {
    items: Vec<Offer>,
}

/// Where to sign in.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Beginning {
    /// Short name of the tenant.
    #[garde(length(min = 1, max = 40))]
    tenant: String,
    /// Provider.
    #[garde(skip)]
    provider_id: Uuid,
    /// Where the provider is to send the browser back to: one of those it is set up with, the first where absent.
    #[garde(length(max = 500))]
    redirect_uri: Option<String>,
}

/// Whom to link to.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Linking {
    /// The caller's password.
    #[garde(custom(password::given))]
    #[schema(value_type = String, format = "password")]
    password: Password,
    /// Provider.
    #[garde(skip)]
    provider_id: Uuid,
    /// Where the provider is to send the browser back to: one of those it is set up with, the first where absent.
    #[garde(length(max = 500))]
    redirect_uri: Option<String>,
}

/// Where the browser goes, and what it keeps meanwhile.
#[derive(Serialize, ToSchema)]
struct BegunBody {
    /// To go to.
    authorization_url: String,
    /// To be kept by the browser that goes, and given to `:complete`. It must not travel in an address.
    key: String,
    /// Until then.
    expires_at: DateTime<Utc>,
}

/// What the provider has sent back, and the key.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Return {
    /// `state`, as it came back.
    #[garde(length(min = 1, max = 200))]
    state: String,
    /// `code`, as it came back.
    #[garde(length(min = 1, max = 4096))]
    code: String,
    /// `iss`, where it came back (RFC 9207).
    #[garde(length(max = 300))]
    iss: Option<String>,
    /// The key that `:begin` gave.
    #[garde(length(min = 1, max = 100))]
    key: String,
    /// What the session is to be called; after the browser or app where absent. Not for a link.
    #[garde(custom(name_of_device))]
    device_name: Option<String>,
}

/// Who the caller is at a provider.
#[derive(Serialize, ToSchema)]
struct LinkBody {
    id: Uuid,
    provider_id: Uuid,
    issuer: String,
    subject: String,
    /// His address there, when he was linked.
    email: Option<String>,
    created_at: DateTime<Utc>,
    /// When he last came in by it, but for the first time.
    last_used_at: Option<DateTime<Utc>>,
}

/// Who the caller is at providers.
#[derive(Serialize, ToSchema)]
struct Links {
    items: Vec<LinkBody>,
}

impl From<Link> for LinkBody {
    fn from(row: Link) -> Self {
        Self {
            id: row.id,
            provider_id: row.provider_id,
            issuer: row.issuer,
            subject: row.subject,
            email: row.email,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
        }
    }
}

fn begun(state: &State, begun: Begun) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(BegunBody {
            authorization_url: begun.address,
            key: begun.login.key(&state.secret),
            expires_at: begun.login.expires_at,
        })
}

fn returned(body: Return) -> Result<(Returned, Option<String>), Error> {
    let returned = Returned {
        state: Token::read(&body.state).ok_or(Error::SignInRefused)?,
        code: body.code,
        issuer: body.iss,
        key: body.key,
    };
    Ok((returned, body.device_name))
}

/// The providers to sign in with at a tenant; none where there is no such tenant.
#[utoipa::path(tag = "auth", security(()), params(Of), responses((status = 200, body = Offers)))]
#[get("/api/v1/auth/oidc/providers")]
async fn offered(state: web::Data<State>, of: web::Query<Of>) -> Result<HttpResponse, Problem> {
    let providers = commands::offered(&state, of.into_inner().tenant.to_lowercase()).await?;
    let items = providers.into_iter().map(|p| Offer {
        id: p.id,
        name: p.name,
    });
    Ok(HttpResponse::Ok().json(Offers {
        items: items.collect(),
    }))
}

/// Begins to sign in with a provider.
#[utoipa::path(tag = "auth", security(()), request_body = Beginning, responses(
    (status = 200, body = BegunBody), (status = 404), (status = 503, description = "PROVIDER_UNAVAILABLE, with Retry-After")))]
#[post("/api/v1/auth/oidc:begin")]
async fn begin(state: web::Data<State>, req: Public<Beginning>) -> Result<HttpResponse, Problem> {
    let wish = Wish {
        provider: req.body.provider_id,
        redirect_uri: req.body.redirect_uri,
    };
    let slug = req.body.tenant.to_lowercase();
    let made = commands::begin(&state, req.ctx, slug, wish).await?;
    Ok(begun(&state, made))
}

/// Signs in with what the provider has sent back.
#[utoipa::path(tag = "auth", security(()), request_body = Return, responses(
    (status = 200, body = Tokens),
    (status = 202, body = Challenge, description = "A second factor is needed"),
    (status = 401, description = "SIGN_IN_REFUSED: begin anew"),
    (status = 403, description = "NO_ACCOUNT: the provider vouches for somebody who is nobody here"),
    (status = 503, description = "PROVIDER_UNAVAILABLE, with Retry-After: begin anew")))]
#[post("/api/v1/auth/oidc:complete")]
async fn complete(
    state: web::Data<State>,
    device: Device,
    req: Public<Return>,
) -> Result<HttpResponse, Problem> {
    let (returned, name) = returned(req.body)?;
    let entry = commands::complete(&state, req.ctx, device.named(name), returned).await?;
    session::answer(&state, &entry)
}

/// Who the caller is at providers.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), responses((status = 200, body = Links)))]
#[get("/api/v1/auth/identities")]
async fn links(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    let links = commands::links(&state, &caller).await?;
    Ok(HttpResponse::Ok().json(Links {
        items: links.into_iter().map(LinkBody::from).collect(),
    }))
}

/// Begins to link the caller to somebody at a provider.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), request_body = Linking, responses(
    (status = 200, body = BegunBody), (status = 422, description = "WRONG_PASSWORD"),
    (status = 503, description = "PROVIDER_UNAVAILABLE, with Retry-After")))]
#[post("/api/v1/auth/identities:begin")]
async fn begin_link(
    state: web::Data<State>,
    device: Device,
    req: Post<Linking>,
) -> Result<HttpResponse, Problem> {
    let Linking {
        password,
        provider_id,
        redirect_uri,
    } = req.body;
    let wish = Wish {
        provider: provider_id,
        redirect_uri,
    };
    let made = commands::begin_link(&state, &req.caller, &device, &password, wish).await?;
    Ok(begun(&state, made))
}

/// Links the caller to whom the provider vouches for.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), request_body = Return, responses(
    (status = 200, body = LinkBody), (status = 401, description = "SIGN_IN_REFUSED: begin anew"),
    (status = 409, description = "IDENTITY_TAKEN"), (status = 503, description = "PROVIDER_UNAVAILABLE, with Retry-After")))]
#[post("/api/v1/auth/identities:complete")]
async fn complete_link(
    state: web::Data<State>,
    req: Post<Return>,
) -> Result<HttpResponse, Problem> {
    let (returned, _) = returned(req.body)?;
    let link = commands::complete_link(&state, &req.caller, returned).await?;
    Ok(HttpResponse::Ok().json(LinkBody::from(link)))
}

/// Takes a link of the caller away.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), responses((status = 204), (status = 422, description = "LAST_WAY_IN")))]
#[delete("/api/v1/auth/identities/{id}")]
async fn unlink(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let gone = commands::unlink(&state, &caller, *id).await?;
    Ok(no_content(&gone))
}
