//! `/api/v1/auth/mfa` and `/api/v1/users/{id}:reset-mfa`.

use actix_web::{HttpResponse, get, http::header::CACHE_CONTROL, post, web};
use bahi_http::{Caller, Empty, Post, Problem, Public, no_content};
use bahi_types::UserId;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::commands::{self, Enrolment};
use crate::{
    Error, State,
    password::{self, Password},
    secret::Token,
    session::{Device, Tokens, name_of_device},
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(standing)
        .service(begin)
        .service(confirm)
        .service(disable)
        .service(renew_codes)
        .service(enrol)
        .service(verify)
        .service(reset);
}

/// How the caller's second factor stands.
#[derive(Serialize, ToSchema)]
struct StandingBody {
    /// He has one.
    enabled: bool,
    /// The company asks for one.
    required: bool,
    /// Recovery codes that are left.
    recovery_codes_left: i64,
}

/// The present password.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Present {
    /// The present password.
    #[garde(custom(password::given))]
    #[schema(value_type = String, format = "password")]
    password: Password,
}

/// A secret for an authenticator app, shown this once.
#[derive(Serialize, ToSchema)]
struct EnrolmentBody {
    /// In base32, to be typed.
    secret: String,
    /// `otpauth://`, to be shown as QR.
    uri: String,
}

/// A code.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct First {
    /// Six digits of the app.
    #[garde(custom(password::given))]
    #[schema(value_type = String)]
    code: Password,
}

/// Recovery codes, shown this once.
#[derive(Serialize, ToSchema)]
struct Codes {
    /// Each stands for a code of the app, once.
    recovery_codes: Vec<String>,
}

/// Password and code.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Both {
    /// The present password.
    #[garde(custom(password::given))]
    #[schema(value_type = String, format = "password")]
    password: Password,
    /// Six digits of the app, or a recovery code.
    #[garde(custom(password::given))]
    #[schema(value_type = String)]
    code: Password,
}

/// A challenge that asks for an enrolment.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Enrol {
    /// As it was given for the password.
    #[garde(length(min = 1, max = 200))]
    challenge: String,
}

/// A challenge and its answer.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Verification {
    /// As it was given for the password.
    #[garde(length(min = 1, max = 200))]
    challenge: String,
    /// Six digits of the app, or a recovery code.
    #[garde(custom(password::given))]
    #[schema(value_type = String)]
    code: Password,
    /// What the session is to be called; after the browser or app where absent.
    #[garde(custom(name_of_device))]
    device_name: Option<String>,
}

/// Tokens, and recovery codes where the second factor was just enrolled.
#[derive(Serialize, ToSchema)]
struct VerifiedBody {
    #[serde(flatten)]
    tokens: Tokens,
    /// Shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_codes: Option<Vec<String>>,
}

/// An answer that no cache may keep.
fn private(body: impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(body)
}

fn shown(enrolment: Enrolment) -> HttpResponse {
    private(EnrolmentBody {
        secret: enrolment.secret,
        uri: enrolment.uri,
    })
}

/// How the caller's second factor stands.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), responses((status = 200, body = StandingBody)))]
#[get("/api/v1/auth/mfa")]
async fn standing(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    let found = commands::standing(&state, &caller.ctx, caller.user()?).await?;
    Ok(HttpResponse::Ok().json(StandingBody {
        enabled: found.enabled,
        required: found.required,
        recovery_codes_left: found.codes_left,
    }))
}

/// Begins to enrol a second factor: a secret for the app, in place of one that was begun before.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), request_body = Present, responses(
    (status = 200, body = EnrolmentBody), (status = 409, description = "MFA_ENABLED"), (status = 422, description = "WRONG_PASSWORD")))]
#[post("/api/v1/auth/mfa:begin")]
async fn begin(
    state: web::Data<State>,
    device: Device,
    req: Post<Present>,
) -> Result<HttpResponse, Problem> {
    let (user, ctx) = (req.caller.user()?, req.caller.ctx);
    let begun = commands::begin(&state, &ctx, user, device, req.body.password).await?;
    Ok(shown(begun))
}

