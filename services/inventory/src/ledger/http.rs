//! Reading stock over HTTP.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{HttpResponse, get, post, web};
use async_graphql::InputObject;
use bahi_db::Tx;
use bahi_http::{Caller, Fault, Post, Problem, page};
use bahi_types::{
    BatchId, Cursor, CustomerId, LocationId, Money, Page, PageQuery, ProductId, Quantity,
};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    integrity::{self, Difference},
    model::{Books, Excluded, Kind, NO_BATCH, Place, Source, Status, named, value},
    past::{self, AsOf, Value},
    query::{self, Available, Entry, Stock},
    store,
};
use crate::{
    Error, State,
    batch::store::{self as batches, BatchAvailable},
    costs::{self, Costs, shown},
    error::Short,
    kit,
    reservation::{Ask, Terms},
    shelf_life,
};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(stock)
        .service(availability)
        .service(ledger)
        .service(valuation)
        .service(check)
        .service(preview);
}

/// A cursor of one of our lists, or 400.
pub(crate) fn cursor(page: &PageQuery) -> Result<Option<Cursor>, Fault> {
    let decode =
        |text: &str| Cursor::decode(text).map_err(|e| Fault::field("cursor", e.to_string()));
    page.cursor.as_deref().map(decode).transpose()
}

/// Where a list goes on that is ordered by id and by nothing else, or 400.
pub(crate) fn after_id(page: &PageQuery) -> Result<Option<Uuid>, Fault> {
    page.sort(&["id"])
        .map_err(|text| Fault::field("sort", format!("cannot sort by {text}")))?;
    Ok(cursor(page)?.map(|c| c.id))
}

/// A page of such a list.
pub(crate) fn page_by_id<T>(
    rows: Vec<T>,
    query: &PageQuery,
    total: i64,
    id: impl Fn(&T) -> Uuid,
) -> Page<T> {
    Page::new(rows, query, total, |row| Cursor {
        key: String::new(),
        id: id(row),
    })
}

