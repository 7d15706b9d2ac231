//! Every statement of a restore.

use bahi_db::{Ctx, Db, Result, Tx, sql};
use bahi_events::Envelope;
use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use crate::number::Numbered;

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

/// How far the outbox has come.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub(super) struct Reached {
    #[diesel(sql_type = BigInt)]
    pub epoch: i64,
    #[diesel(sql_type = BigInt)]
    pub seq: i64,
}

/// Whether the database was compared with the topic under its present epoch.
pub(super) async fn is_reconciled(db: &Db, ctx: &Ctx) -> Result<bool> {
    db.read(ctx, async |tx: &mut Tx| -> Result<bool> {
        let row: Answer =
            sql("select r.epoch >= e.epoch as yes from inbox.reconciled r, outbox.epoch e")
                .get_result(tx.conn())
                .await?;
        Ok(row.yes)
    })
    .await
}

/// How far the outbox has come.
pub(super) async fn reached(db: &Db, ctx: &Ctx) -> Result<Reached> {
    db.read(ctx, async |tx: &mut Tx| -> Result<Reached> {
        Ok(sql("select epoch, seq from inbox.outbox_reached()")
            .get_result(tx.conn())
            .await?)
    })
    .await
}

/// When the last event that the outbox still holds was inserted.
pub(super) async fn outbox_last(db: &Db, ctx: &Ctx) -> Result<Option<DateTime<Utc>>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<Timestamptz>)]
        last: Option<DateTime<Utc>>,
    }
    db.read(ctx, async |tx: &mut Tx| -> Result<_> {
        let row: Row = sql("select inbox.outbox_last() as last")
            .get_result(tx.conn())
            .await?;
        Ok(row.last)
    })
    .await
}

/// The database was compared under this epoch.
pub(super) async fn record(db: &Db, ctx: &Ctx, epoch: i64) -> Result<()> {
    db.write(ctx, async move |tx: &mut Tx| -> Result<()> {
        sql("update inbox.reconciled set epoch = greatest(epoch, $1)")
            .bind::<BigInt, _>(epoch)
            .execute(tx.conn())
            .await?;
        Ok(())
    })
    .await?;
    Ok(())
}

/// Whether the database explains an event, or has it among the orphans.
pub(super) async fn knows(db: &Db, ctx: &Ctx, event: &Envelope<Value>) -> Result<bool> {
    const KNOWN: &str = "
        select exists (select from restore_orphan where tenant_id = $1 and event_id = $2) or case $3
          when 'invoice.issued' then exists
            (select from invoice where tenant_id = $1 and invoice_id = ($4->>'invoice_id')::uuid)
          when 'return.processed' then exists
            (select from credit_note where tenant_id = $1 and credit_note_id = ($4->>'credit_note_id')::uuid)
          when 'pos.session_opened' then exists
            (select from pos_session where tenant_id = $1 and session_id = ($4->>'session_id')::uuid)
          when 'pos.session_closed' then exists
            (select from pos_session where tenant_id = $1 and session_id = ($4->>'session_id')::uuid and state = 'closed')
          when 'pos.number_voided' then exists
            (select from offline_number where tenant_id = $1 and registration_id = ($4->>'registration_id')::uuid
                and number = $4->>'number')
          when 'invoice.cancelled' then exists
            (select from cancellation where tenant_id = $1 and invoice_id = ($4->>'invoice_id')::uuid)
          when 'invoice.edited' then exists
            (select from invoice where tenant_id = $1 and invoice_id = ($4->>'invoice_id')::uuid and version >= $5)
          when 'invoice.credited' then exists
            (select from price_note where tenant_id = $1 and note_id = ($4->>'note_id')::uuid)
          when 'invoice.debited' then exists
            (select from price_note where tenant_id = $1 and note_id = ($4->>'note_id')::uuid)
          when 'payment.captured' then exists
            (select from receipt where tenant_id = $1 and receipt_id = ($4->>'receipt_id')::uuid)
          when 'payment.allocated' then exists
            (select from receipt where tenant_id = $1 and receipt_id = ($4->>'receipt_id')::uuid and version >= $5)
          when 'payment.refunded' then exists
            (select from receipt_refund where tenant_id = $1 and refund_id = ($4->>'refund_id')::uuid)
          when 'payment.reversed' then exists
            (select from receipt where tenant_id = $1 and receipt_id = ($4->>'receipt_id')::uuid and status = 'reversed')
          when 'order.fulfilled' then exists
            (select from fulfilment where tenant_id = $1 and fulfilment_id = ($4->>'fulfilment_id')::uuid and state = 'delivered')
          when 'order.created' then exists
            (select from sales_order where tenant_id = $1 and order_id = ($4->>'order_id')::uuid)
          else not starts_with($3, 'order.') or exists
            (select from sales_order where tenant_id = $1 and order_id = ($4->>'order_id')::uuid and version >= $5)
          end as yes";
    db.read(ctx, async |tx: &mut Tx| -> Result<bool> {
        let row: Answer = sql(KNOWN)
            .bind::<SqlUuid, _>(event.tenant_id)
            .bind::<SqlUuid, _>(event.event_id)
            .bind::<Text, _>(event.event_type.as_str())
            .bind::<Jsonb, _>(&event.payload)
            .bind::<BigInt, _>(event.aggregate_version)
            .get_result(tx.conn())
            .await?;
        Ok(row.yes)
    })
    .await
}

