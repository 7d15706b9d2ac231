//! `/api/v1/audit`.

use actix_web::{HttpResponse, get, web};
use bahi_db::Tx;
use bahi_http::{Caller, Problem, Walk, page};
use bahi_types::{Page, PageQuery};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{model::Record, store};
use crate::State;

/// The endpoint.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list);
}

/// What the trail may be narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Not before this moment.
    from: Option<DateTime<Utc>>,
    /// Before this moment.
    to: Option<DateTime<Utc>>,
    /// User id, or the name of a service.
    actor: Option<String>,
    /// `<service>.<noun>.<verb>`.
    action: Option<String>,
    /// Kind of the object.
    object_type: Option<String>,
    /// Id of the object.
    object_id: Option<String>,
}

/// A record of the trail.
#[derive(Serialize, ToSchema)]
struct AuditBody {
    id: Uuid,
    at: DateTime<Utc>,
    service: String,
    /// `user` or `service`.
    actor_type: String,
    actor_id: String,
    action: String,
    object_type: String,
    object_id: String,
    reason: Option<String>,
    #[schema(value_type = Object)]
    details: Value,
    correlation_id: Option<Uuid>,
}

impl From<Record> for AuditBody {
    fn from(row: Record) -> Self {
        Self {
            id: row.id,
            at: row.at,
            service: row.service,
            actor_type: row.actor_type,
            actor_id: row.actor_id,
            action: row.action,
            object_type: row.object_type,
            object_id: row.object_id,
            reason: row.reason,
            details: row.details,
            correlation_id: row.correlation_id,
        }
    }
}

/// The audit trail, the newest first unless sorted otherwise.
#[utoipa::path(tag = "audit", params(PageQuery, Filter), responses((status = 200, body = Page<AuditBody>)))]
#[get("/api/v1/audit")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<Filter>,
) -> Result<HttpResponse, Problem> {
    caller.require("identity.audit.read")?;
    let mut walk = Walk::read(&query, &store::SORTS)?;
    walk.sort.descending |= query.sort.is_none();
    let Filter {
        from,
        to,
        actor,
        action,
        object_type,
        object_id,
    } = filter.into_inner();
    let filter = store::Filter {
        from,
        to,
        actor,
        action,
        object_type,
        object_id,
    };
    let rows = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        store::list(tx, &query, &walk, &filter).await
    });
    Ok(page(&rows.await?.map(AuditBody::from)))
}
