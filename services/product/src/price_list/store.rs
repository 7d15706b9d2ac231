//! Every statement about price lists.

use bahi_db::{Error as Db, Tx, sql};
use bahi_http::{Walk, walk};
use bahi_types::{BranchId, CustomerGroupId, PriceListId};
use diesel::{prelude::*, sql_types::Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    price_list::model::PriceList,
    schema::price_list::{self, dsl},
    text::fold,
};

/// What a list of price lists may be narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This name, ignoring case.
    pub name: Option<String>,
    /// For this branch alone.
    pub branch: Option<BranchId>,
    /// For this group of customers alone.
    pub customer_group: Option<CustomerGroupId>,
}

/// One list.
pub async fn find(tx: &mut Tx, id: PriceListId) -> Result<Option<PriceList>, Error> {
    let row = dsl::price_list
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    Ok(row
        .select(PriceList::as_select())
        .first(tx.conn())
        .await
        .optional()?)
}

/// One list, which must be there.
pub async fn get(tx: &mut Tx, id: PriceListId) -> Result<PriceList, Error> {
    Ok(find(tx, id).await?.ok_or(Db::NotFound)?)
}

/// One list, locked; at the version that the caller has seen, if any.
pub async fn lock(tx: &mut Tx, id: PriceListId, seen: Option<i64>) -> Result<PriceList, Error> {
    let row = dsl::price_list
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let list: PriceList = row
        .select(PriceList::as_select())
        .for_update()
        .first(tx.conn())
        .await?;
    match seen {
        Some(seen) if seen != list.version => Err(Db::Stale {
            current: list.version,
        }
        .into()),
        _ => Ok(list),
    }
}

/// Nobody else adds a list or moves one until the transaction ends: two that came at once would wait for each other in
/// the exclusion constraint.
pub async fn lock_all(tx: &mut Tx) -> Result<(), Error> {
    sql("select pg_advisory_xact_lock(hashtextextended('price lists ' || $1::text, 0))")
        .bind::<SqlUuid, _>(tx.tenant())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The other lists of the same audience and priority.
pub async fn rivals(tx: &mut Tx, list: &PriceList) -> Result<Vec<PriceList>, Error> {
    let rows = dsl::price_list
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.ne(list.id))
        .filter(dsl::priority.eq(list.priority))
        .filter(dsl::branch_id.is_not_distinct_from(list.branch_id))
        .filter(dsl::customer_group_id.is_not_distinct_from(list.customer_group_id))
        .order(dsl::id);
    Ok(rows.select(PriceList::as_select()).load(tx.conn()).await?)
}

/// A page of lists, and how many there are.
pub async fn list(tx: &mut Tx, filter: &Filter, at: &Walk) -> Result<(Vec<PriceList>, i64), Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = dsl::price_list
            .filter(dsl::tenant_id.eq(tenant))
            .into_boxed();
        if let Some(name) = &filter.name {
            rows = rows.filter(dsl::name_key.eq(fold(name)));
        }
        if let Some(branch) = filter.branch {
            rows = rows.filter(dsl::branch_id.eq(branch));
        }
        if let Some(group) = filter.customer_group {
            rows = rows.filter(dsl::customer_group_id.eq(group));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(PriceList::as_select());
    let page = match at.sort.field {
        "priority" => {
            walk!(rows, at, dsl::priority, i32, dsl::id)
                .load(tx.conn())
                .await?
        }
        _ => {
            walk!(rows, at, dsl::name, String, dsl::id)
                .load(tx.conn())
                .await?
        }
    };
    Ok((page, total))
}

/// Adds a list.
pub async fn insert(tx: &mut Tx, list: &PriceList) -> Result<(), Error> {
    diesel::insert_into(price_list::table)
        .values((
            dsl::tenant_id.eq(tx.tenant()),
            list,
            dsl::name_key.eq(fold(&list.name)),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Stores a list that is locked.
pub async fn save(tx: &mut Tx, list: &PriceList) -> Result<(), Error> {
    let row = dsl::price_list
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(list.id));
    diesel::update(row)
        .set((list, dsl::name_key.eq(fold(&list.name))))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Deletes a list that is locked, with its prices.
pub async fn delete(tx: &mut Tx, id: PriceListId) -> Result<(), Error> {
    let row = dsl::price_list
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}