/// Keeps an orphan; `reason` says why it is only listed.
pub(super) async fn note(
    tx: &mut Tx,
    event: &Envelope<Value>,
    reason: Option<&str>,
) -> Result<usize> {
    Ok(sql("
        insert into restore_orphan (tenant_id, event_id, event_type, aggregate_id, number, state, reason, event)
        select $1, $2, $3, $4, $6->'payload'->>'number', case when $5 is null then 'reimported' else 'listed' end, $5, $6
        on conflict do nothing")
    .bind::<SqlUuid, _>(event.tenant_id)
    .bind::<SqlUuid, _>(event.event_id)
    .bind::<Text, _>(event.event_type.as_str())
    .bind::<Text, _>(event.aggregate_id.as_str())
    .bind::<Nullable<Text>, _>(reason)
    .bind::<Jsonb, _>(serde_json::to_value(event)?)
    .execute(tx.conn())
    .await?)
}

/// Raises a counter above a number that was given out.
pub(super) async fn raise(
    tx: &mut Tx,
    registration: Uuid,
    number: &Numbered,
    purpose: &str,
) -> Result<usize> {
    Ok(sql("
        insert into number_counter as c (tenant_id, registration_id, prefix, fiscal_year, purpose, next)
        values ($1, $2, $3, $4, $5, $6 + 1)
        on conflict (tenant_id, registration_id, prefix, fiscal_year)
        do update set next = greatest(c.next, excluded.next)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(registration)
    .bind::<Text, _>(number.prefix.as_str())
    .bind::<Integer, _>(number.fiscal_year)
    .bind::<Text, _>(purpose)
    .bind::<BigInt, _>(number.running)
    .execute(tx.conn())
    .await?)
}

/// The registration of a branch.
pub(super) async fn registration_of(tx: &mut Tx, branch: Uuid) -> Result<Option<Uuid>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        id: Uuid,
    }
    let row: Option<Row> =
        sql("select registration_id as id from branch where tenant_id = $1 and branch_id = $2")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<SqlUuid, _>(branch)
            .get_result(tx.conn())
            .await
            .optional()?;
    Ok(row.map(|row| row.id))
}

