//! `/api/v1/products/{id}/convert`.

use actix_web::{HttpResponse, get, web};
use bahi_db::{Done, Tx};
use bahi_http::{Caller, Fault, Problem, Versioned, ok};
use bahi_types::{ProductId, Quantity, UnitId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{Error, State, product, product_unit::model::Exact};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(convert);
}

/// How much, of which unit, in which other.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Convert {
    /// A decimal like `2.5` or a fraction like `5/2`.
    qty: String,
    /// A unit of the product.
    from: UnitId,
    /// A unit of the product.
    to: UnitId,
}

/// The same quantity in another unit.
#[derive(Serialize, ToSchema)]
pub struct ConversionBody {
    /// What was asked for, in lowest terms.
    #[schema(example = "1")]
    qty: String,
    /// Its unit.
    from: UnitId,
    /// The unit of the result.
    to: UnitId,
    /// The result to the last digit: a whole number or a fraction. Converted back it gives `qty`.
    #[schema(example = "1/12")]
    exact: String,
    /// The result to three decimals, half away from zero.
    quantity: Quantity,
    /// Nothing was lost by rounding.
    is_exact: bool,
}

impl Versioned for ConversionBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

/// Converts between two units of a product, exactly.
#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.read"])), operation_id = "convert_quantity",
    params(("id" = ProductId, Path), Convert),
    responses((status = 200, body = ConversionBody), (status = 422, description = "UNKNOWN_REFERENCE"))
)]
#[get("/api/v1/products/{id}/convert")]
async fn convert(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<ProductId>,
    query: web::Query<Convert>,
) -> Result<HttpResponse, Problem> {
    let wrong =
        |error: crate::product_unit::model::ExactError| Fault::field("qty", error.to_string());
    let qty: Exact = query.qty.parse().map_err(wrong)?;
    let product = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| {
            product::store::get(tx, *id).await
        })
        .await?;
    let factor = |unit: UnitId, field| product.factor(unit).ok_or(Error::UnknownReference(field));
    let (from, to) = (factor(query.from, "from")?, factor(query.to, "to")?);
    let result = qty.convert(from, to).map_err(wrong)?;
    let (quantity, is_exact) = result.decimals().map_err(wrong)?;
    Ok(ok(&Done::first(ConversionBody {
        qty: qty.to_string(),
        from: query.from,
        to: query.to,
        exact: result.to_string(),
        quantity,
        is_exact,
    })))
}
