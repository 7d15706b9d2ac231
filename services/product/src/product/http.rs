//! `/api/v1/products`.

use std::sync::Arc;

use actix_web::{HttpResponse, delete, get, patch, post, put, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::{Done, Tx};
use bahi_http::{
    Amend, Caller, Empty, Fault, Post, Problem, Versioned, Walk, created, no_content, ok, page,
    paging, parse, validate,
};
use bahi_types::{
    BrandId, CategoryId, Money, Page, PageQuery, Price, ProductId, TaxProfileId, UnitId,
};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    attribute::model::ValueId,
    barcode::model::Barcodes,
    category,
    kit::model::{self as kit, Component},
    product::{
        commands,
        model::{self, Choice, Draft, Kind, Product, Status, Tracking},
        store::{self, Filter},
    },
    product_unit::model::{ProductUnit, Units},
    search,
    text::fold,
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(list)
        .service(read)
        .service(update)
        .service(amend)
        .service(remove)
        .service(activate)
        .service(discontinue)
        .service(archive);
}

/// What a client says of a product.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ProductInput {
    /// Stock-keeping unit: 1 to 64 printable ASCII characters, unique ignoring case.
    #[garde(custom(valid_sku))]
    sku: String,
    /// Name.
    #[garde(custom(validate::line))]
    name: String,
    /// `goods` when absent.
    #[serde(default = "goods")]
    #[graphql(default_with = "goods()")]
    kind: Kind,
    /// A new product is a draft when absent; otherwise the state stays as it is.
    status: Option<Status>,
    /// Category.
    category_id: Option<CategoryId>,
    /// Brand.
    brand_id: Option<BrandId>,
    /// Unit in which stock is kept.
    unit_id: UnitId,
    /// Units besides that one; at most 20.
    #[serde(default)]
    #[graphql(default)]
    #[schema(value_type = Vec<ProductUnit>)]
    units: Units,
    /// Tax profile.
    tax_profile_id: TaxProfileId,
    /// How it is followed through stock.
    #[serde(default)]
    #[graphql(default)]
    tracking: Tracking,
    /// Barcodes of one stock unit: EAN-8, UPC-A, EAN-13 or GTIN-14 with their check digits; at most 20.
    #[serde(default)]
    #[graphql(default)]
    #[schema(value_type = Vec<String>, example = json!(["4006381333931"]))]
    barcodes: Barcodes,
    /// Selling price of one unit.
    #[garde(custom(validate::non_negative))]
    price: Price,
    /// The price includes tax; true when absent.
    #[serde(default = "yes")]
    #[graphql(default_with = "yes()")]
    price_includes_tax: bool,
    /// Maximum retail price, tax included.
    #[garde(custom(validate::optional(validate::positive)))]
    mrp: Option<Money>,
    /// What a kit consists of: at most 50, each goods that is no kit; empty for everything else.
    #[serde(default)]
    #[graphql(default)]
    #[garde(length(max = kit::MOST), inner(custom(some_of_it)))]
    components: Vec<Component>,
}

fn some_of_it(component: &Component, (): &()) -> garde::Result {
    validate::positive(&component.qty, &())
}

