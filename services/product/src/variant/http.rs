//! `/api/v1/products/{id}/variants`.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::{Done, Tx};
use bahi_http::{Caller, Post, Problem, Versioned, Walk, ok, page, paging, validate};
use bahi_types::{Page, ProductId};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    attribute::model::{AttributeId, ValueId},
    product::{
        self, ProductBody,
        model::{Product, Status},
        store::Filter,
    },
    variant::{
        commands::{self, Matrix, Plan},
        model::{AXES, Cell, INHERITED, Outcome},
    },
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(generate).service(list).service(inherit);
}

/// Which variants are wanted.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct VariantsInput {
    /// The attributes of the matrix, 1 to 5 of them, in the order in which SKUs and names have them.
    #[garde(length(min = 1, max = AXES), dive)]
    attributes: Vec<VariantAxisInput>,
    /// How SKUs are made: `{sku}` is the template's, an attribute's name in braces the code of its value.
    /// `{sku}-{first}-{second}...` when absent.
    #[garde(inner(custom(validate::line)))]
    sku_pattern: Option<String>,
    /// State of new variants: `draft`, as when absent, or `active`.
    status: Option<Status>,
}

/// An attribute of the matrix.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct VariantAxisInput {
    /// The attribute.
    #[schema(value_type = uuid::Uuid)]
    attribute_id: AttributeId,
    /// Those of its values that are wanted; all when absent.
    #[schema(value_type = Option<Vec<uuid::Uuid>>)]
    #[garde(inner(length(max = 200)))]
    value_ids: Option<Vec<ValueId>>,
}

/// Whether anything is made.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// Only says what would be made, and what clashes.
    #[serde(default)]
    dry_run: bool,
}

/// The matrix: what is new, what is there, what clashes.
#[derive(Serialize, ToSchema)]
pub struct VariantsBody {
    /// The template.
    product_id: ProductId,
    /// Nothing was made.
    dry_run: bool,
    /// Variants that were made, or would be.
    new: usize,
    /// Variants that are there already.
    existing: usize,
    /// SKUs that are taken; none but in a dry run, because they refuse the call.
    clashing: usize,
    /// The cells.
    variants: Vec<Cell>,
}

impl VariantsBody {
    fn new(matrix: Matrix, dry_run: bool) -> Self {
        let count = |outcome| {
            matrix
                .cells
                .iter()
                .filter(|cell| cell.outcome == outcome)
                .count()
        };
        Self {
            product_id: matrix.template,
            dry_run,
            new: count(Outcome::New),
            existing: count(Outcome::Exists),
            clashing: count(Outcome::Clash),
            variants: matrix.cells,
        }
    }
}

impl Versioned for VariantsBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

/// Makes the variants of a matrix that are missing; at most 1,000 of one template.
#[utoipa::path(
    tag = "variants",
    security(("bearer" = ["product.product.write"])), operation_id = "generate_variants",
    params(("id" = ProductId, Path), Generate),
    request_body = VariantsInput,
    responses(
        (status = 200, body = VariantsBody),
        (status = 409, description = "SKU_TAKEN (names the SKUs), NO_TEMPLATE, PRODUCT_TRANSACTED, OTHER_ATTRIBUTES, COMPONENT_OF_KIT"),
        (status = 422, description = "TOO_MANY_VARIANTS, UNKNOWN_REFERENCE, KIT_IN_FAMILY")
    )
)]
#[post("/api/v1/products/{id}/variants:generate")]
async fn generate(
    state: web::Data<State>,
    id: web::Path<ProductId>,
    query: web::Query<Generate>,
    req: Post<VariantsInput>,
) -> Result<HttpResponse, Problem> {
    let VariantsInput {
        attributes,
        sku_pattern,
        status,
    } = req.body;
    let status = status.unwrap_or(Status::Draft);
    if !matches!(status, Status::Draft | Status::Active) {
        return Err(bahi_http::Fault::field("status", "must be draft or active").into());
    }
    let twice = |n: usize| {
        attributes[..n]
            .iter()
            .any(|a| a.attribute_id == attributes[n].attribute_id)
    };
    if let Some(n) = (0..attributes.len()).find(|n| twice(*n)) {
        let field = format!("attributes[{n}].attribute_id");
        return Err(bahi_http::Fault::field(field, "stands there twice").into());
    }
    let axes = attributes
        .into_iter()
        .map(|axis| (axis.attribute_id, axis.value_ids));
    let plan = Plan {
        axes: axes.collect(),
        pattern: sku_pattern,
        status,
    };
    let done = if query.dry_run {
        Done::first(commands::preview(&state, &req.caller.ctx, *id, plan).await?)
    } else {
        commands::generate(&state, &req.caller.ctx, *id, plan).await?
    };
    Ok(ok(
        &done.map(|matrix| VariantsBody::new(matrix, query.dry_run))
    ))
}

