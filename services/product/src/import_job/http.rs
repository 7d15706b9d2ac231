//! `/api/v1/products/bulk-import` and `/api/v1/import-jobs`.

use actix_web::{HttpRequest, HttpResponse, get, http::header, post, web};
use bahi_db::{Ctx, Done, Tx};
use bahi_http::{Caller, Empty, Fault, Post, Problem, Versioned, Walk, accepted, ok, page, paging};
use bahi_types::{Cursor, Page};
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::{
    Error, State,
    import_job::{
        commands,
        model::{Format, ImportJob, Progress, Status},
        store::{self, StoredFlaw},
        upload::Upload,
    },
    text::guarded,
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(import)
        .service(list)
        .service(errors)
        .service(read)
        .service(apply)
        .service(cancel);
}

/// The type of a workbook.
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// How an upload is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UploadQuery {
    /// Only check, and tell what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// A bulk import.
#[derive(Serialize, ToSchema)]
pub struct ImportJobBody {
    /// Id.
    id: Uuid,
    /// Grows with each change of the status.
    version: i64,
    /// Where it stands.
    status: Status,
    /// Only checked; `:apply` applies it.
    dry_run: bool,
    /// What kind of file it was.
    format: Format,
    /// Length of the file.
    bytes: i64,
    /// Rows of the file.
    rows: i64,
    /// Rows checked so far.
    checked: i64,
    /// Rows applied so far.
    applied: i64,
    /// Products made; before it is applied, those that would be.
    created: i64,
    /// Products changed; before it is applied, those that would be.
    updated: i64,
    /// Products that are as their row says.
    unchanged: i64,
    /// Rows refused; see `errors.csv`.
    refused: i64,
    /// How far it is.
    progress: Progress,
    /// Headers that mean nothing here.
    #[schema(value_type = Vec<String>)]
    ignored_columns: serde_json::Value,
    /// Why it is invalid or has failed.
    reason: Option<String>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When its status last changed.
    updated_at: DateTime<Utc>,
    /// When it came to its end.
    finished_at: Option<DateTime<Utc>>,
}

impl ImportJobBody {
    /// The job as it is now.
    pub fn of(job: ImportJob, now: DateTime<Utc>) -> Self {
        Self {
            progress: job.progress(now),
            format: job.format,
            id: job.id,
            version: job.version,
            status: job.status,
            dry_run: job.dry_run,
            bytes: job.bytes,
            rows: job.rows,
            checked: job.checked,
            applied: job.applied,
            created: job.created,
            updated: job.updated,
            unchanged: job.unchanged,
            refused: job.refused,
            ignored_columns: job.ignored_columns,
            reason: job.reason,
            created_at: job.created_at,
            updated_at: job.updated_at,
            finished_at: job.finished_at,
        }
    }
}

impl Versioned for ImportJobBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Which jobs, the newest first.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListImportJobs {
    page: Option<u32>,
    limit: Option<u32>,
    cursor: Option<String>,
    sort: Option<String>,
    /// This state.
    status: Option<Status>,
}
paging!(ListImportJobs);

/// Imports products from CSV (UTF-8 or UTF-16; comma, semicolon or tab) or XLSX (the first sheet that is shown), with a
/// header, at most 50 MB.
/// Columns: sku, name, kind, category, brand, unit, hsn or tax_profile, price, price_includes_tax, mrp, barcode, status,
/// track_batch, track_serial, track_expiry.
#[utoipa::path(
    tag = "imports",
    security(("bearer" = ["product.product.write"])), operation_id = "import_products",
    params(UploadQuery),
    request_body(content(
        (String = "text/csv"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
    )),
    responses(
        (status = 202, body = ImportJobBody),
        (status = 413, description = "TOO_LARGE"),
        (status = 415, description = "UNSUPPORTED_MEDIA_TYPE"),
        (status = 422, description = "UNREADABLE_FILE, IDEMPOTENCY_KEY_REUSED")
    )
)]
#[post("/api/v1/products/bulk-import")]
async fn import(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<UploadQuery>,
    req: HttpRequest,
    mut body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let format = format_of(&req)?;
    let mut upload = Upload::begin(&state, &caller.ctx, format, query.dry_run)?;
    match take(&mut upload, &mut body).await {
        Ok(done) => {
            let now = state.db.clock().now();
            Ok(accepted(&done.map(|job| ImportJobBody::of(job, now))))
        }
        Err(error) => {
            upload.abandon().await;
            Err(error.into())
        }
    }
}

/// The kind of file that a request says it brings.
fn format_of(req: &HttpRequest) -> Result<Format, Fault> {
    let content_type = req
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "text/csv" => Ok(Format::Csv),
        XLSX => Ok(Format::Xlsx),
        _ => Err(Fault::UnsupportedMedia("text/csv or an XLSX workbook")),
    }
}

