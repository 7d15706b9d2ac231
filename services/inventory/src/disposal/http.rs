//! Disposals over HTTP.

use actix_web::{HttpResponse, post, web};
use bahi_http::{Post, Problem, Versioned, created, validate};
use bahi_types::{BatchId, LocationId};
use garde::Validate;
use serde::Deserialize;
use utoipa_actix_web::service_config::ServiceConfig;

use super::commands::{self, Disposal, NewDisposal};
use crate::{
    State,
    costs::{Costs, shown},
};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create);
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct DisposalRequest {
    /// Why; it is audited.
    #[garde(custom(validate::line))]
    reason: String,
    /// Only what lies here; wherever the caller works, when absent.
    location_id: Option<LocationId>,
}

impl Versioned for Disposal {
    fn version(&self) -> Option<i64> {
        None
    }
}

impl Costs for Disposal {
    fn hide_costs(&mut self) {
        self.value = None;
        for line in &mut self.lines {
            line.value = None;
        }
    }
}

/// Throws away what is left of a batch that is blocked, recalled or expired.
#[utoipa::path(tag = "batches", security(("bearer" = ["inventory.batch.dispose"])), request_body = DisposalRequest, responses((status = 201, body = Disposal)))]
#[post("/api/v1/inventory/batches/{id:[^:/]+}:dispose")]
async fn create(
    state: web::Data<State>,
    id: web::Path<BatchId>,
    req: Post<DisposalRequest>,
) -> Result<HttpResponse, Problem> {
    let new = NewDisposal {
        batch: *id,
        location: req.body.location_id,
        reason: req.body.reason,
    };
    let done = commands::post(&state, &req.caller.ctx, new).await?;
    Ok(created(&done.map(|made| shown(&req.caller, made))))
}
