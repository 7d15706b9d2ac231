//! `/api/v1/barcode-patterns`.

use actix_web::{HttpResponse, delete, get, post, put, web};
use bahi_db::{Done, Tx};
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, no_content, ok, page, paging,
    validate,
};
use bahi_types::{Cursor, Page};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    State,
    barcode_pattern::{
        commands,
        model::{Draft, Meaning, Pattern, PatternId, Shape},
        store,
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

/// What a client says of a pattern.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct PatternInput {
    /// Name.
    #[garde(custom(validate::line))]
    name: String,
    /// Twelve digits before the check digit of an EAN-13: digits, a dot for each digit of the item, the value in
    /// braces with its whole (N) and decimal (D) digits, and C for the value's own check digit.
    #[schema(value_type = String, example = "21.....{NNDDD}")]
    pattern: Shape,
    /// What the value is.
    meaning: Meaning,
    /// Of two that fit, the one with the lower position counts; 0 to 1000.
    #[serde(default)]
    #[garde(range(min = 0, max = 1000))]
    position: i32,
    /// It is used; true when absent.
    #[serde(default = "yes")]
    active: bool,
}

fn yes() -> bool {
    true
}

impl From<PatternInput> for Draft {
    fn from(input: PatternInput) -> Self {
        Self {
            name: input.name,
            pattern: input.pattern,
            meaning: input.meaning,
            position: input.position,
            active: input.active,
        }
    }
}

/// A pattern.
#[derive(Serialize, ToSchema)]
pub struct PatternBody {
    /// Id.
    id: PatternId,
    /// Version, for `If-Match`.
    version: i64,
    /// Name.
    name: String,
    /// The pattern.
    pattern: String,
    /// What the value is.
    meaning: Meaning,
    /// Of two that fit, the one with the lower position counts.
    position: i32,
    /// It is used.
    active: bool,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<Pattern> for PatternBody {
    fn from(pattern: Pattern) -> Self {
        Self {
            id: pattern.id,
            version: pattern.version,
            name: pattern.name,
            pattern: pattern.pattern,
            meaning: pattern.meaning,
            position: pattern.position,
            active: pattern.active,
            created_at: pattern.created_at,
            updated_at: pattern.updated_at,
        }
    }
}

impl Versioned for PatternBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// In which order (`position`, `name`).
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListPatterns {
    page: Option<u32>,
    limit: Option<u32>,
    cursor: Option<String>,
    sort: Option<String>,
}
paging!(ListPatterns);

#[utoipa::path(
    tag = "barcode patterns",
    security(("bearer" = ["product.product.write"])), operation_id = "create_barcode_pattern",
    request_body = PatternInput,
    responses(
        (status = 201, body = PatternBody),
        (status = 409, description = "PATTERN_TAKEN, TOO_MANY_PATTERNS")
    )
)]
#[post("/api/v1/barcode-patterns")]
async fn create(state: web::Data<State>, req: Post<PatternInput>) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller.ctx, req.body.into()).await?;
    Ok(created(&made.map(PatternBody::from)))
}

/// The tenant's patterns. While there are none, `21.....{NNDDD}` (weight) and `23.....{NNNDD}` (price) are used.
#[utoipa::path(
    tag = "barcode patterns",
    security(("bearer" = ["product.product.read"])), operation_id = "list_barcode_patterns",
    params(ListPatterns),
    responses((status = 200, body = Page<PatternBody>))
)]
#[get("/api/v1/barcode-patterns")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<ListPatterns>,
) -> Result<HttpResponse, Problem> {
    let paging = query.paging();
    let walk = Walk::read(&paging, &["position", "name"])?;
    let (patterns, total) = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| {
            store::list(tx, &walk).await
        })
        .await?;
    let cursor = |pattern: &Pattern| Cursor {
        key: if walk.sort.field == "name" {
            pattern.name.clone()
        } else {
            pattern.position.to_string()
        },
        id: pattern.id.uuid(),
    };
    Ok(page(
        &Page::new(patterns, &paging, total, cursor).map(PatternBody::from),
    ))
}

#[utoipa::path(
    tag = "barcode patterns",
    security(("bearer" = ["product.product.read"])), operation_id = "read_barcode_pattern",
    params(("id" = PatternId, Path)),
    responses((status = 200, body = PatternBody))
)]
#[get("/api/v1/barcode-patterns/{id}")]
async fn read(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<PatternId>,
) -> Result<HttpResponse, Problem> {
    let pattern = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| store::get(tx, *id).await)
        .await?;
    Ok(ok(&Done::first(PatternBody::from(pattern))))
}

#[utoipa::path(
    tag = "barcode patterns",
    security(("bearer" = ["product.product.write"])), operation_id = "update_barcode_pattern",
    params(("id" = PatternId, Path)),
    request_body = PatternInput,
    responses(
        (status = 200, body = PatternBody),
        (status = 409, description = "PATTERN_TAKEN"),
        (status = 412, description = "STALE_VERSION")
    )
)]
#[put("/api/v1/barcode-patterns/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<PatternId>,
    req: Amend<PatternInput>,
) -> Result<HttpResponse, Problem> {
    let done = commands::amend(&state, &req.caller.ctx, *id, req.version, req.body.into()).await?;
    Ok(ok(&done.map(PatternBody::from)))
}

#[utoipa::path(
    tag = "barcode patterns",
    security(("bearer" = ["product.product.write"])), operation_id = "delete_barcode_pattern",
    params(("id" = PatternId, Path)),
    responses((status = 204), (status = 412, description = "STALE_VERSION"))
)]
#[delete("/api/v1/barcode-patterns/{id}")]
async fn remove(
    state: web::Data<State>,
    id: web::Path<PatternId>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    Ok(no_content(
        &commands::delete(&state, &req.caller.ctx, *id, req.version).await?,
    ))
}
