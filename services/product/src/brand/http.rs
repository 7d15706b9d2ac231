//! `/api/v1/brands`.

use actix_web::{HttpResponse, delete, get, post, put, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::{Done, Tx};
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, no_content, ok, page, paging,
    validate,
};
use bahi_types::{BrandId, Cursor, Page, PageQuery};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    brand::{
        commands,
        model::Brand,
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

/// What a client says of a brand.
#[derive(Debug, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
pub struct BrandInput {
    /// Name, unique ignoring case.
    #[garde(custom(validate::line))]
    pub(super) name: String,
}

/// A brand.
#[derive(Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Brand")]
pub struct BrandBody {
    /// Id.
    pub(super) id: BrandId,
    /// Version, for `If-Match`.
    version: i64,
    /// Name.
    name: String,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<Brand> for BrandBody {
    fn from(brand: Brand) -> Self {
        let Brand {
            id,
            version,
            name,
            created_at,
            updated_at,
        } = brand;
        Self {
            id,
            version,
            name,
            created_at,
            updated_at,
        }
    }
}

impl Versioned for BrandBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Which brands, in which order (`name`, `created_at`).
#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
#[graphql(name = "BrandFilter")]
pub struct ListBrands {
    #[graphql(skip)]
    page: Option<u32>,
    #[graphql(skip)]
    limit: Option<u32>,
    #[graphql(skip)]
    cursor: Option<String>,
    #[graphql(skip)]
    sort: Option<String>,
    /// This name, ignoring case.
    name: Option<String>,
}
paging!(ListBrands);

#[utoipa::path(
    tag = "brands",
    security(("bearer" = ["product.brand.write"])), operation_id = "create_brand",
    request_body = BrandInput,
    responses((status = 201, body = BrandBody), (status = 409, description = "NAME_TAKEN"))
)]
#[post("/api/v1/brands")]
async fn create(state: web::Data<State>, req: Post<BrandInput>) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller.ctx, req.body.name).await?;
    Ok(created(&made.map(BrandBody::from)))
}

#[utoipa::path(
    tag = "brands",
    security(("bearer" = ["product.brand.read"])), operation_id = "list_brands",
    params(ListBrands),
    responses((status = 200, body = Page<BrandBody>))
)]
#[get("/api/v1/brands")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<ListBrands>,
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
    filter: ListBrands,
    paging: &PageQuery,
) -> Result<Page<BrandBody>, Error> {
    caller.require("product.brand.read")?;
    let walk = Walk::read(paging, &["name", "created_at"])?;
    let filter = Filter { name: filter.name };
    let (brands, total) = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| {
            store::list(tx, &filter, &walk).await
        })
        .await?;
    let cursor = |brand: &Brand| Cursor {
        key: if walk.sort.field == "created_at" {
            brand.created_at.to_rfc3339()
        } else {
            brand.name.clone()
        },
        id: brand.id.uuid(),
    };
    Ok(Page::new(brands, paging, total, cursor).map(BrandBody::from))
}

#[utoipa::path(
    tag = "brands",
    security(("bearer" = ["product.brand.read"])), operation_id = "read_brand",
    params(("id" = BrandId, Path)),
    responses((status = 200, body = BrandBody))
)]
#[get("/api/v1/brands/{id}")]
async fn read(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<BrandId>,
) -> Result<HttpResponse, Problem> {
    let brand = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| store::get(tx, *id).await)
        .await?;
    Ok(ok(&Done::first(BrandBody::from(brand))))
}

#[utoipa::path(
    tag = "brands",
    security(("bearer" = ["product.brand.write"])), operation_id = "update_brand",
    params(("id" = BrandId, Path)),
    request_body = BrandInput,
    responses(
        (status = 200, body = BrandBody),
        (status = 409, description = "NAME_TAKEN"),
        (status = 412, description = "STALE_VERSION")
    )
)]
#[put("/api/v1/brands/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<BrandId>,
    req: Amend<BrandInput>,
) -> Result<HttpResponse, Problem> {
    let done = commands::rename(&state, &req.caller.ctx, *id, req.version, req.body.name).await?;
    Ok(ok(&done.map(BrandBody::from)))
}

#[utoipa::path(
    tag = "brands",
    security(("bearer" = ["product.brand.write"])), operation_id = "delete_brand",
    params(("id" = BrandId, Path)),
    responses(
        (status = 204),
        (status = 409, description = "IN_USE"),
        (status = 412, description = "STALE_VERSION")
    )
)]
#[delete("/api/v1/brands/{id}")]
async fn remove(
    state: web::Data<State>,
    id: web::Path<BrandId>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    Ok(no_content(
        &commands::delete(&state, &req.caller.ctx, *id, req.version).await?,
    ))
}
