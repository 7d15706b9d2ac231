//! Every statement on offline series and numbers.

use std::collections::HashMap;

use bahi_db::{Result, Tx, sql};
use bahi_types::{InvoiceId, RegistrationId, TillId};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        Array, BigInt, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::Slip;
use crate::number::Numbered;

/// A series in which a till numbers while it is away.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Series {
    #[diesel(sql_type = SqlUuid)]
    pub registration_id: RegistrationId,
    #[diesel(sql_type = SqlUuid)]
    pub till_id: TillId,
    #[diesel(sql_type = Text)]
    pub prefix: String,
    /// `invoice` or `credit_note`.
    #[diesel(sql_type = Text)]
    pub purpose: String,
}

/// The series of a till, or of all.
pub(crate) async fn series(tx: &Tx, till: Option<TillId>, most: i64) -> Result<Vec<Series>> {
    Ok(sql("
        select registration_id, till_id, prefix, purpose from offline_series
         where tenant_id = $1 and ($2 is null or till_id = $2)
         order by till_id, registration_id, purpose desc limit $3")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(till)
    .bind::<BigInt, _>(most)
    .load(&mut tx.shared())
    .await?)
}

/// Opens a series; 0 when the prefix is open already, or the till has one.
pub(super) async fn open(
    tx: &mut Tx,
    registration: RegistrationId,
    till: TillId,
    prefix: &str,
    purpose: &str,
) -> Result<usize> {
    Ok(sql("
        insert into offline_series (tenant_id, registration_id, till_id, prefix, purpose, opened_at)
        values ($1, $2, $3, $4, $5, $6) on conflict do nothing")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(registration)
    .bind::<SqlUuid, _>(till)
    .bind::<Text, _>(prefix)
    .bind::<Text, _>(purpose)
    .bind::<Timestamptz, _>(tx.now())
    .execute(tx.conn())
    .await?)
}

/// Keeps a prefix of a year from the counters of tills that are online; false when one of them numbers with it.
pub(super) async fn keep_apart(
    tx: &mut Tx,
    registration: RegistrationId,
    prefix: &str,
    year: i32,
    purpose: &str,
) -> Result<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        purpose: String,
    }
    let purpose = format!("offline_{purpose}");
    sql("insert into number_counter (tenant_id, registration_id, prefix, fiscal_year, purpose, next)
         values ($1, $2, $3, $4, $5, 1) on conflict do nothing")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(registration)
    .bind::<Text, _>(prefix)
    .bind::<Integer, _>(year)
    .bind::<Text, _>(purpose.as_str())
    .execute(tx.conn())
    .await?;
    let row: Row = sql("select purpose from number_counter
          where tenant_id = $1 and registration_id = $2 and prefix = $3 and fiscal_year = $4")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(registration)
    .bind::<Text, _>(prefix)
    .bind::<Integer, _>(year)
    .get_result(tx.conn())
    .await?;
    Ok(row.purpose == purpose)
}

/// Opens the series of a number that a restore has found, as far as it is free.
pub(crate) async fn reopen(tx: &mut Tx, slip: &Slip, purpose: &str) -> Result<()> {
    let (prefix, year) = (slip.number.prefix.as_str(), slip.number.fiscal_year);
    open(tx, slip.registration_id, slip.till_id, prefix, purpose).await?;
    keep_apart(tx, slip.registration_id, prefix, year, purpose).await?;
    Ok(())
}

/// Records what became of a number; 0 when it is explained already. Waits for whoever is just explaining it. A document
/// under another id than the till's is `replaced`; without a document there is a reason.
pub(crate) async fn record(tx: &Tx, slip: &Slip, document: Option<InvoiceId>) -> Result<usize> {
    let outcome = match document {
        Some(id) if id == slip.claimed => "issued",
        Some(_) => "replaced",
        None => "void",
    };
    write(tx, slip, document, outcome, None).await
}

/// Records a number that is printed and void.
pub(crate) async fn record_void(
    tx: &Tx,
    slip: &Slip,
    reason: &str,
    issued: Option<InvoiceId>,
) -> Result<usize> {
    let outcome = if issued.is_some() {
        "issued_online"
    } else {
        "void"
    };
    write(tx, slip, issued, outcome, Some(reason)).await
}

async fn write(
    tx: &Tx,
    slip: &Slip,
    document: Option<InvoiceId>,
    outcome: &str,
    reason: Option<&str>,
) -> Result<usize> {
    let hash = Some(slip.hash.as_slice()).filter(|hash| !hash.is_empty());
    Ok(sql("
        insert into offline_number (tenant_id, registration_id, prefix, fiscal_year, running, number, outcome, till_id,
               session_id, document_id, claimed_id, reason, request_hash, cashier_id, sender_id, made_at, skew_ms,
               received_at, catalogue, differences)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
        on conflict do nothing")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(slip.registration_id)
    .bind::<Text, _>(slip.number.prefix.as_str())
    .bind::<Integer, _>(slip.number.fiscal_year)
    .bind::<BigInt, _>(slip.number.running)
    .bind::<Text, _>(slip.number.text())
    .bind::<Text, _>(outcome)
    .bind::<SqlUuid, _>(slip.till_id)
    .bind::<Nullable<SqlUuid>, _>(slip.session_id)
    .bind::<Nullable<SqlUuid>, _>(document)
    .bind::<SqlUuid, _>(slip.claimed)
    .bind::<Nullable<Text>, _>(reason)
    .bind::<Nullable<Bytea>, _>(hash)
    .bind::<SqlUuid, _>(slip.cashier)
    .bind::<Nullable<SqlUuid>, _>(slip.sender)
    .bind::<Timestamptz, _>(slip.made_at)
    .bind::<BigInt, _>(slip.skew.num_milliseconds())
    .bind::<Timestamptz, _>(slip.received_at)
    .bind::<Nullable<Text>, _>(slip.catalogue.as_deref())
    .bind::<Jsonb, _>(serde_json::to_value(&slip.differences)?)
    .execute(&mut tx.shared())
    .await?)
}

macro_rules! columns {
    () => {
        "o.registration_id, o.prefix, o.fiscal_year, o.running, o.number, o.outcome, o.till_id, o.session_id, o.document_id,
         o.claimed_id, o.reason, o.request_hash, o.cashier_id, o.sender_id, o.made_at, o.skew_ms, o.received_at, o.catalogue,
         o.differences"
    };
}

/// What became of a number.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Record {
    #[diesel(sql_type = SqlUuid)]
    pub registration_id: RegistrationId,
    #[diesel(sql_type = Text)]
    pub prefix: String,
    #[diesel(sql_type = Integer)]
    pub fiscal_year: i32,
    #[diesel(sql_type = BigInt)]
    pub running: i64,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Text)]
    pub outcome: String,
    #[diesel(sql_type = SqlUuid)]
    pub till_id: TillId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub session_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub document_id: Option<InvoiceId>,
    #[diesel(sql_type = SqlUuid)]
    pub claimed_id: InvoiceId,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = Nullable<Bytea>)]
    pub request_hash: Option<Vec<u8>>,
    #[diesel(sql_type = SqlUuid)]
    pub cashier_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub sender_id: Option<Uuid>,
    #[diesel(sql_type = Timestamptz)]
    pub made_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    pub skew_ms: i64,
    #[diesel(sql_type = Timestamptz)]
    pub received_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    pub catalogue: Option<String>,
    #[diesel(sql_type = Jsonb)]
    pub differences: serde_json::Value,
}

