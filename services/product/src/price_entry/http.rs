//! `/api/v1/price-lists/{id}/entries`.

use actix_web::{HttpResponse, delete, get, post, put, web};
use bahi_db::Tx;
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, no_content, ok, page, paged,
    paging, validate,
};
use bahi_pricing::Period;
use bahi_types::{Page, Price, PriceEntryId, PriceListId, ProductId, Quantity, UnitId};
use chrono::NaiveDate;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    price_entry::{
        commands::{self, Changed},
        model::{Draft, MOST_AT_ONCE, PriceEntry},
        store::{self, Filter},
    },
    price_list,
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(add)
        .service(list)
        .service(update)
        .service(remove);
}

/// Prices to be added: all, or none.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceEntriesInput {
    /// At most 1,000.
    #[garde(length(min = 1, max = MOST_AT_ONCE), dive)]
    entries: Vec<PriceEntryInput>,
}

/// What a client says of a price.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct PriceEntryInput {
    /// The product.
    product_id: ProductId,
    /// The unit of the price; that of the product's stock when absent.
    unit_id: Option<UnitId>,
    /// Quantity from which it holds, in that unit; from the first when absent.
    #[serde(default)]
    #[garde(custom(validate::non_negative))]
    min_qty: Quantity,
    /// Of one unit, with or without tax as the list says.
    #[garde(custom(validate::non_negative))]
    price: Price,
    /// First day; always before when absent.
    valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds; for ever when absent.
    valid_to: Option<NaiveDate>,
}

impl From<PriceEntryInput> for Draft {
    fn from(input: PriceEntryInput) -> Self {
        Self {
            product_id: input.product_id,
            unit_id: input.unit_id,
            min_qty: input.min_qty,
            price: input.price,
            period: Period {
                from: input.valid_from,
                to: input.valid_to,
            },
        }
    }
}

/// A price of a price list.
#[derive(Serialize, ToSchema)]
pub struct PriceEntryBody {
    /// Id.
    id: PriceEntryId,
    /// The product.
    product_id: ProductId,
    /// The unit of the price.
    unit_id: UnitId,
    /// Quantity from which it holds.
    min_qty: Quantity,
    /// Of one unit.
    price: Price,
    /// First day.
    valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds.
    valid_to: Option<NaiveDate>,
}

impl From<PriceEntry> for PriceEntryBody {
    fn from(entry: PriceEntry) -> Self {
        let PriceEntry {
            id,
            product_id,
            unit_id,
            min_qty,
            price,
            valid_from,
            valid_to,
            ..
        } = entry;
        Self {
            id,
            product_id,
            unit_id,
            min_qty,
            price,
            valid_from,
            valid_to,
        }
    }
}

/// Prices that were changed.
#[derive(Serialize, ToSchema)]
pub struct PriceEntriesBody {
    /// The list.
    price_list_id: PriceListId,
    /// Version of the list, for `If-Match`.
    version: i64,
    /// The prices as they are now.
    entries: Vec<PriceEntryBody>,
}

impl From<Changed> for PriceEntriesBody {
    fn from(changed: Changed) -> Self {
        let Changed {
            list: price_list_id,
            version,
            entries,
        } = changed;
        Self {
            price_list_id,
            version,
            entries: entries.into_iter().map(PriceEntryBody::from).collect(),
        }
    }
}

impl Versioned for PriceEntriesBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Which prices, in which order (`product_id`).
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListPriceEntries {
    page: Option<u32>,
    limit: Option<u32>,
    cursor: Option<String>,
    sort: Option<String>,
    /// Of this product.
    product: Option<ProductId>,
    /// In this unit.
    unit: Option<UnitId>,
}
paging!(ListPriceEntries);

/// Adds prices to a list: all, or none.
#[utoipa::path(
    tag = "price lists",
    security(("bearer" = ["product.price_list.write"])), operation_id = "add_prices",
    params(("id" = PriceListId, Path)),
    request_body = PriceEntriesInput,
    responses(
        (status = 201, body = PriceEntriesBody),
        (status = 409, description = "PRICE_RULES_OVERLAP"),
        (status = 422, description = "UNKNOWN_REFERENCE, PRICE_ABOVE_MRP, TOO_MANY_PRICES")
    )
)]
#[post("/api/v1/price-lists/{id}/entries")]
async fn add(
    state: web::Data<State>,
    id: web::Path<PriceListId>,
    req: Post<PriceEntriesInput>,
) -> Result<HttpResponse, Problem> {
    let drafts = req.body.entries.into_iter().map(Draft::from).collect();
    let made = commands::add(&state, &req.caller.ctx, *id, drafts).await?;
    Ok(created(&made.map(PriceEntriesBody::from)))
}

#[utoipa::path(
    tag = "price lists",
    security(("bearer" = ["product.price_list.read"])), operation_id = "list_prices",
    params(("id" = PriceListId, Path), ListPriceEntries),
    responses((status = 200, body = Page<PriceEntryBody>))
)]
#[get("/api/v1/price-lists/{id}/entries")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<PriceListId>,
    query: web::Query<ListPriceEntries>,
) -> Result<HttpResponse, Problem> {
    let paging = query.paging();
    let walk = Walk::read(&paging, &["product_id"])?;
    let filter = Filter {
        product: query.product,
        unit: query.unit,
    };
    let (entries, total) = state
        .db
        .read(
            &caller.ctx,
            async |tx: &mut Tx| -> Result<(Vec<PriceEntry>, i64), Error> {
                price_list::store::get(tx, *id).await?;
                store::list(tx, *id, &filter, &walk).await
            },
        )
        .await?;
    let key = |entry: &PriceEntry| (entry.product_id.to_string(), entry.id.uuid());
    Ok(page(
        &paged(entries, &paging, total, key).map(PriceEntryBody::from),
    ))
}

/// Changes a price; `If-Match` has the version of its list.
#[utoipa::path(
    tag = "price lists",
    security(("bearer" = ["product.price_list.write"])), operation_id = "update_price",
    params(("id" = PriceListId, Path), ("entry_id" = PriceEntryId, Path)),
    request_body = PriceEntryInput,
    responses(
        (status = 200, body = PriceEntriesBody),
        (status = 409, description = "PRICE_RULES_OVERLAP"),
        (status = 412, description = "STALE_VERSION"),
        (status = 422, description = "UNKNOWN_REFERENCE, PRICE_ABOVE_MRP, TOO_MANY_PRICES")
    )
)]
#[put("/api/v1/price-lists/{id}/entries/{entry_id}")]
async fn update(
    state: web::Data<State>,
    ids: web::Path<(PriceListId, PriceEntryId)>,
    req: Amend<PriceEntryInput>,
) -> Result<HttpResponse, Problem> {
    let (ctx, draft) = (&req.caller.ctx, req.body.into());
    let done = commands::amend(&state, ctx, *ids, req.version, draft).await?;
    Ok(ok(&done.map(PriceEntriesBody::from)))
}

/// Takes a price off its list; `If-Match` has the version of the list.
#[utoipa::path(
    tag = "price lists",
    security(("bearer" = ["product.price_list.write"])), operation_id = "delete_price",
    params(("id" = PriceListId, Path), ("entry_id" = PriceEntryId, Path)),
    responses((status = 204), (status = 412, description = "STALE_VERSION"))
)]
#[delete("/api/v1/price-lists/{id}/entries/{entry_id}")]
async fn remove(
    state: web::Data<State>,
    ids: web::Path<(PriceListId, PriceEntryId)>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    Ok(no_content(
        &commands::delete(&state, &req.caller.ctx, *ids, req.version).await?,
    ))
}