/// Fields of a product to be said otherwise.
#[derive(Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
pub struct ProductPatch {
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl ProductPatch {
    /// The product as it is said with this patch.
    fn of(&self, product: &Product) -> Result<Draft, Error> {
        let mut said =
            serde_json::to_value(ProductInput::from(product)).map_err(bahi_db::Error::from)?;
        merge(&mut said, &self.fields);
        let bytes = serde_json::to_vec(&said).map_err(bahi_db::Error::from)?;
        Ok(parse::<ProductInput>(&bytes)?.into())
    }
}

/// A merge patch (RFC 7396): what is null goes, objects are merged, all else takes the place of what was there.
fn merge(target: &mut Value, patch: &Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(members) = target.as_object_mut() else {
        return;
    };
    for (name, value) in patch {
        match value {
            Value::Null => {
                members.remove(name);
            }
            Value::Object(inner) => {
                merge(members.entry(name.clone()).or_insert(Value::Null), inner);
            }
            other => {
                members.insert(name.clone(), other.clone());
            }
        }
    }
}

fn goods() -> Kind {
    Kind::Goods
}

fn yes() -> bool {
    true
}

fn valid_sku(text: &str, (): &()) -> garde::Result {
    model::sku(text).map_err(garde::Error::new)
}

impl From<ProductInput> for Draft {
    fn from(input: ProductInput) -> Self {
        Self {
            sku: input.sku,
            name: input.name,
            kind: input.kind,
            status: input.status,
            category_id: input.category_id,
            brand_id: input.brand_id,
            unit_id: input.unit_id,
            units: input.units,
            tax_profile_id: input.tax_profile_id,
            tracking: input.tracking,
            barcodes: input.barcodes,
            price: input.price,
            price_includes_tax: input.price_includes_tax,
            mrp: input.mrp,
            components: input.components.into(),
        }
    }
}

impl From<&Product> for ProductInput {
    fn from(product: &Product) -> Self {
        let said = Draft::of(product);
        Self {
            sku: said.sku,
            name: said.name,
            kind: said.kind,
            status: said.status,
            category_id: said.category_id,
            brand_id: said.brand_id,
            unit_id: said.unit_id,
            units: said.units,
            tax_profile_id: said.tax_profile_id,
            tracking: said.tracking,
            barcodes: said.barcodes,
            price: said.price,
            price_includes_tax: said.price_includes_tax,
            mrp: said.mrp,
            components: said.components.to_vec(),
        }
    }
}

/// A product.
#[derive(Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Product", complex)]
pub struct ProductBody {
    /// Id.
    pub(super) id: ProductId,
    /// Version, for `If-Match`.
    version: i64,
    /// Stock-keeping unit.
    sku: String,
    /// Name.
    name: String,
    /// Kept in stock or not.
    kind: Kind,
    /// Where it stands in its life.
    status: Status,
    /// Category.
    pub(super) category_id: Option<CategoryId>,
    /// Brand.
    pub(super) brand_id: Option<BrandId>,
    /// Unit in which stock is kept.
    pub(super) unit_id: UnitId,
    /// Unique quantity code of the unit.
    uqc: String,
    /// Units besides that one.
    units: Vec<ProductUnit>,
    /// Tax profile.
    pub(super) tax_profile_id: TaxProfileId,
    /// HSN or SAC of the tax profile.
    hsn: String,
    /// How it is followed through stock.
    tracking: Tracking,
    /// Barcodes of one stock unit.
    barcodes: Vec<String>,
    /// Selling price of one unit.
    price: Price,
    /// The price includes tax.
    price_includes_tax: bool,
    /// Maximum retail price, tax included.
    mrp: Option<Money>,
    /// Stock has moved: kind, unit and tracking are frozen.
    transacted: bool,
    /// The template that it is a variant of.
    pub(super) variant_of: Option<ProductId>,
    /// It has variants, and is neither sold nor stocked itself.
    template: bool,
    /// A variant's values of its attributes.
    options: Vec<Choice>,
    /// Fields that a variant says itself and does not inherit from its template.
    overrides: Vec<String>,
    /// What a kit consists of.
    components: Vec<Component>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<Product> for ProductBody {
    fn from(product: Product) -> Self {
        Self {
            id: product.id,
            version: product.version,
            sku: product.sku,
            name: product.name,
            kind: product.kind,
            status: product.status,
            category_id: product.category_id,
            brand_id: product.brand_id,
            unit_id: product.unit_id,
            uqc: product.uqc,
            units: product.units.to_vec(),
            tax_profile_id: product.tax_profile_id,
            hsn: product.hsn,
            tracking: Tracking {
                batch: product.track_batch,
                serial: product.track_serial,
                expiry: product.track_expiry,
            },
            barcodes: product.barcodes.to_strings(),
            price: product.price,
            price_includes_tax: product.price_includes_tax,
            mrp: product.mrp,
            transacted: product.transacted,
            variant_of: product.variant_of,
            template: product.template,
            options: product.options.to_vec(),
            overrides: product.overrides.to_vec(),
            components: product.components.to_vec(),
            created_at: product.created_at,
            updated_at: product.updated_at,
        }
    }
}

impl Versioned for ProductBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Which products, in which order (`name`, `sku`, `price`, `created_at`, `updated_at`).
#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
#[graphql(name = "ProductFilter")]
pub struct ListProducts {
    #[graphql(skip)]
    page: Option<u32>,
    #[graphql(skip)]
    limit: Option<u32>,
    #[graphql(skip)]
    cursor: Option<String>,
    #[graphql(skip)]
    sort: Option<String>,
    /// Words of the name, SKU or a barcode, typing errors allowed. The best 1,000 are listed, the best first unless
    /// `sort` says otherwise; they are walked by `page`.
    q: Option<String>,
    /// This state.
    status: Option<Status>,
    /// This category and what lies below it.
    category: Option<CategoryId>,
    /// This brand.
    brand: Option<BrandId>,
    /// This kind.
    kind: Option<Kind>,
    /// This HSN or SAC.
    hsn: Option<String>,
    /// This SKU, ignoring case.
    sku: Option<String>,
    /// Variants of this template.
    variant_of: Option<ProductId>,
    /// These values of attributes, separated by commas: of one attribute any, of several each.
    value: Option<String>,
}
paging!(ListProducts);

#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.write"])), operation_id = "create_product",
    request_body = ProductInput,
    responses(
        (status = 201, body = ProductBody),
        (status = 409, description = "SKU_TAKEN, BARCODE_TAKEN"),
        (status = 422, description = "UNKNOWN_REFERENCE, PRICE_ABOVE_MRP, WRONG_KIND_OF_CODE, TRACKED_SERVICE, EXPIRY_WITHOUT_BATCH, COMPONENT_REFUSED, KIT_WITHOUT_COMPONENTS, COMPONENTS_OF_NO_KIT, KIT_IN_FAMILY")
    )
)]
#[post("/api/v1/products")]
async fn create(state: web::Data<State>, req: Post<ProductInput>) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller.ctx, req.body.into()).await?;
    Ok(created(&made.map(ProductBody::from)))
}

