//! Every statement of the bundle. It reads the copies only.

use bahi_db::{Result, Tx, sql};
use bahi_types::{BranchId, ProductId, TillId};
use chrono::NaiveDate;
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{Array, BigInt, Date, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::model::{Changes, Version};

/// The version of now.
pub(super) async fn version(tx: &Tx) -> Result<Version> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        epoch: i64,
        #[diesel(sql_type = BigInt)]
        change: i64,
    }
    let row: Row = sql("
        select epoch, coalesce((select latest from catalogue_change where tenant_id = $1), 0) as change from outbox.epoch")
        .bind::<SqlUuid, _>(tx.tenant())
        .get_result(&mut tx.shared())
        .await?;
    Ok(Version {
        epoch: row.epoch,
        change: row.change,
    })
}

/// When products and rules were changed last.
pub(crate) async fn changes(tx: &Tx, products: &[Uuid]) -> Result<Changes> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        id: ProductId,
        #[diesel(sql_type = BigInt)]
        changed: i64,
    }
    #[derive(QueryableByName)]
    struct Rules {
        #[diesel(sql_type = BigInt)]
        epoch: i64,
        #[diesel(sql_type = BigInt)]
        rules: i64,
    }
    let (mut a, mut b) = (tx.shared(), tx.shared());
    let rows = sql("select product_id as id, changed from product where tenant_id = $1 and product_id = any($2)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(products)
        .load::<Row>(&mut a);
    let rules = sql("
        select epoch, greatest(0, (select max(changed) from price_list where tenant_id = $1),
               (select max(changed) from price_list_product where tenant_id = $1),
               (select max(changed) from promotion where tenant_id = $1),
               (select max(changed) from tax_profile where tenant_id = $1),
               (select max(changed) from category where tenant_id = $1)) as rules from outbox.epoch")
    .bind::<SqlUuid, _>(tx.tenant())
    .get_result::<Rules>(&mut b);
    let (rows, rules) = futures::try_join!(rows, rules)?;
    Ok(Changes {
        epoch: rules.epoch,
        rules: rules.rules,
        products: rows.into_iter().map(|r| (r.id, r.changed)).collect(),
    })
}

/// The till, its place and its session, as the head of the bundle tells them.
pub(super) async fn head(tx: &Tx, till: TillId) -> Result<Option<(BranchId, Value)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        branch_id: BranchId,
        #[diesel(sql_type = Jsonb)]
        head: Value,
    }
    let row: Option<Row> = sql("
        select t.branch_id, jsonb_build_object(
                 'till', jsonb_build_object('till_id', t.till_id, 'code', t.code, 'name', t.name, 'active', t.active,
                   'series', upper(t.series), 'round_to_rupee', t.round_to_rupee, 'location_id', t.location_id),
                 'branch', jsonb_build_object('branch_id', t.branch_id, 'code', b.code, 'name', b.name),
                 'location', jsonb_build_object('location_id', t.location_id, 'code', l.code, 'name', l.name),
                 'registration', case when r.registration_id is null then null else jsonb_build_object(
                   'registration_id', r.registration_id, 'gstin', r.gstin, 'state_code', r.state_code,
                   'legal_name', r.legal_name) end,
                 'session', (select jsonb_build_object('session_id', s.session_id, 'opened_at', s.opened_at,
                     'opened_by', s.opened_by)
                   from pos_session s where s.tenant_id = $1 and s.till_id = $2 and s.state = 'open'),
                 'offline_series', (select coalesce(jsonb_agg(jsonb_build_object('purpose', o.purpose, 'prefix', o.prefix,
                     'years', (select coalesce(jsonb_agg(jsonb_build_object('fiscal_year', n.fiscal_year, 'last', n.last)
                                 order by n.fiscal_year), '[]')
                       from (select fiscal_year, max(running) as last from offline_number
                              where tenant_id = $1 and registration_id = o.registration_id and prefix = o.prefix
                              group by fiscal_year) n)) order by o.purpose desc), '[]')
                   from offline_series o where o.tenant_id = $1 and o.till_id = $2 and o.registration_id = b.registration_id))
               as head
          from till t
          left join branch b on b.tenant_id = t.tenant_id and b.branch_id = t.branch_id
          left join location l on l.tenant_id = t.tenant_id and l.location_id = t.location_id
          left join registration r on r.tenant_id = t.tenant_id and r.registration_id = b.registration_id
         where t.tenant_id = $1 and t.till_id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(till)
    .get_result(&mut tx.shared())
    .await
    .optional()?;
    Ok(row.map(|r| (r.branch_id, r.head)))
}

