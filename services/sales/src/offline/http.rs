//! Batches and series over HTTP.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::{Done, Tx};
use bahi_gst::Series as Prefix;
use bahi_http::{BodyLimit, Caller, Fault, Post, Problem, Versioned, created, ok, page};
use bahi_types::{
    Cursor, FiscalYear, InvoiceId, Page, PageQuery, PosSessionId, RegistrationId, TillId, UserId,
};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, Batch, Outcome, Synced},
    model::{Item, MOST_ITEMS},
    store::{self, Gap, Record},
};
use crate::{
    State,
    error::{Error, Result},
    invoice::today,
    number::{self, Purpose},
};

/// Longest batch in bytes.
const LONGEST: usize = 4 * 1024 * 1024;

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    let batch = utoipa_actix_web::scope("/api/v1/pos/sync")
        .app_data(BodyLimit(LONGEST))
        .service(sync);
    cfg.service(batch)
        .service(numbers)
        .service(list_series)
        .service(open_series);
}

/// What a till made while it was away, in the order in which it made it.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct SyncBatch {
    till_id: TillId,
    /// What the till's clock shows now.
    sent_at: DateTime<Utc>,
    /// The version of the catalogue that it has.
    #[serde(default)]
    #[garde(length(max = 50))]
    catalogue: Option<String>,
    /// Each is read and answered by itself.
    #[garde(length(min = 1, max = MOST_ITEMS))]
    #[schema(value_type = Vec<Item>)]
    items: Vec<Value>,
}

/// What became of an item.
#[derive(Debug, Serialize, ToSchema)]
struct ItemBody {
    /// Its place in the batch, from 0.
    index: usize,
    /// The printed number, as far as it could be read.
    number: Option<String>,
    /// The id that the till gave it, as far as it could be read.
    #[schema(value_type = Option<uuid::Uuid>)]
    claimed_id: Option<Value>,
    /// `issued`; `replaced`: issued under an id of its own, for the till's had been given up or its
    /// invoice undone; `issued_online`: the sale had been
    /// issued online, the printed number is void; `void`; `refused`: nothing was written.
    result: String,
    /// The invoice or credit note.
    document_id: Option<InvoiceId>,
    /// Its number.
    document_number: Option<String>,
    /// It had been received before: this is the first answer.
    replayed: bool,
    /// What the till had otherwise than the books. The document stands as the till made it.
    #[schema(value_type = Vec<DifferenceBody>)]
    differences: Value,
    /// Why it was refused: a problem document. With status 503, 429 or 409 NOT_YET_KNOWN it may be sent again as it is.
    #[schema(value_type = Option<Object>)]
    problem: Option<Value>,
}

/// Something that the till had otherwise than the books.
#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code)] // The stored document is sent as it is; this says what is in it.
struct DifferenceBody {
    /// Line, where it is of one.
    line: Option<i32>,
    /// `unit_price`, `discount`, `rate`, `cess_rate`, `tax_category`, `mrp`, `pricing`, `clock` or `session`.
    what: String,
    /// As the till had it.
    told: String,
    /// As the books had it when it came.
    known: String,
    /// The books had changed since the till read its catalogue.
    since: bool,
}

/// Numbers that nothing is known of, though later ones are.
#[derive(Debug, Serialize, ToSchema)]
struct GapBody {
    prefix: String,
    /// Like `26-27`.
    fiscal_year: String,
    first: i64,
    last: i64,
}

impl From<Gap> for GapBody {
    fn from(gap: Gap) -> Self {
        Self {
            prefix: gap.prefix,
            fiscal_year: FiscalYear::starting(gap.fiscal_year).to_string(),
            first: gap.first,
            last: gap.last,
        }
    }
}

/// A batch that was taken in.
#[derive(Debug, Serialize, ToSchema)]
struct SyncBody {
    received_at: DateTime<Utc>,
    /// How far the till's clock is ahead, in milliseconds.
    skew_ms: i64,
    /// In the order of the batch.
    items: Vec<ItemBody>,
    /// Numbers of the till's series that are still to be explained, at most 100 a series.
    missing: Vec<GapBody>,
}

impl Versioned for SyncBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

fn body(items: &[Value], synced: Synced) -> SyncBody {
    let item = |(index, (sent, outcome)): (usize, (&Value, Outcome))| {
        let text = |name: &str| Some(&sent[name]).filter(|v| v.is_string()).cloned();
        ItemBody {
            index,
            number: sent["number"].as_str().map(str::to_owned),
            claimed_id: text("invoice_id").or(text("credit_note_id")),
            result: outcome.result,
            document_id: outcome.document_id,
            document_number: outcome.document_number,
            replayed: outcome.replayed,
            differences: outcome.differences,
            problem: outcome.problem.map(|p| p.document()),
        }
    };
    SyncBody {
        received_at: synced.received_at,
        skew_ms: synced.skew_ms,
        items: items
            .iter()
            .zip(synced.outcomes)
            .enumerate()
            .map(item)
            .collect(),
        missing: synced.gaps.into_iter().map(GapBody::from).collect(),
    }
}