#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.read"])), operation_id = "list_products",
    params(ListProducts),
    responses((status = 200, body = Page<ProductBody>))
)]
#[get("/api/v1/products")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<ListProducts>,
) -> Result<HttpResponse, Problem> {
    let paging = query.paging();
    Ok(page(
        &listed(&state, &caller, query.into_inner(), &paging).await?,
    ))
}

/// A part of the list.
pub async fn listed(
    state: &State,
    caller: &Caller,
    query: ListProducts,
    paging: &PageQuery,
) -> Result<Page<ProductBody>, Error> {
    caller.require("product.product.read")?;
    let walk = Walk::read(
        paging,
        &["name", "sku", "price", "created_at", "updated_at"],
    )?;
    let text = query.q.as_deref().map(search::text).transpose()?;
    let values = values(query.value.as_deref())?;
    let ranked = text.is_some() && paging.sort.is_none();
    if ranked && paging.cursor.is_some() {
        return Err(Fault::field("cursor", "a ranked list has pages only").into());
    }
    let listed = async |tx: &mut Tx| -> Result<(Vec<Product>, i64), Error> {
        let mut filter = Filter {
            status: query.status,
            brand: query.brand,
            kind: query.kind,
            hsn: query.hsn.clone(),
            sku: query.sku.clone(),
            variant_of: query.variant_of,
            values: store::by_attribute(tx, &values).await?,
            ..Filter::default()
        };
        if let Some(category) = query.category {
            filter.categories = Some(category::store::subtree(tx, category).await?);
        }
        let Some(text) = &text else {
            return store::list(tx, &filter, &walk).await;
        };
        if ranked {
            let found = search::best(tx, text).await?;
            filter.found = Some(found.clone());
            store::list_ranked(tx, &filter, &found, &walk).await
        } else {
            filter.found = Some(search::all(tx, text).await?);
            store::list(tx, &filter, &walk).await
        }
    };
    let (products, total) = state.db.read(&caller.ctx, listed).await?;
    let mut answer = paged(products, paging, &walk, total);
    if ranked {
        answer.next_cursor = None;
    }
    Ok(answer)
}

