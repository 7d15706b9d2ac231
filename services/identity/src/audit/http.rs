//! `/api/v1/audit`.

use actix_web::{HttpResponse, get, web};
use bahi_db::Tx;
use bahi_http::{Caller, Fault, Problem, Walk, page};
use bahi_types::{Page, PageQuery};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands,
    model::{Kept, Verdict},
    store,
};
use crate::State;

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list).service(verify);
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
    /// Its place in the trail, from 1 on.
    number: i64,
    /// SHA-256 over the hash of the record before it and itself, in hexadecimal digits.
    hash: String,
}

impl From<Kept> for AuditBody {
    fn from(kept: Kept) -> Self {
        let row = kept.record;
        Self {
            number: kept.number,
            hash: hex::encode(kept.hash),
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

/// The audit trail, the newest first unless sorted otherwise. It is of the whole business.
#[utoipa::path(tag = "audit", security(("bearer" = ["identity.audit.read"])), params(PageQuery, Filter), responses(
    (status = 200, body = Page<AuditBody>), (status = 403, description = "OTHER_BRANCH")))]
#[get("/api/v1/audit")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<Filter>,
) -> Result<HttpResponse, Problem> {
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
        // No record says of which branch it is.
        tx.ctx().everywhere()?;
        store::list(tx, &query, &walk, &filter).await
    });
    Ok(page(&rows.await?.map(AuditBody::from)))
}

/// A record as somebody noted it elsewhere.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Noted {
    /// Its number; comes with its hash.
    number: Option<i64>,
    /// Its hash, 64 hexadecimal digits.
    hash: Option<String>,
}

impl Noted {
    fn read(self) -> Result<Option<(i64, Vec<u8>)>, Fault> {
        match (self.number, self.hash) {
            (None, None) => Ok(None),
            (Some(number), Some(text)) if number > 0 => match hex::decode(text) {
                Ok(hash) if hash.len() == 32 => Ok(Some((number, hash))),
                _ => Err(Fault::field("hash", "64 hexadecimal digits")),
            },
            (Some(_), Some(_)) => Err(Fault::field("number", "above 0")),
            (None, _) => Err(Fault::field("number", "comes with a hash")),
            (_, None) => Err(Fault::field("hash", "comes with a number")),
        }
    }
}

/// How the trail stands.
#[derive(Serialize, ToSchema)]
struct AuditVerdictBody {
    /// Nothing is missing, changed or put in later.
    intact: bool,
    /// The first place where something is.
    broken_at: Option<i64>,
    /// Number of the last record. Noted outside of this system with its hash, the two prove later that the trail up to here
    /// was not written anew.
    number: i64,
    /// Its hash.
    hash: String,
}

impl From<Verdict> for AuditVerdictBody {
    fn from(verdict: Verdict) -> Self {
        Self {
            intact: verdict.broken_at.is_none(),
            broken_at: verdict.broken_at,
            number: verdict.number,
            hash: hex::encode(verdict.hash),
        }
    }
}

/// Sums the whole trail up again, and says whether it still leads to what was noted of it.
#[utoipa::path(tag = "audit", security(("bearer" = ["identity.audit.read"])), params(Noted), responses(
    (status = 200, body = AuditVerdictBody), (status = 403, description = "OTHER_BRANCH")))]
#[get("/api/v1/audit:verify")]
async fn verify(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<Noted>,
) -> Result<HttpResponse, Problem> {
    // The numbers alone say how much is done elsewhere.
    caller.ctx.everywhere()?;
    let noted = query.into_inner().read()?;
    let verdict = commands::verify(&state, &caller.ctx, noted, commands::STEP).await?;
    Ok(HttpResponse::Ok().json(AuditVerdictBody::from(verdict)))
}
