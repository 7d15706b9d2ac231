//! `/api/v1/erasures`.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::{Done, Tx};
use bahi_events::SubjectKind;
use bahi_http::{Caller, Post, Problem, Versioned, Walk, accepted, ok, page, validate};
use bahi_types::{Page, PageQuery};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands,
    model::{Erasure, Part},
    store,
};
use crate::{Error, State};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(start).service(list).service(get_one);
}

/// What kind of person.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ErasureSubject {
    /// Somebody who buys.
    Customer,
    /// Somebody who works with the system.
    User,
}

/// Whom to erase, and why.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct ErasureInput {
    subject: ErasureSubject,
    /// The customer or user.
    id: Uuid,
    /// For the audit trail, which is kept: do not name the person.
    #[garde(custom(validate::line))]
    reason: String,
}

/// An erasure.
#[derive(Clone, Serialize, ToSchema)]
struct ErasureBody {
    id: Uuid,
    /// `customer` or `user`.
    subject: String,
    subject_id: Uuid,
    reason: String,
    /// `running`, `done`, or `overdue` where a service has not answered for a day.
    status: String,
    /// Who asked for it: a user or API key.
    asked_by: String,
    asked_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    version: i64,
}

/// What a service has answered.
#[derive(Clone, Serialize, ToSchema)]
struct ErasurePartBody {
    service: String,
    answered_at: Option<DateTime<Utc>>,
    /// Rows from which something was erased: `table`, `rows`.
    #[schema(value_type = Option<Vec<Object>>)]
    erased: Option<Value>,
    /// What is kept: `table`, `rows` where they can be counted, `why`, and `until`, the day on which the last of it may go.
    #[schema(value_type = Option<Vec<Object>>)]
    kept: Option<Value>,
}

/// An erasure, with what each service has answered.
#[derive(Clone, Serialize, ToSchema)]
struct ErasureProgressBody {
    #[serde(flatten)]
    erasure: ErasureBody,
    services: Vec<ErasurePartBody>,
}

impl Versioned for ErasureProgressBody {
    fn version(&self) -> Option<i64> {
        Some(self.erasure.version)
    }
}

impl ErasureBody {
    fn at(now: DateTime<Utc>, row: Erasure) -> Self {
        Self {
            status: row.status(now).into(),
            id: row.id,
            subject: row.subject,
            subject_id: row.subject_id,
            reason: row.reason,
            asked_by: row.asked_by,
            asked_at: row.asked_at,
            finished_at: row.finished_at,
            version: row.version,
        }
    }
}

impl From<Part> for ErasurePartBody {
    fn from(part: Part) -> Self {
        Self {
            service: part.service,
            answered_at: part.answered_at,
            erased: part.erased,
            kept: part.kept,
        }
    }
}

fn shown(now: DateTime<Utc>, erasure: Erasure, parts: Vec<Part>) -> ErasureProgressBody {
    ErasureProgressBody {
        erasure: ErasureBody::at(now, erasure),
        services: parts.into_iter().map(ErasurePartBody::from).collect(),
    }
}

/// Erases a person in every service, but for what the law keeps. A person who was erased before is answered with that.
#[utoipa::path(tag = "erasures", security(("bearer" = ["identity.erasure.write"])), request_body = ErasureInput, responses(
    (status = 202, body = ErasureProgressBody), (status = 200, body = ErasureProgressBody, description = "Erased before"),
    (status = 404), (status = 422, description = "USER_STATUS: an active user is disabled first")))]
#[post("/api/v1/erasures")]
async fn start(state: web::Data<State>, req: Post<ErasureInput>) -> Result<HttpResponse, Problem> {
    let ErasureInput {
        subject,
        id,
        reason,
    } = req.body;
    let subject = match subject {
        ErasureSubject::Customer => SubjectKind::Customer,
        ErasureSubject::User => SubjectKind::User,
    };
    let done = commands::start(&state, &req.caller, (subject, id), reason).await?;
    let (before, now) = (done.value.before, state.clock.now());
    let done = done.map(|asked| shown(now, asked.erasure, asked.parts));
    Ok(if before { ok(&done) } else { accepted(&done) })
}

/// Erasures, the newest first unless sorted otherwise.
#[utoipa::path(tag = "erasures", security(("bearer" = ["identity.erasure.read"])), params(PageQuery), responses((status = 200, body = Page<ErasureBody>)))]
#[get("/api/v1/erasures")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let mut walk = Walk::read(&query, &store::SORTS)?;
    walk.sort.descending |= query.sort.is_none();
    let now = state.clock.now();
    let rows = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        store::list(tx, &query, &walk).await
    });
    Ok(page(&rows.await?.map(|row| ErasureBody::at(now, row))))
}

/// An erasure: what each service has erased, and what it keeps and why.
#[utoipa::path(tag = "erasures", security(("bearer" = ["identity.erasure.read"])), responses((status = 200, body = ErasureProgressBody), (status = 404)))]
#[get("/api/v1/erasures/{id}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let find = async move |tx: &mut Tx| -> Result<_, Error> {
        let erasure = store::get(tx, *id).await?;
        Ok((erasure, store::parts(tx, *id).await?))
    };
    let (erasure, parts) = state.db.read(&caller.ctx, find).await?;
    let body = shown(state.clock.now(), erasure, parts);
    Ok(ok(&Done::first(body)))
}