fn foreign_cursor() -> Fault {
    Fault::field("cursor", "the cursor is not one of this list")
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
pub(super) struct StockFilter {
    product: Option<ProductId>,
    location: Option<LocationId>,
    batch: Option<BatchId>,
    /// `sellable`, `quarantine`, `damaged` or `in_transit`.
    status: Option<Status>,
    /// Only balances of which less than this is available; not for a past moment.
    below: Option<Quantity>,
    /// What was on hand at the end of a business day, by posting date (`2026-10-31`), or as it was written by a moment
    /// (`2026-10-31T18:30:00Z`); now when absent.
    as_of: Option<String>,
}

fn as_of(text: Option<&str>) -> Result<Option<AsOf>, Fault> {
    text.map(str::parse)
        .transpose()
        .map_err(|message: &str| Fault::field("as_of", message))
}

/// Balances, by product, location and batch.
#[utoipa::path(tag = "stock", security(("bearer" = ["inventory.stock.read"])), params(StockFilter, PageQuery), responses((status = 200, body = Page<Stock>)))]
#[get("/api/v1/inventory/stock")]
async fn stock(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<StockFilter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    Ok(page(
        &levels(&state, &caller, filter.into_inner(), &query).await?,
    ))
}

/// A part of the list of balances.
pub(super) async fn levels(
    state: &State,
    caller: &Caller,
    filter: StockFilter,
    query: &PageQuery,
) -> Result<Page<Stock>, Error> {
    caller.require("inventory.stock.read")?;
    query
        .sort(&["product"])
        .map_err(|text| Fault::field("sort", format!("cannot sort by {text}")))?;
    let after = cursor(query)?
        .map(|c| {
            let mut parts = c.key.split('|');
            let mut next = || parts.next().ok_or_else(foreign_cursor);
            let location: LocationId = next()?.parse().map_err(|_| foreign_cursor())?;
            let batch: BatchId = next()?.parse().map_err(|_| foreign_cursor())?;
            Ok::<_, Fault>((
                ProductId::from_uuid(c.id),
                location,
                batch,
                next()?.to_owned(),
            ))
        })
        .transpose()?;
    let then = as_of(filter.as_of.as_deref())?;
    if then.is_some() && filter.below.is_some() {
        return Err(Fault::field("below", "is not known of a past moment").into());
    }
    let filter = query::Filter {
        product: filter.product,
        location: filter.location,
        batch: filter.batch,
        status: filter.status.map(|s| s.name().to_owned()),
        below: filter.below,
    };
    let asked = query.clone();
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            let found = match then {
                Some(then) => past::stock(tx, then, &filter, after, &asked).await,
                None => query::stock(tx, &filter, after, &asked).await,
            };
            found.map_err(Error::from)
        })
        .await?;
    let cursor_of = |s: &Stock| Cursor {
        key: format!(
            "{}|{}|{}",
            s.location_id,
            s.batch_id.unwrap_or(NO_BATCH),
            s.status.name()
        ),
        id: s.product_id.uuid(),
    };
    Ok(Page::new(rows, query, total, cursor_of))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct AvailabilityQuery {
    /// Products, separated by commas; at most 200. A product may carry how much is wanted of it, `id:qty`: then the
    /// answer also says whether everything wanted can be had together.
    items: String,
    location: LocationId,
    /// Name the batches too, with MRP and expiry.
    #[serde(default)]
    batches: bool,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Availabilities {
    location_id: LocationId,
    /// Of a kit: how many whole ones its components make, each kit looked at by itself.
    items: Vec<AvailableItem>,
    /// Whether all that is wanted can be had together; absent when no quantity was given.
    enough: Option<bool>,
    /// Goods, or components of kits, of which there is not enough for all that is wanted together.
    short: Vec<Short>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AvailableItem {
    #[serde(flatten)]
    sums: Available,
    /// With `batches=true`: those of which something is available, first expired first.
    #[serde(skip_serializing_if = "Option::is_none")]
    batches: Option<Vec<BatchAvailable>>,
}

/// Products and what is wanted of them; lines count from 1.
fn wanted(items: &str) -> Result<(Vec<ProductId>, Vec<Ask>), Fault> {
    let (mut ids, mut asks) = (Vec::new(), Vec::new());
    for item in items.split(',').map(str::trim).filter(|t| !t.is_empty()) {
        let (id, qty) = item
            .split_once(':')
            .map_or((item, None), |(id, qty)| (id, Some(qty)));
        let id: ProductId = id
            .parse()
            .map_err(|_| Fault::field("items", "must be product ids separated by commas"))?;
        ids.push(id);
        if let Some(qty) = qty {
            let qty: Option<Quantity> = qty.parse().ok().filter(|qty: &Quantity| qty.is_positive());
            let qty = qty.ok_or_else(|| Fault::field("items", "has a quantity that is none"))?;
            let line = i32::try_from(ids.len()).unwrap_or(i32::MAX);
            asks.push(Ask {
                line,
                product: id,
                qty,
            });
        }
    }
    if ids.is_empty() || ids.len() > 200 {
        return Err(Fault::field("items", "must name 1 to 200 products"));
    }
    Ok((ids, asks))
}

/// What may be promised now.
#[utoipa::path(tag = "stock", security(("bearer" = ["inventory.stock.read"])), params(AvailabilityQuery), responses((status = 200, body = Availabilities)))]
#[get("/api/v1/inventory/availability")]
async fn availability(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<AvailabilityQuery>,
) -> Result<HttpResponse, Problem> {
    let (ids, asks) = wanted(&query.items)?;
    let (location, named) = (query.location, query.batches);
    let read = async move |tx: &mut Tx| -> Result<Availabilities, Error> {
        let (sums, kits, there_is) = query::with_kits(tx, location, &ids).await?;
        let of = |id: ProductId| there_is.get(&id).copied().unwrap_or_default();
        let lots = if named {
            batches::available(tx, location, &ids).await?
        } else {
            Vec::new()
        };
        let item = |sums: Available| {
            let own = lots.iter().filter(|b| b.product_id == sums.product_id);
            let batches = named.then(|| own.cloned().collect());
            AvailableItem { sums, batches }
        };
        let items = sums.into_iter().map(item).collect();
        let (lines, _) = kit::demand(&asks, &kits).map_err(|_| {
            Fault::field(
                "items",
                "wants a number of kits that is not whole, or too many",
            )
        })?;
        let mut sums: BTreeMap<ProductId, Quantity> = BTreeMap::new();
        for line in lines {
            *sums.entry(line.product).or_default() += line.qty;
        }
        let short: Vec<Short> = sums
            .into_iter()
            .filter(|(product, asked)| *asked > of(*product))
            .map(|(product_id, asked)| Short {
                product_id,
                lines: Vec::new(),
                asked,
                available: of(product_id),
                excluded: Vec::new(),
                serials: Vec::new(),
            })
            .collect();
        Ok(Availabilities {
            location_id: location,
            items,
            enough: (!asks.is_empty()).then_some(short.is_empty()),
            short,
        })
    };
    let answer = state.db.read(&caller.ctx, read).await?;
    Ok(HttpResponse::Ok().json(answer))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[graphql(name = "StockMovementFilter")]
pub(super) struct LedgerFilter {
    product: Option<ProductId>,
    location: Option<LocationId>,
    /// Posted at or after.
    from: Option<DateTime<Utc>>,
    /// Posted before.
    to: Option<DateTime<Utc>>,
}

impl Costs for Entry {
    fn hide_costs(&mut self) {
        self.value = None;
    }
}

/// Movements, in the order they were posted. `total` is counted with the first page of a walk.
#[utoipa::path(tag = "stock", security(("bearer" = ["inventory.stock.read"])), params(LedgerFilter, PageQuery), responses((status = 200, body = Page<Entry>)))]
#[get("/api/v1/inventory/ledger")]
async fn ledger(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<LedgerFilter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    Ok(page(
        &movements(&state, &caller, filter.into_inner(), &query).await?,
    ))
}

/// A part of the list of movements.
pub(super) async fn movements(
    state: &State,
    caller: &Caller,
    filter: LedgerFilter,
    query: &PageQuery,
) -> Result<Page<Entry>, Error> {
    caller.require("inventory.stock.read")?;
    query
        .sort(&["seq"])
        .map_err(|text| Fault::field("sort", format!("cannot sort by {text}")))?;
    // The cursor carries the total, so that a long ledger is counted once for a walk and not on every page.
    let number = |text: &str| text.parse::<i64>().map_err(|_| foreign_cursor());
    let at = cursor(query)?
        .map(|c| match c.key.split_once('|') {
            Some((seq, total)) => Ok((number(seq)?, Some(number(total)?))),
            None => Ok::<_, Fault>((number(&c.key)?, None)),
        })
        .transpose()?;
    let (after, known) = (at.map(|a| a.0), at.and_then(|a| a.1));
    let period = query::Period {
        product: filter.product,
        location: filter.location,
        from: filter.from,
        to: filter.to,
    };
    let asked = query.clone();
    let (rows, total) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            query::ledger(tx, &period, after, known, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    let cursor_of = |e: &Entry| Cursor {
        key: format!("{}|{total}", e.seq),
        id: e.movement_id.uuid(),
    };
    let page = Page::new(rows, query, total, cursor_of);
    Ok(page.map(|entry| shown(caller, entry)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ValuationFilter {
    location: Option<LocationId>,
    product: Option<ProductId>,
    /// The value at the end of a business day, by posting date (`2026-10-31`), or as it was written by a moment
    /// (`2026-10-31T18:30:00Z`); now when absent.
    as_of: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Valuation {
    /// Sum over the whole list.
    total_value: Money,
    #[serde(flatten)]
    page: Page<Value>,
}

/// What stock is worth, by each product's method.
#[utoipa::path(tag = "stock", security(("bearer" = ["inventory.valuation.read"])), params(ValuationFilter, PageQuery), responses((status = 200, body = Valuation)))]
#[get("/api/v1/inventory/valuation")]
async fn valuation(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<ValuationFilter>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    query
        .sort(&["product"])
        .map_err(|text| Fault::field("sort", format!("cannot sort by {text}")))?;
    let after = cursor(&query)?
        .map(|c| {
            let location: LocationId = c.key.parse().map_err(|_| foreign_cursor())?;
            Ok::<_, Fault>((ProductId::from_uuid(c.id), location))
        })
        .transpose()?;
    let (filter, asked) = (filter.into_inner(), query.clone());
    let then = as_of(filter.as_of.as_deref())?;
    let (rows, total, total_value) = state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            let of = (filter.product, filter.location);
            past::valuation(tx, of, then, after, &asked)
                .await
                .map_err(Error::from)
        })
        .await?;
    let cursor_of = |v: &Value| Cursor {
        key: v.location_id.to_string(),
        id: v.product_id.uuid(),
    };
    let page = Page::new(rows, &query, total, cursor_of);
    Ok(HttpResponse::Ok().json(Valuation { total_value, page }))
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Integrity {
    checked_at: DateTime<Utc>,
    /// Empty, in a sound database.
    differences: Vec<Difference>,
    /// Send as `cursor` to check the products after these; absent at the end.
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct IntegrityQuery {
    /// Products a page, 1 to 200; 200 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Whether balances, ledger, layers, holds, transfers and shortages agree, and whether the ledger, replayed, makes the
/// same of them. A page looks at some products and blocks nobody.
#[utoipa::path(tag = "stock", security(("bearer" = ["inventory.stock.read"])), operation_id = "integrity", params(IntegrityQuery), responses((status = 200, body = Integrity)))]
#[get("/api/v1/inventory/integrity")]
async fn check(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<IntegrityQuery>,
) -> Result<HttpResponse, Problem> {
    let after = query.cursor.as_deref().map(Cursor::decode).transpose();
    let after = after.map_err(|_| foreign_cursor())?;
    let after = after.map(|c| ProductId::from_uuid(c.id));
    let limit = i64::from(query.limit.unwrap_or(200).clamp(1, 200));
    let (checked_at, found) = state
        .db
        .read_snapshot(&caller.ctx, async move |tx: &mut Tx| -> Result<_, Error> {
            // A part of the books does not agree with the whole of them.
            tx.ctx().everywhere()?;
            Ok((tx.now(), integrity::integrity(tx, after, limit).await?))
        })
        .await?;
    let cursor = |product: ProductId| {
        let key = String::new();
        Cursor {
            key,
            id: product.uuid(),
        }
        .encode()
    };
    Ok(HttpResponse::Ok().json(Integrity {
        checked_at,
        differences: found.differences,
        next_cursor: found.next.map(cursor),
    }))
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct PreviewRequest {
    location_id: LocationId,
    product_id: ProductId,
    #[garde(custom(bahi_http::validate::positive))]
    qty: Quantity,
    /// Days every batch must still keep.
    #[serde(default)]
    #[garde(range(max = 3650))]
    min_shelf_life_days: u32,
    /// Who buys: rules for this customer may ask for a longer shelf life.
    customer_id: Option<CustomerId>,
    /// The group of who buys: so may rules for the group.
    #[garde(inner(custom(bahi_http::validate::line)))]
    customer_group: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PreviewPart {
    batch_id: Option<BatchId>,
    qty: Quantity,
    /// What it would cost now; for those who may see values.
    cost_value: Option<Money>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Preview {
    /// First expired, first out.
    allocations: Vec<PreviewPart>,
    /// What all of it would cost now; for those who may see values.
    cost_value: Option<Money>,
    /// Free stock that was left out, and why.
    excluded: Vec<Excluded>,
}

/// Which batches a demand would take, and what they cost. Nothing is held.
#[utoipa::path(tag = "stock", security(("bearer" = ["inventory.stock.read"])), request_body = PreviewRequest, responses((status = 200, body = Preview)))]
#[post("/api/v1/inventory/allocations:preview")]
async fn preview(
    state: web::Data<State>,
    req: Post<PreviewRequest>,
) -> Result<HttpResponse, Problem> {
    let values = costs::seen_by(&req.caller);
    let ask = req.body;
    let preview = state
        .db
        .read(
            &req.caller.ctx,
            async move |tx: &mut Tx| -> Result<Preview, Error> {
                let place: Place = (ask.location_id, ask.product_id);
                let terms = Terms {
                    min_days: ask.min_shelf_life_days,
                    customer: ask.customer_id,
                    group: ask.customer_group,
                    ..Terms::default()
                };
                let places = BTreeSet::from([place]);
                let min_days = shelf_life::ruled(tx, &terms, &places)
                    .await?
                    .min_for(ask.product_id);
                let mut books = store::peek(tx, &places).await?;
                let (taken, missing) = books.pick(place, ask.qty, min_days);
                let excluded = books.excluded(place, min_days);
                if missing.is_positive() {
                    let short = Short {
                        product_id: ask.product_id,
                        lines: Vec::new(),
                        asked: ask.qty,
                        available: ask.qty - missing,
                        excluded,
                        serials: Vec::new(),
                    };
                    return Err(Error::InsufficientStock(vec![short]));
                }
                let source = Source {
                    kind: "preview",
                    id: Uuid::nil(),
                    line: 1,
                    purpose: "issue",
                };
                let now = tx.now();
                for (key, qty) in taken {
                    Books::take(&mut books, Kind::Issue, key, qty, source, None, now);
                }
                let mut layers = store::layers(tx, &books.outgoing()).await?;
                let movements = value(std::mem::take(&mut books.drafts), &mut layers)?;
                let part = |m: &super::model::Movement| PreviewPart {
                    batch_id: named(m.draft.key.batch),
                    qty: -m.draft.qty,
                    cost_value: values.then_some(-m.value),
                };
                let allocations: Vec<_> = movements.iter().map(part).collect();
                let cost_value = values.then(|| movements.iter().map(|m| -m.value).sum::<Money>());
                Ok(Preview {
                    allocations,
                    cost_value,
                    excluded,
                })
            },
        )
        .await?;
    Ok(HttpResponse::Ok().json(preview))
}
