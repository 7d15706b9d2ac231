//! Every statement about variants.

use bahi_db::{Tx, sql};
use bahi_types::ProductId;
use diesel::{
    prelude::*,
    sql_types::{Array, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use crate::{Error, attribute::model::ValueId, product::model::Product, schema::product::dsl};

/// The variants of a template, in the order of their ids.
pub async fn all(tx: &mut Tx, template: ProductId) -> Result<Vec<Product>, Error> {
    let rows = dsl::product
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::variant_of.eq(template))
        .order(dsl::id);
    Ok(rows.select(Product::as_select()).load(tx.conn()).await?)
}

/// The variants of templates, locked in the order of their ids.
pub async fn lock(tx: &mut Tx, templates: &[ProductId]) -> Result<Vec<Product>, Error> {
    let rows = dsl::product
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::variant_of.eq_any(templates))
        .order(dsl::id);
    Ok(rows
        .select(Product::as_select())
        .for_update()
        .load(tx.conn())
        .await?)
}

/// Stores which values new variants have.
pub async fn insert_options(tx: &mut Tx, variants: &[&Product]) -> Result<(), Error> {
    let (values, products): (Vec<ValueId>, Vec<ProductId>) = variants
        .iter()
        .flat_map(|variant| {
            variant
                .options
                .iter()
                .map(|option| (option.value_id, variant.id))
        })
        .unzip();
    sql("insert into product_option (tenant_id, value_id, product_id) select $1, n.* from unnest($2, $3) as n")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(values)
        .bind::<Array<SqlUuid>, _>(products)
        .execute(tx.conn())
        .await?;
    Ok(())
}
