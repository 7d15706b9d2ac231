//! Every statement on credit notes.

use std::collections::HashMap;

use bahi_db::{Result, Tx, sql};
use bahi_http::Timed;
use bahi_types::{InvoiceId, Money};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Date, Integer, Jsonb, Nullable, Numeric, Text, Timestamptz,
        Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{CreditNote, NoteHeader, NoteLine};
use crate::{
    invoice::{Paid, Tender, insert_tenders, serials_of},
    number::Counter,
};

macro_rules! columns {
    () => {
        "credit_note_id, registration_id, fiscal_year, series, number, date, issued_at, original_invoice_id, gstin_supplier,
         gstin_buyer, place_of_supply, inter_state, branch_id, location_id, till_id, session_id, cashier_id, reason, taxable,
         cgst, sgst, igst, cess, round_off, total, currency, external_reference, version"
    };
}

/// Takes the next number of the counter, or the `printed` one, and writes the header with it; `None` when the prefix
/// numbers other documents.
pub(super) async fn insert(
    tx: &mut Tx,
    header: &NoteHeader,
    counter: &Counter,
    refunded: Money,
    printed: Option<i64>,
) -> Result<Option<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        number: String,
    }
    let row: Option<Row> = sql("
        with n as (
          insert into number_counter as c (tenant_id, registration_id, prefix, fiscal_year, purpose, next)
          select $1, $3, $5, $4, 'credit_note', 2 where $29 is null
          on conflict (tenant_id, registration_id, prefix, fiscal_year)
          do update set next = c.next + 1 where c.purpose = excluded.purpose
          returning next - 1 as running)
        insert into credit_note (tenant_id, credit_note_id, registration_id, fiscal_year, series, date, issued_at,
               original_invoice_id, gstin_supplier, gstin_buyer, place_of_supply, inter_state, branch_id, location_id, till_id,
               session_id, cashier_id, reason, taxable, cgst, sgst, igst, cess, round_off, total, refunded,
               external_reference, running, number)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
               $25, $26, $27, n.running, $28 || lpad(n.running::text, greatest(4, length(n.running::text)), '0')
          from (select running from n union all select $29 where $29 is not null) n
        returning number")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(header.credit_note_id)
    .bind::<SqlUuid, _>(header.registration_id)
    .bind::<Integer, _>(header.fiscal_year)
    .bind::<Text, _>(header.series.as_str())
    .bind::<Date, _>(header.date)
    .bind::<Timestamptz, _>(header.issued_at)
    .bind::<Nullable<SqlUuid>, _>(header.original_invoice_id)
    .bind::<Nullable<Text>, _>(header.gstin_supplier.as_deref())
    .bind::<Nullable<Text>, _>(header.gstin_buyer.as_deref())
    .bind::<Text, _>(header.place_of_supply.as_str())
    .bind::<Bool, _>(header.inter_state)
    .bind::<SqlUuid, _>(header.branch_id)
    .bind::<SqlUuid, _>(header.location_id)
    .bind::<Nullable<SqlUuid>, _>(header.till_id)
    .bind::<Nullable<SqlUuid>, _>(header.session_id)
    .bind::<Nullable<SqlUuid>, _>(header.cashier_id)
    .bind::<Nullable<Text>, _>(header.reason.as_deref())
    .bind::<Numeric, _>(header.taxable)
    .bind::<Numeric, _>(header.cgst)
    .bind::<Numeric, _>(header.sgst)
    .bind::<Numeric, _>(header.igst)
    .bind::<Numeric, _>(header.cess)
    .bind::<Numeric, _>(header.round_off)
    .bind::<Numeric, _>(header.total)
    .bind::<Numeric, _>(refunded)
    .bind::<Nullable<Text>, _>(header.external_reference.as_deref())
    .bind::<Text, _>(counter.stem())
    .bind::<Nullable<BigInt>, _>(printed)
    .get_result(tx.conn())
    .await
    .optional()?;
    Ok(row.map(|r| r.number))
}

