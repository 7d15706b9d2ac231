//! Every statement on invoices. What a sale writes goes out in one pipeline, one statement a table.

use std::collections::HashMap;

use bahi_db::{Result, Tx, sql};
use bahi_http::Timed;
use bahi_types::{InvoiceId, Money, Quantity};
use chrono::NaiveDate;
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Date, Integer, Jsonb, Nullable, Numeric, Text, Timestamptz,
        Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Header, Invoice, Line, Tender};
use crate::number::Counter;

macro_rules! header_columns {
    () => {
        "invoice_id, registration_id, fiscal_year, series, date, issued_at, kind, gstin_supplier, gstin_buyer,
         place_of_supply, inter_state, reverse_charge, branch_id, location_id, till_id, session_id, customer_id,
         buyer_name, buyer_phone, buyer_address, buyer_state, cashier_id, salesperson_id, reservation_id,
         demand_hash, gross, discount, taxable, cgst, sgst, igst, cess, round_off, round_to_rupee, total, tendered,
         tendered_cash, change, credit, external_reference, external_date, number, currency, returned,
         returned_credit, paid, credited, credited_credit, debited, open, status, version, pricing, reference, note,
         delivery_contact"
    };
}
macro_rules! line_columns {
    () => {
        "line, product_id, sku, description, stocked, hsn, uqc, qty, unit_price, price_includes_tax, list_price,
         override_reason, gross, discount, bill_discount, tax_category, rate, cess_rate, taxable, cgst, sgst, igst,
          cess, total, batches, serials, returned_qty, returned_taxable, returned_cgst, returned_sgst, returned_igst,
          returned_cess, credited_taxable, credited_cgst, credited_sgst, credited_igst, credited_cess, debited_taxable,
          debited_cgst, debited_sgst, debited_igst, debited_cess, pricing, of_order"
    };
}

/// Takes the next number of the counter, or the `printed` one, and writes the header with it; `None` when the prefix
/// numbers other documents.
pub(super) async fn insert(
    tx: &Tx,
    header: &Header,
    counter: &Counter,
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
          select $1, $3, $5, $4, 'invoice', 2 where $45 is null
          on conflict (tenant_id, registration_id, prefix, fiscal_year)
          do update set next = c.next + 1 where c.purpose = excluded.purpose
          returning next - 1 as running)
        insert into invoice (tenant_id, invoice_id, registration_id, fiscal_year, series, date, issued_at, kind, gstin_supplier,
                             gstin_buyer, place_of_supply, inter_state, reverse_charge, branch_id, location_id, till_id,
                             session_id, customer_id, buyer_name, buyer_phone, buyer_address, buyer_state, cashier_id,
                             salesperson_id, reservation_id, demand_hash, gross, discount, taxable, cgst, sgst, igst,
                             cess, round_off, round_to_rupee, total, tendered, tendered_cash, change, credit,
                             external_reference, external_date, pricing,
                             running, number)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
               $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39,
               $40, $41, $42, $44,
               n.running, $43 || lpad(n.running::text, greatest(4, length(n.running::text)), '0')
          from (select running from n union all select $45 where $45 is not null) n
        returning number")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(header.invoice_id)
    .bind::<SqlUuid, _>(header.registration_id)
    .bind::<Integer, _>(header.fiscal_year)
    .bind::<Text, _>(header.series.as_str())
    .bind::<Date, _>(header.date)
    .bind::<Timestamptz, _>(header.issued_at)
    .bind::<Text, _>(header.kind.as_str())
    .bind::<Nullable<Text>, _>(header.gstin_supplier.as_deref())
    .bind::<Nullable<Text>, _>(header.gstin_buyer.as_deref())
    .bind::<Text, _>(header.place_of_supply.as_str())
    .bind::<Bool, _>(header.inter_state)
    .bind::<Bool, _>(header.reverse_charge)
    .bind::<SqlUuid, _>(header.branch_id)
    .bind::<SqlUuid, _>(header.location_id)
    .bind::<Nullable<SqlUuid>, _>(header.till_id)
    .bind::<Nullable<SqlUuid>, _>(header.session_id)
    .bind::<Nullable<SqlUuid>, _>(header.customer_id)
    .bind::<Nullable<Text>, _>(header.buyer_name.as_deref())
    .bind::<Nullable<Text>, _>(header.buyer_phone.as_deref())
    .bind::<Nullable<Text>, _>(header.buyer_address.as_deref())
    .bind::<Nullable<Text>, _>(header.buyer_state.as_deref())
    .bind::<Nullable<SqlUuid>, _>(header.cashier_id)
    .bind::<Nullable<SqlUuid>, _>(header.salesperson_id)
    .bind::<SqlUuid, _>(header.reservation_id)
    .bind::<Text, _>(header.demand_hash.as_str())
    .bind::<Numeric, _>(header.gross)
    .bind::<Numeric, _>(header.discount)
    .bind::<Numeric, _>(header.taxable)
    .bind::<Numeric, _>(header.cgst)
    .bind::<Numeric, _>(header.sgst)
    .bind::<Numeric, _>(header.igst)
    .bind::<Numeric, _>(header.cess)
    .bind::<Numeric, _>(header.round_off)
    .bind::<Bool, _>(header.round_to_rupee)
    .bind::<Numeric, _>(header.total)
    .bind::<Numeric, _>(header.tendered)
    .bind::<Numeric, _>(header.tendered_cash)
    .bind::<Numeric, _>(header.change)
    .bind::<Numeric, _>(header.credit)
    .bind::<Nullable<Text>, _>(header.external_reference.as_deref())
    .bind::<Nullable<Timestamptz>, _>(header.external_date)
    .bind::<Text, _>(counter.stem())
    .bind::<Nullable<Jsonb>, _>(header.pricing.as_ref())
    .bind::<Nullable<BigInt>, _>(printed)
    .get_result(&mut tx.shared())
    .await
    .optional()?;
    Ok(row.map(|r| r.number))
}

