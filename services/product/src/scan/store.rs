//! Which products claim scanned codes.

use bahi_db::Tx;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    product::model::Product,
    schema::{barcode, product},
};

/// The products that claim these codes (GTIN-14), with the codes.
pub async fn claimants(tx: &mut Tx, codes: &[String]) -> Result<Vec<(String, Product)>, Error> {
    let claims = barcode::table
        .filter(barcode::tenant_id.eq(tx.tenant()))
        .filter(barcode::gtin.eq_any(codes));
    let of_claim = product::tenant_id
        .eq(barcode::tenant_id)
        .and(product::id.eq(barcode::product_id));
    let rows = claims
        .inner_join(product::table.on(of_claim))
        .select((barcode::gtin, Product::as_select()));
    Ok(rows.load(tx.conn()).await?)
}
