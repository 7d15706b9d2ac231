//! Every statement on notes on prices.

use bahi_db::{Result, Tx, sql};
use bahi_http::Timed;
use bahi_types::{InvoiceId, Money};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Date, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Kind, Note, NoteHeader, NoteLine};
use crate::{
    invoice::{Paid, Tender, insert_tenders},
    number::{Counter, Purpose},
};

macro_rules! columns {
    () => {
        "note_id, kind, registration_id, fiscal_year, series, number, date, issued_at, original_invoice_id, customer_id,
         gstin_supplier, gstin_buyer, place_of_supply, inter_state, branch_id, session_id, issued_by, reason, taxable,
         cgst, sgst, igst, cess, round_off, total, currency"
    };
}

/// Takes the next number of the counter and writes the header with it; `None` when the prefix numbers other documents.
pub(super) async fn insert(
    tx: &mut Tx,
    header: &NoteHeader,
    counter: &Counter,
    purpose: Purpose,
    refunded: Money,
) -> Result<Option<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        number: String,
    }
    let row: Option<Row> = sql("
        with n as (
          insert into number_counter as c (tenant_id, registration_id, prefix, fiscal_year, purpose, next)
          values ($1, $4, $6, $5, $26, 2)
          on conflict (tenant_id, registration_id, prefix, fiscal_year)
          do update set next = c.next + 1 where c.purpose = excluded.purpose
          returning next - 1 as running)
        insert into price_note (tenant_id, note_id, kind, registration_id, fiscal_year, series, date, issued_at,
               original_invoice_id, customer_id, gstin_supplier, gstin_buyer, place_of_supply, inter_state, branch_id,
               session_id, issued_by, reason, taxable, cgst, sgst, igst, cess, round_off, total, refunded, running, number)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
               $25, $27, n.running, $28 || lpad(n.running::text, greatest(4, length(n.running::text)), '0')
          from n
        returning number")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(header.note_id)
    .bind::<Text, _>(header.kind.as_str())
    .bind::<SqlUuid, _>(header.registration_id)
    .bind::<Integer, _>(header.fiscal_year)
    .bind::<Text, _>(header.series.as_str())
    .bind::<Date, _>(header.date)
    .bind::<Timestamptz, _>(header.issued_at)
    .bind::<SqlUuid, _>(header.original_invoice_id)
    .bind::<Nullable<SqlUuid>, _>(header.customer_id)
    .bind::<Nullable<Text>, _>(header.gstin_supplier.as_deref())
    .bind::<Nullable<Text>, _>(header.gstin_buyer.as_deref())
    .bind::<Text, _>(header.place_of_supply.as_str())
    .bind::<Bool, _>(header.inter_state)
    .bind::<SqlUuid, _>(header.branch_id)
    .bind::<Nullable<SqlUuid>, _>(header.session_id)
    .bind::<Nullable<SqlUuid>, _>(header.issued_by)
    .bind::<Text, _>(header.reason.as_str())
    .bind::<Numeric, _>(header.taxable)
    .bind::<Numeric, _>(header.cgst)
    .bind::<Numeric, _>(header.sgst)
    .bind::<Numeric, _>(header.igst)
    .bind::<Numeric, _>(header.cess)
    .bind::<Numeric, _>(header.round_off)
    .bind::<Numeric, _>(header.total)
    .bind::<Text, _>(purpose.name())
    .bind::<Numeric, _>(refunded)
    .bind::<Text, _>(counter.stem())
    .get_result(tx.conn())
    .await
    .optional()?;
    Ok(row.map(|r| r.number))
}