/// Writes the lines.
pub(super) async fn insert_lines(tx: &Tx, invoice: InvoiceId, lines: &[Line]) -> Result<usize> {
    Ok(sql("
        insert into invoice_line (tenant_id, invoice_id, line, product_id, sku, description, stocked, hsn, uqc, qty, unit_price, price_includes_tax,
                                  list_price, override_reason, gross, discount, bill_discount, tax_category, rate, cess_rate,
                                  taxable, cgst, sgst, igst, cess, total, batches, pricing, serials, of_order)
        select $1, $2, n.* from unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                                   $22, $23, $24, $25, $26, $27, $28, $29, $30) as n")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .bind::<Array<Integer>, _>(lines.iter().map(|l| l.line).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.product_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.sku.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.description.as_str()).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(lines.iter().map(|l| l.stocked).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.hsn.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.uqc.as_str()).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.qty).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.unit_price).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(lines.iter().map(|l| l.price_includes_tax).collect::<Vec<_>>())
    .bind::<Array<Nullable<Numeric>>, _>(lines.iter().map(|l| l.list_price).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(lines.iter().map(|l| l.override_reason.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.gross).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.discount).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.bill_discount).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.tax_category.as_str()).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.rate).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.cess_rate).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.taxable).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.cgst).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.sgst).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.igst).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.cess).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.total).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(lines.iter().map(|l| &l.batches).collect::<Vec<_>>())
    .bind::<Array<Nullable<Jsonb>>, _>(lines.iter().map(|l| l.pricing.as_ref()).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(lines.iter().map(|l| &l.serials).collect::<Vec<_>>())
    .bind::<Array<Nullable<Jsonb>>, _>(lines.iter().map(|l| l.of_order.as_ref()).collect::<Vec<_>>())
    .execute(&mut tx.shared())
    .await?)
}

/// What tenders pay, or pay back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paid {
    Invoice,
    CreditNote,
    PriceNote,
    Cancellation,
}

