//! `/api/v1/products/lookup`.

use actix_web::{HttpResponse, get, web};
use bahi_db::Done;
use bahi_http::{Caller, Problem, Versioned, ok};
use bahi_types::{Price, Quantity, UnitId};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    product::ProductBody,
    scan::{
        commands::{self, Found},
        model::{Element, Form},
    },
};

/// The endpoints. They come before those of products, which would take `lookup` for an id.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(lookup);
}

/// What was scanned.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The code as the scanner sends it, at most 512 bytes: EAN, UPC, GTIN-14, an in-store code, or GS1 elements with
    /// ASCII 29 for FNC1 or with brackets.
    #[param(example = "4006381333931")]
    barcode: String,
}

/// The product, and what the code says beside it.
#[derive(Serialize, ToSchema)]
pub struct LookupBody {
    #[serde(flatten)]
    product: ProductBody,
    /// What the code says.
    scan: ScanBody,
}

/// What a code says.
#[derive(Serialize, ToSchema)]
pub struct ScanBody {
    /// As what the code was read.
    form: Form,
    /// The barcode that the product has.
    #[schema(example = "4006381333931")]
    barcode: String,
    /// The unit it stands for: the stock unit or another one of the product.
    unit_id: UnitId,
    /// One of the unit is `numerator / denominator` stock units.
    numerator: i64,
    /// See `numerator`.
    denominator: i64,
    /// Selling price of one of the unit.
    unit_price: Price,
    /// How many of the unit. Where the code says a price only it is that divided by the unit's price, to three decimals;
    /// absent where that has none.
    quantity: Option<Quantity>,
    /// The price that the code says, for all of it.
    price: Option<Price>,
    /// The net weight that the code says, in kilograms.
    weight: Option<Quantity>,
    /// Batch.
    batch: Option<String>,
    /// Made on.
    produced_on: Option<NaiveDate>,
    /// Best before.
    best_before: Option<NaiveDate>,
    /// Not to be sold after.
    expires_on: Option<NaiveDate>,
    /// Serial number.
    serial: Option<String>,
    /// The logistic unit it is in.
    sscc: Option<String>,
    /// Which application identifier or pattern gave each; empty for a plain code.
    elements: Vec<Element>,
}

impl LookupBody {
    fn of(found: Found) -> Result<Self, Error> {
        let Found {
            product,
            unit,
            said,
        } = found;
        let (factor, unit_price) = product.unit_price(unit);
        let (numerator, denominator) = factor.parts();
        let scan = ScanBody {
            form: said.form,
            barcode: said.code.to_string(),
            unit_id: unit.unwrap_or(product.unit_id),
            numerator,
            denominator,
            unit_price,
            quantity: said.quantity(&product, unit, unit_price)?,
            price: said.price,
            weight: said.weight(),
            batch: said.batch,
            produced_on: said.produced_on,
            best_before: said.best_before,
            expires_on: said.expires_on,
            serial: said.serial,
            sscc: said.sscc,
            elements: said.elements,
        };
        let product = ProductBody::from((*product).clone());
        Ok(Self { product, scan })
    }
}

impl Versioned for LookupBody {
    fn version(&self) -> Option<i64> {
        self.product.version()
    }
}

/// What a scanned code stands for; archived products have no codes. `transacted` may be a few minutes old.
#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.read"])), operation_id = "look_up_barcode",
    params(Lookup),
    responses(
        (status = 200, body = LookupBody),
        (status = 404, description = "NOT_FOUND"),
        (status = 422, description = "LOGISTIC_UNIT, NOT_WEIGHED")
    )
)]
#[get("/api/v1/products/lookup")]
async fn lookup(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<Lookup>,
) -> Result<HttpResponse, Problem> {
    let found = commands::find(&state, &caller.ctx, &query.barcode).await?;
    Ok(ok(&Done::first(LookupBody::of(found)?)))
}
