//! `/api/v1/attributes`.

use actix_web::{HttpResponse, delete, get, post, put, web};
use bahi_db::{Done, Tx};
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, no_content, ok, page, paged,
    paging, validate,
};
use bahi_types::Page;
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    State,
    attribute::{
        commands,
        model::{Attribute, AttributeId, Draft, MOST, Value, ValueDraft, ValueId},
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

/// What a client says of an attribute.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct AttributeInput {
    /// Name, unique ignoring case.
    #[garde(custom(validate::line))]
    name: String,
    /// The values, in order; at most 200.
    #[serde(default)]
    #[garde(length(max = MOST), dive)]
    values: Vec<AttributeValueInput>,
}

/// What a client says of a value.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct AttributeValueInput {
    /// The value that it is; a new one when absent.
    #[schema(value_type = Option<uuid::Uuid>)]
    id: Option<ValueId>,
    /// Name, unique in the attribute ignoring case.
    #[garde(custom(validate::line))]
    name: String,
    /// What stands for it in SKUs: 1 to 20 Latin letters and digits; made from the name when absent.
    code: Option<String>,
}

impl From<AttributeInput> for Draft {
    fn from(input: AttributeInput) -> Self {
        let value = |value: AttributeValueInput| ValueDraft {
            id: value.id,
            name: value.name,
            code: value.code,
        };
        Self {
            name: input.name,
            values: input.values.into_iter().map(value).collect(),
        }
    }
}

/// An attribute.
#[derive(Serialize, ToSchema)]
pub struct AttributeBody {
    /// Id.
    #[schema(value_type = uuid::Uuid)]
    id: AttributeId,
    /// Version, for `If-Match`.
    version: i64,
    /// Name.
    name: String,
    /// The values, in order.
    values: Vec<AttributeValueBody>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

/// A value of an attribute.
#[derive(Serialize, ToSchema)]
pub struct AttributeValueBody {
    /// Id.
    #[schema(value_type = uuid::Uuid)]
    id: ValueId,
    /// Name.
    name: String,
    /// What stands for it in SKUs.
    code: String,
}

impl From<Attribute> for AttributeBody {
    fn from(attribute: Attribute) -> Self {
        let Attribute { head, values } = attribute;
        let value = |Value { id, name, code }| AttributeValueBody { id, name, code };
        Self {
            id: head.id,
            version: head.version,
            name: head.name,
            values: values.into_iter().map(value).collect(),
            created_at: head.created_at,
            updated_at: head.updated_at,
        }
    }
}

impl Versioned for AttributeBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Which attributes, in which order (`name`).
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListAttributes {
    page: Option<u32>,
    limit: Option<u32>,
    cursor: Option<String>,
    sort: Option<String>,
    /// This name, ignoring case.
    name: Option<String>,
}
paging!(ListAttributes);

#[utoipa::path(
    tag = "attributes",
    security(("bearer" = ["product.attribute.write"])), operation_id = "create_attribute",
    request_body = AttributeInput,
    responses(
        (status = 201, body = AttributeBody),
        (status = 409, description = "NAME_TAKEN"),
        (status = 422, description = "ATTRIBUTE_VALUE")
    )
)]
#[post("/api/v1/attributes")]
async fn create(
    state: web::Data<State>,
    req: Post<AttributeInput>,
) -> Result<HttpResponse, Problem> {
    let made = commands::create(&state, &req.caller.ctx, req.body.into()).await?;
    Ok(created(&made.map(AttributeBody::from)))
}

#[utoipa::path(
    tag = "attributes",
    security(("bearer" = ["product.attribute.read"])), operation_id = "list_attributes",
    params(ListAttributes),
    responses((status = 200, body = Page<AttributeBody>))
)]
#[get("/api/v1/attributes")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<ListAttributes>,
) -> Result<HttpResponse, Problem> {
    let paging = query.paging();
    let walk = Walk::read(&paging, &["name"])?;
    let filter = Filter {
        name: query.into_inner().name,
    };
    let (attributes, total) = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| {
            store::list(tx, &filter, &walk).await
        })
        .await?;
    let key = |attribute: &Attribute| (attribute.head.name.clone(), attribute.head.id.uuid());
    Ok(page(
        &paged(attributes, &paging, total, key).map(AttributeBody::from),
    ))
}

#[utoipa::path(
    tag = "attributes",
    security(("bearer" = ["product.attribute.read"])), operation_id = "read_attribute",
    params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = AttributeBody))
)]
#[get("/api/v1/attributes/{id}")]
async fn read(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<AttributeId>,
) -> Result<HttpResponse, Problem> {
    let attribute = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| store::get(tx, *id).await)
        .await?;
    Ok(ok(&Done::first(AttributeBody::from(attribute))))
}

#[utoipa::path(
    tag = "attributes",
    security(("bearer" = ["product.attribute.write"])), operation_id = "update_attribute",
    params(("id" = uuid::Uuid, Path)),
    request_body = AttributeInput,
    responses(
        (status = 200, body = AttributeBody),
        (status = 409, description = "NAME_TAKEN, IN_USE"),
        (status = 412, description = "STALE_VERSION"),
        (status = 422, description = "ATTRIBUTE_VALUE")
    )
)]
#[put("/api/v1/attributes/{id}")]
async fn update(
    state: web::Data<State>,
    id: web::Path<AttributeId>,
    req: Amend<AttributeInput>,
) -> Result<HttpResponse, Problem> {
    let done = commands::amend(&state, &req.caller.ctx, *id, req.version, req.body.into()).await?;
    Ok(ok(&done.map(AttributeBody::from)))
}

#[utoipa::path(
    tag = "attributes",
    security(("bearer" = ["product.attribute.write"])), operation_id = "delete_attribute",
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 204),
        (status = 409, description = "IN_USE"),
        (status = 412, description = "STALE_VERSION")
    )
)]
#[delete("/api/v1/attributes/{id}")]
async fn remove(
    state: web::Data<State>,
    id: web::Path<AttributeId>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    Ok(no_content(
        &commands::delete(&state, &req.caller.ctx, *id, req.version).await?,
    ))
}
