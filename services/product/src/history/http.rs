//! `/api/v1/products/{id}/history`.

use actix_web::{HttpResponse, get, web};
use bahi_db::Tx;
use bahi_http::{Caller, Fault, Problem, Walk, page, paged, paging};
use bahi_types::{Page, ProductId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::{
    Error, State,
    history::{
        model::Action,
        store::{self, Written},
    },
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list);
}

/// Which part of the history, in which order (`version`; the newest first when absent).
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListHistory {
    page: Option<u32>,
    limit: Option<u32>,
    cursor: Option<String>,
    sort: Option<String>,
}
paging!(ListHistory);

/// What happened to a product with one version.
#[derive(Serialize, ToSchema)]
pub struct HistoryEntry {
    /// Version of the product after it.
    version: i64,
    /// What was done.
    #[schema(value_type = String, example = "updated")]
    action: Action,
    /// When.
    at: DateTime<Utc>,
    /// By whom: `{type: user, id}`, or a service.
    #[schema(value_type = Object)]
    actor: Value,
    /// The request, or the flow of events, that it belongs to.
    correlation_id: Uuid,
    /// What differs.
    changes: Vec<FieldChange>,
}

/// A field before and after.
#[derive(Serialize, ToSchema)]
pub struct FieldChange {
    /// Name of the field.
    field: String,
    /// Before; null where there was nothing.
    #[schema(value_type = Value)]
    old: Value,
    /// After; null where there is nothing.
    #[schema(value_type = Value)]
    new: Value,
}

impl From<Written> for HistoryEntry {
    fn from(written: Written) -> Self {
        let fields = match written.fields {
            Value::Object(fields) => fields,
            _ => serde_json::Map::new(),
        };
        let change = |(field, mut value): (String, Value)| FieldChange {
            field,
            old: value["old"].take(),
            new: value["new"].take(),
        };
        Self {
            version: written.version,
            action: written.action,
            at: written.at,
            actor: written.actor,
            correlation_id: written.correlation_id,
            changes: fields.into_iter().map(change).collect(),
        }
    }
}

/// Who changed what of a product, and when; also of one that was deleted.
#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.read"])), operation_id = "list_product_history",
    params(("id" = ProductId, Path), ListHistory),
    responses((status = 200, body = Page<HistoryEntry>))
)]
#[get("/api/v1/products/{id}/history")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<ProductId>,
    query: web::Query<ListHistory>,
) -> Result<HttpResponse, Problem> {
    let paging = query.paging();
    let mut walk = Walk::read(&paging, &["version"])?;
    walk.sort.descending |= paging.sort.is_none();
    let id = *id;
    let read = async |tx: &mut Tx| -> Result<(Vec<Written>, i64), Error> {
        let (entries, total) = store::list(tx, id, &walk).await?;
        if total == 0 {
            // A product from before there was a history has none, and is there all the same.
            crate::product::store::find(tx, id)
                .await?
                .ok_or(Fault::NotFound)?;
        }
        Ok((entries, total))
    };
    let (entries, total) = state.db.read(&caller.ctx, read).await?;
    let key = |entry: &Written| (entry.version.to_string(), id.uuid());
    Ok(page(
        &paged(entries, &paging, total, key).map(HistoryEntry::from),
    ))
}
