//! Every statement on commission.

use std::collections::{BTreeMap, HashMap};

use bahi_db::{Ctx, Db, Error as DbError, Result, Tx, sql};
use bahi_http::Timed;
use bahi_types::{
    CategoryId, InvoiceId, Money, ProductId, Quantity, TenantId, UserId, business_date,
};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName,
    sql_types::{
        Array, BigInt, Bool, Date, Integer, Jsonb, Nullable, Numeric, Text, Timestamptz,
        Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::model::{
    Document, Entry, LineRate, Place, Posting, Sale, Sold, SoldLine, Story, Sums, What,
};
use crate::{
    catalogue,
    commission_plan::{Period, PlanId},
};

#[derive(QueryableByName)]
struct More {
    #[diesel(sql_type = Bool)]
    more: bool,
}

fn nobody(db: &Db) -> Ctx {
    Ctx::service(db.service(), TenantId::from_uuid(Uuid::nil()))
}

/// Notes the invoices of the next `most` transactions; whether there are more.
pub(super) async fn gather(db: &Db, most: i64) -> Result<bool> {
    let done = db
        .write(&nobody(db), async move |tx: &mut Tx| {
            let row: More = sql("select gather_commissions($1) as more")
                .bind::<BigInt, _>(most)
                .get_result(tx.conn())
                .await?;
            Ok::<_, DbError>(row.more)
        })
        .await?;
    Ok(done.value)
}

/// Notes the next sales from before the activation of a plan; whether there may be more.
pub(super) async fn look_back(db: &Db, most: i32) -> Result<bool> {
    let done = db
        .write(&nobody(db), async move |tx: &mut Tx| {
            let row: More = sql("select look_back_for_commissions($1) as more")
                .bind::<Integer, _>(most)
                .get_result(tx.conn())
                .await?;
            Ok::<_, DbError>(row.more)
        })
        .await?;
    Ok(done.value)
}

/// Tenants that have invoices to look at.
pub(super) async fn tenants(db: &Db, most: i32) -> Result<Vec<TenantId>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        tenant_id: TenantId,
    }
    db.read(&nobody(db), async move |tx: &mut Tx| -> Result<_> {
        let rows: Vec<Row> = sql("select t as tenant_id from commission_tenants($1) as t")
            .bind::<Integer, _>(most)
            .load(tx.conn())
            .await?;
        Ok(rows.into_iter().map(|r| r.tenant_id).collect())
    })
    .await
}

/// Whether this transaction alone works on the tenant from now on.
pub(super) async fn claim(tx: &mut Tx) -> Result<bool> {
    let row: More = sql(
        "select pg_try_advisory_xact_lock(hashtextextended('commission:' || $1::text, 0)) as more",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .get_result(tx.conn())
    .await?;
    Ok(row.more)
}

/// Takes noted invoices off the list. Whatever is committed to one of them from now on is noted anew.
pub(super) async fn take(tx: &mut Tx, most: i64) -> Result<Vec<InvoiceId>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        invoice_id: InvoiceId,
    }
    let rows: Vec<Row> = sql("
        delete from commission_due d using (
          select invoice_id, version from commission_due where tenant_id = $1 order by invoice_id, version limit $2) n
         where d.tenant_id = $1 and d.invoice_id = n.invoice_id and d.version = n.version
        returning d.invoice_id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<BigInt, _>(most)
    .load(tx.conn())
    .await?;
    let mut ids: Vec<InvoiceId> = rows.into_iter().map(|r| r.invoice_id).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

#[derive(QueryableByName)]
struct DocumentRow {
    #[diesel(sql_type = SqlUuid)]
    invoice_id: InvoiceId,
    #[diesel(sql_type = Text)]
    what: String,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Date>)]
    date: Option<NaiveDate>,
    #[diesel(sql_type = Numeric)]
    total: Money,
    #[diesel(sql_type = Numeric)]
    credit: Money,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    sold_until: Option<UserId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    sold_from: Option<UserId>,
}

#[derive(QueryableByName)]
struct DocumentLineRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Integer)]
    line: i32,
    #[diesel(sql_type = Numeric)]
    qty: Quantity,
    #[diesel(sql_type = Numeric)]
    taxable: Money,
}

