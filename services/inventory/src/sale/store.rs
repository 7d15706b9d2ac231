//! Every SQL statement about what was sold and came back.

use std::collections::HashMap;

use bahi_db::{Result, Tx, sql};
use bahi_types::{BatchId, InvoiceId, Money, ProductId, Quantity};
use diesel::{
    QueryableByName,
    sql_types::{Array, Integer, Jsonb, Nullable, Numeric, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use super::model::Sale;
use crate::kit::{Recipe, Sold};

/// A product of a line of an invoice; a line of kits has several.
pub(super) type LineKey = (InvoiceId, i32, ProductId);

/// What left for an invoice line: at once and with later settlements, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Left {
    /// By batch, in the order it left.
    pub parts: Vec<(BatchId, Quantity)>,
    /// All of it.
    pub qty: Quantity,
    /// Its cost.
    pub cost: Money,
    /// What came back before, and at which cost.
    pub back: (Quantity, Money),
}

#[derive(QueryableByName)]
struct PartRow {
    #[diesel(sql_type = SqlUuid)]
    invoice_id: InvoiceId,
    #[diesel(sql_type = Integer)]
    line: i32,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    batch_id: BatchId,
    #[diesel(sql_type = Numeric)]
    qty: Quantity,
    #[diesel(sql_type = Numeric)]
    value: Money,
}

#[derive(QueryableByName)]
struct BackRow {
    #[diesel(sql_type = SqlUuid)]
    invoice_id: InvoiceId,
    #[diesel(sql_type = Integer)]
    line: i32,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = Numeric)]
    qty: Quantity,
    #[diesel(sql_type = Numeric)]
    cost: Money,
}

