//! The SQL of the company.

use bahi_db::{Result, Tx};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::model::Company;
use crate::schema::{company, registration};

/// The company.
pub async fn get(tx: &mut Tx) -> Result<Company> {
    Ok(company::table
        .find(tx.tenant())
        .select(Company::as_select())
        .first(tx.conn())
        .await?)
}

/// The company, locked.
pub async fn lock(tx: &mut Tx) -> Result<Company> {
    let row = company::table
        .find(tx.tenant())
        .select(Company::as_select())
        .for_no_key_update();
    Ok(row.first(tx.conn()).await?)
}

/// Whether everybody needs a second factor.
pub async fn requires_mfa(tx: &mut Tx) -> Result<bool> {
    Ok(company::table
        .find(tx.tenant())
        .select(company::require_mfa)
        .first(tx.conn())
        .await?)
}

/// The PAN, which cannot change while a registration is written.
pub async fn share_pan(tx: &mut Tx) -> Result<Option<String>> {
    Ok(company::table
        .find(tx.tenant())
        .select(company::pan)
        .for_share()
        .first(tx.conn())
        .await?)
}

/// The GSTINs of its registrations.
pub async fn gstins(tx: &mut Tx) -> Result<Vec<String>> {
    let gstins: Vec<Option<String>> = registration::table
        .filter(registration::tenant_id.eq(tx.tenant()))
        .filter(registration::gstin.is_not_null())
        .select(registration::gstin)
        .load(tx.conn())
        .await?;
    Ok(gstins.into_iter().flatten().collect())
}

/// Adds the company.
pub async fn insert(tx: &mut Tx, row: &Company) -> Result<()> {
    diesel::insert_into(company::table)
        .values(row)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Saves it.
pub async fn save(tx: &mut Tx, row: &Company) -> Result<()> {
    diesel::update(company::table.find(tx.tenant()))
        .set((
            company::legal_name.eq(&row.legal_name),
            company::trade_name.eq(&row.trade_name),
            company::pan.eq(&row.pan),
            company::currency.eq(&row.currency),
            company::require_mfa.eq(row.require_mfa),
            company::version.eq(row.version),
            company::updated_at.eq(row.updated_at),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}