/// A page of products in an order that products can be in.
pub fn paged(
    products: Vec<Product>,
    paging: &PageQuery,
    walk: &Walk,
    total: i64,
) -> Page<ProductBody> {
    let key = |product: &Product| {
        let key = match walk.sort.field {
            "sku" => fold(&product.sku),
            "price" => product.price.to_string(),
            "created_at" => product.created_at.to_rfc3339(),
            "updated_at" => product.updated_at.to_rfc3339(),
            _ => product.name.clone(),
        };
        (key, product.id.uuid())
    };
    bahi_http::paged(products, paging, total, key).map(ProductBody::from)
}

/// Values of attributes in a query, separated by commas.
///
/// # Errors
/// What is no id, or too many of them.
pub fn values(text: Option<&str>) -> Result<Vec<ValueId>, Fault> {
    let ids = text.unwrap_or_default().split(',').map(str::trim);
    let ids: Result<Vec<ValueId>, _> = ids.filter(|id| !id.is_empty()).map(str::parse).collect();
    let ids = ids.map_err(|_| Fault::field("value", "must be ids separated by commas"))?;
    if ids.len() > 50 {
        return Err(Fault::field("value", "names more than 50 values"));
    }
    Ok(ids)
}

#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.read"])), operation_id = "read_product",
    params(("id" = ProductId, Path)),
    responses((status = 200, body = ProductBody))
)]
#[get("/api/v1/products/{id}")]
async fn read(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<ProductId>,
) -> Result<HttpResponse, Problem> {
    let product = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| store::get(tx, *id).await)
        .await?;
    Ok(ok(&Done::first(ProductBody::from(product))))
}

#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.write"])), operation_id = "update_product",
    params(("id" = ProductId, Path)),
    request_body = ProductInput,
    responses(
        (status = 200, body = ProductBody),
        (status = 409, description = "SKU_TAKEN, BARCODE_TAKEN, FIELD_FROZEN, INVALID_TRANSITION, STOCK_EXISTS, OPEN_DOCUMENTS, TEMPLATE_NOT_SOLD, COMPONENT_OF_KIT"),
        (status = 412, description = "STALE_VERSION"),
        (status = 422, description = "UNKNOWN_REFERENCE, PRICE_ABOVE_MRP, WRONG_KIND_OF_CODE, TRACKED_SERVICE, EXPIRY_WITHOUT_BATCH, COMPONENT_REFUSED, KIT_WITHOUT_COMPONENTS, COMPONENTS_OF_NO_KIT, KIT_IN_FAMILY")
    )
)]
#[put("/api/v1/products/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<ProductId>,
    req: Amend<ProductInput>,
) -> Result<HttpResponse, Problem> {
    let draft = Draft::from(req.body);
    let said = move |_: &Product| Ok(draft.clone());
    let done = commands::amend(&state, &req.caller.ctx, *id, req.version, said).await?;
    Ok(ok(&done.map(ProductBody::from)))
}

