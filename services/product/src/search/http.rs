//! `/api/v1/products/search`.

use actix_web::{HttpResponse, get, web};
use bahi_db::Tx;
use bahi_http::{
    Caller, Fault, Problem, paging,
    search::{Hit, Hits, Search as Everything, score, text},
};
use bahi_types::{BrandId, CategoryId, Price};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    attribute::model::{AttributeId, ValueId},
    product::{
        self, ProductBody,
        model::{Kind, Product, Status},
    },
    search::store::{self, BOUND, Cut, Filter, Found},
    text::fold,
};

/// What the register calls products.
const KIND: &str = "product";

/// Where the bands of price end, and the next begin.
const BANDS: [i64; 8] = [50, 100, 200, 500, 1000, 2000, 5000, 10_000];

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(search).service(hits);
}

/// What is looked for. `sort` is `relevance`, or `name`, `sku`, `price` with `:asc` or `:desc`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Search {
    page: Option<u32>,
    limit: Option<u32>,
    cursor: Option<String>,
    sort: Option<String>,
    /// Words of the name, SKU, brand, category, HSN, or a barcode; their beginnings do, and typing errors are forgiven.
    /// Everything that the filters let through when absent.
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
    /// At least this price.
    #[param(value_type = Option<String>)]
    price_from: Option<Price>,
    /// At most this price.
    #[param(value_type = Option<String>)]
    price_to: Option<Price>,
    /// These values of attributes, separated by commas: of one attribute any, of several each.
    value: Option<String>,
}
paging!(Search);

/// What was found.
#[derive(Serialize, ToSchema)]
pub struct SearchBody {
    /// The products of the page.
    items: Vec<ProductBody>,
    /// Page number, from 1.
    page: i64,
    /// Products a page.
    limit: i64,
    /// Products found.
    total: i64,
    /// There are more than that: only the first 3,000 were counted.
    capped: bool,
    /// Nothing was found by the words as typed; these were found by the nearest words.
    corrected: bool,
    /// Of what kinds they are.
    facets: Facets,
}

/// What was found, counted.
#[derive(Serialize, ToSchema)]
pub struct Facets {
    /// By state.
    status: Vec<StatusCount>,
    /// By category, the largest 50.
    category: Vec<CategoryCount>,
    /// By brand, the largest 50.
    brand: Vec<BrandCount>,
    /// By band of price.
    price: Vec<PriceCount>,
    /// By value of an attribute, the largest 100.
    value: Vec<ValueCount>,
}

/// Products in a state.
#[derive(Serialize, ToSchema)]
pub struct StatusCount {
    /// The state.
    status: String,
    /// How many.
    count: i64,
}

/// Products in a category; what lies below it is counted there.
#[derive(Serialize, ToSchema)]
pub struct CategoryCount {
    /// The category.
    id: CategoryId,
    /// Its name.
    name: String,
    /// How many.
    count: i64,
}

/// Products of a brand.
#[derive(Serialize, ToSchema)]
pub struct BrandCount {
    /// The brand.
    id: BrandId,
    /// Its name.
    name: String,
    /// How many.
    count: i64,
}

/// Products in a band of price.
#[derive(Serialize, ToSchema)]
pub struct PriceCount {
    /// From this price.
    from: Price,
    /// Below this one; absent in the last band.
    below: Option<Price>,
    /// How many.
    count: i64,
}

/// Products with a value of an attribute.
#[derive(Serialize, ToSchema)]
pub struct ValueCount {
    /// The attribute.
    #[schema(value_type = uuid::Uuid)]
    attribute_id: AttributeId,
    /// Its name.
    attribute: String,
    /// The value.
    #[schema(value_type = uuid::Uuid)]
    id: ValueId,
    /// Its name.
    name: String,
    /// How many.
    count: i64,
}

/// Looks for products, and counts what it finds.
#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.read"])), operation_id = "search_products",
    params(Search),
    responses((status = 200, body = SearchBody))
)]
#[get("/api/v1/products/search")]
async fn search(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<Search>,
) -> Result<HttpResponse, Problem> {
    let paging = query.paging();
    if paging.cursor.is_some() {
        return Err(Fault::field("cursor", "a search has pages only").into());
    }
    let q = query.q.as_deref().map(text).transpose()?;
    if query
        .hsn
        .as_deref()
        .is_some_and(|hsn| hsn.is_empty() || !hsn.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(Fault::field("hsn", "must consist of digits").into());
    }
    let number = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
    let cut = Cut {
        sorting: sorting(query.sort.as_deref())?,
        most: number(paging.limit()),
        skip: number(paging.offset()),
        faceted: true,
    };
    let values = product::values(query.value.as_deref())?;
    let read = async |tx: &mut Tx| -> Result<SearchBody, Error> {
        let filter = Filter {
            status: query.status,
            category: query.category,
            brand: query.brand,
            kind: query.kind,
            hsn: query.hsn.clone(),
            low: query.price_from,
            high: query.price_to,
            values: product::store::by_attribute(tx, &values).await?,
        };
        let (found, corrected) = store::find(tx, q.as_deref(), &filter, cut).await?;
        let items = product::store::in_order(tx, &found.ids).await?;
        Ok(SearchBody {
            items: items.into_iter().map(ProductBody::from).collect(),
            page: paging.page(),
            limit: paging.limit(),
            total: found.total,
            capped: found.total >= i64::from(BOUND),
            corrected,
            facets: facets(tx, found).await?,
        })
    };
    Ok(HttpResponse::Ok().json(state.db.read(&caller.ctx, read).await?))
}

