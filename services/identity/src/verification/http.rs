//! `/api/v1/auth/email-verifications`.

use actix_web::{HttpResponse, post, web};
use bahi_http::{Empty, Post, Problem, Public, no_content};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::commands;
use crate::{Error, State, secret::Token, session::Device};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(ask_again).service(confirm);
}

/// The token of a mail.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    /// As it was mailed.
    #[garde(length(min = 1, max = 200))]
    token: String,
}

/// Asks for another mail to verify the caller's address; the token of the one before is void.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), request_body = Empty, responses(
    (status = 204), (status = 409, description = "EMAIL_VERIFIED"), (status = 429, description = "TOO_MANY_MAILS, with Retry-After")))]
#[post("/api/v1/auth/email-verifications")]
async fn ask_again(
    state: web::Data<State>,
    device: Device,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let (user, ctx) = (req.caller.user()?, req.caller.ctx);
    let asked = commands::ask_again(&state, &ctx, user, device.language).await?;
    Ok(no_content(&asked))
}

/// Verifies the address that a mail went to.
#[utoipa::path(tag = "auth", security(()), request_body = Confirmation, responses(
    (status = 204), (status = 422, description = "TOKEN_INVALID")))]
#[post("/api/v1/auth/email-verifications:confirm")]
async fn confirm(
    state: web::Data<State>,
    req: Public<Confirmation>,
) -> Result<HttpResponse, Problem> {
    let token = Token::read(&req.body.token).ok_or(Error::TicketInvalid)?;
    commands::confirm(&state, req.ctx, &token).await?;
    Ok(HttpResponse::NoContent().finish())
}