/// Takes in what a till sold and took back while it was away. The answer is 200 whatever became of the items; each says
/// for itself. Any batch, and any part of one, may be sent again at any time.
#[utoipa::path(tag = "offline", security(("bearer" = ["sales.pos.sync"])), request_body = SyncBatch, responses(
    (status = 200, body = SyncBody),
    (status = 404, description = "No such till"),
    (status = 409, description = "SERIES_TAKEN, NOT_YET_KNOWN"),
    (status = 503, description = "RESTORING")))]
#[post("")]
async fn sync(
    state: web::Data<State>,
    req: Post<SyncBatch>,
) -> std::result::Result<HttpResponse, Problem> {
    let batch = Batch {
        till: req.body.till_id,
        sent_at: req.body.sent_at,
        catalogue: req.body.catalogue,
        items: req.body.items,
    };
    let items = batch.items.clone();
    let synced = commands::sync(&state, &req.caller, batch).await?;
    Ok(ok(&Done::first(body(&items, synced))))
}

/// What became of a number.
#[derive(Debug, Serialize, ToSchema)]
struct NumberBody {
    number: String,
    registration_id: RegistrationId,
    till_id: TillId,
    session_id: Option<PosSessionId>,
    /// `issued`, `replaced`, `issued_online` or `void`.
    outcome: String,
    /// The invoice or credit note.
    document_id: Option<InvoiceId>,
    claimed_id: InvoiceId,
    /// Why it is void.
    reason: Option<String>,
    cashier_id: UserId,
    sender_id: Option<UserId>,
    /// By the till's clock.
    made_at: DateTime<Utc>,
    skew_ms: i64,
    received_at: DateTime<Utc>,
    catalogue: Option<String>,
    #[schema(value_type = Vec<DifferenceBody>)]
    differences: Value,
}

impl From<Record> for NumberBody {
    fn from(r: Record) -> Self {
        Self {
            number: r.number,
            registration_id: r.registration_id,
            till_id: r.till_id,
            session_id: r.session_id.map(PosSessionId::from_uuid),
            outcome: r.outcome,
            document_id: r.document_id,
            claimed_id: r.claimed_id,
            reason: r.reason,
            cashier_id: UserId::from_uuid(r.cashier_id),
            sender_id: r.sender_id.map(UserId::from_uuid),
            made_at: r.made_at,
            skew_ms: r.skew_ms,
            received_at: r.received_at,
            catalogue: r.catalogue,
            differences: r.differences,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct NumberFilter {
    till_id: Option<TillId>,
    /// Only those that the till had otherwise than the books.
    #[serde(default)]
    differing: bool,
}

/// The numbers that tills have printed while they were away, those received last first.
#[utoipa::path(tag = "offline", security(("bearer" = ["sales.pos.read"])), params(PageQuery, NumberFilter), responses((status = 200, body = Page<NumberBody>)))]
#[get("/api/v1/pos/offline-numbers")]
async fn numbers(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<NumberFilter>,
) -> std::result::Result<HttpResponse, Problem> {
    let (till, differing) = (filter.till_id, filter.differing);
    let (limit, offset) = (query.limit(), query.offset());
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            store::list(tx, till, differing, limit, offset)
                .await
                .map_err(Error::from)
        })
        .await?;
    // Read by a person who looks into differences: pages are enough, there is no cursor.
    let mut numbers = Page::new(rows, &query, total, |r| Cursor {
        key: r.number.clone(),
        id: r.claimed_id.uuid(),
    });
    numbers.next_cursor = None;
    Ok(page(&numbers.map(NumberBody::from)))
}

/// Opens a prefix in which a till numbers while it is away.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct OpenOfflineSeries {
    till_id: TillId,
    purpose: Purpose,
    /// At most 5 letters, digits, hyphens or slashes; kept in upper case.
    #[garde(custom(sound_prefix))]
    prefix: String,
}

fn sound_prefix(text: &str, (): &()) -> garde::Result {
    Prefix::try_new(text).map(|_| ()).map_err(garde::Error::new)
}

/// A prefix in which a till numbers while it is away.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
struct OfflineSeriesBody {
    registration_id: RegistrationId,
    till_id: TillId,
    purpose: String,
    prefix: String,
    /// How far it has come in each year.
    years: Vec<YearBody>,
    /// Numbers that are still to be explained, the first 100.
    missing: Vec<MissingBody>,
}