// Another kind of document that moves an invoice adds its own line here.
const DOCUMENTS: &str = "
    select c.original_invoice_id as invoice_id, 'return' as what, c.credit_note_id as id, c.issued_at as at, c.date, c.total,
           coalesce((select sum(t.amount) from credit_note_tender t where t.tenant_id = c.tenant_id
                      and t.credit_note_id = c.credit_note_id and t.method = 'credit'), 0) as credit,
           null::uuid as sold_until, null::uuid as sold_from
      from credit_note c where c.tenant_id = $1 and c.original_invoice_id = any($2)
    union all
    select n.original_invoice_id, n.kind || '_note', n.note_id, n.issued_at, n.date, n.total,
           case n.kind when 'debit' then n.total else
             coalesce((select sum(t.amount) from price_note_tender t where t.tenant_id = n.tenant_id
                        and t.note_id = n.note_id and t.method = 'credit'), 0) end, null, null
      from price_note n where n.tenant_id = $1 and n.original_invoice_id = any($2)
    union all
    select invoice_id, 'cancellation', invoice_id, cancelled_at, null, credited + refunded, credited, null, null
      from cancellation where tenant_id = $1 and invoice_id = any($2)
    union all
    select invoice_id, 'allocation', allocation_id, allocated_at, date, amount, 0, null, null
      from receipt_allocation where tenant_id = $1 and invoice_id = any($2)
    union all
    select a.invoice_id, 'receipt_reversal', r.receipt_id, r.reversed_at, null, sum(a.amount), 0, null, null
      from receipt_allocation a join receipt r on r.tenant_id = a.tenant_id and r.receipt_id = a.receipt_id
     where a.tenant_id = $1 and a.invoice_id = any($2) and r.status = 'reversed'
     group by a.invoice_id, r.tenant_id, r.receipt_id
    union all
    select invoice_id, 'edit', lpad(to_hex(version), 32, '0')::uuid, edited_at, null, 0, 0,
           (changes->'salesperson_id'->>'from')::uuid, (changes->'salesperson_id'->>'to')::uuid
      from invoice_edit where tenant_id = $1 and invoice_id = any($2) and changes ? 'salesperson_id'";

const DOCUMENT_LINES: &str = "
    select credit_note_id as id, original_line as line, qty, taxable
      from credit_note_line where tenant_id = $1 and original_invoice_id = any($2)
    union all
    select note_id, original_line, 0, taxable from price_note_line where tenant_id = $1 and original_invoice_id = any($2)";

