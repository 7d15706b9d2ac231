//! Series over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::{Done, Tx};
use bahi_gst::Series;
use bahi_http::{Caller, Fault, Post, Problem, Versioned, created, page};
use bahi_types::{Cursor, FiscalYear, Page, PageQuery, RegistrationId};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::store::{self, Purpose};
use crate::{
    State,
    error::{Error, Result},
};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list).service(open);
}

/// Opens a series for documents of no till.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct OpenSeries {
    registration_id: RegistrationId,
    purpose: Purpose,
    /// At most 5 letters, digits, hyphens or slashes; kept in upper case.
    #[garde(custom(series_prefix))]
    prefix: String,
}

fn series_prefix(text: &str, (): &()) -> garde::Result {
    Series::try_new(text).map(|_| ()).map_err(garde::Error::new)
}

/// A series that was opened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
struct SeriesBody {
    registration_id: RegistrationId,
    purpose: Purpose,
    prefix: String,
}
impl Versioned for SeriesBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

/// Opens a series; documents of the registration that name none take the one opened last.
#[utoipa::path(tag = "series", security(("bearer" = ["sales.series.write"])), request_body = OpenSeries, responses(
    (status = 201, body = SeriesBody),
    (status = 409, description = "SERIES_TAKEN, ALREADY_EXISTS or NOT_YET_KNOWN")))]
#[post("/api/v1/sales/series")]
async fn open(
    state: web::Data<State>,
    req: Post<OpenSeries>,
) -> std::result::Result<HttpResponse, Problem> {
    let made = open_series(&state, &req.caller, req.body).await?;
    Ok(created(&made))
}

async fn open_series(state: &State, caller: &Caller, body: OpenSeries) -> Result<Done<SeriesBody>> {
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let prefix = body.prefix.to_ascii_uppercase();
            if !store::registration_known(tx, body.registration_id).await? {
                return Err(Fault::NotYetKnown("The registration".into()).into());
            }
            if store::taken(tx, body.registration_id, &prefix, body.purpose).await? {
                return Err(Error::SeriesTaken(prefix));
            }
            if store::open(tx, body.registration_id, &prefix, body.purpose).await? == 0 {
                return Err(bahi_db::Error::Unique("series_pkey".into()).into());
            }
            let details = json!({ "prefix": prefix, "purpose": body.purpose });
            tx.audit(
                "sales.series.open",
                ("registration", body.registration_id.uuid()),
                None,
                details,
            );
            Ok(SeriesBody {
                registration_id: body.registration_id,
                purpose: body.purpose,
                prefix,
            })
        })
        .await
}

/// A series in one fiscal year.
#[derive(Debug, Serialize, ToSchema)]
struct CounterBody {
    registration_id: RegistrationId,
    prefix: String,
    /// Like `26-27`.
    fiscal_year: String,
    /// What it numbers.
    purpose: String,
    /// Numbers given: 1 to this one, without a gap.
    used: i64,
}

/// The series in use, by registration, prefix and fiscal year.
#[utoipa::path(tag = "series", security(("bearer" = ["sales.invoice.read"])), params(PageQuery), responses((status = 200, body = Page<CounterBody>)))]
#[get("/api/v1/sales/series")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
) -> std::result::Result<HttpResponse, Problem> {
    let (limit, offset) = (query.limit(), query.offset());
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            store::counters(tx, limit, offset)
                .await
                .map_err(Error::from)
        })
        .await?;
    // A few rows a registration and year: pages are enough, there is no cursor.
    let mut counters = Page::new(rows, &query, total, |c| Cursor {
        key: c.prefix.clone(),
        id: c.registration_id.uuid(),
    });
    counters.next_cursor = None;
    Ok(page(&counters.map(|c| CounterBody {
        registration_id: c.registration_id,
        prefix: c.prefix,
        fiscal_year: FiscalYear::starting(c.fiscal_year).to_string(),
        purpose: c.purpose,
        used: c.used,
    })))
}
