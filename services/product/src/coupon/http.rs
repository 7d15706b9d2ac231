//! `/api/v1/promotions/{id}/coupons`.

use actix_web::{HttpResponse, delete, get, post, put, web};
use bahi_db::{Done, Tx};
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, no_content, ok, page, paged,
    paging,
};
use bahi_pricing::Period;
use bahi_types::{CouponId, Page, PromotionId};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    coupon::{
        commands,
        model::{self, Coupon, Draft},
        store,
    },
    promotion,
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(create)
        .service(list)
        .service(read)
        .service(update)
        .service(remove);
}

/// What a client says of a coupon.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CouponInput {
    /// 3 to 40 letters, digits and hyphens in any case, unique in the tenant.
    #[garde(custom(valid_code))]
    code: String,
    /// It may be used; true when absent.
    #[serde(default = "yes")]
    enabled: bool,
    /// How often in all; without limit when absent.
    #[garde(range(min = 1))]
    limit: Option<i32>,
    /// How often by one customer; without limit when absent.
    #[garde(range(min = 1))]
    limit_per_customer: Option<i32>,
    /// First day; always before when absent.
    valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds; for ever when absent.
    valid_to: Option<NaiveDate>,
}

fn yes() -> bool {
    true
}

fn valid_code(text: &str, (): &()) -> garde::Result {
    model::code(text).map_err(garde::Error::new)
}

impl From<CouponInput> for Draft {
    fn from(input: CouponInput) -> Self {
        Self {
            code: input.code,
            enabled: input.enabled,
            limit: input.limit,
            limit_per_customer: input.limit_per_customer,
            period: Period {
                from: input.valid_from,
                to: input.valid_to,
            },
        }
    }
}

/// A coupon.
#[derive(Serialize, ToSchema)]
pub struct CouponBody {
    /// Id.
    id: CouponId,
    /// Version, for `If-Match`.
    version: i64,
    /// The promotion it opens.
    promotion_id: PromotionId,
    /// Code, in capitals.
    code: String,
    /// It may be used.
    enabled: bool,
    /// How often in all.
    limit: Option<i32>,
    /// How often by one customer.
    limit_per_customer: Option<i32>,
    /// First day.
    valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds.
    valid_to: Option<NaiveDate>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<Coupon> for CouponBody {
    fn from(coupon: Coupon) -> Self {
        let Coupon {
            id,
            version,
            promotion_id,
            code,
            enabled,
            use_limit,
            limit_per_customer,
            valid_from,
            valid_to,
            created_at,
            updated_at,
        } = coupon;
        Self {
            id,
            version,
            promotion_id,
            code,
            enabled,
            limit: use_limit,
            limit_per_customer,
            valid_from,
            valid_to,
            created_at,
            updated_at,
        }
    }
}

impl Versioned for CouponBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Which coupons, in order of their codes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListCoupons {
    page: Option<u32>,
    limit: Option<u32>,
    cursor: Option<String>,
    sort: Option<String>,
}
paging!(ListCoupons);

#[utoipa::path(
    tag = "promotions",
    security(("bearer" = ["product.promotion.write"])), operation_id = "create_coupon",
    params(("id" = PromotionId, Path)),
    request_body = CouponInput,
    responses(
        (status = 201, body = CouponBody),
        (status = 409, description = "COUPON_CODE_TAKEN, PROMOTION_ENDED"),
        (status = 422, description = "COUPONS_NOT_NEEDED")
    )
)]
#[post("/api/v1/promotions/{id}/coupons")]
async fn create(
    state: web::Data<State>,
    id: web::Path<PromotionId>,
    req: Post<CouponInput>,
) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller.ctx, *id, req.body.into()).await?;
    Ok(created(&made.map(CouponBody::from)))
}

#[utoipa::path(
    tag = "promotions",
    security(("bearer" = ["product.promotion.read"])), operation_id = "list_coupons",
    params(("id" = PromotionId, Path), ListCoupons),
    responses((status = 200, body = Page<CouponBody>))
)]
#[get("/api/v1/promotions/{id}/coupons")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<PromotionId>,
    query: web::Query<ListCoupons>,
) -> Result<HttpResponse, Problem> {
    let paging = query.paging();
    let walk = Walk::read(&paging, &["code"])?;
    let (coupons, total) = state
        .db
        .read(
            &caller.ctx,
            async |tx: &mut Tx| -> Result<(Vec<Coupon>, i64), Error> {
                promotion::store::get(tx, *id).await?;
                store::list(tx, *id, &walk).await
            },
        )
        .await?;
    let key = |coupon: &Coupon| (coupon.code.clone(), coupon.id.uuid());
    Ok(page(
        &paged(coupons, &paging, total, key).map(CouponBody::from),
    ))
}

#[utoipa::path(
    tag = "promotions",
    security(("bearer" = ["product.promotion.read"])), operation_id = "read_coupon",
    params(("id" = PromotionId, Path), ("coupon_id" = CouponId, Path)),
    responses((status = 200, body = CouponBody))
)]
#[get("/api/v1/promotions/{id}/coupons/{coupon_id}")]
async fn read(
    state: web::Data<State>,
    caller: Caller,
    ids: web::Path<(PromotionId, CouponId)>,
) -> Result<HttpResponse, Problem> {
    let (promotion, id) = *ids;
    let coupon = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| {
            store::get(tx, promotion, id).await
        })
        .await?;
    Ok(ok(&Done::first(CouponBody::from(coupon))))
}

/// Changes a coupon; its code only while the promotion is a draft.
#[utoipa::path(
    tag = "promotions",
    security(("bearer" = ["product.promotion.write"])), operation_id = "update_coupon",
    params(("id" = PromotionId, Path), ("coupon_id" = CouponId, Path)),
    request_body = CouponInput,
    responses(
        (status = 200, body = CouponBody),
        (status = 409, description = "COUPON_CODE_TAKEN, FIXED_WHEN_ACTIVE, PROMOTION_ENDED"),
        (status = 412, description = "STALE_VERSION")
    )
)]
#[put("/api/v1/promotions/{id}/coupons/{coupon_id}")]
async fn update(
    state: web::Data<State>,
    ids: web::Path<(PromotionId, CouponId)>,
    req: Amend<CouponInput>,
) -> Result<HttpResponse, Problem> {
    let (ctx, draft) = (&req.caller.ctx, req.body.into());
    let done = commands::amend(&state, ctx, *ids, req.version, draft).await?;
    Ok(ok(&done.map(CouponBody::from)))
}

/// Deletes a coupon of a draft; later it can be disabled.
#[utoipa::path(
    tag = "promotions",
    security(("bearer" = ["product.promotion.write"])), operation_id = "delete_coupon",
    params(("id" = PromotionId, Path), ("coupon_id" = CouponId, Path)),
    responses(
        (status = 204),
        (status = 409, description = "INVALID_TRANSITION"),
        (status = 412, description = "STALE_VERSION")
    )
)]
#[delete("/api/v1/promotions/{id}/coupons/{coupon_id}")]
async fn remove(
    state: web::Data<State>,
    ids: web::Path<(PromotionId, CouponId)>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    Ok(no_content(
        &commands::delete(&state, &req.caller.ctx, *ids, req.version).await?,
    ))
}