/// Changes some fields of a product, by a merge patch of what PUT takes: null takes a field away.
#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.write"])), operation_id = "amend_product",
    params(("id" = ProductId, Path)),
    request_body(content = Object, content_type = "application/merge-patch+json", description = "Fields of ProductInput"),
    responses(
        (status = 200, body = ProductBody),
        (status = 409, description = "SKU_TAKEN, BARCODE_TAKEN, FIELD_FROZEN, INVALID_TRANSITION, STOCK_EXISTS, OPEN_DOCUMENTS, TEMPLATE_NOT_SOLD, COMPONENT_OF_KIT"),
        (status = 412, description = "STALE_VERSION"),
        (status = 422, description = "UNKNOWN_REFERENCE, PRICE_ABOVE_MRP, WRONG_KIND_OF_CODE, TRACKED_SERVICE, EXPIRY_WITHOUT_BATCH, COMPONENT_REFUSED, KIT_WITHOUT_COMPONENTS, COMPONENTS_OF_NO_KIT, KIT_IN_FAMILY"),
        (status = 503, description = "INVENTORY_UNREACHABLE")
    )
)]
#[patch("/api/v1/products/{id}")]
async fn amend(
    state: web::Data<State>,
    id: web::Path<ProductId>,
    req: Amend<ProductPatch>,
) -> Result<HttpResponse, Problem> {
    let patch = Arc::new(req.body);
    let said = move |product: &Product| patch.of(product);
    let done = commands::amend(&state, &req.caller.ctx, *id, req.version, said).await?;
    Ok(ok(&done.map(ProductBody::from)))
}

#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.write"])), operation_id = "delete_product",
    params(("id" = ProductId, Path)),
    responses(
        (status = 204),
        (status = 409, description = "PRODUCT_TRANSACTED, STOCK_EXISTS, OPEN_DOCUMENTS"),
        (status = 412, description = "STALE_VERSION"),
        (status = 503, description = "INVENTORY_UNREACHABLE")
    )
)]
#[delete("/api/v1/products/{id}")]
async fn remove(
    state: web::Data<State>,
    id: web::Path<ProductId>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    Ok(no_content(
        &commands::delete(&state, &req.caller.ctx, *id, req.version).await?,
    ))
}

/// Puts a draft or an archived product on sale.
#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.write"])), operation_id = "activate_product",
    params(("id" = ProductId, Path)),
    request_body = Empty,
    responses(
        (status = 200, body = ProductBody),
        (status = 409, description = "INVALID_TRANSITION, BARCODE_TAKEN")
    )
)]
#[post("/api/v1/products/{id}:activate")]
async fn activate(
    state: web::Data<State>,
    id: web::Path<ProductId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    step(&state, *id, &req.caller, Status::Active).await
}

/// Ends the buying of an active product; what is left is sold.
#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.write"])), operation_id = "discontinue_product",
    params(("id" = ProductId, Path)),
    request_body = Empty,
    responses(
        (status = 200, body = ProductBody),
        (status = 409, description = "INVALID_TRANSITION")
    )
)]
#[post("/api/v1/products/{id}:discontinue")]
async fn discontinue(
    state: web::Data<State>,
    id: web::Path<ProductId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    step(&state, *id, &req.caller, Status::Discontinued).await
}

/// Takes an active or discontinued product out of the assortment and frees its barcodes. Refused while there is stock
/// of it anywhere, or some of it is sold and not delivered.
#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.write"])), operation_id = "archive_product",
    params(("id" = ProductId, Path)),
    request_body = Empty,
    responses(
        (status = 200, body = ProductBody),
        (status = 409, description = "INVALID_TRANSITION, STOCK_EXISTS, OPEN_DOCUMENTS"),
        (status = 503, description = "INVENTORY_UNREACHABLE")
    )
)]
#[post("/api/v1/products/{id}:archive")]
async fn archive(
    state: web::Data<State>,
    id: web::Path<ProductId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    step(&state, *id, &req.caller, Status::Archived).await
}

async fn step(
    state: &State,
    id: ProductId,
    caller: &Caller,
    to: Status,
) -> Result<HttpResponse, Problem> {
    caller.require("product.product.write")?;
    let done = commands::step(state, &caller.ctx, id, to).await?;
    Ok(ok(&done.map(ProductBody::from)))
}
