//! The products that labels are printed for.

use bahi_db::Tx;
use bahi_types::ProductId;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    product::model::Product,
    schema::product::{self, dsl},
};

/// These products, as far as there are any.
pub async fn products(tx: &mut Tx, ids: &[ProductId]) -> Result<Vec<Product>, Error> {
    let rows = product::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq_any(ids));
    Ok(rows.select(Product::as_select()).load(tx.conn()).await?)
}
