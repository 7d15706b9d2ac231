//! `/api/v1/barcodes/generate`, and pictures of codes.

use actix_web::{HttpResponse, get, http::header, post, web};
use bahi_http::{Caller, Fault, Post, Problem, Versioned, created};
use bahi_types::business_date;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    barcode::{
        commands,
        model::{Gtin, Prefix},
        picture::{self, Size, Symbol, Symbology},
    },
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(generate).service(svg).service(png);
}

/// How many barcodes are wanted.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct GenerateInput {
    /// 1 to 100; 1 when absent.
    #[serde(default = "one")]
    #[garde(range(min = 1, max = 100))]
    count: u32,
    /// The company prefix that GS1 has given you, 4 to 11 digits; the range 29 of our own when absent.
    #[schema(value_type = Option<String>, example = "8901234")]
    prefix: Option<Prefix>,
}

fn one() -> u32 {
    1
}

/// Barcodes nobody has.
#[derive(Serialize, ToSchema)]
pub struct BarcodesBody {
    /// EAN-13 of the range 29 or of the prefix.
    barcodes: Vec<String>,
}

impl Versioned for BarcodesBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

#[utoipa::path(
    tag = "barcodes",
    security(("bearer" = ["product.product.write"])), operation_id = "generate_barcodes",
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
    let GenerateInput { count, prefix } = req.body;
    let made = commands::generate(&state, &req.caller.ctx, count, prefix).await?;
    Ok(created(&made.map(|codes| BarcodesBody {
        barcodes: codes.iter().map(Gtin::to_string).collect(),
    })))
}

/// How a code is drawn.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Drawing {
    /// The usual one for the code when absent: that of a GTIN by its length, GS1-128 for brackets, else Code 128.
    #[param(inline)]
    symbology: Option<Symbology>,
    /// Pixels of a module, 1 to 10; 3 when absent.
    scale: Option<usize>,
    /// Height of bars in modules, 10 to 200; 60 when absent.
    height: Option<usize>,
    /// With the text that people read below bars; true when absent.
    text: Option<bool>,
}

impl Drawing {
    fn draw(&self, state: &State, code: &str) -> Result<(Symbol, Size), Fault> {
        let within = |field, value: usize, least, most| {
            if (least..=most).contains(&value) {
                Ok(value)
            } else {
                Err(Fault::field(field, format!("must be {least} to {most}")))
            }
        };
        let size = Size {
            scale: within("scale", self.scale.unwrap_or(3), 1, 10)?,
            height: within("height", self.height.unwrap_or(60), 10, 200)?,
            text: self.text.unwrap_or(true),
        };
        let symbology = self.symbology.unwrap_or_else(|| Symbology::of(code));
        let today = business_date(state.db.clock().now());
        let symbol = picture::draw(code, symbology, today);
        Ok((symbol.map_err(|rule| Fault::field("code", rule))?, size))
    }
}

/// A picture of a code with its quiet zones. A code in the path is percent-encoded.
#[utoipa::path(
    tag = "barcodes",
    security(("bearer" = ["product.product.read"])), operation_id = "draw_barcode_svg",
    params(("code" = String, Path), Drawing),
    responses((status = 200, body = String, content_type = "image/svg+xml"))
)]
#[get("/api/v1/barcodes/{code}.svg")]
async fn svg(
    state: web::Data<State>,
    _: Caller,
    code: web::Path<String>,
    query: web::Query<Drawing>,
) -> Result<HttpResponse, Problem> {
    let (symbol, size) = query.draw(&state, &code)?;
    Ok(image("image/svg+xml", symbol.svg(size).into_bytes()))
}

/// A picture of a code with its quiet zones. A code in the path is percent-encoded.
#[utoipa::path(
    tag = "barcodes",
    security(("bearer" = ["product.product.read"])), operation_id = "draw_barcode_png",
    params(("code" = String, Path), Drawing),
    responses((status = 200, body = String, content_type = "image/png"))
)]
#[get("/api/v1/barcodes/{code}.png")]
async fn png(
    state: web::Data<State>,
    _: Caller,
    code: web::Path<String>,
    query: web::Query<Drawing>,
) -> Result<HttpResponse, Problem> {
    let (symbol, size) = query.draw(&state, &code)?;
    let bytes = symbol.png(size).map_err(Error::from)?;
    Ok(image("image/png", bytes))
}

/// A picture depends on nothing but its address.
fn image(kind: &'static str, bytes: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CACHE_CONTROL, "private, max-age=86400"))
        .body(bytes)
}
