//! `/api/v1/barcodes/print`.

use std::collections::HashMap;

use actix_web::{HttpResponse, post, web};
use bahi_db::Tx;
use bahi_http::{Fault, Post, Problem};
use bahi_types::{ProductId, UnitId, business_date};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    label::{
        model::{Field, Format, Label, Length, MOST, MOST_LINES, Sheet, micrometres},
        pdf, store, zpl,
    },
    product::model::Product,
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(print);
}

/// Which labels, how many, and how they look.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct PrintInput {
    /// What the labels are sent as.
    format: Format,
    /// 1 to 500 products; at most 5,000 labels in all.
    #[garde(length(min = 1, max = MOST_LINES), dive)]
    labels: Vec<LabelInput>,
    /// How they look.
    #[garde(dive)]
    template: TemplateInput,
}

/// Labels of one product.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct LabelInput {
    /// The product.
    product_id: ProductId,
    /// A unit of it; the stock unit when absent.
    unit_id: Option<UnitId>,
    /// How many.
    #[garde(range(min = 1, max = MOST))]
    count: u32,
}

/// How labels look. Lengths are in millimetres.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct TemplateInput {
    /// Width of the paper, or of the roll's label; 210 when absent.
    #[serde(default = "a4_width")]
    #[garde(custom(side))]
    #[schema(value_type = String, example = "210")]
    width: Length,
    /// Height of the paper, or of the roll's label; 297 when absent.
    #[serde(default = "a4_height")]
    #[garde(custom(side))]
    #[schema(value_type = String, example = "297")]
    height: Length,
    /// Labels side by side, 1 to 20.
    #[garde(range(min = 1, max = 20))]
    columns: usize,
    /// Labels one below the other, 1 to 50.
    #[garde(range(min = 1, max = 50))]
    rows: usize,
    /// White at the left and right edge.
    #[serde(default)]
    #[garde(custom(white))]
    #[schema(value_type = String, example = "5")]
    margin_x: Length,
    /// White at the upper and lower edge.
    #[serde(default)]
    #[garde(custom(white))]
    #[schema(value_type = String, example = "10.5")]
    margin_y: Length,
    /// White between columns.
    #[serde(default)]
    #[garde(custom(white))]
    #[schema(value_type = String, example = "2.5")]
    gap_x: Length,
    /// White between rows.
    #[serde(default)]
    #[garde(custom(white))]
    #[schema(value_type = String, example = "0")]
    gap_y: Length,
    /// What a label shows, from above; the barcode is always at its foot.
    #[garde(length(min = 1, max = 5))]
    fields: Vec<Field>,
    /// Dots a millimetre of a ZPL printer: 8 (203 dpi) or 12 (300 dpi); 8 when absent.
    #[serde(default = "eight")]
    #[garde(custom(resolution))]
    dots_per_mm: i64,
}

fn a4_width() -> Length {
    210.into()
}

fn a4_height() -> Length {
    297.into()
}

fn eight() -> i64 {
    8
}

fn side(length: &Length, (): &()) -> garde::Result {
    if *length >= 10.into() && *length <= 1000.into() {
        Ok(())
    } else {
        Err(garde::Error::new("must be 10 to 1000 mm"))
    }
}

fn white(length: &Length, (): &()) -> garde::Result {
    if !length.is_negative() && *length <= 200.into() {
        Ok(())
    } else {
        Err(garde::Error::new("must be 0 to 200 mm"))
    }
}

fn resolution(dots: &i64, (): &()) -> garde::Result {
    if matches!(dots, 8 | 12) {
        Ok(())
    } else {
        Err(garde::Error::new("must be 8 or 12"))
    }
}