/// What left for each line of `invoices`, and what of it came back before.
pub(super) async fn left(tx: &mut Tx, invoices: &[InvoiceId]) -> Result<HashMap<LineKey, Left>> {
    let mut lines: HashMap<LineKey, Left> = HashMap::new();
    if invoices.is_empty() {
        return Ok(lines);
    }
    let parts: Vec<PartRow> = sql("select invoice_id, line, product_id, batch_id, qty, value from (
           select m.source_id as invoice_id, m.source_line as line, m.product_id, m.batch_id, -m.qty as qty, -m.value as value, m.seq
           from movement m where m.tenant_id = $1 and m.source_type = 'invoice' and m.source_id = any ($2)
           union all
           select s.invoice_id, s.line, m.product_id, m.batch_id, -m.qty, -m.value, m.seq
           from shortage_settlement s
           join movement m on m.tenant_id = s.tenant_id and m.source_type = 'shortage_settlement' and m.source_id = s.id
           where s.tenant_id = $1 and s.invoice_id = any ($2)
           union all
           -- Of a delivery that was billed in parts each part has its share.
           select b.invoice_id, b.line, m.product_id, m.batch_id, round(-m.qty * b.qty / d.qty, 3),
                  round(-m.value * b.qty / d.qty, 2), m.seq
           from billed_delivery b
           join movement m on m.tenant_id = b.tenant_id and m.source_type = 'fulfilment' and m.source_id = b.fulfilment_id
             and m.source_line = b.fulfilment_line and m.purpose = 'issue' and m.product_id = b.product_id
           join lateral (select -sum(n.qty) as qty from movement n where n.tenant_id = b.tenant_id
             and n.source_type = 'fulfilment' and n.source_id = b.fulfilment_id and n.source_line = b.fulfilment_line
             and n.purpose = 'issue' and n.product_id = b.product_id) d on d.qty > 0
           where b.tenant_id = $1 and b.invoice_id = any ($2)) x order by seq")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(invoices)
        .load(tx.conn())
        .await?;
    for part in parts {
        let key = (part.invoice_id, part.line, part.product_id);
        let line = lines.entry(key).or_default();
        line.parts.push((part.batch_id, part.qty));
        line.qty += part.qty;
        line.cost += part.value;
    }
    let back: Vec<BackRow> = sql("select invoice_id, original_line as line, product_id, sum(qty - shortage_closed) as qty, sum(cost) as cost
         from return_line where tenant_id = $1 and invoice_id = any ($2) and original_line is not null
         group by invoice_id, original_line, product_id")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(invoices)
        .load(tx.conn())
        .await?;
    for row in back {
        let key = (row.invoice_id, row.line, row.product_id);
        lines.entry(key).or_default().back = (row.qty, row.cost);
    }
    Ok(lines)
}

/// Remembers which lines of invoices bill what left with deliveries.
pub(super) async fn keep_billed(tx: &mut Tx, sales: &[&Sale]) -> Result<()> {
    let billed = || {
        sales
            .iter()
            .flat_map(|s| s.billed.iter().map(|b| (s.invoice, b)))
    };
    if billed().next().is_none() {
        return Ok(());
    }
    sql(
        "insert into billed_delivery (tenant_id, invoice_id, line, fulfilment_id, fulfilment_line, product_id, qty)
         select $1, u.* from unnest($2, $3, $4, $5, $6, $7) as u on conflict do nothing",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(billed().map(|(invoice, _)| invoice).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(billed().map(|(_, b)| b.line).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(billed().map(|(_, b)| b.fulfilment).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(billed().map(|(_, b)| b.of).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(billed().map(|(_, b)| b.product).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(billed().map(|(_, b)| b.qty).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Remembers which lines of invoices were of kits, and of what these consisted.
pub(super) async fn keep_kits(tx: &mut Tx, sold: &[(InvoiceId, Sold)]) -> Result<()> {
    if sold.is_empty() {
        return Ok(());
    }
    let recipes: Vec<serde_json::Value> = sold
        .iter()
        .map(|s| serde_json::to_value(&s.1.of))
        .collect::<std::result::Result<_, _>>()?;
    sql(
        "insert into sale_kit (tenant_id, invoice_id, line, kit_id, qty, components)
         select $1, u.* from unnest($2, $3, $4, $5, $6) as u",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(sold.iter().map(|s| s.0).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(sold.iter().map(|s| s.1.line).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(sold.iter().map(|s| s.1.kit).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(sold.iter().map(|s| s.1.qty).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(recipes)
    .execute(tx.conn())
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct KitRow {
    #[diesel(sql_type = SqlUuid)]
    invoice_id: InvoiceId,
    #[diesel(sql_type = Integer)]
    line: i32,
    #[diesel(sql_type = Jsonb)]
    components: serde_json::Value,
}

/// Of what the kits consisted that were sold on lines of `invoices`.
pub(super) async fn kits(
    tx: &mut Tx,
    invoices: &[InvoiceId],
) -> Result<HashMap<(InvoiceId, i32), Recipe>> {
    if invoices.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<KitRow> = sql("select invoice_id, line, components from sale_kit
         where tenant_id = $1 and invoice_id = any ($2)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(invoices)
    .load(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            let of = serde_json::from_value(row.components)?;
            Ok(((row.invoice_id, row.line), of))
        })
        .collect()
}

/// A line that came back, as it is kept.
#[derive(Clone, Debug)]
pub(super) struct ReturnLine {
    pub credit_note: InvoiceId,
    pub line: i32,
    pub original: Option<LineKey>,
    pub product: ProductId,
    pub qty: Quantity,
    pub shortage_closed: Quantity,
    pub cost: Money,
}

/// Keeps what came back.
pub(super) async fn insert_return_lines(tx: &mut Tx, lines: &[ReturnLine]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    sql("insert into return_line (tenant_id, credit_note_id, line, invoice_id, original_line, product_id, qty,
                                  shortage_closed, cost)
         select $1, u.c, u.n, u.i, u.o, u.p, u.q, u.s, u.v
         from unnest($2, $3, $4, $5, $6, $7, $8, $9) as u(c, n, i, o, p, q, s, v)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.credit_note).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(lines.iter().map(|l| l.line).collect::<Vec<_>>())
        .bind::<Array<Nullable<SqlUuid>>, _>(lines.iter().map(|l| l.original.map(|o| o.0)).collect::<Vec<_>>())
        .bind::<Array<Nullable<Integer>>, _>(lines.iter().map(|l| l.original.map(|o| o.1)).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(lines.iter().map(|l| l.product).collect::<Vec<_>>())
        .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.qty).collect::<Vec<_>>())
        .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.shortage_closed).collect::<Vec<_>>())
        .bind::<Array<Numeric>, _>(lines.iter().map(|l| l.cost).collect::<Vec<_>>())
        .execute(tx.conn())
        .await?;
    Ok(())
}
