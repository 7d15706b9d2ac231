//! `/api/v1/price-lists`.

use actix_web::{HttpResponse, delete, get, post, put, web};
use bahi_db::{Done, Tx};
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, no_content, ok, page, paged,
    paging, validate,
};
use bahi_pricing::{Audience, Period};
use bahi_types::{BranchId, CustomerGroupId, Page, PriceListId};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    State,
    price_list::{
        commands,
        model::{Draft, PriceList},
        store::{self, Filter},
    },
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(list)
        .service(read)
        .service(update)
        .service(remove);
}

/// What a client says of a price list.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct PriceListInput {
    /// Name, unique ignoring case.
    #[garde(custom(validate::line))]
    name: String,
    /// The higher goes first; 0 when absent.
    #[serde(default)]
    #[garde(range(min = -1000, max = 1000))]
    priority: i32,
    /// Its prices include tax; true when absent.
    #[serde(default = "yes")]
    price_includes_tax: bool,
    /// The branch it is for; all when absent.
    branch_id: Option<BranchId>,
    /// The group of customers it is for; everybody when absent.
    customer_group_id: Option<CustomerGroupId>,
    /// First day; always before when absent.
    valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds; for ever when absent.
    valid_to: Option<NaiveDate>,
}

fn yes() -> bool {
    true
}

impl From<PriceListInput> for Draft {
    fn from(input: PriceListInput) -> Self {
        Self {
            name: input.name,
            priority: input.priority,
            price_includes_tax: input.price_includes_tax,
            audience: Audience {
                branch: input.branch_id,
                customer_group: input.customer_group_id,
            },
            period: Period {
                from: input.valid_from,
                to: input.valid_to,
            },
        }
    }
}

/// A price list.
#[derive(Serialize, ToSchema)]
pub struct PriceListBody {
    /// Id.
    id: PriceListId,
    /// Version, for `If-Match`; its prices raise it as well.
    version: i64,
    /// Name.
    name: String,
    /// The higher goes first.
    priority: i32,
    /// Its prices include tax.
    price_includes_tax: bool,
    /// The branch it is for.
    branch_id: Option<BranchId>,
    /// The group of customers it is for.
    customer_group_id: Option<CustomerGroupId>,
    /// First day.
    valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds.
    valid_to: Option<NaiveDate>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it or its prices last changed.
    updated_at: DateTime<Utc>,
}

impl From<PriceList> for PriceListBody {
    fn from(found: PriceList) -> Self {
        let PriceList {
            id,
            version,
            name,
            priority,
            price_includes_tax,
            branch_id,
            customer_group_id,
            valid_from,
            valid_to,
            created_at,
            updated_at,
        } = found;
        Self {
            id,
            version,
            name,
            priority,
            price_includes_tax,
            branch_id,
            customer_group_id,
            valid_from,
            valid_to,
            created_at,
            updated_at,
        }
    }
}

impl Versioned for PriceListBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Which price lists, in which order (`name`, `priority`).
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListPriceLists {
    page: Option<u32>,
    limit: Option<u32>,
    cursor: Option<String>,
    sort: Option<String>,
    /// This name, ignoring case.
    name: Option<String>,
    /// For this branch alone.
    branch: Option<BranchId>,
    /// For this group of customers alone.
    customer_group: Option<CustomerGroupId>,
}
paging!(ListPriceLists);

#[utoipa::path(
    tag = "price lists",
    security(("bearer" = ["product.price_list.write"])), operation_id = "create_price_list",
    request_body = PriceListInput,
    responses(
        (status = 201, body = PriceListBody),
        (status = 409, description = "NAME_TAKEN, PRICE_LISTS_AMBIGUOUS")
    )
)]
#[post("/api/v1/price-lists")]
async fn create(
    state: web::Data<State>,
    req: Post<PriceListInput>,
) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller.ctx, req.body.into()).await?;
    Ok(created(&made.map(PriceListBody::from)))
}

#[utoipa::path(
    tag = "price lists",
    security(("bearer" = ["product.price_list.read"])), operation_id = "list_price_lists",
    params(ListPriceLists),
    responses((status = 200, body = Page<PriceListBody>))
)]
#[get("/api/v1/price-lists")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<ListPriceLists>,
) -> Result<HttpResponse, Problem> {
    let paging = query.paging();
    let walk = Walk::read(&paging, &["name", "priority"])?;
    let query = query.into_inner();
    let filter = Filter {
        name: query.name,
        branch: query.branch,
        customer_group: query.customer_group,
    };
    let (lists, total) = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| {
            store::list(tx, &filter, &walk).await
        })
        .await?;
    let key = |found: &PriceList| {
        let key = if walk.sort.field == "priority" {
            found.priority.to_string()
        } else {
            found.name.clone()
        };
        (key, found.id.uuid())
    };
    Ok(page(
        &paged(lists, &paging, total, key).map(PriceListBody::from),
    ))
}

#[utoipa::path(
    tag = "price lists",
    security(("bearer" = ["product.price_list.read"])), operation_id = "read_price_list",
    params(("id" = PriceListId, Path)),
    responses((status = 200, body = PriceListBody))
)]
#[get("/api/v1/price-lists/{id}")]
async fn read(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<PriceListId>,
) -> Result<HttpResponse, Problem> {
    let found = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| store::get(tx, *id).await)
        .await?;
    Ok(ok(&Done::first(PriceListBody::from(found))))
}

#[utoipa::path(
    tag = "price lists",
    security(("bearer" = ["product.price_list.write"])), operation_id = "update_price_list",
    params(("id" = PriceListId, Path)),
    request_body = PriceListInput,
    responses(
        (status = 200, body = PriceListBody),
        (status = 409, description = "NAME_TAKEN, PRICE_LISTS_AMBIGUOUS"),
        (status = 412, description = "STALE_VERSION")
    )
)]
#[put("/api/v1/price-lists/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<PriceListId>,
    req: Amend<PriceListInput>,
) -> Result<HttpResponse, Problem> {
    let done = commands::amend(&state, &req.caller.ctx, *id, req.version, req.body.into()).await?;
    Ok(ok(&done.map(PriceListBody::from)))
}

/// Deletes a list with all its prices.
#[utoipa::path(
    tag = "price lists",
    security(("bearer" = ["product.price_list.write"])), operation_id = "delete_price_list",
    params(("id" = PriceListId, Path)),
    responses((status = 204), (status = 412, description = "STALE_VERSION"))
)]
#[delete("/api/v1/price-lists/{id}")]
async fn remove(
    state: web::Data<State>,
    id: web::Path<PriceListId>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    Ok(no_content(
        &commands::delete(&state, &req.caller.ctx, *id, req.version).await?,
    ))
}
