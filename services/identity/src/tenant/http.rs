//! `/api/v1/auth/register`.

use actix_web::{HttpResponse, post, web};
use bahi_http::{Problem, Public, validate};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{commands, model::is_slug};
use crate::{
    State,
    password::{self, Password},
    session::{Device, Tokens},
    user::http::address,
};

/// The endpoint.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(register);
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