/// Writes a session as it was opened; 0 when its till is not known or in use.
pub(super) async fn reopen(
    tx: &mut Tx,
    event: &Envelope<Value>,
    by: Option<Uuid>,
) -> Result<usize> {
    Ok(sql("
        insert into pos_session (tenant_id, session_id, till_id, branch_id, location_id, opened_by, opened_at, opening_float)
        select $1, ($2->>'session_id')::uuid, t.till_id, t.branch_id, t.location_id,
               coalesce(($2->>'opened_by')::uuid, $3), $4, ($2->>'opening_float')::numeric
          from till t where t.tenant_id = $1 and t.till_id = ($2->>'till_id')::uuid
        on conflict do nothing")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Jsonb, _>(&event.payload)
    .bind::<Nullable<SqlUuid>, _>(by)
    .bind::<Timestamptz, _>(event.occurred_at)
    .execute(tx.conn())
    .await?)
}

const LINES: &str = "
insert into invoice_line (tenant_id, invoice_id, line, product_id, sku, description, stocked, hsn, uqc, qty, unit_price,
                          price_includes_tax, gross, discount, bill_discount, tax_category, rate, cess_rate, taxable,
                          cgst, sgst, igst, cess, total, batches, pricing, serials, of_order)
select $1, ($2->>'invoice_id')::uuid, l.line, l.product_id, coalesce(p.sku, ''), l.description, l.stocked, l.hsn, l.uqc,
       l.qty, l.unit_price, l.price_includes_tax, round(l.qty * l.unit_price, 2), l.discount, 0, l.tax_category, l.rate,
       l.cess_rate, l.taxable, (l.tax->>'cgst')::numeric, (l.tax->>'sgst')::numeric, (l.tax->>'igst')::numeric,
       (l.tax->>'cess')::numeric, l.total, coalesce(l.batch_allocations, '[]'), l.pricing,
       coalesce(l.serials, '[]'),
       case when l.order_id is not null then jsonb_build_object('order_id', l.order_id, 'line', l.order_line,
                                                                'fulfilment_id', l.fulfilment_id) end
  from jsonb_to_recordset($2->'lines') as l(line int, product_id uuid, description text, stocked boolean, hsn text,
       uqc text, qty numeric, unit_price numeric, price_includes_tax boolean, discount numeric, tax_category text,
       rate numeric, cess_rate numeric, taxable numeric, tax jsonb, total numeric, batch_allocations jsonb,
       pricing jsonb, serials jsonb, order_id uuid, order_line int, fulfilment_id uuid)
  left join product p on p.tenant_id = $1 and p.product_id = l.product_id";

const TENDERS: &str = "
insert into invoice_tender (tenant_id, invoice_id, tender, method, amount, reference)
select $1, ($2->>'invoice_id')::uuid, t.n, t.tender->>'method', (t.tender->>'amount')::numeric, t.tender->>'reference'
  from jsonb_array_elements($2->'tenders') with ordinality as t(tender, n)";

// What the event does not carry stays empty: name and address of the buyer. A place of supply in another state than the
// supplier's is what makes a supply inter-state.
const HEADER: &str = "
insert into invoice (tenant_id, invoice_id, registration_id, fiscal_year, series, running, number, date, issued_at, kind,
                     gstin_supplier, gstin_buyer, place_of_supply, inter_state, reverse_charge, branch_id, location_id,
                     till_id, session_id, customer_id, cashier_id, salesperson_id, reservation_id, demand_hash, gross,
                     discount, taxable, cgst, sgst, igst, cess, round_off, round_to_rupee, total, tendered, tendered_cash,
                     change, credit, currency, external_reference, external_date, version, pricing)
select $1, e.invoice_id, e.registration_id, $3, $4, $5, e.number, e.date, $6, e.type, e.gstin_supplier, e.gstin_buyer,
       e.pos, (e.tax->>'igst')::numeric > 0
              or (e.tax->>'cgst')::numeric = 0 and left(coalesce(e.gstin_supplier, e.pos), 2) <> e.pos,
       e.reverse_charge, e.branch_id, e.location_id, e.till_id, e.session_id, e.customer_id, $7, e.salesperson_id,
       e.reservation_id, e.demand_hash, l.gross, l.discount, e.taxable, (e.tax->>'cgst')::numeric,
       (e.tax->>'sgst')::numeric, (e.tax->>'igst')::numeric, (e.tax->>'cess')::numeric, e.round_off, e.round_off <> 0,
       e.total, t.tendered, t.cash, e.change, t.credit, e.currency, e.external_reference, e.external_date, $8, e.pricing
  from jsonb_to_record($2) as e(invoice_id uuid, registration_id uuid, number text, date date, type text,
       gstin_supplier text, gstin_buyer text, pos text, reverse_charge boolean, branch_id uuid, location_id uuid,
       till_id uuid, session_id uuid, customer_id uuid, salesperson_id uuid, reservation_id uuid, demand_hash text,
       taxable numeric, tax jsonb, round_off numeric, total numeric, change numeric, currency text,
       external_reference text, external_date timestamptz, pricing jsonb),
       lateral (select coalesce(sum(gross), 0) as gross, coalesce(sum(discount), 0) as discount from invoice_line
                 where tenant_id = $1 and invoice_id = e.invoice_id) l,
       lateral (select coalesce(sum(amount), 0) as tendered,
                       coalesce(sum(amount) filter (where method = 'cash'), 0) as cash,
                       coalesce(sum(amount) filter (where method = 'credit'), 0) as credit
                  from invoice_tender where tenant_id = $1 and invoice_id = e.invoice_id) t";

const TOTALS: &str = "
update pos_session s set sales = sales + 1, sold = sold + i.total, sold_tax = sold_tax + i.cgst + i.sgst + i.igst + i.cess,
       change_given = change_given + i.change, received_cash = received_cash + t.cash, received_upi = received_upi + t.upi,
       received_card = received_card + t.card, received_wallet = received_wallet + t.wallet,
       received_credit = received_credit + t.credit, received_voucher = received_voucher + t.voucher,
       exchanged = exchanged + t.exchange
  from invoice i,
       lateral (select coalesce(sum(amount) filter (where method = 'cash'), 0) as cash,
                       coalesce(sum(amount) filter (where method = 'upi'), 0) as upi,
                       coalesce(sum(amount) filter (where method = 'card'), 0) as card,
                       coalesce(sum(amount) filter (where method = 'wallet'), 0) as wallet,
                       coalesce(sum(amount) filter (where method = 'credit'), 0) as credit,
                       coalesce(sum(amount) filter (where method = 'voucher'), 0) as voucher,
                       coalesce(sum(amount) filter (where method = 'exchange'), 0) as exchange
                  from invoice_tender where tenant_id = i.tenant_id and invoice_id = i.invoice_id) t
 where i.tenant_id = $1 and i.invoice_id = ($2->>'invoice_id')::uuid
   and s.tenant_id = $1 and s.session_id = i.session_id and s.state = 'open'";

// Uses happened, so they are counted beyond every limit.
const USES: &str = "
with used as (
  select (p->>'coupon_id')::uuid as coupon_id, ($2->>'customer_id')::uuid as customer_id
    from jsonb_array_elements(coalesce($2->'pricing'->'promotions', '[]')) p where p->>'coupon_id' is not null),
noted as (
  insert into coupon_use (tenant_id, coupon_id, invoice_id, customer_id, used_at)
  select $1, coupon_id, ($2->>'invoice_id')::uuid, customer_id, $3 from used)
insert into coupon_counter as c (tenant_id, coupon_id, customer_id, used)
select $1, u.coupon_id, k.id, 1
  from used u cross join lateral (values ('00000000-0000-0000-0000-000000000000'::uuid), (u.customer_id)) k(id)
 where k.id is not null order by u.coupon_id, k.id
on conflict (tenant_id, coupon_id, customer_id) do update set used = c.used + 1, most = null";

// What it leaves to be paid is owed, beyond every limit; the account is opened where there is none.
const OWED: &str = "
with i as (
  select i.tenant_id, i.invoice_id, i.customer_id, i.date, i.issued_at, i.credit,
         i.date + coalesce(c.credit_days, 0) as due_date
    from invoice i left join customer c on c.tenant_id = i.tenant_id and c.customer_id = i.customer_id
   where i.tenant_id = $1 and i.invoice_id = ($2->>'invoice_id')::uuid and i.credit > 0),
account as (
  insert into customer_account as a (tenant_id, customer_id, dues)
  select tenant_id, customer_id, credit from i where customer_id is not null
  on conflict (tenant_id, customer_id) do update set dues = a.dues + excluded.dues)
insert into account_entry (tenant_id, entry_id, customer_id, invoice_id, kind, document_id, date, booked_at, due_date, dues)
select tenant_id, gen_random_uuid(), customer_id, invoice_id, 'invoice', invoice_id, date, issued_at, due_date, credit from i";

/// Writes an invoice as its event tells, under its own number.
pub(super) async fn insert_invoice(
    tx: &mut Tx,
    event: &Envelope<Value>,
    number: &Numbered,
) -> Result<()> {
    let tenant = tx.tenant();
    for text in [LINES, TENDERS] {
        sql(text)
            .bind::<SqlUuid, _>(tenant)
            .bind::<Jsonb, _>(&event.payload)
            .execute(tx.conn())
            .await?;
    }
    sql(HEADER)
        .bind::<SqlUuid, _>(tenant)
        .bind::<Jsonb, _>(&event.payload)
        .bind::<Integer, _>(number.fiscal_year)
        .bind::<Text, _>(number.prefix.as_str())
        .bind::<BigInt, _>(number.running)
        .bind::<Timestamptz, _>(event.occurred_at)
        .bind::<Nullable<SqlUuid>, _>(super::model::cashier(event))
        .bind::<BigInt, _>(event.aggregate_version)
        .execute(tx.conn())
        .await?;
    sql(USES)
        .bind::<SqlUuid, _>(tenant)
        .bind::<Jsonb, _>(&event.payload)
        .bind::<Timestamptz, _>(event.occurred_at)
        .execute(tx.conn())
        .await?;
    sql(OWED)
        .bind::<SqlUuid, _>(tenant)
        .bind::<Jsonb, _>(&event.payload)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Adds a written invoice to its session if that is open here.
pub(super) async fn add_to_session(tx: &mut Tx, event: &Envelope<Value>) -> Result<()> {
    sql(TOTALS)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Jsonb, _>(&event.payload)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// An orphan, as it is listed.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Orphan {
    #[diesel(sql_type = SqlUuid)]
    pub event_id: Uuid,
    #[diesel(sql_type = Text)]
    pub event_type: String,
    #[diesel(sql_type = Text)]
    pub aggregate_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub number: Option<String>,
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = Jsonb)]
    pub event: Value,
    #[diesel(sql_type = Timestamptz)]
    pub found_at: DateTime<Utc>,
}

/// A page of the orphans, and how many there are.
pub(super) async fn orphans(tx: &Tx, limit: i64, offset: i64) -> Result<(Vec<Orphan>, i64)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql("select event_id, event_type, aggregate_id, number, state, reason, event, found_at
                      from restore_orphan where tenant_id = $1 order by found_at, event_id limit $2 offset $3")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<BigInt, _>(limit)
        .bind::<BigInt, _>(offset)
        .load(&mut reader);
    let total = sql("select count(*) as total from restore_orphan where tenant_id = $1")
        .bind::<SqlUuid, _>(tx.tenant())
        .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}
