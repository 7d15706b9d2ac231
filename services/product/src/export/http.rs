//! `/api/v1/products/export`.

use actix_web::{HttpResponse, get, http::header, web};
use bahi_db::Tx;
use bahi_http::{Caller, Problem};
use bahi_types::{BrandId, CategoryId};
use futures::{StreamExt, stream};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    Error, State, category,
    export::{
        commands::{self, XLSX},
        model,
    },
    product::{
        model::{Kind, Status},
        store::Filter,
    },
    search,
};

/// The endpoint.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(export);
}

/// Kind of file.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ExportFormat)]
enum Format {
    /// CSV (RFC 4180), UTF-8.
    #[default]
    Csv,
    /// Office Open XML workbook with one sheet.
    Xlsx,
}

/// Which products, as which kind of file.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ExportProducts {
    /// `csv` when absent.
    #[serde(default)]
    #[param(inline)]
    format: Format,
    /// Words of the name, SKU or a barcode, typing errors allowed; the best 1,000.
    q: Option<String>,
    /// This state.
    status: Option<Status>,
    /// This category and what lies below it.
    category: Option<CategoryId>,
    /// This brand.
    brand: Option<BrandId>,
    /// This kind.
    kind: Option<Kind>,
    /// This HSN or SAC.
    hsn: Option<String>,
    /// This SKU, ignoring case.
    sku: Option<String>,
}

/// Products as a file that can be imported again.
#[utoipa::path(
    tag = "products",
    security(("bearer" = ["product.product.read"])), operation_id = "export_products",
    params(ExportProducts),
    responses(
        (status = 200, content((String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))),
        (status = 422, description = "SHEET_TOO_LONG"),
        (status = 503, description = "BUSY")
    )
)]
#[get("/api/v1/products/export")]
async fn export(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<ExportProducts>,
) -> Result<HttpResponse, Problem> {
    let query = query.into_inner();
    let text = query.q.as_deref().map(search::text).transpose()?;
    let format = query.format;
    let filter = async |tx: &mut Tx| -> Result<Filter, Error> {
        let mut filter = Filter {
            status: query.status,
            brand: query.brand,
            kind: query.kind,
            hsn: query.hsn.clone(),
            sku: query.sku.clone(),
            ..Filter::default()
        };
        if let Some(category) = query.category {
            filter.categories = Some(category::store::subtree(tx, category).await?);
        }
        if let Some(text) = &text {
            filter.found = Some(search::all(tx, text).await?);
        }
        Ok(filter)
    };
    let filter = state.db.read(&caller.ctx, filter).await?;
    let mut answer = HttpResponse::Ok();
    match format {
        Format::Csv => {
            answer
                .content_type("text/csv; charset=utf-8")
                .insert_header(attachment("products.csv"));
            let head = stream::once(async { Ok(web::Bytes::from(model::csv_header())) });
            let rows = commands::csv(state.get_ref().clone(), caller.ctx, filter);
            Ok(answer.streaming(head.chain(rows)))
        }
        Format::Xlsx => {
            let file = commands::xlsx(&state, &caller.ctx, filter).await?;
            answer
                .content_type(XLSX)
                .insert_header(attachment("products.xlsx"));
            let pieces = stream::try_unfold(file, async |mut file| {
                let mut piece = vec![0; 64 * 1024];
                let read = file.read(&mut piece).await?;
                piece.truncate(read);
                Ok::<_, std::io::Error>((read > 0).then(|| (web::Bytes::from(piece), file)))
            });
            Ok(answer.streaming(pieces))
        }
    }
}

fn attachment(name: &str) -> (header::HeaderName, String) {
    (
        header::CONTENT_DISPOSITION,
        format!("attachment; filename=\"{name}\""),
    )
}
