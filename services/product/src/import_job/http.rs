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
        commands::{self, Upload},
        model::{ImportJob, Status},
        store::{self, StoredFlaw},
    },
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(upload)
        .service(list)
        .service(errors)
        .service(read)
        .service(apply)
        .service(cancel);
}

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

impl From<ImportJob> for ImportJobBody {
    fn from(job: ImportJob) -> Self {
        Self {
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

/// Imports products from CSV: UTF-8, with a header, delimited by comma, semicolon or tab, at most 50 MB.
/// Columns: sku, name, kind, category, brand, unit, hsn or tax_profile, price, price_includes_tax, mrp, barcode, status,
/// track_batch, track_serial, track_expiry.
#[utoipa::path(
    tag = "imports",
    operation_id = "import_products",
    params(UploadQuery),
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 202, body = ImportJobBody),
        (status = 413, description = "TOO_LARGE"),
        (status = 415, description = "UNSUPPORTED_MEDIA_TYPE"),
        (status = 422, description = "IDEMPOTENCY_KEY_REUSED")
    )
)]
#[post("/api/v1/products/bulk-import")]
async fn upload(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<UploadQuery>,
    req: HttpRequest,
    mut body: web::Payload,
) -> Result<HttpResponse, Problem> {
    caller.require("product.product.write")?;
    let content_type = req
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if !content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("text/csv")
    {
        return Err(Fault::UnsupportedMedia("text/csv").into());
    }
    let mut upload = Upload::begin(&state, &caller.ctx, query.dry_run).await?;
    while let Some(bytes) = body.next().await {
        let bytes =
            bytes.map_err(|error| Fault::Malformed(format!("the body breaks off ({error})")))?;
        upload.push(&bytes).await?;
    }
    Ok(accepted(&upload.finish().await?.map(ImportJobBody::from)))
}

#[utoipa::path(
    tag = "imports",
    operation_id = "list_import_jobs",
    params(ListImportJobs),
    responses((status = 200, body = Page<ImportJobBody>))
)]
#[get("/api/v1/import-jobs")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<ListImportJobs>,
) -> Result<HttpResponse, Problem> {
    caller.require("product.product.read")?;
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
    let cursor = |job: &ImportJob| Cursor {
        key: job.created_at.to_rfc3339(),
        id: job.id,
    };
    Ok(page(
        &Page::new(jobs, &paging, total, cursor).map(ImportJobBody::from),
    ))
}

#[utoipa::path(
    tag = "imports",
    operation_id = "read_import_job",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = ImportJobBody))
)]
#[get("/api/v1/import-jobs/{id}")]
async fn read(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    caller.require("product.product.read")?;
    let job = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| store::get(tx, *id).await)
        .await?;
    Ok(ok(&Done::first(ImportJobBody::from(job))))
}

/// What is wrong with which cell: line, column, value, reason.
#[utoipa::path(
    tag = "imports",
    operation_id = "read_import_errors",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = String, content_type = "text/csv"))
)]
#[get("/api/v1/import-jobs/{id}/errors.csv")]
async fn errors(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    caller.require("product.product.read")?;
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

/// A cell that a spreadsheet shows and does not run: what begins like a formula gets an apostrophe in front.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        "'"
    } else {
        ""
    };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

/// Applies a dry run that is ready.
#[utoipa::path(
    tag = "imports",
    operation_id = "apply_import_job",
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
    req.caller.require("product.product.write")?;
    Ok(accepted(
        &commands::apply(&state, &req.caller.ctx, *id)
            .await?
            .map(ImportJobBody::from),
    ))
}

/// Stops a job that is ready or applying; what went in stays in.
#[utoipa::path(
    tag = "imports",
    operation_id = "cancel_import_job",
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
    req.caller.require("product.product.write")?;
    Ok(ok(&commands::cancel(&state, &req.caller.ctx, *id)
        .await?
        .map(ImportJobBody::from)))
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn a_cell_is_never_a_formula() {
        assert_eq!(cell("=cmd|' /C calc'!A0"), "\"'=cmd|' /C calc'!A0\"");
        assert_eq!(cell("-5"), "\"'-5\"");
        assert_eq!(cell("say \"hi\", you"), "\"say \"\"hi\"\", you\"");
        assert_eq!(cell("plain"), "\"plain\"");
    }
}