/// Invoices with all that happened to them by now.
pub(super) async fn stories(tx: &mut Tx, ids: &[InvoiceId]) -> Result<Vec<Story>> {
    let sold: Vec<Sold> = sql(
        "select invoice_id, number, date, issued_at, salesperson_id, total, credit, currency
           from invoice where tenant_id = $1 and invoice_id = any($2) order by issued_at, invoice_id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx.conn())
    .await?;
    let lines: Vec<SoldLine> = sql("select invoice_id, line, product_id, qty, taxable
           from invoice_line where tenant_id = $1 and invoice_id = any($2) order by invoice_id, line")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx.conn())
    .await?;
    let documents: Vec<DocumentRow> = sql(DOCUMENTS)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(ids)
        .load(tx.conn())
        .await?;
    let document_lines: Vec<DocumentLineRow> = sql(DOCUMENT_LINES)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(ids)
        .load(tx.conn())
        .await?;
    let mut lines_of: HashMap<InvoiceId, Vec<SoldLine>> = HashMap::new();
    for line in lines {
        lines_of.entry(line.invoice_id).or_default().push(line);
    }
    let mut moved: HashMap<Uuid, Vec<(i32, Quantity, Money)>> = HashMap::new();
    for l in document_lines {
        moved
            .entry(l.id)
            .or_default()
            .push((l.line, l.qty, l.taxable));
    }
    let mut later: HashMap<InvoiceId, Vec<Document>> = HashMap::new();
    for row in documents {
        let Some(what) = What::of(&row.what) else {
            continue;
        };
        let edited = (what == What::Edit).then_some((row.sold_until, row.sold_from));
        later.entry(row.invoice_id).or_default().push(Document {
            what,
            id: row.id,
            at: row.at,
            date: row.date.unwrap_or_else(|| business_date(row.at)),
            total: row.total,
            credit: row.credit,
            // An invoice's id is not one of a note.
            lines: moved.remove(&row.id).unwrap_or_default(),
            salesperson: edited,
        });
    }
    let story = |sold: Sold| {
        let lines = lines_of.remove(&sold.invoice_id).unwrap_or_default();
        let later = later.remove(&sold.invoice_id).unwrap_or_default();
        Story::new(sold, lines, later)
    };
    Ok(sold.into_iter().map(story).collect())
}

/// What of these invoices is in the ledger.
pub(super) async fn sales(
    tx: &mut Tx,
    ids: &[InvoiceId],
) -> Result<HashMap<(InvoiceId, PlanId), Sale>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        invoice_id: InvoiceId,
        #[diesel(sql_type = SqlUuid)]
        plan_id: PlanId,
        #[diesel(sql_type = Jsonb)]
        rates: Value,
        #[diesel(sql_type = Array<Text>)]
        seen: Vec<String>,
    }
    let rows: Vec<Row> = sql(
        "select invoice_id, plan_id, rates, seen from commission_sale
                               where tenant_id = $1 and invoice_id = any($2)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx.conn())
    .await?;
    let sale = |row: Row| -> Result<_> {
        let rates: Vec<LineRate> = serde_json::from_value(row.rates).map_err(DbError::from)?;
        let seen = row.seen.into_iter().collect();
        Ok(((row.invoice_id, row.plan_id), Sale { rates, seen }))
    };
    rows.into_iter().map(sale).collect()
}

/// The categories of products, the nearest first.
pub(super) async fn categories(
    tx: &mut Tx,
    products: &[ProductId],
) -> Result<HashMap<ProductId, Vec<CategoryId>>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        product_id: ProductId,
        #[diesel(sql_type = SqlUuid)]
        category_id: CategoryId,
    }
    let rows: Vec<Row> = sql("select product_id, category_id from product
                               where tenant_id = $1 and product_id = any($2) and category_id is not null")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(products)
    .load(tx.conn())
    .await?;
    let mut ids: Vec<Uuid> = rows.iter().map(|r| r.category_id.uuid()).collect();
    ids.sort_unstable();
    ids.dedup();
    let above = catalogue::with_all_above(tx, &ids).await?;
    let of = |r: Row| above.get(&r.category_id).map(|a| (r.product_id, a.clone()));
    Ok(rows.into_iter().filter_map(of).collect())
}

/// Where sales persons stand.
pub(super) async fn sums(tx: &mut Tx, places: &[Place]) -> Result<BTreeMap<Place, Sums>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        plan_id: PlanId,
        #[diesel(sql_type = SqlUuid)]
        salesperson_id: UserId,
        #[diesel(sql_type = Date)]
        period_from: NaiveDate,
        #[diesel(sql_type = Numeric)]
        base: Money,
        #[diesel(sql_type = Numeric)]
        slab_base: Money,
    }
    let rows: Vec<Row> = sql("
        select s.plan_id, s.salesperson_id, s.period_from, s.base, s.slab_base
          from unnest($2, $3, $4) as n(plan_id, salesperson_id, period_from)
          join commission_standing s on s.tenant_id = $1 and s.plan_id = n.plan_id
               and s.salesperson_id = n.salesperson_id and s.period_from = n.period_from")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(places.iter().map(|p| p.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(places.iter().map(|p| p.1).collect::<Vec<_>>())
    .bind::<Array<Date>, _>(places.iter().map(|p| p.2).collect::<Vec<_>>())
    .load(tx.conn())
    .await?;
    let sums = |r: Row| {
        let (base, slab_base) = (r.base, r.slab_base);
        let place = (r.plan_id, r.salesperson_id, r.period_from);
        (place, Sums { base, slab_base })
    };
    Ok(rows.into_iter().map(sums).collect())
}

