//! OAuth 2.0 for partners: an API key for a short access token (RFC 6749, 4.4), and the document that says so (RFC 8414).
//!
//! The client id is the prefix of a key and the client secret its secret. The token lives five minutes and holds what the key
//! holds, or the part that was asked for; it is void as soon as the key is.

use actix_web::{
    HttpResponse, HttpResponseBuilder, get,
    http::{
        StatusCode,
        header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE},
    },
    post, web,
};
use bahi_http::{Claims, Fault, Grants, Problem, token};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    api_key::{self, Presented},
    password::Password,
};

/// Seconds that a token lives.
const LIFE: i64 = 300;

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(give)
        .service(authorization_server)
        .service(openid_configuration);
}

/// A request for a token; what it says beyond this is ignored, as the standard asks.
#[derive(Debug, Deserialize, ToSchema)]
struct TokenRequest {
    /// `client_credentials`.
    grant_type: Option<String>,
    /// Permissions, separated by spaces; all of the key's where absent.
    scope: Option<String>,
    /// The prefix of a key, where it is not in the header (HTTP Basic).
    client_id: Option<String>,
    /// The secret of the key, where it is not in the header.
    #[schema(value_type = Option<String>, format = "password")]
    client_secret: Option<Password>,
}

/// A token.
#[derive(Debug, Serialize, ToSchema)]
struct TokenAnswer {
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
    /// What the token holds, separated by spaces.
    scope: String,
}

/// Why there is no token (RFC 6749, 5.2).
#[derive(Debug, Serialize, ToSchema)]
struct TokenRefusal {
    /// `invalid_request`, `invalid_client`, `unsupported_grant_type` or `invalid_scope`.
    error: &'static str,
}

/// A refusal (RFC 6749, 5.2).
#[derive(Clone, Copy, Debug)]
enum Refused {
    Request,
    Client,
    GrantType,
    Scope,
}

impl Refused {
    fn answer(self) -> HttpResponse {
        let (status, error) = match self {
            Self::Request => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::Client => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::GrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            Self::Scope => (StatusCode::BAD_REQUEST, "invalid_scope"),
        };
        let mut response = HttpResponse::build(status);
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Basic realm=\"bahi\""));
        }
        uncached(&mut response).json(TokenRefusal { error })
    }
}

fn uncached(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response.insert_header((CACHE_CONTROL, "no-store"))
}

/// Gives a short access token to a client that shows its key, in the header or in the form.
#[utoipa::path(tag = "auth",
    security(()), request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = TokenAnswer),
        (status = 400, description = "invalid_request, unsupported_grant_type, invalid_scope (RFC 6749, 5.2)",
            content((TokenRefusal = "application/json"), (Problem = "application/problem+json"))),
        (status = 401, description = "invalid_client",
            content((TokenRefusal = "application/json"), (Problem = "application/problem+json")))))]
#[post("/api/v1/auth/token")]
async fn give(
    state: web::Data<State>,
    req: actix_web::HttpRequest,
    form: Result<web::Form<TokenRequest>, actix_web::Error>,
) -> Result<HttpResponse, Problem> {
    let basic = req.headers().get(AUTHORIZATION).map(|v| v.as_bytes());
    let asked = match form {
        Ok(form) => read(basic, form.into_inner()),
        Err(_) => Err(Refused::Request),
    };
    let (presented, scope) = match asked {
        Ok(asked) => asked,
        Err(refused) => return Ok(refused.answer()),
    };
    let Some(good) = api_key::verify(&state, presented).await? else {
        return Ok(Refused::Client.answer());
    };
    if good.suspended {
        return Ok(Refused::Client.answer());
    }
    let held = Grants::new(good.permissions.clone());
    let scope = scope.unwrap_or(good.permissions);
    if !scope.iter().all(|permission| held.allow(permission)) {
        return Ok(Refused::Scope.answer());
    }
    let claims = Claims {
        iss: state.signer.issuer().to_owned(),
        aud: token::AUDIENCE_API.to_owned(),
        sub: format!("{}{}", token::API_KEY, good.key.id),
        tid: good.key.tenant_id,
        sid: None,
        perms: scope.clone(),
        branches: good.scope,
        name: Some(good.key.name),
        rate: u32::try_from(good.key.rate).ok(),
        amr: Vec::new(),
        txn: None,
        sxp: None,
        iat: good.issued_at,
        exp: (good.issued_at + LIFE).min(good.key.expires_at.timestamp()),
    };
    let signed = state.signer.sign(token::ACCESS, &claims);
    let answer = TokenAnswer {
        access_token: signed.map_err(Error::Sign)?,
        token_type: "Bearer",
        expires_in: (claims.exp - state.clock.now().timestamp()).max(0),
        scope: scope.join(" "),
    };
    Ok(uncached(&mut HttpResponse::Ok()).json(answer))
}