impl Record {
    /// The number, taken apart.
    pub(super) fn numbered(&self) -> Numbered {
        Numbered {
            prefix: self.prefix.clone(),
            fiscal_year: self.fiscal_year,
            running: self.running,
        }
    }
}

/// The records of numbers of a registration.
pub(super) async fn records(
    tx: &Tx,
    registration: RegistrationId,
    numbers: &[&Numbered],
) -> Result<HashMap<Numbered, Record>> {
    let rows: Vec<Record> = sql(concat!(
        "select ",
        columns!(),
        " from unnest($3, $4, $5) as n(prefix, fiscal_year, running)
          join offline_number o on o.tenant_id = $1 and o.registration_id = $2 and o.prefix = n.prefix
                               and o.fiscal_year = n.fiscal_year and o.running = n.running"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(registration)
    .bind::<Array<Text>, _>(numbers.iter().map(|n| n.prefix.as_str()).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(numbers.iter().map(|n| n.fiscal_year).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(numbers.iter().map(|n| n.running).collect::<Vec<_>>())
    .load(&mut tx.shared())
    .await?;
    Ok(rows.into_iter().map(|r| (r.numbered(), r)).collect())
}

/// The number under which a document was made while a till was away.
pub(super) async fn of_document(tx: &Tx, document: InvoiceId) -> Result<Option<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        number: String,
    }
    let rows: Vec<Row> = sql("select number from offline_number
          where tenant_id = $1 and document_id = $2 and outcome in ('issued', 'replaced') limit 1")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(document)
    .load(&mut tx.shared())
    .await?;
    Ok(rows.into_iter().next().map(|r| r.number))
}

/// The document that stands for the id that a till gave one: its own, unless that had been used otherwise.
pub(super) async fn standing_for(tx: &Tx, claimed: InvoiceId) -> Result<InvoiceId> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        id: InvoiceId,
    }
    let rows: Vec<Row> = sql("select document_id as id from offline_number
          where tenant_id = $1 and claimed_id = $2 and outcome = 'replaced' order by received_at limit 1")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(claimed)
    .load(&mut tx.shared())
    .await?;
    Ok(rows.into_iter().next().map_or(claimed, |r| r.id))
}

/// Numbers of a series that nothing is known of, though later ones are.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Gap {
    #[diesel(sql_type = Text)]
    pub prefix: String,
    #[diesel(sql_type = Integer)]
    pub fiscal_year: i32,
    #[diesel(sql_type = BigInt)]
    pub first: i64,
    #[diesel(sql_type = BigInt)]
    pub last: i64,
}

/// Most gaps that are told of a series.
pub(super) const MOST_GAPS: i64 = 100;

/// The gaps of a till's series, the lowest of each year first.
pub(super) async fn gaps(tx: &Tx, registration: RegistrationId, prefix: &str) -> Result<Vec<Gap>> {
    Ok(sql("
        select prefix, fiscal_year, before + 1 as first, running - 1 as last
          from (select prefix, fiscal_year, running,
                       lag(running, 1, 0::bigint) over (partition by fiscal_year order by running) as before
                  from offline_number where tenant_id = $1 and registration_id = $2 and prefix = $3) n
         where running > before + 1 order by fiscal_year, running limit $4")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(registration)
    .bind::<Text, _>(prefix)
    .bind::<BigInt, _>(MOST_GAPS)
    .load(&mut tx.shared())
    .await?)
}

/// How far a series has come in each year.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Reached {
    #[diesel(sql_type = Integer)]
    pub fiscal_year: i32,
    #[diesel(sql_type = BigInt)]
    pub last: i64,
}

/// The highest number of each year.
pub(super) async fn reached(
    tx: &Tx,
    registration: RegistrationId,
    prefix: &str,
) -> Result<Vec<Reached>> {
    Ok(sql("
        select fiscal_year, max(running) as last from offline_number
         where tenant_id = $1 and registration_id = $2 and prefix = $3 group by fiscal_year order by fiscal_year")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(registration)
    .bind::<Text, _>(prefix)
    .load(&mut tx.shared())
    .await?)
}

/// A page of the numbers of a till, the newest first, and how many there are.
pub(super) async fn list(
    tx: &Tx,
    till: Option<TillId>,
    only_differing: bool,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Record>, i64)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql(concat!(
        "select ",
        columns!(),
        " from offline_number o
          where o.tenant_id = $1 and ($2 is null or o.till_id = $2) and (not $3 or o.differences <> '[]')
          order by o.received_at desc, o.prefix, o.fiscal_year desc, o.running desc limit $4 offset $5"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(till)
    .bind::<diesel::sql_types::Bool, _>(only_differing)
    .bind::<BigInt, _>(limit)
    .bind::<BigInt, _>(offset)
    .load(&mut reader);
    let total = sql("select count(*) as total from offline_number o
          where o.tenant_id = $1 and ($2 is null or o.till_id = $2) and (not $3 or o.differences <> '[]')")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(till)
    .bind::<diesel::sql_types::Bool, _>(only_differing)
    .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}