/// Writes where sales persons stand.
pub(super) async fn save_sums(tx: &mut Tx, sums: &BTreeMap<Place, Sums>) -> Result<()> {
    sql("insert into commission_standing (tenant_id, plan_id, salesperson_id, period_from, base, slab_base)
         select $1, n.* from unnest($2, $3, $4, $5, $6) as n
         on conflict (tenant_id, plan_id, salesperson_id, period_from)
         do update set base = excluded.base, slab_base = excluded.slab_base")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(sums.keys().map(|p| p.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(sums.keys().map(|p| p.1).collect::<Vec<_>>())
    .bind::<Array<Date>, _>(sums.keys().map(|p| p.2).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(sums.values().map(|s| s.base).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(sums.values().map(|s| s.slab_base).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes what of sales is in the ledger now.
pub(super) async fn save_sales(tx: &mut Tx, sales: &[((InvoiceId, PlanId), Sale)]) -> Result<()> {
    let rates: Vec<Value> = sales
        .iter()
        .map(|(_, s)| serde_json::to_value(&s.rates).map_err(DbError::from))
        .collect::<Result<_>>()?;
    // No array of arrays of several lengths: the documents go as JSON.
    let seen: Vec<Value> = sales
        .iter()
        .map(|(_, s)| serde_json::to_value(&s.seen).map_err(DbError::from))
        .collect::<Result<_>>()?;
    sql("insert into commission_sale (tenant_id, invoice_id, plan_id, rates, seen)
         select $1, n.invoice_id, n.plan_id, n.rates, array(select jsonb_array_elements_text(n.seen))
           from unnest($2, $3, $4, $5) as n(invoice_id, plan_id, rates, seen)
         on conflict (tenant_id, invoice_id, plan_id) do update set seen = excluded.seen")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(sales.iter().map(|(k, _)| k.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(sales.iter().map(|(k, _)| k.1).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(rates)
    .bind::<Array<Jsonb>, _>(seen)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes the entries of postings. One that is there already is refused by its key, and the transaction with it.
pub(super) async fn insert(tx: &mut Tx, postings: &[Posting]) -> Result<()> {
    let rows: Vec<(&Posting, &Entry)> = postings
        .iter()
        .flat_map(|p| p.entries.iter().map(move |e| (p, e)))
        .collect();
    fn of<'a, T>(rows: &[(&'a Posting, &'a Entry)], f: fn(&'a Posting, &'a Entry) -> T) -> Vec<T> {
        rows.iter().map(|&(p, e)| f(p, e)).collect()
    }
    sql("insert into commission_entry (tenant_id, booked_at, posting_id, plan_id, salesperson_id, invoice_id, number,
                document_kind, document_id, currency, date, period_from, period_to, entry_id, kind, line, rule, base, amount)
         select $1, $2, n.*
           from unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) as n")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Timestamptz, _>(tx.now())
    .bind::<Array<SqlUuid>, _>(of(&rows, |p, _| p.posting_id))
    .bind::<Array<SqlUuid>, _>(of(&rows, |p, _| p.plan_id))
    .bind::<Array<SqlUuid>, _>(of(&rows, |p, _| p.salesperson_id))
    .bind::<Array<SqlUuid>, _>(of(&rows, |p, _| p.invoice_id))
    .bind::<Array<Text>, _>(of(&rows, |p, _| p.number.as_str()))
    .bind::<Array<Text>, _>(of(&rows, |p, _| p.document_kind))
    .bind::<Array<SqlUuid>, _>(of(&rows, |p, _| p.document_id))
    .bind::<Array<Text>, _>(of(&rows, |p, _| p.currency.as_str()))
    .bind::<Array<Date>, _>(of(&rows, |p, _| p.date))
    .bind::<Array<Date>, _>(of(&rows, |p, _| p.period.0))
    .bind::<Array<Date>, _>(of(&rows, |p, _| p.period.1))
    .bind::<Array<SqlUuid>, _>(of(&rows, |_, e| e.entry_id))
    .bind::<Array<Text>, _>(of(&rows, |_, e| e.kind))
    .bind::<Array<Integer>, _>(of(&rows, |_, e| e.line))
    .bind::<Array<Integer>, _>(of(&rows, |_, e| e.rule))
    .bind::<Array<Numeric>, _>(of(&rows, |_, e| e.base))
    .bind::<Array<Numeric>, _>(of(&rows, |_, e| e.amount))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// An entry of the ledger, as it is listed.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Listed {
    #[diesel(sql_type = SqlUuid)]
    pub entry_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub posting_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    pub plan_id: PlanId,
    #[diesel(sql_type = Text)]
    pub plan: String,
    #[diesel(sql_type = SqlUuid)]
    pub salesperson_id: UserId,
    #[diesel(sql_type = SqlUuid)]
    pub invoice_id: InvoiceId,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Text)]
    pub document_kind: String,
    #[diesel(sql_type = SqlUuid)]
    pub document_id: Uuid,
    #[diesel(sql_type = Integer)]
    pub line: i32,
    #[diesel(sql_type = Integer)]
    pub rule: i32,
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Numeric)]
    pub base: Money,
    #[diesel(sql_type = Numeric)]
    pub amount: Money,
    #[diesel(sql_type = Text)]
    pub currency: String,
    #[diesel(sql_type = Date)]
    pub date: NaiveDate,
    #[diesel(sql_type = Date)]
    pub period_from: NaiveDate,
    #[diesel(sql_type = Date)]
    pub period_to: NaiveDate,
    #[diesel(sql_type = Timestamptz)]
    pub booked_at: DateTime<Utc>,
}

/// Which entries a list shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub salesperson_id: Option<UserId>,
    pub plan_id: Option<PlanId>,
    pub invoice_id: Option<InvoiceId>,
    pub document_id: Option<Uuid>,
    pub kind: Option<String>,
    /// First and last day.
    pub from: Option<NaiveDate>,
    pub to: Option<NaiveDate>,
    pub walk: Timed,
}

