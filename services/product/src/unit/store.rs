//! Every statement about units.

use bahi_db::{Error as Db, Tx};
use bahi_http::{Walk, walk};
use bahi_types::UnitId;
use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    schema::{
        product, product_unit,
        unit::{self, dsl},
    },
    text::fold,
    unit::model::Unit,
};

/// What a list of units may be narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This code, ignoring case.
    pub code: Option<String>,
    /// This unique quantity code.
    pub uqc: Option<String>,
}

/// One unit.
pub async fn find(tx: &mut Tx, id: UnitId) -> Result<Option<Unit>, Error> {
    let row = unit::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    Ok(row
        .select(Unit::as_select())
        .first(tx.conn())
        .await
        .optional()?)
}

/// Units by id.
pub async fn by_ids(tx: &mut Tx, ids: &[UnitId]) -> Result<Vec<Unit>, Error> {
    let rows = unit::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq_any(ids));
    Ok(rows.select(Unit::as_select()).load(tx.conn()).await?)
}

/// One unit, which must be there.
pub async fn get(tx: &mut Tx, id: UnitId) -> Result<Unit, Error> {
    Ok(find(tx, id).await?.ok_or(Db::NotFound)?)
}

/// Which of these units there are.
pub async fn known(tx: &mut Tx, ids: &[UnitId]) -> Result<Vec<UnitId>, Error> {
    let rows = unit::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq_any(ids));
    Ok(rows.select(dsl::id).load(tx.conn()).await?)
}

/// One unit for a product that is about to use it: it stays as it is until the transaction ends.
pub async fn hold(tx: &mut Tx, id: UnitId) -> Result<Option<Unit>, Error> {
    let row = unit::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    Ok(row
        .select(Unit::as_select())
        .for_key_share()
        .first(tx.conn())
        .await
        .optional()?)
}

/// Units by id or folded code, held like [`hold`].
pub async fn hold_any(tx: &mut Tx, ids: &[UnitId], codes: &[String]) -> Result<Vec<Unit>, Error> {
    let wanted = dsl::id.eq_any(ids).or(dsl::code_key.eq_any(codes));
    let rows = unit::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(wanted)
        .order(dsl::id);
    Ok(rows
        .select(Unit::as_select())
        .for_key_share()
        .load(tx.conn())
        .await?)
}

/// One unit, locked, at the version that the caller has seen.
pub async fn lock(tx: &mut Tx, id: UnitId, seen: i64) -> Result<Unit, Error> {
    let row = unit::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let unit: Unit = row
        .select(Unit::as_select())
        .for_update()
        .first(tx.conn())
        .await?;
    if unit.version == seen {
        Ok(unit)
    } else {
        Err(Db::Stale {
            current: unit.version,
        }
        .into())
    }
}

/// Whether a product uses a unit.
pub async fn in_use(tx: &mut Tx, id: UnitId) -> Result<bool, Error> {
    let users = product::table
        .filter(product::tenant_id.eq(tx.tenant()))
        .filter(product::unit_id.eq(id));
    let others = product_unit::table
        .filter(product_unit::tenant_id.eq(tx.tenant()))
        .filter(product_unit::unit_id.eq(id));
    Ok(diesel::select(exists(users).or(exists(others)))
        .get_result(tx.conn())
        .await?)
}

/// A page of units, and how many there are.
pub async fn list(tx: &mut Tx, filter: &Filter, at: &Walk) -> Result<(Vec<Unit>, i64), Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = unit::table.filter(dsl::tenant_id.eq(tenant)).into_boxed();
        if let Some(code) = &filter.code {
            rows = rows.filter(dsl::code_key.eq(fold(code)));
        }
        if let Some(uqc) = &filter.uqc {
            rows = rows.filter(dsl::uqc.eq(uqc.to_uppercase()));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(Unit::as_select());
    let page = match at.sort.field {
        "name" => {
            walk!(rows, at, dsl::name, String, dsl::id)
                .load(tx.conn())
                .await?
        }
        _ => {
            walk!(rows, at, dsl::code, String, dsl::id)
                .load(tx.conn())
                .await?
        }
    };
    Ok((page, total))
}

/// Adds a unit.
pub async fn insert(tx: &mut Tx, unit: &Unit) -> Result<(), Error> {
    diesel::insert_into(unit::table)
        .values((
            dsl::tenant_id.eq(tx.tenant()),
            unit,
            dsl::code_key.eq(fold(&unit.code)),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Stores a unit that is locked.
pub async fn save(tx: &mut Tx, unit: &Unit) -> Result<(), Error> {
    let row = unit::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(unit.id));
    diesel::update(row)
        .set((unit, dsl::code_key.eq(fold(&unit.code))))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Deletes a unit that is locked.
pub async fn delete(tx: &mut Tx, id: UnitId) -> Result<(), Error> {
    let row = unit::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}
