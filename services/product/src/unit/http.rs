//! `/api/v1/units`.

use actix_web::{HttpResponse, delete, get, post, put, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::{Done, Tx};
use bahi_gst::Uqc;
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, no_content, ok, page, paging,
    validate,
};
use bahi_types::{Cursor, Page, PageQuery, UnitId};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State,
    unit::{
        commands,
        model::{Draft, Unit},
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

/// What a client says of a unit.
#[derive(Debug, Deserialize, Validate, ToSchema, InputObject)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct UnitInput {
    /// Short name of at most 20 characters, unique ignoring case.
    #[garde(custom(validate::line), length(chars, max = 20))]
    code: String,
    /// Name.
    #[garde(custom(validate::line))]
    name: String,
    /// Unique quantity code of GST, like `PCS` or `KGS`; `NA` for services.
    #[schema(value_type = String, example = "PCS")]
    uqc: Uqc,
    /// Decimals of a quantity, 0 to 3.
    #[serde(default)]
    #[graphql(default)]
    #[garde(range(min = 0, max = 3))]
    decimals: i16,
}

impl From<UnitInput> for Draft {
    fn from(input: UnitInput) -> Self {
        let UnitInput {
            code,
            name,
            uqc,
            decimals,
        } = input;
        Self {
            code,
            name,
            uqc,
            decimals,
        }
    }
}

/// A unit.
#[derive(Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Unit")]
pub struct UnitBody {
    /// Id.
    pub(super) id: UnitId,
    /// Version, for `If-Match`.
    version: i64,
    /// Short name.
    code: String,
    /// Name.
    name: String,
    /// Unique quantity code of GST.
    uqc: String,
    /// Decimals of a quantity.
    decimals: i16,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<Unit> for UnitBody {
    fn from(unit: Unit) -> Self {
        let Unit {
            id,
            version,
            code,
            name,
            uqc,
            decimals,
            created_at,
            updated_at,
        } = unit;
        Self {
            id,
            version,
            code,
            name,
            uqc,
            decimals,
            created_at,
            updated_at,
        }
    }
}

impl Versioned for UnitBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Which units, in which order (`code`, `name`).
#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
#[graphql(name = "UnitFilter")]
pub struct ListUnits {
    #[graphql(skip)]
    page: Option<u32>,
    #[graphql(skip)]
    limit: Option<u32>,
    #[graphql(skip)]
    cursor: Option<String>,
    #[graphql(skip)]
    sort: Option<String>,
    /// This code, ignoring case.
    code: Option<String>,
    /// This unique quantity code.
    uqc: Option<String>,
}
paging!(ListUnits);

#[utoipa::path(
    tag = "units",
    security(("bearer" = ["product.unit.write"])), operation_id = "create_unit",
    request_body = UnitInput,
    responses((status = 201, body = UnitBody), (status = 409, description = "CODE_TAKEN"))
)]
#[post("/api/v1/units")]
async fn create(state: web::Data<State>, req: Post<UnitInput>) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller.ctx, req.body.into()).await?;
    Ok(created(&made.map(UnitBody::from)))
}

#[utoipa::path(
    tag = "units",
    security(("bearer" = ["product.unit.read"])), operation_id = "list_units",
    params(ListUnits),
    responses((status = 200, body = Page<UnitBody>))
)]
#[get("/api/v1/units")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<ListUnits>,
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
    filter: ListUnits,
    paging: &PageQuery,
) -> Result<Page<UnitBody>, Error> {
    caller.require("product.unit.read")?;
    let walk = Walk::read(paging, &["code", "name"])?;
    let ListUnits { code, uqc, .. } = filter;
    let filter = Filter { code, uqc };
    let (units, total) = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| {
            store::list(tx, &filter, &walk).await
        })
        .await?;
    let cursor = |unit: &Unit| Cursor {
        key: if walk.sort.field == "name" {
            unit.name.clone()
        } else {
            unit.code.clone()
        },
        id: unit.id.uuid(),
    };
    Ok(Page::new(units, paging, total, cursor).map(UnitBody::from))
}

#[utoipa::path(
    tag = "units",
    security(("bearer" = ["product.unit.read"])), operation_id = "read_unit",
    params(("id" = UnitId, Path)),
    responses((status = 200, body = UnitBody))
)]
#[get("/api/v1/units/{id}")]
async fn read(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<UnitId>,
) -> Result<HttpResponse, Problem> {
    let unit = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| store::get(tx, *id).await)
        .await?;
    Ok(ok(&Done::first(UnitBody::from(unit))))
}

#[utoipa::path(
    tag = "units",
    security(("bearer" = ["product.unit.write"])), operation_id = "update_unit",
    params(("id" = UnitId, Path)),
    request_body = UnitInput,
    responses(
        (status = 200, body = UnitBody),
        (status = 409, description = "CODE_TAKEN, FIXED_BY_USE"),
        (status = 412, description = "STALE_VERSION")
    )
)]
#[put("/api/v1/units/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<UnitId>,
    req: Amend<UnitInput>,
) -> Result<HttpResponse, Problem> {
    let done = commands::amend(&state, &req.caller.ctx, *id, req.version, req.body.into()).await?;
    Ok(ok(&done.map(UnitBody::from)))
}

#[utoipa::path(
    tag = "units",
    security(("bearer" = ["product.unit.write"])), operation_id = "delete_unit",
    params(("id" = UnitId, Path)),
    responses(
        (status = 204),
        (status = 409, description = "IN_USE"),
        (status = 412, description = "STALE_VERSION")
    )
)]
#[delete("/api/v1/units/{id}")]
async fn remove(
    state: web::Data<State>,
    id: web::Path<UnitId>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    Ok(no_content(
        &commands::delete(&state, &req.caller.ctx, *id, req.version).await?,
    ))
}
