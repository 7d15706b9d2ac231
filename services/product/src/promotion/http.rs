//! `/api/v1/promotions`.

use actix_web::{HttpResponse, delete, get, post, put, web};
use bahi_db::{Done, Tx};
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, no_content, ok, page, paged,
    paging, validate,
};
use bahi_pricing::{Audience, Period, Rule, Scope};
use bahi_types::{BranchId, CustomerGroupId, Money, Page, PromotionId, Quantity};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    State,
    promotion::{
        commands,
        model::{Draft, Promotion, Status},
        store::{self, Filter},
    },
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(list)
        .service(read)
        .service(update)
        .service(remove)
        .service(activate)
        .service(end);
}

/// What a client says of a promotion.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct PromotionInput {
    /// Name.
    #[garde(custom(validate::line))]
    name: String,
    /// The higher goes first; 0 when absent.
    #[serde(default)]
    #[garde(range(min = -1000, max = 1000))]
    priority: i32,
    /// It goes together with others that do; false when absent.
    #[serde(default)]
    stackable: bool,
    /// It applies only where one of its coupons is given; false when absent.
    #[serde(default)]
    needs_coupon: bool,
    /// The branch it is for; all when absent.
    branch_id: Option<BranchId>,
    /// The group of customers it is for; everybody when absent.
    customer_group_id: Option<CustomerGroupId>,
    /// First day; always before when absent.
    valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds; for ever when absent.
    valid_to: Option<NaiveDate>,
    /// Which goods it is about; all when absent.
    #[serde(default)]
    scope: Scope,
    /// Quantity that its lines must come to.
    #[garde(custom(validate::optional(validate::positive)))]
    min_qty: Option<Quantity>,
    /// Amount that its lines must come to before it.
    #[garde(custom(validate::optional(validate::positive)))]
    min_amount: Option<Money>,
    /// What it takes off.
    rule: Rule,
}

impl From<PromotionInput> for Draft {
    fn from(input: PromotionInput) -> Self {
        Self {
            name: input.name,
            priority: input.priority,
            stackable: input.stackable,
            needs_coupon: input.needs_coupon,
            audience: Audience {
                branch: input.branch_id,
                customer_group: input.customer_group_id,
            },
            period: Period {
                from: input.valid_from,
                to: input.valid_to,
            },
            scope: input.scope,
            min_qty: input.min_qty,
            min_amount: input.min_amount,
            rule: input.rule,
        }
    }
}

/// A promotion.
#[derive(Serialize, ToSchema)]
pub struct PromotionBody {
    /// Id.
    id: PromotionId,
    /// Version, for `If-Match`.
    version: i64,
    /// Name.
    name: String,
    /// State.
    status: Status,
    /// The higher goes first.
    priority: i32,
    /// It goes together with others that do.
    stackable: bool,
    /// It applies only where one of its coupons is given.
    needs_coupon: bool,
    /// The branch it is for.
    branch_id: Option<BranchId>,
    /// The group of customers it is for.
    customer_group_id: Option<CustomerGroupId>,
    /// First day.
    valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds.
    valid_to: Option<NaiveDate>,
    /// Which goods it is about.
    scope: Scope,
    /// Quantity that its lines must come to.
    min_qty: Option<Quantity>,
    /// Amount that its lines must come to before it.
    min_amount: Option<Money>,
    /// What it takes off.
    rule: Rule,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<Promotion> for PromotionBody {
    fn from(promotion: Promotion) -> Self {
        Self {
            id: promotion.id,
            version: promotion.version,
            name: promotion.name,
            status: promotion.status,
            priority: promotion.priority,
            stackable: promotion.stackable,
            needs_coupon: promotion.needs_coupon,
            branch_id: promotion.branch_id,
            customer_group_id: promotion.customer_group_id,
            valid_from: promotion.valid_from,
            valid_to: promotion.valid_to,
            scope: promotion.scope.0,
            min_qty: promotion.min_qty,
            min_amount: promotion.min_amount,
            rule: promotion.rule.0,
            created_at: promotion.created_at,
            updated_at: promotion.updated_at,
        }
    }
}

impl Versioned for PromotionBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Which promotions, in which order (`name`, `priority`).
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListPromotions {
    page: Option<u32>,
    limit: Option<u32>,
    cursor: Option<String>,
    sort: Option<String>,
    /// This state.
    status: Option<Status>,
}
paging!(ListPromotions);

#[utoipa::path(
    tag = "promotions",
    security(("bearer" = ["product.promotion.write"])), operation_id = "create_promotion",
    request_body = PromotionInput,
    responses(
        (status = 201, body = PromotionBody),
        (status = 422, description = "UNKNOWN_REFERENCE")
    )
)]
#[post("/api/v1/promotions")]
async fn create(
    state: web::Data<State>,
    req: Post<PromotionInput>,
) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller.ctx, req.body.into()).await?;
    Ok(created(&made.map(PromotionBody::from)))
}