macro_rules! filters {
    () => {
        " where e.tenant_id = $1 and ($2 is null or e.salesperson_id = $2) and ($3 is null or e.plan_id = $3)
            and ($4 is null or e.invoice_id = $4) and ($5 is null or e.document_id = $5) and ($6 is null or e.kind = $6)
            and ($7 is null or e.date >= $7) and ($8 is null or e.date <= $8)"
    };
}
macro_rules! listing {
    ($than:literal, $direction:literal) => {
        concat!(
            "select e.entry_id, e.posting_id, e.plan_id, p.name as plan, e.salesperson_id, e.invoice_id, e.number,
                    e.document_kind, e.document_id, e.line, e.rule, e.kind, e.base, e.amount, e.currency, e.date,
                    e.period_from, e.period_to, e.booked_at
               from commission_entry e join commission_plan p on p.tenant_id = e.tenant_id and p.plan_id = e.plan_id",
            filters!(),
            " and ($9 is null or (e.booked_at, e.entry_id) ",
            $than,
            " ($9, $10)) order by e.booked_at ",
            $direction,
            ", e.entry_id ",
            $direction,
            " limit $11 offset $12"
        )
    };
}

/// A page of entries.
pub(super) async fn list(tx: &Tx, f: &Filter) -> Result<Vec<Listed>> {
    let text = if f.walk.descending {
        listing!("<", "desc")
    } else {
        listing!(">", "asc")
    };
    Ok(sql(text)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(f.salesperson_id)
        .bind::<Nullable<SqlUuid>, _>(f.plan_id)
        .bind::<Nullable<SqlUuid>, _>(f.invoice_id)
        .bind::<Nullable<SqlUuid>, _>(f.document_id)
        .bind::<Nullable<Text>, _>(f.kind.as_deref())
        .bind::<Nullable<Date>, _>(f.from)
        .bind::<Nullable<Date>, _>(f.to)
        .bind::<Nullable<Timestamptz>, _>(f.walk.after.map(|a| a.0))
        .bind::<Nullable<SqlUuid>, _>(f.walk.after.map(|a| a.1))
        .bind::<BigInt, _>(f.walk.limit)
        .bind::<BigInt, _>(f.walk.offset)
        .load(&mut tx.shared())
        .await?)
}