/// Writes lines and refunds.
pub(super) async fn insert_parts(tx: &mut Tx, note: &CreditNote) -> Result<()> {
    let lines = &note.lines;
    sql("
        insert into credit_note_line (tenant_id, credit_note_id, original_invoice_id, line, original_line, product_id,
               description, stocked, hsn, uqc, qty, tax_category, rate, cess_rate, taxable, cgst, sgst, igst, cess, total,
               disposition, serials)
        select $1, $2, $3, n.* from unnest($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) as n")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(note.header.credit_note_id)
    .bind::<Nullable<SqlUuid>, _>(note.header.original_invoice_id)
    .bind::<Array<Integer>, _>(lines.iter().map(|l| l.line).collect::<Vec<_>>())
    .bind::<Array<Nullable<Integer>>, _>(lines.iter().map(|l| l.original_line).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.product_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.description.as_str()).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(lines.iter().map(|l| l.stocked).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.hsn.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.uqc.as_str()).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.qty).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.tax_category.as_str()).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.rate).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.cess_rate).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.taxable).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.cgst).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.sgst).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.igst).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.cess).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.total).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.disposition.as_str()).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(lines.iter().map(|l| &l.serials).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    let id = note.header.credit_note_id.uuid();
    insert_tenders(tx, Paid::CreditNote, id, &note.tenders).await?;
    Ok(())
}

/// Pieces of an invoice that came back, by its lines.
pub(super) async fn returned_serials(
    tx: &Tx,
    original: InvoiceId,
) -> Result<Vec<(i32, Vec<String>)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Integer)]
        original_line: i32,
        #[diesel(sql_type = Jsonb)]
        serials: serde_json::Value,
    }
    let rows: Vec<Row> = sql("select original_line, serials from credit_note_line
         where tenant_id = $1 and original_invoice_id = $2 and original_line is not null and serials <> '[]'")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(original)
    .load(&mut tx.shared())
    .await?;
    let row = |r: Row| (r.original_line, serials_of(&r.serials));
    Ok(rows.into_iter().map(row).collect())
}