#[utoipa::path(
    tag = "promotions",
    security(("bearer" = ["product.promotion.read"])), operation_id = "list_promotions",
    params(ListPromotions),
    responses((status = 200, body = Page<PromotionBody>))
)]
#[get("/api/v1/promotions")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<ListPromotions>,
) -> Result<HttpResponse, Problem> {
    let paging = query.paging();
    let walk = Walk::read(&paging, &["name", "priority"])?;
    let filter = Filter {
        status: query.status,
    };
    let (promotions, total) = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| {
            store::list(tx, &filter, &walk).await
        })
        .await?;
    let key = |promotion: &Promotion| {
        let key = if walk.sort.field == "priority" {
            promotion.priority.to_string()
        } else {
            promotion.name.clone()
        };
        (key, promotion.id.uuid())
    };
    Ok(page(
        &paged(promotions, &paging, total, key).map(PromotionBody::from),
    ))
}

#[utoipa::path(
    tag = "promotions",
    security(("bearer" = ["product.promotion.read"])), operation_id = "read_promotion",
    params(("id" = PromotionId, Path)),
    responses((status = 200, body = PromotionBody))
)]
#[get("/api/v1/promotions/{id}")]
async fn read(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<PromotionId>,
) -> Result<HttpResponse, Problem> {
    let promotion = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| store::get(tx, *id).await)
        .await?;
    Ok(ok(&Done::first(PromotionBody::from(promotion))))
}

/// Changes a draft; of an active promotion, its name and its end.
#[utoipa::path(
    tag = "promotions",
    security(("bearer" = ["product.promotion.write"])), operation_id = "update_promotion",
    params(("id" = PromotionId, Path)),
    request_body = PromotionInput,
    responses(
        (status = 200, body = PromotionBody),
        (status = 409, description = "FIXED_WHEN_ACTIVE, PROMOTION_ENDED"),
        (status = 412, description = "STALE_VERSION"),
        (status = 422, description = "UNKNOWN_REFERENCE")
    )
)]
#[put("/api/v1/promotions/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<PromotionId>,
    req: Amend<PromotionInput>,
) -> Result<HttpResponse, Problem> {
    let done = commands::amend(&state, &req.caller.ctx, *id, req.version, req.body.into()).await?;
    Ok(ok(&done.map(PromotionBody::from)))
}

/// Deletes a draft with its coupons.
#[utoipa::path(
    tag = "promotions",
    security(("bearer" = ["product.promotion.write"])), operation_id = "delete_promotion",
    params(("id" = PromotionId, Path)),
    responses(
        (status = 204),
        (status = 409, description = "INVALID_TRANSITION"),
        (status = 412, description = "STALE_VERSION")
    )
)]
#[delete("/api/v1/promotions/{id}")]
async fn remove(
    state: web::Data<State>,
    id: web::Path<PromotionId>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    Ok(no_content(
        &commands::delete(&state, &req.caller.ctx, *id, req.version).await?,
    ))
}

/// Lets a draft apply from now on, while its period holds.
#[utoipa::path(
    tag = "promotions",
    security(("bearer" = ["product.promotion.write"])), operation_id = "activate_promotion",
    params(("id" = PromotionId, Path)),
    request_body = Empty,
    responses(
        (status = 200, body = PromotionBody),
        (status = 409, description = "INVALID_TRANSITION, TOO_MANY_ACTIVE")
    )
)]
#[post("/api/v1/promotions/{id}:activate")]
async fn activate(
    state: web::Data<State>,
    id: web::Path<PromotionId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    step(&state, *id, &req.caller, Status::Active).await
}

/// Ends an active promotion for good.
#[utoipa::path(
    tag = "promotions",
    security(("bearer" = ["product.promotion.write"])), operation_id = "end_promotion",
    params(("id" = PromotionId, Path)),
    request_body = Empty,
    responses(
        (status = 200, body = PromotionBody),
        (status = 409, description = "INVALID_TRANSITION")
    )
)]
#[post("/api/v1/promotions/{id}:end")]
async fn end(
    state: web::Data<State>,
    id: web::Path<PromotionId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    step(&state, *id, &req.caller, Status::Ended).await
}

async fn step(
    state: &State,
    id: PromotionId,
    caller: &Caller,
    to: Status,
) -> Result<HttpResponse, Problem> {
    caller.require("product.promotion.write")?;
    let done = commands::step(state, &caller.ctx, id, to).await?;
    Ok(ok(&done.map(PromotionBody::from)))
}