type Asked = (Presented, Option<Vec<String>>);

/// Who asks, and for which permissions. A client shows its secret in one place.
fn read(header: Option<&[u8]>, form: TokenRequest) -> Result<Asked, Refused> {
    match form.grant_type.as_deref() {
        Some("client_credentials") => {}
        Some(_) => return Err(Refused::GrantType),
        None => return Err(Refused::Request),
    }
    let (id, secret) = match (header, form.client_secret) {
        (Some(_), Some(_)) => return Err(Refused::Request),
        (Some(header), None) => basic(header).ok_or(Refused::Client)?,
        (None, Some(secret)) => {
            let id = form.client_id.clone().ok_or(Refused::Request)?;
            (id, secret.as_str().to_owned())
        }
        (None, None) => return Err(Refused::Client),
    };
    if form.client_id.is_some_and(|named| named != id) {
        return Err(Refused::Request);
    }
    let presented = Presented::new(&id, &secret).ok_or(Refused::Client)?;
    let scope = form.scope.as_deref().map(str::split_ascii_whitespace);
    let scope: Option<Vec<_>> = scope.map(|words| words.map(str::to_owned).collect());
    // None at all is not a part of them.
    if scope.as_ref().is_some_and(Vec::is_empty) {
        return Err(Refused::Scope);
    }
    Ok((presented, scope))
}

/// Id and secret of `Basic` (RFC 7617). Neither holds anything that a form would encode.
fn basic(header: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(header).ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = plain.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

/// What there is of an authorization server, and no more: there is no page to authorise at, and no ID token.
#[derive(Debug, Serialize, ToSchema)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    jwks_uri: String,
    grant_types_supported: [&'static str; 1],
    response_types_supported: [&'static str; 0],
    token_endpoint_auth_methods_supported: [&'static str; 2],
}

fn metadata(state: &State) -> Result<HttpResponse, Problem> {
    // An issuer is an address, and only who runs the fleet knows by which it is reached.
    let base = state.public_url.as_deref().ok_or(Fault::NotFound)?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .json(Metadata {
            issuer: base.to_owned(),
            token_endpoint: format!("{base}/api/v1/auth/token"),
            jwks_uri: format!("{base}/.well-known/jwks.json"),
            grant_types_supported: ["client_credentials"],
            response_types_supported: [],
            token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
        }))
}

/// What clients may know of the token endpoint (RFC 8414); 404 where the fleet does not know its own address.
#[utoipa::path(tag = "auth", security(()), responses((status = 200, body = Metadata), (status = 404)))]
#[get("/.well-known/oauth-authorization-server")]
async fn authorization_server(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    metadata(&state)
}

/// The same where many clients look first (RFC 8414, section 5).
#[utoipa::path(tag = "auth", security(()), responses((status = 200, body = Metadata), (status = 404)))]
#[get("/.well-known/openid-configuration")]
async fn openid_configuration(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    metadata(&state)
}