/// Which variants, in which order (`sku`, `name`, `price`, `created_at`, `updated_at`).
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListVariants {
    page: Option<u32>,
    limit: Option<u32>,
    cursor: Option<String>,
    sort: Option<String>,
    /// This state.
    status: Option<Status>,
    /// These values of attributes, separated by commas: of one attribute any, of several each.
    value: Option<String>,
}
paging!(ListVariants);

/// The variants of a template.
#[utoipa::path(
    tag = "variants",
    security(("bearer" = ["product.product.read"])), operation_id = "list_variants",
    params(("id" = ProductId, Path), ListVariants),
    responses((status = 200, body = Page<ProductBody>))
)]
#[get("/api/v1/products/{id}/variants")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<ProductId>,
    query: web::Query<ListVariants>,
) -> Result<HttpResponse, Problem> {
    let paging = query.paging();
    let walk = Walk::read(
        &paging,
        &["sku", "name", "price", "created_at", "updated_at"],
    )?;
    let values = product::values(query.value.as_deref())?;
    let read = async |tx: &mut Tx| -> Result<(Vec<Product>, i64), Error> {
        product::store::get(tx, *id).await?;
        let filter = Filter {
            status: query.status,
            variant_of: Some(*id),
            values: product::store::by_attribute(tx, &values).await?,
            ..Filter::default()
        };
        product::store::list(tx, &filter, &walk).await
    };
    let (variants, total) = state.db.read(&caller.ctx, read).await?;
    Ok(page(&product::paged(variants, &paging, &walk, total)))
}

/// What a variant inherits again.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InheritInput {
    /// `name`, `kind`, `category_id`, `brand_id`, `stock_unit_id`, `tax_profile_id`, `tracking`, `price`, `mrp`.
    #[garde(length(min = 1, max = 9), inner(custom(inheritable)))]
    fields: Vec<String>,
}

fn inheritable(field: &str, (): &()) -> garde::Result {
    if INHERITED.contains(&field) {
        Ok(())
    } else {
        Err(garde::Error::new(format!(
            "must be one of {}",
            INHERITED.join(", ")
        )))
    }
}

/// Lets a variant have fields from its template again that it said itself.
#[utoipa::path(
    tag = "variants",
    security(("bearer" = ["product.product.write"])), operation_id = "inherit_fields",
    params(("id" = ProductId, Path)),
    request_body = InheritInput,
    responses(
        (status = 200, body = ProductBody),
        (status = 409, description = "NO_VARIANT, FIELD_FROZEN"),
        (status = 422, description = "PRICE_ABOVE_MRP, WRONG_KIND_OF_CODE")
    )
)]
#[post("/api/v1/products/{id}:inherit")]
async fn inherit(
    state: web::Data<State>,
    id: web::Path<ProductId>,
    req: Post<InheritInput>,
) -> Result<HttpResponse, Problem> {
    let done = commands::inherit(&state, &req.caller.ctx, *id, req.body.fields).await?;
    Ok(ok(&done.map(ProductBody::from)))
}