/// A page of rows as JSON texts, and the key of its last row.
#[derive(Clone, Debug, Default)]
pub(super) struct Slice {
    /// Each an array in the order of the columns.
    pub rows: Vec<String>,
    /// Ids of what the till is to forget.
    pub gone: Vec<Uuid>,
    /// Where the next page goes on; none after the last.
    pub next: Option<Uuid>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    /// None: gone.
    #[diesel(sql_type = Nullable<Text>)]
    row: Option<String>,
}

fn slice(found: Vec<Row>, most: i32, whole: bool) -> Slice {
    let full = usize::try_from(most).is_ok_and(|most| found.len() == most);
    let mut slice = Slice {
        next: found.last().filter(|_| full).map(|last| last.id),
        ..Slice::default()
    };
    for row in found {
        match row.row {
            Some(text) => slice.rows.push(text),
            // Who is given the whole has nothing to forget.
            None if whole => {}
            None => slice.gone.push(row.id),
        }
    }
    slice
}

/// What a product's row holds.
pub(super) const PRODUCT: &[&str] = &[
    "product_id",
    "sku",
    "name",
    "barcodes",
    "price",
    "price_includes_tax",
    "mrp",
    "tax_profile_id",
    "hsn",
    "uqc",
    "stock_unit_id",
    "category_id",
    "brand_id",
    "stocked",
    "tracking",
    "units",
];

