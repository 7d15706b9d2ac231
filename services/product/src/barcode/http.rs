//! `/api/v1/barcodes/generate`.

use actix_web::{HttpResponse, post, web};
use bahi_http::{Post, Problem, Versioned, created};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    State,
    barcode::{commands, model::Gtin},
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(generate);
}

/// How many barcodes are wanted.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateInput {
    /// 1 to 100; 1 when absent.
    #[serde(default = "one")]
    #[garde(range(min = 1, max = 100))]
    count: u32,
}

fn one() -> u32 {
    1
}

/// Barcodes nobody has.
#[derive(Serialize, ToSchema)]
pub struct BarcodesBody {
    /// EAN-13 of the range 29.
    barcodes: Vec<String>,
}

impl Versioned for BarcodesBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

#[utoipa::path(
    tag = "barcodes",
    operation_id = "generate_barcodes",
    request_body = GenerateInput,
    responses(
        (status = 201, body = BarcodesBody),
        (status = 409, description = "RANGE_EXHAUSTED")
    )
)]
#[post("/api/v1/barcodes/generate")]
async fn generate(
    state: web::Data<State>,
    req: Post<GenerateInput>,
) -> Result<HttpResponse, Problem> {
    req.caller.require("product.product.write")?;
    let made = commands::generate(&state, &req.caller.ctx, req.body.count).await?;
    Ok(created(&made.map(|codes| BarcodesBody {
        barcodes: codes.iter().map(Gtin::to_string).collect(),
    })))
}
