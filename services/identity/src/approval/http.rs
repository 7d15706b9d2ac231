//! `/api/v1/auth/pin`, `/approvals` and `/approvers`.

use actix_web::{HttpResponse, get, http::header::CACHE_CONTROL, post, web};
use bahi_http::{Caller, Fault, Post, Problem, validate};
use bahi_types::{TillId, UserId};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands,
    model::{Approver, Asked, Given, MOST_PERMISSIONS, fit, lendable},
};
use crate::{
    State,
    password::{self, Password},
    session::Device,
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(set_pin).service(approve).service(approvers);
}

/// A new PIN.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPin {
    /// The caller's password.
    #[garde(custom(password::given))]
    #[schema(value_type = String, format = "password")]
    password: Password,
    /// 4 to 12 digits, neither one digit alone nor a run.
    #[garde(custom(fit))]
    #[schema(value_type = String, format = "password")]
    pin: Password,
}

/// What is to be approved. Exactly one of `approver_id` and `approver_email` names the approver.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewApproval {
    #[garde(skip)]
    #[schema(value_type = Option<Uuid>)]
    approver_id: Option<UserId>,
    #[garde(length(max = 254))]
    approver_email: Option<String>,
    /// The approver's PIN.
    #[garde(custom(password::given))]
    #[schema(value_type = String, format = "password")]
    pin: Password,
    /// What is to be lent: `sales.discount.up_to_15`, `sales.price.override`, `sales.price.below_cost`.
    #[garde(length(min = 1, max = MOST_PERMISSIONS), inner(custom(lendable)))]
    permissions: Vec<String>,
    /// The document that it is for: the id of the invoice to be.
    #[garde(skip)]
    document_id: Uuid,
    /// The till that it is for.
    #[garde(skip)]
    #[schema(value_type = Option<Uuid>)]
    till_id: Option<TillId>,
    /// Why.
    #[garde(custom(|text: &String, ctx| validate::line(text, ctx)), length(chars, max = 200))]
    reason: String,
}

/// An approval.
#[derive(Serialize, ToSchema)]
struct ApprovalBody {
    /// To be sent with the document.
    approval: String,
    #[schema(value_type = Uuid)]
    approver_id: UserId,
    approver_name: String,
    permissions: Vec<String>,
    /// Until when it may be used.
    expires_at: DateTime<Utc>,
}

impl From<Given> for ApprovalBody {
    fn from(given: Given) -> Self {
        Self {
            approval: given.token,
            approver_id: given.approver,
            approver_name: given.name,
            permissions: given.permissions,
            expires_at: given.expires_at,
        }
    }
}

/// Somebody who may approve.
#[derive(Serialize, ToSchema)]
struct ApproverBody {
    #[schema(value_type = Uuid)]
    user_id: UserId,
    name: String,
}

/// Those who may approve.
#[derive(Serialize, ToSchema)]
struct Approvers {
    items: Vec<ApproverBody>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// What they would lend.
    permission: String,
}

/// Sets the caller's PIN.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), request_body = NewPin, responses(
    (status = 204), (status = 422, description = "WRONG_PASSWORD"),
    (status = 429, description = "TOO_MANY_ATTEMPTS, with Retry-After")))]
#[post("/api/v1/auth/pin")]
async fn set_pin(
    state: web::Data<State>,
    device: Device,
    req: Post<NewPin>,
) -> Result<HttpResponse, Problem> {
    let owner = req.caller.user()?;
    let NewPin { password, pin } = req.body;
    commands::set_pin(&state, &req.caller.ctx, owner, device, password, pin).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lends the caller permissions of an approver, against his PIN, for one document and five minutes.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), request_body = NewApproval, responses(
    (status = 201, body = ApprovalBody),
    (status = 403, description = "ESCALATION: the approver does not hold it himself"),
    (status = 422, description = "WRONG_PIN, PIN_LOCKED"),
    (status = 429, description = "TOO_MANY_ATTEMPTS, with Retry-After")))]
#[post("/api/v1/auth/approvals")]
async fn approve(
    state: web::Data<State>,
    device: Device,
    req: Post<NewApproval>,
) -> Result<HttpResponse, Problem> {
    let body = req.body;
    let approver = match (body.approver_id, body.approver_email) {
        (Some(id), None) => Approver::Id(id),
        (None, Some(email)) => Approver::Email(email.to_lowercase()),
        _ => {
            let message = "name the approver by this or by approver_email";
            return Err(Fault::field("approver_id", message).into());
        }
    };
    let asked = Asked {
        approver,
        permissions: body.permissions,
        document_id: body.document_id,
        till_id: body.till_id,
        reason: body.reason,
    };
    let given = commands::approve(&state, &req.caller, device, asked, body.pin).await?;
    Ok(HttpResponse::Created()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(ApprovalBody::from(given)))
}

/// Who may approve: active users who have a PIN and hold the permission, by name.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), params(Which), responses((status = 200, body = Approvers)))]
#[get("/api/v1/auth/approvers")]
async fn approvers(
    state: web::Data<State>,
    caller: Caller,
    which: web::Query<Which>,
) -> Result<HttpResponse, Problem> {
    caller.user()?;
    let able = commands::approvers(&state, &caller.ctx, which.into_inner().permission).await?;
    let able = able.into_iter();
    Ok(HttpResponse::Ok().json(Approvers {
        items: able
            .map(|(user_id, name)| ApproverBody { user_id, name })
            .collect(),
    }))
}