/// Products that changed after `since`, from `after` on.
pub(super) async fn products(tx: &Tx, since: i64, after: Uuid, most: i32) -> Result<Slice> {
    let rows: Vec<Row> = sql("
        select p.product_id as id, case when p.status in ('active', 'discontinued') and not p.template then
                 json_build_array(p.product_id, p.sku, p.name, coalesce(b.codes, '[]'), p.price::text, p.price_includes_tax,
                   p.mrp::text, p.tax_profile_id, p.hsn, p.uqc, p.stock_unit_id, p.category_id, p.brand_id, p.stocked,
                   coalesce(p.tracking, '{}'), coalesce(p.units, '[]'))::text end as row
          from (select * from product where tenant_id = $1 and product_id > $3 and changed > $2
                   and ($2 > 0 or status in ('active', 'discontinued')) order by product_id limit $4) p
          left join lateral (select json_agg(c.barcode order by c.barcode) as codes from barcode c
                              where c.tenant_id = $1 and c.product_id = p.product_id) b on true
         order by p.product_id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<BigInt, _>(since)
    .bind::<SqlUuid, _>(after)
    .bind::<Integer, _>(most)
    .load(&mut tx.shared())
    .await?;
    Ok(slice(rows, most, since == 0))
}

/// What a tax profile's row holds; `rates`: `[from, to, rate, cess, price_limit, rate_above, cess_above]`.
pub(super) const TAX_PROFILE: &[&str] = &["tax_profile_id", "hsn", "category", "rates"];

/// Tax profiles, likewise.
pub(super) async fn tax_profiles(tx: &Tx, since: i64, after: Uuid, most: i32) -> Result<Slice> {
    let rows: Vec<Row> = sql("
        select p.tax_profile_id as id, json_build_array(p.tax_profile_id, p.hsn, p.category,
                 (select coalesce(json_agg(json_build_array(r.valid_from, r.valid_to, r.rate::text, r.cess::text,
                           r.price_limit::text, r.rate_above::text, r.cess_above::text) order by r.valid_from), '[]')
                    from tax_rate r where r.tenant_id = $1 and r.tax_profile_id = p.tax_profile_id))::text as row
          from tax_profile p where p.tenant_id = $1 and p.tax_profile_id > $3 and p.changed > $2
         order by p.tax_profile_id limit $4")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<BigInt, _>(since)
    .bind::<SqlUuid, _>(after)
    .bind::<Integer, _>(most)
    .load(&mut tx.shared())
    .await?;
    Ok(slice(rows, most, since == 0))
}

/// What a category's row holds.
pub(super) const CATEGORY: &[&str] = &["category_id", "parent_id"];

/// Categories, likewise.
pub(super) async fn categories(tx: &Tx, since: i64, after: Uuid, most: i32) -> Result<Slice> {
    let rows: Vec<Row> = sql("
        select c.category_id as id, case when not c.deleted then json_build_array(c.category_id, c.parent_id)::text end as row
          from category c where c.tenant_id = $1 and c.category_id > $3 and c.changed > $2
         order by c.category_id limit $4")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<BigInt, _>(since)
    .bind::<SqlUuid, _>(after)
    .bind::<Integer, _>(most)
    .load(&mut tx.shared())
    .await?;
    Ok(slice(rows, most, since == 0))
}

/// What a price list's row holds.
pub(super) const PRICE_LIST: &[&str] = &[
    "price_list_id",
    "priority",
    "price_includes_tax",
    "customer_group_id",
    "valid_from",
    "valid_to",
];

/// Price lists of the branch that have not ended, likewise. A list that is told is told with all of its prices.
pub(super) async fn price_lists(
    tx: &Tx,
    branch: BranchId,
    today: NaiveDate,
    since: i64,
    after: Uuid,
    most: i32,
) -> Result<Slice> {
    let rows: Vec<Row> = sql("
        select l.price_list_id as id, case when not l.deleted and (l.branch_id is null or l.branch_id = $5)
                   and (l.valid_to is null or l.valid_to > $6) then
                 json_build_array(l.price_list_id, l.priority, l.price_includes_tax, l.customer_group_id, l.valid_from,
                   l.valid_to)::text end as row
          from price_list l where l.tenant_id = $1 and l.price_list_id > $3 and l.changed > $2
         order by l.price_list_id limit $4")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<BigInt, _>(since)
    .bind::<SqlUuid, _>(after)
    .bind::<Integer, _>(most)
    .bind::<SqlUuid, _>(branch)
    .bind::<Date, _>(today)
    .load(&mut tx.shared())
    .await?;
    Ok(slice(rows, most, since == 0))
}

/// What a row of prices holds: all that a list has for a product; `prices`:
/// `[entry_id, unit_id, min_qty, price, valid_from, valid_to]`. Without prices the list has none for it any more.
pub(super) const PRICES: &[&str] = &["price_list_id", "product_id", "prices"];

/// Where a walk over prices has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place(pub Uuid, pub Uuid);

/// The prices of a branch's lists that changed, or whose list did, from `after` on.
pub(super) async fn prices(
    tx: &Tx,
    branch: BranchId,
    today: NaiveDate,
    since: i64,
    after: Place,
    most: i32,
) -> Result<(Vec<String>, Option<Place>)> {
    #[derive(QueryableByName)]
    struct Prices {
        #[diesel(sql_type = SqlUuid)]
        price_list_id: Uuid,
        #[diesel(sql_type = SqlUuid)]
        product_id: Uuid,
        #[diesel(sql_type = Text)]
        row: String,
    }
    let rows: Vec<Prices> = sql("
        select p.price_list_id, p.product_id, json_build_array(p.price_list_id, p.product_id,
                 (select coalesce(json_agg(json_build_array(e.entry_id, e.unit_id, e.min_qty::text, e.price::text, e.valid_from,
                           e.valid_to) order by e.entry_id), '[]')
                    from price_entry e where e.tenant_id = $1 and e.product_id = p.product_id
                     and e.price_list_id = p.price_list_id and (e.valid_to is null or e.valid_to > $7)))::text as row
          from price_list_product p
          join price_list l on l.tenant_id = p.tenant_id and l.price_list_id = p.price_list_id
         where p.tenant_id = $1 and (p.price_list_id, p.product_id) > ($3, $4) and (p.changed > $2 or l.changed > $2)
           and not l.deleted and (l.branch_id is null or l.branch_id = $6) and (l.valid_to is null or l.valid_to > $7)
         order by p.price_list_id, p.product_id limit $5")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<BigInt, _>(since)
    .bind::<SqlUuid, _>(after.0)
    .bind::<SqlUuid, _>(after.1)
    .bind::<Integer, _>(most)
    .bind::<SqlUuid, _>(branch)
    .bind::<Date, _>(today)
    .load(&mut tx.shared())
    .await?;
    let full = usize::try_from(most).is_ok_and(|most| rows.len() == most);
    let next = rows
        .last()
        .filter(|_| full)
        .map(|r| Place(r.price_list_id, r.product_id));
    Ok((rows.into_iter().map(|r| r.row).collect(), next))
}

/// What a promotion's row holds: its terms as product tells them.
pub(super) const PROMOTION: &[&str] = &["terms"];

/// Promotions of the branch that have not ended and need no coupon, likewise.
pub(super) async fn promotions(
    tx: &Tx,
    branch: BranchId,
    today: NaiveDate,
    since: i64,
    after: Uuid,
    most: i32,
) -> Result<Slice> {
    let rows: Vec<Row> = sql("
        select p.promotion_id as id, case when p.status = 'active' and not p.needs_coupon
                   and (p.branch_id is null or p.branch_id = $5) and (p.valid_to is null or p.valid_to > $6)
                 then json_build_array(p.terms)::text end as row
          from promotion p where p.tenant_id = $1 and p.promotion_id > $3 and p.changed > $2
         order by p.promotion_id limit $4")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<BigInt, _>(since)
    .bind::<SqlUuid, _>(after)
    .bind::<Integer, _>(most)
    .bind::<SqlUuid, _>(branch)
    .bind::<Date, _>(today)
    .load(&mut tx.shared())
    .await?;
    Ok(slice(rows, most, since == 0))
}