/// Takes the first code of the app: from now on the second factor is asked for. Other sessions end.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), request_body = First, responses(
    (status = 200, body = Codes), (status = 409, description = "MFA_ENABLED"), (status = 422, description = "WRONG_CODE")))]
#[post("/api/v1/auth/mfa:confirm")]
async fn confirm(
    state: web::Data<State>,
    device: Device,
    req: Post<First>,
) -> Result<HttpResponse, Problem> {
    let recovery_codes = commands::confirm(&state, &req.caller, device, req.body.code).await?;
    Ok(private(Codes { recovery_codes }))
}

/// Takes the caller's second factor away.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), request_body = Both, responses(
    (status = 204), (status = 409, description = "MFA_NOT_ENABLED"), (status = 422, description = "WRONG_PASSWORD, WRONG_CODE")))]
#[post("/api/v1/auth/mfa:disable")]
async fn disable(
    state: web::Data<State>,
    device: Device,
    req: Post<Both>,
) -> Result<HttpResponse, Problem> {
    let Both { password, code } = req.body;
    commands::disable(&state, &req.caller, device, password, code).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Makes the caller's recovery codes anew; those before are void.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), request_body = Both, responses(
    (status = 200, body = Codes), (status = 409, description = "MFA_NOT_ENABLED"), (status = 422, description = "WRONG_PASSWORD, WRONG_CODE")))]
#[post("/api/v1/auth/mfa:renew-codes")]
async fn renew_codes(
    state: web::Data<State>,
    device: Device,
    req: Post<Both>,
) -> Result<HttpResponse, Problem> {
    let Both { password, code } = req.body;
    let recovery_codes = commands::renew_codes(&state, &req.caller, device, password, code).await?;
    Ok(private(Codes { recovery_codes }))
}

/// As `:begin`, with the challenge of a sign-in that asks for an enrolment; `:verify` takes the first code.
#[utoipa::path(tag = "auth", security(()), request_body = Enrol, responses(
    (status = 200, body = EnrolmentBody), (status = 422, description = "TOKEN_INVALID")))]
#[post("/api/v1/auth/mfa:enrol")]
async fn enrol(state: web::Data<State>, req: Public<Enrol>) -> Result<HttpResponse, Problem> {
    let token = Token::read(&req.body.challenge).ok_or(Error::TicketInvalid)?;
    Ok(shown(commands::enrol(&state, req.ctx, &token).await?))
}

/// Signs in with a challenge and a code.
#[utoipa::path(tag = "auth", security(()), request_body = Verification, responses(
    (status = 200, body = VerifiedBody),
    (status = 422, description = "WRONG_CODE, TOKEN_INVALID"),
    (status = 429, description = "TOO_MANY_ATTEMPTS, with Retry-After")))]
#[post("/api/v1/auth/mfa:verify")]
async fn verify(
    state: web::Data<State>,
    device: Device,
    req: Public<Verification>,
) -> Result<HttpResponse, Problem> {
    let Verification {
        challenge,
        code,
        device_name,
    } = req.body;
    let device = device.named(device_name);
    let token = Token::read(&challenge).ok_or(Error::TicketInvalid)?;
    let verified = commands::verify(&state, req.ctx, device, &token, &code).await?;
    Ok(private(VerifiedBody {
        tokens: Tokens::first(&state, &verified.signed)?,
        recovery_codes: verified.codes,
    }))
}

/// Takes the second factor of a user away who lost it.
#[utoipa::path(tag = "users", security(("bearer" = ["identity.user.write", "person"])), request_body = Empty, responses(
    (status = 204), (status = 403, description = "ESCALATION"), (status = 422, description = "OWN_MFA")))]
#[post("/api/v1/users/{id:[^:/]+}:reset-mfa")]
async fn reset(
    state: web::Data<State>,
    id: web::Path<UserId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::reset(&state, &req.caller, *id).await?;
    Ok(no_content(&done))
}