impl PrintInput {
    /// What single fields do not show.
    fn sheet(&self) -> Result<Sheet, Fault> {
        let wanted: u32 = self.labels.iter().map(|label| label.count.min(MOST)).sum();
        if wanted > MOST {
            return Err(Fault::field(
                "labels",
                format!("asks for {wanted} labels; at most {MOST}"),
            ));
        }
        let template = &self.template;
        for (at, field) in template.fields.iter().enumerate() {
            if template.fields[..at].contains(field) {
                return Err(Fault::field(
                    format!("template.fields[{at}]"),
                    "stands twice",
                ));
            }
        }
        let sheet = Sheet {
            width: micrometres(template.width),
            height: micrometres(template.height),
            columns: template.columns,
            rows: template.rows,
            margin_x: micrometres(template.margin_x),
            margin_y: micrometres(template.margin_y),
            gap_x: micrometres(template.gap_x),
            gap_y: micrometres(template.gap_y),
        };
        let (width, height) = sheet.label();
        if width < 5_000 || height < 5_000 {
            let field = if width < 5_000 {
                "template.columns"
            } else {
                "template.rows"
            };
            return Err(Fault::field(field, "leaves labels of less than 5 mm"));
        }
        if self.format == Format::Zpl && sheet.columns * sheet.rows != 1 {
            let message = "must be 1, as must rows: a label printer prints one after the other";
            return Err(Fault::field("template.columns", message));
        }
        Ok(sheet)
    }
}

/// Labels to print. Nothing is stored: the same request gives the same labels.
#[utoipa::path(
    tag = "barcodes",
    security(("bearer" = ["product.product.read"])), operation_id = "print_labels",
    request_body = PrintInput,
    responses(
        (status = 200, description = "The labels, in the format that was asked for; ZPL is text",
            content((String = "application/pdf"), (String = "text/plain"))),
        (status = 422, description = "UNKNOWN_REFERENCE, LABEL_WITHOUT_BARCODE, LABEL_TOO_SMALL")
    )
)]
#[post("/api/v1/barcodes/print")]
async fn print(state: web::Data<State>, req: Post<PrintInput>) -> Result<HttpResponse, Problem> {
    let sheet = req.body.sheet()?;
    let mut ids: Vec<ProductId> = req
        .body
        .labels
        .iter()
        .map(|label| label.product_id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let products = state
        .db
        .read(&req.caller.ctx, async |tx: &mut Tx| {
            store::products(tx, &ids).await
        })
        .await?;
    let products: HashMap<ProductId, Product> = products
        .into_iter()
        .map(|product| (product.id, product))
        .collect();
    let today = business_date(state.db.clock().now());
    let input = req.body;
    // Thousands of labels are no work for a thread that answers others.
    let drawn = web::block(move || drawn(&input, &sheet, &products, today)).await;
    let (kind, body) =
        drawn.map_err(|_| Fault::Malformed("the labels could not be drawn".into()))??;
    Ok(HttpResponse::Ok().content_type(kind).body(body))
}

fn drawn(
    input: &PrintInput,
    sheet: &Sheet,
    products: &HashMap<ProductId, Product>,
    today: chrono::NaiveDate,
) -> Result<(&'static str, Vec<u8>), Error> {
    let (size, template) = (sheet.label(), &input.template);
    let sets = match input.format {
        Format::Pdf => pdf::sets,
        Format::Zpl => |_: &str| true,
    };
    let mut labels = Vec::with_capacity(input.labels.len());
    for line in &input.labels {
        let product = products
            .get(&line.product_id)
            .ok_or(Error::UnknownReference("labels.product_id"))?;
        let unit = line.unit_id.filter(|unit| *unit != product.unit_id);
        if unit.is_some_and(|unit| product.factor(unit).is_none()) {
            return Err(Error::UnknownReference("labels.unit_id"));
        }
        let label = Label::of(
            product,
            unit,
            line.count,
            &template.fields,
            size,
            sets,
            today,
        )?;
        if input.format == Format::Zpl && !zpl::fits(&label, size.0, template.dots_per_mm) {
            let rule = "has no room for bars of whole dots".to_owned();
            return Err(Error::LabelTooSmall {
                sku: product.sku.clone(),
                rule,
            });
        }
        labels.push(label);
    }
    Ok(match input.format {
        Format::Pdf => ("application/pdf", pdf::document(&labels, sheet)),
        Format::Zpl => (
            "text/plain; charset=utf-8",
            zpl::document(&labels, size, template.dots_per_mm).into_bytes(),
        ),
    })
}