/// How far a series has come in a year.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
struct YearBody {
    /// Like `26-27`.
    fiscal_year: String,
    /// The highest number that is known.
    last: i64,
}

/// Numbers that nothing is known of, though later ones are.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
struct MissingBody {
    /// Like `26-27`.
    fiscal_year: String,
    first: i64,
    last: i64,
}

impl Versioned for OfflineSeriesBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

/// Opens an offline series for a till that has none yet; without it one is opened with the till's first session.
#[utoipa::path(tag = "offline", security(("bearer" = ["sales.series.write"])), request_body = OpenOfflineSeries, responses(
    (status = 201, body = OfflineSeriesBody),
    (status = 404, description = "No such till"),
    (status = 409, description = "SERIES_TAKEN, ALREADY_EXISTS (the till has one), NOT_YET_KNOWN")))]
#[post("/api/v1/pos/offline-series")]
async fn open_series(
    state: web::Data<State>,
    req: Post<OpenOfflineSeries>,
) -> std::result::Result<HttpResponse, Problem> {
    let body = req.body;
    let made = state
        .db
        .write(&req.caller.ctx, async move |tx: &mut Tx| {
            open(tx, body).await
        })
        .await?;
    Ok(created(&made))
}

async fn open(tx: &mut Tx, body: OpenOfflineSeries) -> Result<OfflineSeriesBody> {
    let place = commands::desk(tx, body.till_id).await?;
    let registration_id = place
        .registration_id
        .ok_or_else(|| Fault::NotYetKnown("The till's branch or registration".into()))?;
    let prefix = body.prefix.to_ascii_uppercase();
    let purpose = body.purpose;
    if number::taken(tx, registration_id, &prefix, purpose).await? {
        return Err(Error::SeriesTaken(prefix));
    }
    let name = purpose.name();
    if store::open(tx, registration_id, body.till_id, &prefix, name).await? == 0 {
        return Err(bahi_db::Error::Unique("offline_series_till_key".into()).into());
    }
    let year = FiscalYear::of(today(tx)).start_year();
    if !store::keep_apart(tx, registration_id, &prefix, year, name).await? {
        return Err(Error::SeriesTaken(prefix));
    }
    let details = json!({ "prefix": prefix, "purpose": purpose });
    tx.audit(
        "sales.series.open_offline",
        ("till", body.till_id.uuid()),
        None,
        details,
    );
    Ok(OfflineSeriesBody {
        registration_id,
        till_id: body.till_id,
        purpose: name.to_owned(),
        prefix,
        years: Vec::new(),
        missing: Vec::new(),
    })
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SeriesFilter {
    till_id: TillId,
}

/// The offline series of a till.
#[derive(Debug, Serialize, ToSchema)]
struct OfflineSeriesList {
    items: Vec<OfflineSeriesBody>,
}
impl Versioned for OfflineSeriesList {
    fn version(&self) -> Option<i64> {
        None
    }
}

/// The offline series of a till, how far they have come and what is missing in them.
#[utoipa::path(tag = "offline", security(("bearer" = ["sales.pos.read"])), params(SeriesFilter), responses((status = 200, body = OfflineSeriesList)))]
#[get("/api/v1/pos/offline-series")]
async fn list_series(
    state: web::Data<State>,
    caller: Caller,
    filter: web::Query<SeriesFilter>,
) -> std::result::Result<HttpResponse, Problem> {
    let till = filter.till_id;
    let items = state
        .db
        .read(&caller.ctx, async |tx| -> Result<_> {
            let mut items = Vec::new();
            for series in store::series(tx, Some(till), 100).await? {
                let years = store::reached(tx, series.registration_id, &series.prefix).await?;
                let gaps = store::gaps(tx, series.registration_id, &series.prefix).await?;
                items.push(OfflineSeriesBody {
                    registration_id: series.registration_id,
                    till_id: series.till_id,
                    purpose: series.purpose,
                    prefix: series.prefix,
                    years: years
                        .into_iter()
                        .map(|y| YearBody {
                            fiscal_year: FiscalYear::starting(y.fiscal_year).to_string(),
                            last: y.last,
                        })
                        .collect(),
                    missing: gaps
                        .into_iter()
                        .map(|g| MissingBody {
                            fiscal_year: FiscalYear::starting(g.fiscal_year).to_string(),
                            first: g.first,
                            last: g.last,
                        })
                        .collect(),
                });
            }
            Ok(items)
        })
        .await?;
    Ok(ok(&Done::first(OfflineSeriesList { items })))
}
