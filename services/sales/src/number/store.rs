//! Every statement on series. The counters themselves are raised by the statements that insert the documents.

use bahi_db::{Result, Tx, sql};
use bahi_types::RegistrationId;
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{BigInt, Bool, Integer, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use Purpose::{CreditNote, DebitNote, Delivery, Invoice, Order, PriceNote, Quotation, Receipt};

use super::Counter;

/// What a series numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// Invoices.
    Invoice,
    /// Credit notes on goods that came back.
    CreditNote,
    /// Credit notes that lower prices.
    PriceNote,
    /// Debit notes.
    DebitNote,
    /// Receipts.
    Receipt,
    /// Quotations.
    Quotation,
    /// Orders.
    Order,
    /// Deliveries: challans.
    Delivery,
}

impl Purpose {
    /// As it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::CreditNote => "credit_note",
            Self::PriceNote => "price_note",
            Self::DebitNote => "debit_note",
            Self::Receipt => "receipt",
            Self::Quotation => "quotation",
            Self::Order => "order",
            Self::Delivery => "delivery",
        }
    }
}

/// The prefix of a document of no till: the one asked for, if it is open; else the newest; else the built-in one.
/// `None` when the one asked for is not open.
pub(crate) async fn prefix(
    tx: &Tx,
    registration: RegistrationId,
    purpose: Purpose,
    asked: Option<&str>,
) -> Result<Option<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        prefix: String,
    }
    let built_in = match purpose {
        Invoice => super::INVOICES,
        CreditNote => super::CREDIT_NOTES,
        PriceNote => super::PRICE_NOTES,
        DebitNote => super::DEBIT_NOTES,
        Receipt => super::RECEIPTS,
        Quotation => super::QUOTATIONS,
        Order => super::ORDERS,
        Delivery => super::DELIVERIES,
    };
    let asked = asked.map(str::to_ascii_uppercase);
    if asked.as_deref() == Some(built_in) {
        return Ok(asked);
    }
    let open: Option<Row> = sql("select prefix from series where tenant_id = $1 and registration_id = $2 and purpose = $3
                                  and ($4 = '' or prefix = $4) order by opened_at desc, prefix limit 1")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(registration)
        .bind::<Text, _>(purpose.name())
        .bind::<Text, _>(asked.as_deref().unwrap_or_default())
        .get_result(&mut tx.shared())
        .await
        .optional()?;
    Ok(match (open, asked) {
        (Some(row), _) => Some(row.prefix),
        (None, None) => Some(built_in.to_owned()),
        (None, Some(_)) => None,
    })
}

/// A number, taken.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Taken {
    #[diesel(sql_type = BigInt)]
    pub running: i64,
    #[diesel(sql_type = Text)]
    pub number: String,
}

/// Takes the next number of a counter; `None` when its prefix numbers other documents. Late in a transaction: whoever
/// numbers by the same counter waits for its end.
pub(crate) async fn take(
    tx: &mut Tx,
    registration: RegistrationId,
    counter: &Counter,
    purpose: Purpose,
) -> Result<Option<Taken>> {
    Ok(sql("
        insert into number_counter as c (tenant_id, registration_id, prefix, fiscal_year, purpose, next)
        values ($1, $2, $3, $4, $5, 2)
        on conflict (tenant_id, registration_id, prefix, fiscal_year)
        do update set next = c.next + 1 where c.purpose = excluded.purpose
        returning next - 1 as running,
                  $6 || lpad((next - 1)::text, greatest(4, length((next - 1)::text)), '0') as number")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(registration)
    .bind::<Text, _>(counter.prefix.as_str())
    .bind::<Integer, _>(counter.year.start_year())
    .bind::<Text, _>(purpose.name())
    .bind::<Text, _>(counter.stem())
    .get_result(tx.conn())
    .await
    .optional()?)
}

/// Opens a series; 0 when the prefix is open already.
pub(super) async fn open(
    tx: &mut Tx,
    registration: RegistrationId,
    prefix: &str,
    purpose: Purpose,
) -> Result<usize> {
    Ok(sql(
        "insert into series (tenant_id, registration_id, prefix, purpose, opened_at)
            values ($1, $2, $3, $4, $5) on conflict do nothing",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(registration)
    .bind::<Text, _>(prefix)
    .bind::<Text, _>(purpose.name())
    .bind::<Timestamptz, _>(tx.now())
    .execute(tx.conn())
    .await?)
}

/// Whether the prefix is a till's, online or away, or numbers other documents already.
pub(crate) async fn taken(
    tx: &mut Tx,
    registration: RegistrationId,
    prefix: &str,
    purpose: Purpose,
) -> Result<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        taken: bool,
    }
    let row: Row = sql("select exists (select 1 from till t join branch b on b.tenant_id = t.tenant_id and b.branch_id = t.branch_id
                                        where t.tenant_id = $1 and b.registration_id = $2 and upper(t.series) = $3)
                            or exists (select 1 from offline_series where tenant_id = $1 and registration_id = $2 and prefix = $3)
                            or exists (select 1 from number_counter where tenant_id = $1 and registration_id = $2
                                        and prefix = $3 and purpose <> $4) as taken")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(registration)
        .bind::<Text, _>(prefix)
        .bind::<Text, _>(purpose.name())
        .get_result(tx.conn())
        .await?;
    Ok(row.taken)
}

/// Whether the registration is known.
pub(super) async fn registration_known(tx: &mut Tx, registration: RegistrationId) -> Result<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        known: bool,
    }
    let row: Row =
        sql("select exists (select 1 from registration where tenant_id = $1 and registration_id = $2) as known")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<SqlUuid, _>(registration)
            .get_result(tx.conn())
            .await?;
    Ok(row.known)
}

/// A counter, as the document summary of a return (table 13) needs it.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct CounterRow {
    #[diesel(sql_type = SqlUuid)]
    pub registration_id: RegistrationId,
    #[diesel(sql_type = Text)]
    pub prefix: String,
    #[diesel(sql_type = Integer)]
    pub fiscal_year: i32,
    #[diesel(sql_type = Text)]
    pub purpose: String,
    #[diesel(sql_type = BigInt)]
    pub used: i64,
}

/// A page of the counters in use, and how many there are.
pub(super) async fn counters(tx: &Tx, limit: i64, offset: i64) -> Result<(Vec<CounterRow>, i64)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql(
        "select registration_id, prefix, fiscal_year, purpose, next - 1 as used from number_counter
                     where tenant_id = $1 and purpose in ('invoice', 'credit_note')
                     order by registration_id, prefix, fiscal_year limit $2 offset $3",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<BigInt, _>(limit)
    .bind::<BigInt, _>(offset)
    .load(&mut reader);
    let total = sql("select count(*) as total from number_counter
                      where tenant_id = $1 and purpose in ('invoice', 'credit_note')")
    .bind::<SqlUuid, _>(tx.tenant())
    .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}
