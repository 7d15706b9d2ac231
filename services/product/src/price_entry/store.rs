//! Every statement about the prices of price lists.

use bahi_db::{Error as Db, Tx, sql};
use bahi_http::{Walk, walk};
use bahi_pricing::{Audience, Offer, Period};
use bahi_types::{
    BranchId, CustomerGroupId, Price, PriceEntryId, PriceListId, ProductId, Quantity, UnitId,
};
use chrono::NaiveDate;
use diesel::{
    prelude::*,
    sql_types::{Array, Bool, Date, Integer, Nullable, Numeric, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    price_entry::model::PriceEntry,
    schema::price_entry::{self, dsl},
};

/// What a list of prices may be narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this product.
    pub product: Option<ProductId>,
    /// In this unit.
    pub unit: Option<UnitId>,
}

/// A price of a list that is locked.
pub async fn get(tx: &mut Tx, list: PriceListId, id: PriceEntryId) -> Result<PriceEntry, Error> {
    let row = dsl::price_entry
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::price_list_id.eq(list))
        .filter(dsl::id.eq(id));
    let entry: Option<PriceEntry> = row
        .select(PriceEntry::as_select())
        .first(tx.conn())
        .await
        .optional()?;
    Ok(entry.ok_or(Db::NotFound)?)
}

/// All prices that a list has for some products, by product and then by age.
pub async fn of_products(
    tx: &mut Tx,
    list: PriceListId,
    products: &[ProductId],
) -> Result<Vec<PriceEntry>, Error> {
    let rows = dsl::price_entry
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::price_list_id.eq(list))
        .filter(dsl::product_id.eq_any(products));
    Ok(rows
        .order((dsl::product_id, dsl::id))
        .select(PriceEntry::as_select())
        .load(tx.conn())
        .await?)
}

/// A page of a list's prices, and how many there are.
pub async fn list(
    tx: &mut Tx,
    list: PriceListId,
    filter: &Filter,
    at: &Walk,
) -> Result<(Vec<PriceEntry>, i64), Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = dsl::price_entry
            .filter(dsl::tenant_id.eq(tenant))
            .filter(dsl::price_list_id.eq(list))
            .into_boxed();
        if let Some(product) = filter.product {
            rows = rows.filter(dsl::product_id.eq(product));
        }
        if let Some(unit) = filter.unit {
            rows = rows.filter(dsl::unit_id.eq(unit));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(PriceEntry::as_select());
    let page = walk!(rows, at, dsl::product_id, ProductId, dsl::id)
        .load(tx.conn())
        .await?;
    Ok((page, total))
}

/// Adds prices to a list that is locked.
pub async fn insert(tx: &mut Tx, entries: &[PriceEntry]) -> Result<(), Error> {
    let tenant = tx.tenant();
    let mut entries: Vec<&PriceEntry> = entries.iter().collect();
    // The foreign key locks products as their rows come: in one order for everybody.
    entries.sort_by_key(|entry| (entry.product_id, entry.id));
    for some in entries.chunks(500) {
        let rows: Vec<_> = some
            .iter()
            .map(|entry| (dsl::tenant_id.eq(tenant), *entry))
            .collect();
        diesel::insert_into(price_entry::table)
            .values(rows)
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

/// Stores a price of a list that is locked.
pub async fn save(tx: &mut Tx, entry: &PriceEntry) -> Result<(), Error> {
    let row = dsl::price_entry
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(entry.id));
    diesel::update(row).set(entry).execute(tx.conn()).await?;
    Ok(())
}

/// Deletes a price of a list that is locked.
pub async fn delete(tx: &mut Tx, id: PriceEntryId) -> Result<(), Error> {
    let row = dsl::price_entry
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Offered {
    #[diesel(sql_type = SqlUuid)]
    price_list_id: PriceListId,
    #[diesel(sql_type = Integer)]
    priority: i32,
    #[diesel(sql_type = Bool)]
    price_includes_tax: bool,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    branch_id: Option<BranchId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    customer_group_id: Option<CustomerGroupId>,
    #[diesel(sql_type = Nullable<Date>)]
    list_from: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    list_to: Option<NaiveDate>,
    #[diesel(sql_type = SqlUuid)]
    id: PriceEntryId,
    #[diesel(sql_type = SqlUuid)]
    product_id: ProductId,
    #[diesel(sql_type = SqlUuid)]
    unit_id: UnitId,
    #[diesel(sql_type = Numeric)]
    min_qty: Quantity,
    #[diesel(sql_type = Numeric)]
    price: Price,
    #[diesel(sql_type = Nullable<Date>)]
    valid_from: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    valid_to: Option<NaiveDate>,
}

impl From<Offered> for Offer {
    fn from(row: Offered) -> Self {
        Self {
            list: row.price_list_id,
            priority: row.priority,
            audience: Audience {
                branch: row.branch_id,
                customer_group: row.customer_group_id,
            },
            list_period: Period {
                from: row.list_from,
                to: row.list_to,
            },
            entry: row.id,
            product: row.product_id,
            unit: row.unit_id,
            min_qty: row.min_qty,
            price: row.price,
            includes_tax: row.price_includes_tax,
            period: Period {
                from: row.valid_from,
                to: row.valid_to,
            },
        }
    }
}

macro_rules! offers {
    ($not:literal, $rest:literal) => {
        concat!(
            "select e.price_list_id, l.priority, l.price_includes_tax, l.branch_id, l.customer_group_id,
                    l.valid_from as list_from, l.valid_to as list_to, e.id, e.product_id, e.unit_id, e.min_qty, e.price,
                    e.valid_from, e.valid_to
               from price_entry e
               join price_list l on l.tenant_id = e.tenant_id and l.id = e.price_list_id
              where e.tenant_id = $1 and e.product_id = any($2)
                and ", $not, "((l.branch_id is null or l.branch_id is not distinct from $3)
                 and (l.customer_group_id is null or l.customer_group_id is not distinct from $4)
                 and daterange(l.valid_from, l.valid_to) @> $5 and daterange(e.valid_from, e.valid_to) @> $5) ",
            $rest
        )
    };
}

/// Whom and when prices are looked up for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The branch.
    pub branch: Option<BranchId>,
    /// The group of customers.
    pub customer_group: Option<CustomerGroupId>,
    /// The day.
    pub date: NaiveDate,
}

/// The prices of these products that fit, whatever the quantity.
pub async fn offers(
    tx: &mut Tx,
    products: &[ProductId],
    asked: Asked,
) -> Result<Vec<Offer>, Error> {
    let rows: Vec<Offered> = sql(offers!("", ""))
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(products)
        .bind::<Nullable<SqlUuid>, _>(asked.branch)
        .bind::<Nullable<SqlUuid>, _>(asked.customer_group)
        .bind::<Date, _>(asked.date)
        .load(tx.conn())
        .await?;
    Ok(rows.into_iter().map(Offer::from).collect())
}

/// Some prices of these products that do not fit, which explain why they are not had: those of the highest priority,
/// then the latest.
pub async fn others(
    tx: &mut Tx,
    products: &[ProductId],
    asked: Asked,
) -> Result<Vec<Offer>, Error> {
    let rows: Vec<Offered> = sql(offers!(
        "not ",
        "order by l.priority desc, coalesce(e.valid_from, l.valid_from) desc nulls last, e.id limit 500"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(products)
    .bind::<Nullable<SqlUuid>, _>(asked.branch)
    .bind::<Nullable<SqlUuid>, _>(asked.customer_group)
    .bind::<Date, _>(asked.date)
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Offer::from).collect())
}
