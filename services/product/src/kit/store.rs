//! Every statement about components.

use bahi_db::{Tx, sql};
use bahi_types::ProductId;
use diesel::{
    prelude::*,
    sql_types::{Array, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    product::model::Product,
    schema::kit_component::{self, dsl},
};

/// Those of `products` that are components of kits.
pub async fn components_among(
    tx: &mut Tx,
    products: &[ProductId],
) -> Result<Vec<ProductId>, Error> {
    let rows = kit_component::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::component_id.eq_any(products));
    Ok(rows
        .select(dsl::component_id)
        .distinct()
        .load(tx.conn())
        .await?)
}

/// Stores what these products consist of.
pub async fn replace(tx: &mut Tx, products: &[&Product]) -> Result<(), Error> {
    let ids: Vec<ProductId> = products.iter().map(|product| product.id).collect();
    let rows = kit_component::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::kit_id.eq_any(&ids));
    diesel::delete(rows).execute(tx.conn()).await?;
    let mut pairs: Vec<(ProductId, ProductId)> = products
        .iter()
        .flat_map(|kit| {
            kit.components
                .iter()
                .map(|component| (component.product_id, kit.id))
        })
        .collect();
    pairs.sort_unstable();
    let (components, kits): (Vec<ProductId>, Vec<ProductId>) = pairs.into_iter().unzip();
    sql("insert into kit_component (tenant_id, component_id, kit_id) select $1, n.* from unnest($2, $3) as n")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(components)
        .bind::<Array<SqlUuid>, _>(kits)
        .execute(tx.conn())
        .await?;
    Ok(())
}
