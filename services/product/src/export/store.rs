//! What an export reads beside the products: names for ids, a page at a time.

use std::collections::HashMap;

use bahi_db::{Tx, sql};
use bahi_types::{BrandId, CategoryId, TaxProfileId, UnitId};
use diesel::{
    prelude::*,
    sql_types::{Array, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    export::model::Names,
    product::model::Product,
    schema::{brand, tax_profile, unit},
};

#[derive(QueryableByName)]
struct Path {
    #[diesel(sql_type = SqlUuid)]
    id: CategoryId,
    #[diesel(sql_type = Array<Text>)]
    names: Vec<String>,
}

/// What the ids of these products stand for.
pub async fn names(tx: &mut Tx, products: &[Product]) -> Result<Names, Error> {
    let tenant = tx.tenant();
    let mut categories: Vec<CategoryId> = products.iter().filter_map(|p| p.category_id).collect();
    categories.sort_unstable();
    categories.dedup();
    let paths: Vec<Path> = sql("with recursive up (leaf, name, parent_id, level) as (
           select id, name, parent_id, 1 from category where tenant_id = $1 and id = any ($2)
           union all
           select up.leaf, c.name, c.parent_id, up.level + 1 from category c join up on c.id = up.parent_id
            where c.tenant_id = $1 and up.level < 100)
         select leaf as id, array_agg(name order by level desc) as names from up group by leaf")
    .bind::<SqlUuid, _>(tenant)
    .bind::<Array<SqlUuid>, _>(categories)
    .load(tx.conn())
    .await?;
    let ids: Vec<BrandId> = products.iter().filter_map(|p| p.brand_id).collect();
    let brands: Vec<(BrandId, String)> = brand::table
        .filter(brand::tenant_id.eq(tenant))
        .filter(brand::id.eq_any(ids))
        .select((brand::id, brand::name))
        .load(tx.conn())
        .await?;
    let ids: Vec<UnitId> = products.iter().map(|p| p.unit_id).collect();
    let units: Vec<(UnitId, String)> = unit::table
        .filter(unit::tenant_id.eq(tenant))
        .filter(unit::id.eq_any(ids))
        .select((unit::id, unit::code))
        .load(tx.conn())
        .await?;
    let ids: Vec<TaxProfileId> = products.iter().map(|p| p.tax_profile_id).collect();
    let profiles: Vec<(TaxProfileId, String)> = tax_profile::table
        .filter(tax_profile::tenant_id.eq(tenant))
        .filter(tax_profile::id.eq_any(ids))
        .select((tax_profile::id, tax_profile::name))
        .load(tx.conn())
        .await?;
    Ok(Names {
        categories: paths
            .into_iter()
            .map(|path| (path.id, path.names))
            .collect::<HashMap<_, _>>(),
        brands: brands.into_iter().collect(),
        units: units.into_iter().collect(),
        profiles: profiles.into_iter().collect(),
    })
}