/// Products, for a search through everything.
#[utoipa::path(tag = "search", security(("bearer" = ["product.product.read"])), params(Everything), responses((status = 200, body = Hits)))]
#[get("/internal/v1/search/products")]
async fn hits(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<Everything>,
) -> Result<HttpResponse, Problem> {
    let wanted = query.wanted()?;
    let number = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
    let cut = Cut {
        sorting: "relevance",
        most: number(wanted.read),
        skip: number(wanted.offset),
        faceted: false,
    };
    let read = async |tx: &mut Tx| -> Result<Vec<Hit>, Error> {
        let (found, corrected) = store::find(tx, Some(&wanted.q), &Filter::default(), cut).await?;
        let products = product::store::in_order(tx, &found.ids).await?;
        Ok(products
            .into_iter()
            .map(|product| Hit {
                kind: KIND.to_owned(),
                id: product.id.uuid(),
                score: fits(&product, &wanted.q, corrected),
                url: format!("/api/v1/products/{}", product.id),
                title: product.name,
                subtitle: Some(product.sku),
            })
            .collect())
    };
    let hits = state.db.read(&caller.ctx, read).await?;
    Ok(HttpResponse::Ok().json(wanted.hits(hits)))
}

fn fits(product: &Product, q: &str, corrected: bool) -> u8 {
    let (q, sku, name) = (fold(q), fold(&product.sku), fold(&product.name));
    // A scanner may leave zeros in front away.
    let code = |code: &str| code == q || code.trim_start_matches('0') == q.trim_start_matches('0');
    if sku == q || product.codes().any(|c| code(c.as_str())) {
        score::CODE
    } else if name == q {
        score::WHOLE
    } else if name.starts_with(&q) || sku.starts_with(&q) {
        score::BEGINS
    } else if corrected {
        score::GUESSED
    } else {
        score::WORDS
    }
}

fn sorting(text: Option<&str>) -> Result<&'static str, Fault> {
    match text {
        None | Some("relevance" | "relevance:desc") => Ok("relevance"),
        Some("name" | "name:asc") => Ok("name"),
        Some("name:desc") => Ok("name:desc"),
        Some("sku" | "sku:asc") => Ok("sku"),
        Some("sku:desc") => Ok("sku:desc"),
        Some("price" | "price:asc") => Ok("price"),
        Some("price:desc") => Ok("price:desc"),
        Some(_) => Err(Fault::field(
            "sort",
            "must be relevance, or one of name, sku, price, with :asc or :desc",
        )),
    }
}

async fn facets(tx: &mut Tx, found: Found) -> Result<Facets, Error> {
    let (status, category) = (
        found.status.unwrap_or_default(),
        found.category.unwrap_or_default(),
    );
    let (brand, value) = (
        found.brand.unwrap_or_default(),
        found.value.unwrap_or_default(),
    );
    fn ids<T: Copy>(counts: &[(T, i64)]) -> Vec<T> {
        counts.iter().map(|(id, _)| *id).collect()
    }
    let mut categories = store::category_names(tx, &ids(&category)).await?;
    let mut brands = store::brand_names(tx, &ids(&brand)).await?;
    let mut values = if value.is_empty() {
        Default::default()
    } else {
        store::value_names(tx, &ids(&value)).await?
    };
    let band = |(band, count): (usize, i64)| PriceCount {
        from: band
            .checked_sub(1)
            .and_then(|n| BANDS.get(n))
            .map_or(Price::ZERO, |from| Price::from(*from)),
        below: BANDS.get(band).map(|below| Price::from(*below)),
        count,
    };
    Ok(Facets {
        status: status
            .into_iter()
            .map(|(status, count)| StatusCount { status, count })
            .collect(),
        category: category
            .into_iter()
            .filter_map(|(id, count)| {
                Some(CategoryCount {
                    id,
                    name: categories.remove(&id)?,
                    count,
                })
            })
            .collect(),
        brand: brand
            .into_iter()
            .filter_map(|(id, count)| {
                Some(BrandCount {
                    id,
                    name: brands.remove(&id)?,
                    count,
                })
            })
            .collect(),
        price: found
            .price
            .unwrap_or_default()
            .into_iter()
            .map(band)
            .collect(),
        value: value
            .into_iter()
            .filter_map(|(id, count)| {
                let (attribute_id, attribute, name) = values.remove(&id)?;
                Some(ValueCount {
                    attribute_id,
                    attribute,
                    id,
                    name,
                    count,
                })
            })
            .collect(),
    })
}