/// Writes the tenders of a document.
pub(crate) async fn insert_tenders(
    tx: &Tx,
    paid: Paid,
    document: Uuid,
    tenders: &[Tender],
) -> Result<usize> {
    macro_rules! into {
        ($table:literal, $document:literal) => {
            concat!(
                "insert into ",
                $table,
                " (tenant_id, ",
                $document,
                ", tender, method, amount, reference)
                 select $1, $2, n.tender, n.method, n.amount, n.reference
                   from unnest($3, $4, $5) with ordinality as n(method, amount, reference, tender)"
            )
        };
    }
    if tenders.is_empty() {
        return Ok(0);
    }
    let text = match paid {
        Paid::Invoice => into!("invoice_tender", "invoice_id"),
        Paid::CreditNote => into!("credit_note_tender", "credit_note_id"),
        Paid::PriceNote => into!("price_note_tender", "note_id"),
        Paid::Cancellation => into!("cancellation_tender", "invoice_id"),
    };
    let references = tenders.iter().map(|t| t.reference.as_deref());
    Ok(sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(document)
        .bind::<Array<Text>, _>(
            tenders
                .iter()
                .map(|t| t.method.as_str())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Numeric>, _>(tenders.iter().map(|t| t.amount).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(references.collect::<Vec<_>>())
        .execute(&mut tx.shared())
        .await?)
}

/// An invoice with its lines and tenders.
pub(crate) async fn get(tx: &Tx, invoice: InvoiceId) -> Result<Option<Invoice>> {
    let (mut a, mut b, mut c) = (tx.shared(), tx.shared(), tx.shared());
    let header = sql(concat!(
        "select ",
        header_columns!(),
        " from invoice where tenant_id = $1 and invoice_id = $2"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .load::<Header>(&mut a);
    let lines = sql(concat!(
        "select ",
        line_columns!(),
        " from invoice_line where tenant_id = $1 and invoice_id = $2 order by line"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .load::<Line>(&mut b);
    let tenders = sql("select method, amount, reference from invoice_tender where tenant_id = $1 and invoice_id = $2 order by tender")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(invoice)
        .load::<Tender>(&mut c);
    let (header, lines, tenders) = futures::try_join!(header, lines, tenders)?;
    Ok(header.into_iter().next().map(|header| Invoice {
        header,
        lines,
        tenders,
    }))
}

/// Invoices by id, with their lines and tenders.
pub(super) async fn by_ids(tx: &Tx, ids: &[InvoiceId]) -> Result<Vec<Invoice>> {
    #[derive(QueryableByName)]
    struct LineRow {
        #[diesel(sql_type = SqlUuid)]
        invoice_id: InvoiceId,
        #[diesel(embed)]
        line: Line,
    }
    #[derive(QueryableByName)]
    struct TenderRow {
        #[diesel(sql_type = SqlUuid)]
        invoice_id: InvoiceId,
        #[diesel(embed)]
        tender: Tender,
    }
    let (mut a, mut b, mut c) = (tx.shared(), tx.shared(), tx.shared());
    let headers = sql(concat!(
        "select ",
        header_columns!(),
        " from invoice where tenant_id = $1 and invoice_id = any ($2)"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load::<Header>(&mut a);
    let lines = sql(concat!(
        "select invoice_id, ",
        line_columns!(),
        " from invoice_line where tenant_id = $1 and invoice_id = any ($2) order by invoice_id, line"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load::<LineRow>(&mut b);
    let tenders = sql(
        "select invoice_id, method, amount, reference from invoice_tender
                        where tenant_id = $1 and invoice_id = any ($2) order by invoice_id, tender",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load::<TenderRow>(&mut c);
    let (headers, lines, tenders) = futures::try_join!(headers, lines, tenders)?;
    let mut parts: HashMap<InvoiceId, (Vec<Line>, Vec<Tender>)> = HashMap::new();
    for row in lines {
        parts.entry(row.invoice_id).or_default().0.push(row.line);
    }
    for row in tenders {
        parts.entry(row.invoice_id).or_default().1.push(row.tender);
    }
    let whole = |header: Header| {
        let (lines, tenders) = parts.remove(&header.invoice_id).unwrap_or_default();
        Invoice {
            header,
            lines,
            tenders,
        }
    };
    Ok(headers.into_iter().map(whole).collect())
}

/// An invoice's header, locked.
pub(crate) async fn lock(tx: &mut Tx, invoice: InvoiceId) -> Result<Option<Header>> {
    Ok(sql(concat!(
        "select ",
        header_columns!(),
        " from invoice where tenant_id = $1 and invoice_id = $2 for update"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .get_result(tx.conn())
    .await
    .optional()?)
}

/// What came back of a line, in all.
#[derive(Clone, Debug)]
pub(crate) struct ReturnedLine {
    pub line: i32,
    pub qty: Quantity,
    pub taxable: Money,
    pub cgst: Money,
    pub sgst: Money,
    pub igst: Money,
    pub cess: Money,
}

/// Sets what came back of lines of a locked invoice.
pub(crate) async fn return_lines(
    tx: &mut Tx,
    invoice: InvoiceId,
    lines: &[ReturnedLine],
) -> Result<()> {
    sql("update invoice_line l set returned_qty = n.qty, returned_taxable = n.taxable, returned_cgst = n.cgst,
                returned_sgst = n.sgst, returned_igst = n.igst, returned_cess = n.cess
           from unnest($3, $4, $5, $6, $7, $8, $9) as n(line, qty, taxable, cgst, sgst, igst, cess)
          where l.tenant_id = $1 and l.invoice_id = $2 and l.line = n.line")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .bind::<Array<Integer>, _>(lines.iter().map(|l| l.line).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.qty).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.taxable).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.cgst).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.sgst).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.igst).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.cess).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Moves a locked invoice on to its next version.
pub(crate) async fn credit_back(
    tx: &mut Tx,
    invoice: InvoiceId,
    returned: Money,
    returned_credit: Money,
    status: &str,
    version: i64,
) -> Result<()> {
    sql(
        "update invoice set returned = $3, returned_credit = $4, status = $5, version = $6
          where tenant_id = $1 and invoice_id = $2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .bind::<Numeric, _>(returned)
    .bind::<Numeric, _>(returned_credit)
    .bind::<Text, _>(status)
    .bind::<BigInt, _>(version)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Which invoices a list shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub number: Option<String>,
    pub date_from: Option<NaiveDate>,
    pub date_to: Option<NaiveDate>,
    pub branch_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
    pub external_reference: Option<String>,
    pub walk: Timed,
}

macro_rules! filters {
    () => {
        " where tenant_id = $1 and ($2 is null or number = $2) and ($3 is null or date >= $3) and ($4 is null or date <= $4)
            and ($5 is null or branch_id = $5) and ($6 is null or session_id = $6)
            and ($7 is null or external_reference = $7)"
    };
}
macro_rules! listing {
    ($than:literal, $direction:literal) => {
        concat!(
            "select ",
            header_columns!(),
            " from invoice",
            filters!(),
            " and ($8 is null or (issued_at, invoice_id) ",
            $than,
            " ($8, $9))
              order by issued_at ",
            $direction,
            ", invoice_id ",
            $direction,
            " limit $10 offset $11"
        )
    };
}

/// A page of invoices, and how many there are.
pub(super) async fn list(tx: &Tx, filter: &Filter) -> Result<(Vec<Header>, i64)> {
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
        .bind::<Nullable<Date>, _>(filter.date_from)
        .bind::<Nullable<Date>, _>(filter.date_to)
        .bind::<Nullable<SqlUuid>, _>(filter.branch_id)
        .bind::<Nullable<SqlUuid>, _>(filter.session_id)
        .bind::<Nullable<Text>, _>(filter.external_reference.as_deref())
        .bind::<Nullable<Timestamptz>, _>(filter.walk.after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(filter.walk.after.map(|a| a.1))
        .bind::<BigInt, _>(filter.walk.limit)
        .bind::<BigInt, _>(filter.walk.offset)
        .load(&mut reader);
    let total = sql(concat!("select count(*) as total from invoice", filters!()))
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<Text>, _>(filter.number.as_deref())
        .bind::<Nullable<Date>, _>(filter.date_from)
        .bind::<Nullable<Date>, _>(filter.date_to)
        .bind::<Nullable<SqlUuid>, _>(filter.branch_id)
        .bind::<Nullable<SqlUuid>, _>(filter.session_id)
        .bind::<Nullable<Text>, _>(filter.external_reference.as_deref())
        .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}