/// How many entries there are.
pub(super) async fn count(tx: &Tx, f: &Filter) -> Result<i64> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let row: Total = sql(concat!(
        "select count(*) as total from commission_entry e",
        filters!()
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(f.salesperson_id)
    .bind::<Nullable<SqlUuid>, _>(f.plan_id)
    .bind::<Nullable<SqlUuid>, _>(f.invoice_id)
    .bind::<Nullable<SqlUuid>, _>(f.document_id)
    .bind::<Nullable<Text>, _>(f.kind.as_deref())
    .bind::<Nullable<Date>, _>(f.from)
    .bind::<Nullable<Date>, _>(f.to)
    .get_result(&mut tx.shared())
    .await?;
    Ok(row.total)
}

/// What somebody earned in a period.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Earned {
    #[diesel(sql_type = SqlUuid)]
    pub salesperson_id: UserId,
    #[diesel(sql_type = Date)]
    pub period_from: NaiveDate,
    #[diesel(sql_type = Numeric)]
    pub base: Money,
    #[diesel(sql_type = Numeric)]
    pub accrued: Money,
    #[diesel(sql_type = Numeric)]
    pub reversed: Money,
    #[diesel(sql_type = Numeric)]
    pub true_ups: Money,
    #[diesel(sql_type = Numeric)]
    pub bonuses: Money,
    #[diesel(sql_type = Numeric)]
    pub amount: Money,
}

// $1 tenant, $2 sales person, $3 plan, $4 and $5 days, $6 period.
macro_rules! earned {
    () => {
        "with entry as (
           select e.salesperson_id, e.kind, e.base, e.amount,
                  (case $6 when 'fiscal_year' then date_trunc('year', e.date - interval '3 months') + interval '3 months'
                           else date_trunc($6, e.date) end)::date as period_from
             from commission_entry e
            where e.tenant_id = $1 and ($2 is null or e.salesperson_id = $2) and ($3 is null or e.plan_id = $3)
              and ($4 is null or e.date >= $4) and ($5 is null or e.date <= $5)),
         earned as (
           select salesperson_id, period_from, sum(base) as base,
                  coalesce(sum(amount) filter (where kind = 'accrual'), 0) as accrued,
                  coalesce(sum(amount) filter (where kind = 'reversal'), 0) as reversed,
                  coalesce(sum(amount) filter (where kind = 'true_up'), 0) as true_ups,
                  coalesce(sum(amount) filter (where kind = 'bonus'), 0) as bonuses, sum(amount) as amount
             from entry group by 1, 2)"
    };
}

/// A page of what was earned by sales person and period, the latest period first, and how many rows there are.
pub(super) async fn summary(
    tx: &Tx,
    f: &Filter,
    period: Period,
    after: Option<(NaiveDate, Uuid)>,
) -> Result<(Vec<Earned>, i64)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql(concat!(
        earned!(),
        " select * from earned where $7 is null or period_from < $7 or period_from = $7 and salesperson_id > $8
           order by period_from desc, salesperson_id limit $9 offset $10"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<SqlUuid>, _>(f.salesperson_id)
    .bind::<Nullable<SqlUuid>, _>(f.plan_id)
    .bind::<Nullable<Date>, _>(f.from)
    .bind::<Nullable<Date>, _>(f.to)
    .bind::<Text, _>(period.name())
    .bind::<Nullable<Date>, _>(after.map(|a| a.0))
    .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.1))
    .bind::<BigInt, _>(f.walk.limit)
    .bind::<BigInt, _>(f.walk.offset)
    .load(&mut reader);
    let total = sql(concat!(earned!(), " select count(*) as total from earned"))
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Nullable<SqlUuid>, _>(f.salesperson_id)
        .bind::<Nullable<SqlUuid>, _>(f.plan_id)
        .bind::<Nullable<Date>, _>(f.from)
        .bind::<Nullable<Date>, _>(f.to)
        .bind::<Text, _>(period.name())
        .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}