/// A credit note with its lines and refunds.
pub(crate) async fn get(tx: &Tx, note: InvoiceId) -> Result<Option<CreditNote>> {
    let (mut a, mut b, mut c) = (tx.shared(), tx.shared(), tx.shared());
    let header = sql(concat!(
        "select ",
        columns!(),
        " from credit_note where tenant_id = $1 and credit_note_id = $2"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(note)
    .load::<NoteHeader>(&mut a);
    let lines = sql("select line, original_line, product_id, description, stocked, hsn, uqc, qty, tax_category, rate, cess_rate,
                            taxable, cgst, sgst, igst, cess, total, disposition, serials
                       from credit_note_line where tenant_id = $1 and credit_note_id = $2 order by line")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(note)
    .load::<NoteLine>(&mut b);
    let tenders = sql("select method, amount, reference from credit_note_tender
                        where tenant_id = $1 and credit_note_id = $2 order by tender")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(note)
    .load::<Tender>(&mut c);
    let (header, lines, tenders) = futures::try_join!(header, lines, tenders)?;
    Ok(header.into_iter().next().map(|header| CreditNote {
        header,
        lines,
        tenders,
    }))
}

/// Credit notes by id, with their lines and refunds.
pub(super) async fn by_ids(tx: &Tx, ids: &[InvoiceId]) -> Result<Vec<CreditNote>> {
    #[derive(QueryableByName)]
    struct LineRow {
        #[diesel(sql_type = SqlUuid)]
        credit_note_id: InvoiceId,
        #[diesel(embed)]
        line: NoteLine,
    }
    #[derive(QueryableByName)]
    struct TenderRow {
        #[diesel(sql_type = SqlUuid)]
        credit_note_id: InvoiceId,
        #[diesel(embed)]
        tender: Tender,
    }
    let (mut a, mut b, mut c) = (tx.shared(), tx.shared(), tx.shared());
    let headers = sql(concat!(
        "select ",
        columns!(),
        " from credit_note where tenant_id = $1 and credit_note_id = any ($2)"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load::<NoteHeader>(&mut a);
    let lines = sql("select credit_note_id, line, original_line, product_id, description, stocked, hsn, uqc, qty, tax_category,
                            rate, cess_rate, taxable, cgst, sgst, igst, cess, total, disposition, serials
                       from credit_note_line where tenant_id = $1 and credit_note_id = any ($2)
                      order by credit_note_id, line")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load::<LineRow>(&mut b);
    let tenders = sql("select credit_note_id, method, amount, reference from credit_note_tender
                        where tenant_id = $1 and credit_note_id = any ($2) order by credit_note_id, tender")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load::<TenderRow>(&mut c);
    let (headers, lines, tenders) = futures::try_join!(headers, lines, tenders)?;
    let mut parts: HashMap<InvoiceId, (Vec<NoteLine>, Vec<Tender>)> = HashMap::new();
    for row in lines {
        parts
            .entry(row.credit_note_id)
            .or_default()
            .0
            .push(row.line);
    }
    for row in tenders {
        let of = parts.entry(row.credit_note_id).or_default();
        of.1.push(row.tender);
    }
    let whole = |header: NoteHeader| {
        let (lines, tenders) = parts.remove(&header.credit_note_id).unwrap_or_default();
        CreditNote {
            header,
            lines,
            tenders,
        }
    };
    Ok(headers.into_iter().map(whole).collect())
}

/// Headers of what came back of these invoices, the oldest first.
pub(super) async fn of_invoices(tx: &mut Tx, ids: &[InvoiceId]) -> Result<Vec<NoteHeader>> {
    Ok(sql(concat!(
        "select ",
        columns!(),
        " from credit_note where tenant_id = $1 and original_invoice_id = any ($2) order by issued_at, credit_note_id"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx.conn())
    .await?)
}

/// Which credit notes a list shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub number: Option<String>,
    pub original_invoice_id: Option<Uuid>,
    pub branch_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
    pub walk: Timed,
}

macro_rules! filters {
    () => {
        " where tenant_id = $1 and ($2 is null or number = $2) and ($3 is null or original_invoice_id = $3)
            and ($4 is null or branch_id = $4) and ($5 is null or session_id = $5)"
    };
}
macro_rules! listing {
    ($than:literal, $direction:literal) => {
        concat!(
            "select ",
            columns!(),
            " from credit_note",
            filters!(),
            " and ($6 is null or (issued_at, credit_note_id) ",
            $than,
            " ($6, $7))
              order by issued_at ",
            $direction,
            ", credit_note_id ",
            $direction,
            " limit $8 offset $9"
        )
    };
}

/// A page of credit notes, and how many there are.
pub(super) async fn list(tx: &Tx, filter: &Filter) -> Result<(Vec<NoteHeader>, i64)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let text = if filter.walk.descending {
        listing!("<", "desc")
    } else {
        listing!(">", "asc")
    };
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<Text>, _>(filter.number.as_deref())
        .bind::<Nullable<SqlUuid>, _>(filter.original_invoice_id)
        .bind::<Nullable<SqlUuid>, _>(filter.branch_id)
        .bind::<Nullable<SqlUuid>, _>(filter.session_id)
        .bind::<Nullable<Timestamptz>, _>(filter.walk.after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(filter.walk.after.map(|a| a.1))
        .bind::<BigInt, _>(filter.walk.limit)
        .bind::<BigInt, _>(filter.walk.offset)
        .load(&mut reader);
    let total = sql(concat!(
        "select count(*) as total from credit_note",
        filters!()
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<Text>, _>(filter.number.as_deref())
    .bind::<Nullable<SqlUuid>, _>(filter.original_invoice_id)
    .bind::<Nullable<SqlUuid>, _>(filter.branch_id)
    .bind::<Nullable<SqlUuid>, _>(filter.session_id)
    .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}
