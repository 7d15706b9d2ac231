//! `/api/v1/auth/invitations:accept` and `/api/v1/auth/password-resets:complete`.

use actix_web::{HttpResponse, post, web};
use bahi_http::{Problem, Public};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::commands;
use crate::{
    Error, State,
    password::{self, Password},
    secret::Token,
    session::{self, Challenge, Device, Tokens},
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(accept).service(complete);
}

/// An invitation and the password to sign in with from now on.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Acceptance {
    /// The token that was handed over.
    #[garde(length(min = 1, max = 200))]
    token: String,
    /// A password of 10 to 128 characters.
    #[garde(custom(password::fit))]
    #[schema(value_type = String, format = "password")]
    password: Password,
}

/// A reset token and the new password.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Completion {
    /// The token that was handed over.
    #[garde(length(min = 1, max = 200))]
    token: String,
    /// A password of 10 to 128 characters.
    #[garde(custom(password::fit))]
    #[schema(value_type = String, format = "password")]
    new_password: Password,
}

/// Accepts an invitation and signs in.
#[utoipa::path(tag = "auth", security(()), request_body = Acceptance, responses(
    (status = 200, body = Tokens),
    (status = 202, body = Challenge, description = "The company asks for a second factor"),
    (status = 422, description = "TOKEN_INVALID, PASSWORD_IS_ADDRESS, PASSWORD_IS_NAME, PASSWORD_BREACHED")))]
#[post("/api/v1/auth/invitations:accept")]
async fn accept(
    state: web::Data<State>,
    device: Device,
    req: Public<Acceptance>,
) -> Result<HttpResponse, Problem> {
    let token = Token::read(&req.body.token).ok_or(Error::TicketInvalid)?;
    let entry = commands::accept(&state, req.ctx, device, token, req.body.password).await?;
    session::answer(&state, &entry)
}

/// Sets a new password with a reset token.
#[utoipa::path(tag = "auth", security(()), request_body = Completion, responses(
    (status = 204), (status = 422, description = "TOKEN_INVALID, PASSWORD_IS_ADDRESS, PASSWORD_IS_NAME, PASSWORD_BREACHED")))]
#[post("/api/v1/auth/password-resets:complete")]
async fn complete(
    state: web::Data<State>,
    req: Public<Completion>,
) -> Result<HttpResponse, Problem> {
    let token = Token::read(&req.body.token).ok_or(Error::TicketInvalid)?;
    commands::reset(&state, req.ctx, token, req.body.new_password).await?;
    Ok(HttpResponse::NoContent().finish())
}
