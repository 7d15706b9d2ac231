//! `/api/v1/tenant-exports`.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::{Done, Tx};
use bahi_http::{Caller, Empty, Post, Problem, Versioned, Walk, accepted, ok, page};
use bahi_objects::Objects;
use bahi_types::{Page, PageQuery};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::{
    commands,
    model::{Part, TenantExport},
    store,
};
use crate::{Error, State};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(start).service(list).service(get_one);
}

/// An export of all data of the business.
#[derive(Clone, Serialize, ToSchema)]
struct TenantExportBody {
    id: Uuid,
    /// `running`, `ready`, `failed` or `expired`.
    status: String,
    /// Who asked for it: a user or API key.
    asked_by: String,
    asked_at: DateTime<Utc>,
    /// A service that has not answered by then has failed.
    deadline_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    /// From then on nothing can be fetched.
    expires_at: Option<DateTime<Utc>>,
    version: i64,
}

/// What a service has made of it.
#[derive(Clone, Serialize, ToSchema)]
struct TenantExportPartBody {
    service: String,
    /// `waiting`, `ready` or `failed`.
    status: String,
    tables: Option<i64>,
    rows: Option<i64>,
    /// Other objects in it, such as pictures.
    objects: Option<i64>,
    /// Length of the archive in bytes.
    bytes: Option<i64>,
    /// SHA-256 of the archive, in hexadecimal digits.
    sha256: Option<String>,
    /// Why there is no archive: `NO_ANSWER`, `NO_STORE`, `STORE_UNAVAILABLE`, `DATABASE` or `ARCHIVE`.
    reason: Option<String>,
    answered_at: Option<DateTime<Utc>>,
    /// Where the archive can be fetched: a zip of JSON lines, a file a table, with `manifest.json`.
    download_url: Option<String>,
}

/// An export, and how far each service is.
#[derive(Clone, Serialize, ToSchema)]
struct TenantExportProgressBody {
    #[serde(flatten)]
    export: TenantExportBody,
    services: Vec<TenantExportPartBody>,
    /// The end of the links; ask again for others.
    urls_expire_at: Option<DateTime<Utc>>,
}

impl Versioned for TenantExportProgressBody {
    fn version(&self) -> Option<i64> {
        Some(self.export.version)
    }
}

impl From<TenantExport> for TenantExportBody {
    fn from(row: TenantExport) -> Self {
        Self {
            id: row.id,
            status: row.status,
            asked_by: row.asked_by,
            asked_at: row.asked_at,
            deadline_at: row.deadline_at,
            finished_at: row.finished_at,
            expires_at: row.expires_at,
            version: row.version,
        }
    }
}

impl From<Part> for TenantExportPartBody {
    fn from(part: Part) -> Self {
        Self {
            service: part.service,
            status: part.status,
            tables: part.tables,
            rows: part.row_count,
            objects: part.objects,
            bytes: part.bytes,
            sha256: part.sha256,
            reason: part.reason,
            answered_at: part.answered_at,
            download_url: None,
        }
    }
}

async fn shown(
    state: &State,
    export: TenantExport,
    parts: Vec<Part>,
) -> Result<TenantExportProgressBody, Error> {
    let now = state.clock.now();
    let store = state.privacy.exports().filter(|_| export.is_open(now));
    let mut services = Vec::with_capacity(parts.len());
    for part in parts {
        let url = match (store, &part.object_key) {
            (Some(store), Some(key)) => Some(store.get_url(key).await?),
            _ => None,
        };
        services.push(TenantExportPartBody {
            download_url: url,
            ..part.into()
        });
    }
    Ok(TenantExportProgressBody {
        export: export.into(),
        services,
        urls_expire_at: store.map(|_| now + Objects::VALID),
    })
}

/// Begins an export of all data of the business; while one runs, that one is the answer.
#[utoipa::path(tag = "tenant-exports", security(("bearer" = ["identity.tenant_export.write"])), request_body = Empty, responses(
    (status = 202, body = TenantExportProgressBody), (status = 200, body = TenantExportProgressBody, description = "One is running")))]
#[post("/api/v1/tenant-exports")]
async fn start(state: web::Data<State>, req: Post<Empty>) -> Result<HttpResponse, Problem> {
    let Done { value, replayed } = commands::start(&state, &req.caller.ctx).await?;
    let running = value.running;
    let value = shown(&state, value.export, value.parts).await?;
    let done = Done { value, replayed };
    Ok(if running { ok(&done) } else { accepted(&done) })
}

/// Exports, the newest first unless sorted otherwise.
#[utoipa::path(tag = "tenant-exports", security(("bearer" = ["identity.tenant_export.read"])), params(PageQuery), responses((status = 200, body = Page<TenantExportBody>)))]
#[get("/api/v1/tenant-exports")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let mut walk = Walk::read(&query, &store::SORTS)?;
    walk.sort.descending |= query.sort.is_none();
    let rows = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        store::list(tx, &query, &walk).await
    });
    Ok(page(&rows.await?.map(TenantExportBody::from)))
}

/// An export: how far each service is, and where its archive can be fetched.
#[utoipa::path(tag = "tenant-exports", security(("bearer" = ["identity.tenant_export.read"])), responses((status = 200, body = TenantExportProgressBody), (status = 404)))]
#[get("/api/v1/tenant-exports/{id}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let find = async move |tx: &mut Tx| -> Result<_, Error> {
        // The links lead to what all branches have written.
        tx.ctx().everywhere()?;
        let export = store::get(tx, *id).await?;
        Ok((export, store::parts(tx, *id).await?))
    };
    let (export, parts) = state.db.read(&caller.ctx, find).await?;
    let body = shown(&state, export, parts).await?;
    Ok(ok(&Done::first(body)))
}