async fn take(upload: &mut Upload, body: &mut web::Payload) -> Result<Done<ImportJob>, Error> {
    while let Some(bytes) = body.next().await {
        let bytes =
            bytes.map_err(|error| Fault::Malformed(format!("the body breaks off ({error})")))?;
        upload.push(&bytes).await?;
    }
    upload.finish().await
}

#[utoipa::path(
    tag = "imports",
    security(("bearer" = ["product.product.read"])), operation_id = "list_import_jobs",
    params(ListImportJobs),
    responses((status = 200, body = Page<ImportJobBody>))
)]
#[get("/api/v1/import-jobs")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<ListImportJobs>,
) -> Result<HttpResponse, Problem> {
    let mut paging = query.paging();
    paging.sort.get_or_insert_with(|| "created_at:desc".into());
    let walk = Walk::read(&paging, &["created_at"])?;
    let status = query.status;
    let (jobs, total) = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| {
            store::list(tx, status, &walk).await
        })
        .await?;
    let now = state.db.clock().now();
    let cursor = |job: &ImportJob| Cursor {
        key: job.created_at.to_rfc3339(),
        id: job.id,
    };
    Ok(page(
        &Page::new(jobs, &paging, total, cursor).map(|job| ImportJobBody::of(job, now)),
    ))
}

#[utoipa::path(
    tag = "imports",
    security(("bearer" = ["product.product.read"])), operation_id = "read_import_job",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = ImportJobBody))
)]
#[get("/api/v1/import-jobs/{id}")]
async fn read(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let job = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| store::get(tx, *id).await)
        .await?;
    let now = state.db.clock().now();
    Ok(ok(&Done::first(ImportJobBody::of(job, now))))
}

/// What is wrong with which cell: line, column, value, reason.
#[utoipa::path(
    tag = "imports",
    security(("bearer" = ["product.product.read"])), operation_id = "read_import_errors",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = String, content_type = "text/csv"))
)]
#[get("/api/v1/import-jobs/{id}/errors.csv")]
async fn errors(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| store::get(tx, *id).await)
        .await?;
    let head = stream::once(async {
        Ok::<_, Error>(web::Bytes::from_static(b"line,column,value,reason\r\n"))
    });
    let rows = stream::try_unfold((0, String::new()), move |after| {
        next_errors(state.clone(), caller.ctx.clone(), *id, after)
    });
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"errors.csv\"",
        ))
        .streaming(head.chain(rows)))
}

/// A place in the list of errors: line and column.
type Place = (i64, String);

/// The errors after a place, as CSV; a page at a time, so that memory does not grow with their number.
async fn next_errors(
    state: web::Data<State>,
    ctx: Ctx,
    job: Uuid,
    after: Place,
) -> Result<Option<(web::Bytes, Place)>, Error> {
    let flaws = state
        .db
        .read(&ctx, async |tx: &mut Tx| {
            store::next_flaws(tx, job, &after, 1000).await
        })
        .await?;
    let Some(last) = flaws.last() else {
        return Ok(None);
    };
    let place = (last.line, last.column.clone());
    let text: String = flaws.iter().map(csv_row).collect();
    Ok(Some((web::Bytes::from(text), place)))
}

fn csv_row(flaw: &StoredFlaw) -> String {
    format!(
        "{},{},{},{}\r\n",
        flaw.line,
        cell(&flaw.column),
        cell(&flaw.value),
        cell(&flaw.reason)
    )
}

/// A cell that a spreadsheet shows and does not run.
fn cell(text: &str) -> String {
    format!("\"{}\"", guarded(text).replace('"', "\"\""))
}

/// Applies a dry run that is ready.
#[utoipa::path(
    tag = "imports",
    security(("bearer" = ["product.product.write"])), operation_id = "apply_import_job",
    params(("id" = Uuid, Path)),
    request_body = Empty,
    responses(
        (status = 202, body = ImportJobBody),
        (status = 409, description = "INVALID_TRANSITION")
    )
)]
#[post("/api/v1/import-jobs/{id}:apply")]
async fn apply(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let now = state.db.clock().now();
    let done = commands::apply(&state, &req.caller.ctx, *id).await?;
    Ok(accepted(&done.map(|job| ImportJobBody::of(job, now))))
}

/// Stops a job that is ready or applying; what went in stays in.
#[utoipa::path(
    tag = "imports",
    security(("bearer" = ["product.product.write"])), operation_id = "cancel_import_job",
    params(("id" = Uuid, Path)),
    request_body = Empty,
    responses(
        (status = 200, body = ImportJobBody),
        (status = 409, description = "INVALID_TRANSITION")
    )
)]
#[post("/api/v1/import-jobs/{id}:cancel")]
async fn cancel(
    state: web::Data<State>,
    id: web::Path<Uuid>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let now = state.db.clock().now();
    let done = commands::cancel(&state, &req.caller.ctx, *id).await?;
    Ok(ok(&done.map(|job| ImportJobBody::of(job, now))))
}