/// Writes lines and tenders, and adds the amounts to the original's lines. Its row is locked.
pub(super) async fn insert_parts(tx: &mut Tx, note: &Note) -> Result<()> {
    let lines = &note.lines;
    let of = |f: fn(&NoteLine) -> Money| lines.iter().map(f).collect::<Vec<_>>();
    sql("
        insert into price_note_line (tenant_id, note_id, original_invoice_id, line, original_line, product_id, description,
               hsn, tax_category, rate, cess_rate, taxable, cgst, sgst, igst, cess, total)
        select $1, $2, $3, n.* from unnest($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) as n")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(note.header.note_id)
    .bind::<SqlUuid, _>(note.header.original_invoice_id)
    .bind::<Array<Integer>, _>(lines.iter().map(|l| l.line).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(lines.iter().map(|l| l.original_line).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.product_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.description.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.hsn.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lines.iter().map(|l| l.tax_category.as_str()).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.rate).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.cess_rate).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(of(|l| l.taxable))
    .bind::<Array<Numeric>, _>(of(|l| l.cgst))
    .bind::<Array<Numeric>, _>(of(|l| l.sgst))
    .bind::<Array<Numeric>, _>(of(|l| l.igst))
    .bind::<Array<Numeric>, _>(of(|l| l.cess))
    .bind::<Array<Numeric>, _>(of(|l| l.total))
    .execute(tx.conn())
    .await?;
    insert_tenders(
        tx,
        Paid::PriceNote,
        note.header.note_id.uuid(),
        &note.tenders,
    )
    .await?;
    let text = match note.kind() {
        Kind::Credit => {
            "update invoice_line l set credited_taxable = credited_taxable + n.taxable, credited_cgst = credited_cgst + n.cgst,
                    credited_sgst = credited_sgst + n.sgst, credited_igst = credited_igst + n.igst,
                    credited_cess = credited_cess + n.cess
               from unnest($3, $4, $5, $6, $7, $8) as n(line, taxable, cgst, sgst, igst, cess)
              where l.tenant_id = $1 and l.invoice_id = $2 and l.line = n.line"
        }
        Kind::Debit => {
            "update invoice_line l set debited_taxable = debited_taxable + n.taxable, debited_cgst = debited_cgst + n.cgst,
                    debited_sgst = debited_sgst + n.sgst, debited_igst = debited_igst + n.igst,
                    debited_cess = debited_cess + n.cess
               from unnest($3, $4, $5, $6, $7, $8) as n(line, taxable, cgst, sgst, igst, cess)
              where l.tenant_id = $1 and l.invoice_id = $2 and l.line = n.line"
        }
    };
    sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(note.header.original_invoice_id)
        .bind::<Array<Integer>, _>(lines.iter().map(|l| l.original_line).collect::<Vec<_>>())
        .bind::<Array<Numeric>, _>(of(|l| l.taxable))
        .bind::<Array<Numeric>, _>(of(|l| l.cgst))
        .bind::<Array<Numeric>, _>(of(|l| l.sgst))
        .bind::<Array<Numeric>, _>(of(|l| l.igst))
        .bind::<Array<Numeric>, _>(of(|l| l.cess))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What a note adds to a locked invoice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    pub credited: Money,
    pub credited_credit: Money,
    pub debited: Money,
    pub status: &'a str,
    pub version: i64,
}

/// Moves a locked invoice on to its next version.
pub(super) async fn change(tx: &mut Tx, invoice: InvoiceId, change: Change<'_>) -> Result<usize> {
    Ok(sql(
        "update invoice set credited = credited + $3, credited_credit = credited_credit + $4, debited = debited + $5,
                status = $6, version = $7
          where tenant_id = $1 and invoice_id = $2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(invoice)
    .bind::<Numeric, _>(change.credited)
    .bind::<Numeric, _>(change.credited_credit)
    .bind::<Numeric, _>(change.debited)
    .bind::<Text, _>(change.status)
    .bind::<BigInt, _>(change.version)
    .execute(tx.conn())
    .await?)
}

/// A note of a kind with its lines and tenders.
pub(super) async fn get(tx: &Tx, kind: Kind, note: InvoiceId) -> Result<Option<Note>> {
    let (mut a, mut b, mut c) = (tx.shared(), tx.shared(), tx.shared());
    let header = sql(concat!(
        "select ",
        columns!(),
        " from price_note where tenant_id = $1 and note_id = $2 and kind = $3"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(note)
    .bind::<Text, _>(kind.name())
    .load::<NoteHeader>(&mut a);
    let lines = sql(
        "select line, original_line, product_id, description, hsn, tax_category, rate, cess_rate, taxable, cgst, sgst, igst,
                cess, total
           from price_note_line where tenant_id = $1 and note_id = $2 order by line",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(note)
    .load::<NoteLine>(&mut b);
    let tenders = sql("select method, amount, reference from price_note_tender where tenant_id = $1 and note_id = $2 order by tender")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<SqlUuid, _>(note)
        .load::<Tender>(&mut c);
    let (header, lines, tenders) = futures::try_join!(header, lines, tenders)?;
    Ok(header.into_iter().next().map(|header| Note {
        header,
        lines,
        tenders,
    }))
}

/// Which notes a list shows.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub kind: Kind,
    pub number: Option<String>,
    pub original_invoice_id: Option<Uuid>,
    pub customer_id: Option<Uuid>,
    pub walk: Timed,
}

macro_rules! filters {
    () => {
        " where tenant_id = $1 and kind = $2 and ($3 is null or number = $3) and ($4 is null or original_invoice_id = $4)
            and ($5 is null or customer_id = $5)"
    };
}
macro_rules! listing {
    ($than:literal, $direction:literal) => {
        concat!(
            "select ",
            columns!(),
            " from price_note",
            filters!(),
            " and ($6 is null or (issued_at, note_id) ",
            $than,
            " ($6, $7))
              order by issued_at ",
            $direction,
            ", note_id ",
            $direction,
            " limit $8 offset $9"
        )
    };
}

/// A page of notes, and how many there are.
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
        .bind::<Text, _>(filter.kind.name())
        .bind::<Nullable<Text>, _>(filter.number.as_deref())
        .bind::<Nullable<SqlUuid>, _>(filter.original_invoice_id)
        .bind::<Nullable<SqlUuid>, _>(filter.customer_id)
        .bind::<Nullable<Timestamptz>, _>(filter.walk.after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(filter.walk.after.map(|a| a.1))
        .bind::<BigInt, _>(filter.walk.limit)
        .bind::<BigInt, _>(filter.walk.offset)
        .load(&mut reader);
    let total = sql(concat!(
        "select count(*) as total from price_note",
        filters!()
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Text, _>(filter.kind.name())
    .bind::<Nullable<Text>, _>(filter.number.as_deref())
    .bind::<Nullable<SqlUuid>, _>(filter.original_invoice_id)
    .bind::<Nullable<SqlUuid>, _>(filter.customer_id)
    .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}
