//! Every SQL statement about the copies.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bahi_db::{Result, Tx, sql};
use bahi_events::{
    Branch, Envelope, Location, Premises, Product, ProductDeleted, ProductKind, Registration,
};
use bahi_types::{BranchId, LocationId, ProductId, Quantity, RegistrationId};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{Array, BigInt, Bool, Jsonb, Nullable, Numeric, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::Facts;

/// A product, as far as stock is concerned.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct ProductRow {
    #[diesel(sql_type = SqlUuid)]
    pub product_id: ProductId,
    #[diesel(sql_type = Bool)]
    pub stocked: bool,
    #[diesel(sql_type = Bool)]
    pub batch_tracked: bool,
    #[diesel(sql_type = Bool)]
    pub expiry_tracked: bool,
    #[diesel(sql_type = Bool)]
    pub serial_tracked: bool,
}

pub(super) async fn products(
    tx: &mut Tx,
    ids: &BTreeSet<ProductId>,
) -> Result<HashMap<ProductId, ProductRow>> {
    let rows: Vec<ProductRow> = sql(
        "select product_id, stocked, batch_tracked, expiry_tracked, serial_tracked from product
         where tenant_id = $1 and product_id = any ($2) and not deleted",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids.iter().copied().collect::<Vec<_>>())
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|r| (r.product_id, r)).collect())
}

/// One component of a kit.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub(crate) struct ComponentRow {
    #[diesel(sql_type = SqlUuid)]
    pub kit: ProductId,
    #[diesel(sql_type = SqlUuid)]
    pub component: ProductId,
    #[diesel(sql_type = Numeric)]
    pub qty: Quantity,
}

/// The components of those products that are kits; a component that is named twice comes once, with its sum.
pub(crate) async fn components(tx: &Tx, ids: &[ProductId]) -> Result<Vec<ComponentRow>> {
    sql(
        "select p.product_id as kit, c.product_id as component, sum(c.qty) as qty
         from product p, jsonb_to_recordset(p.components) as c(product_id uuid, qty numeric)
         where p.tenant_id = $1 and p.product_id = any ($2) and not p.deleted
         group by p.product_id, c.product_id order by p.product_id, c.product_id",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(&mut tx.shared())
    .await
    .map_err(bahi_db::Error::from)
}

/// As [`products`], those that are deleted too if `deleted`, and nobody else changes how they are valued, or brings them to a new place, until the end of the
/// transaction.
pub(super) async fn lock_products(
    tx: &mut Tx,
    ids: &BTreeSet<ProductId>,
    deleted: bool,
) -> Result<HashMap<ProductId, ProductRow>> {
    let rows: Vec<ProductRow> = sql(
        "select product_id, stocked, batch_tracked, expiry_tracked, serial_tracked from product
         where tenant_id = $1 and product_id = any ($2) and ($3 or not deleted) order by product_id for update",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids.iter().copied().collect::<Vec<_>>())
    .bind::<Bool, _>(deleted)
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|r| (r.product_id, r)).collect())
}

pub(super) async fn location_active(tx: &mut Tx, id: LocationId) -> Result<Option<bool>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        active: bool,
    }
    let row: Option<Row> =
        sql("select active from location where tenant_id = $1 and location_id = $2")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<SqlUuid, _>(id)
            .get_result(tx.conn())
            .await
            .optional()?;
    Ok(row.map(|r| r.active))
}

/// The branch of a location.
pub(super) async fn branch_of(tx: &mut Tx, id: LocationId) -> Result<Option<BranchId>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        branch_id: BranchId,
    }
    let row: Option<Row> =
        sql("select branch_id from location where tenant_id = $1 and location_id = $2")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<SqlUuid, _>(id)
            .get_result(tx.conn())
            .await
            .optional()?;
    Ok(row.map(|row| row.branch_id))
}

/// The locations of branches.
pub(super) async fn locations_of(
    tx: &mut Tx,
    branches: &[BranchId],
) -> Result<BTreeSet<LocationId>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        location_id: LocationId,
    }
    let rows: Vec<Row> =
        sql("select location_id from location where tenant_id = $1 and branch_id = any ($2)")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<Array<SqlUuid>, _>(branches)
            .load(tx.conn())
            .await?;
    Ok(rows.into_iter().map(|row| row.location_id).collect())
}

/// Registration and GSTIN of a location's branch, once all of it has been heard of.
pub(super) async fn registration(
    tx: &mut Tx,
    id: LocationId,
) -> Result<Option<(RegistrationId, Option<String>)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        registration_id: RegistrationId,
        #[diesel(sql_type = Nullable<Text>)]
        gstin: Option<String>,
    }
    let row: Option<Row> = sql("select r.registration_id, r.gstin from location l
         join branch b on b.tenant_id = l.tenant_id and b.branch_id = l.branch_id
         join registration r on r.tenant_id = b.tenant_id and r.registration_id = b.registration_id
         where l.tenant_id = $1 and l.location_id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .get_result(tx.conn())
    .await
    .optional()?;
    Ok(row.map(|r| (r.registration_id, r.gstin)))
}

/// What is known of the products and locations of places.
pub(crate) async fn facts(
    mut conn: &AsyncPgConnection,
    tenant: Uuid,
    places: &BTreeSet<(LocationId, ProductId)>,
) -> std::result::Result<Facts, diesel::result::Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<SqlUuid>)]
        product_id: Option<ProductId>,
        #[diesel(sql_type = Nullable<Text>)]
        uqc: Option<String>,
        #[diesel(sql_type = Nullable<SqlUuid>)]
        location_id: Option<LocationId>,
        #[diesel(sql_type = Nullable<SqlUuid>)]
        branch_id: Option<BranchId>,
        #[diesel(sql_type = Nullable<SqlUuid>)]
        registration_id: Option<RegistrationId>,
        #[diesel(sql_type = Nullable<Text>)]
        gstin: Option<String>,
    }
    let locations: BTreeSet<LocationId> = places.iter().map(|p| p.0).collect();
    let products: BTreeSet<ProductId> = places.iter().map(|p| p.1).collect();
    let mut facts = Facts::default();
    if places.is_empty() {
        return Ok(facts);
    }
    let rows: Vec<Row> = sql("select product_id, uqc, null::uuid as location_id, null::uuid as branch_id,
           null::uuid as registration_id, null::text as gstin
         from product where tenant_id = $1 and product_id = any ($2) and uqc <> ''
         union all
         select null, null, l.location_id, l.branch_id, b.registration_id, r.gstin from location l
         left join branch b on b.tenant_id = l.tenant_id and b.branch_id = l.branch_id
         left join registration r on r.tenant_id = b.tenant_id and r.registration_id = b.registration_id
         where l.tenant_id = $1 and l.location_id = any ($3)")
    .bind::<SqlUuid, _>(tenant)
    .bind::<Array<SqlUuid>, _>(products.into_iter().collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(locations.into_iter().collect::<Vec<_>>())
    .load(&mut conn)
    .await?;
    for row in rows {
        facts.units.extend(row.product_id.zip(row.uqc));
        let premises = Premises {
            branch_id: row.branch_id,
            registration_id: row.registration_id,
            gstin: row.gstin,
        };
        facts
            .premises
            .extend(row.location_id.map(|l| (l, premises)));
    }
    Ok(facts)
}

/// The newest event about each aggregate of a slice: one statement may touch a row once only.
fn newest<P, I: Ord>(events: &[Envelope<P>], id: impl Fn(&P) -> I) -> Vec<&Envelope<P>> {
    let mut map: BTreeMap<I, &Envelope<P>> = BTreeMap::new();
    for event in events {
        let slot = map.entry(id(&event.payload)).or_insert(event);
        if (event.epoch, event.aggregate_version) > (slot.epoch, slot.aggregate_version) {
            *slot = event;
        }
    }
    map.into_values().collect()
}

/// Applies what product says.
pub(crate) async fn apply_products(tx: &mut Tx, events: &[Envelope<Product>]) -> Result<()> {
    let events = newest(events, |p| p.product_id);
    let components: Vec<serde_json::Value> = events
        .iter()
        .map(|e| serde_json::to_value(&e.payload.components))
        .collect::<std::result::Result<_, _>>()?;
    // Neither a kit nor a template lies on a shelf: one consists of other goods, the other stands for its variants.
    let stocked =
        |p: &Product| p.kind == ProductKind::Goods && !p.template && p.components.is_empty();
    fn each<'a, T>(
        events: &[&'a Envelope<Product>],
        f: impl Fn(&'a Envelope<Product>) -> T,
    ) -> Vec<T> {
        events.iter().map(|e| f(e)).collect()
    }
    sql("insert into product (tenant_id, product_id, sku, name, uqc, stocked, batch_tracked, expiry_tracked, epoch, source_version, components,
                              serial_tracked)
         select $1, u.* from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) as u
         on conflict (tenant_id, product_id) do update
         set sku = excluded.sku, name = excluded.name, uqc = excluded.uqc, stocked = excluded.stocked,
             batch_tracked = excluded.batch_tracked, expiry_tracked = excluded.expiry_tracked, deleted = false,
             components = excluded.components, serial_tracked = excluded.serial_tracked, epoch = excluded.epoch, source_version = excluded.source_version
         where (product.epoch, product.source_version) < (excluded.epoch, excluded.source_version)
            -- Heard before its numbers were looked at: a replay tells.
            or (product.epoch, product.source_version) = (excluded.epoch, excluded.source_version)
               and product.serial_tracked <> excluded.serial_tracked and not product.deleted")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(each(&events, |e| e.payload.product_id))
        .bind::<Array<Text>, _>(each(&events, |e| e.payload.sku.as_str()))
        .bind::<Array<Text>, _>(each(&events, |e| e.payload.name.as_str()))
        .bind::<Array<Text>, _>(each(&events, |e| e.payload.uqc.as_str()))
        .bind::<Array<Bool>, _>(each(&events, |e| stocked(&e.payload)))
        .bind::<Array<Bool>, _>(each(&events, |e| e.payload.tracking.batch))
        .bind::<Array<Bool>, _>(each(&events, |e| e.payload.tracking.expiry))
        .bind::<Array<BigInt>, _>(each(&events, |e| e.epoch))
        .bind::<Array<BigInt>, _>(each(&events, |e| e.aggregate_version))
        .bind::<Array<Jsonb>, _>(components)
        .bind::<Array<Bool>, _>(each(&events, |e| e.payload.tracking.serial && stocked(&e.payload)))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Applies deletions of products.
pub(crate) async fn delete_products(
    tx: &mut Tx,
    events: &[Envelope<ProductDeleted>],
) -> Result<()> {
    let events = newest(events, |p| p.product_id);
    sql("insert into product (tenant_id, product_id, sku, name, uqc, stocked, batch_tracked, expiry_tracked, deleted,
                              epoch, source_version)
         select $1, u.id, u.sku, '', '', false, false, false, true, u.e, u.v
         from unnest($2, $3, $4, $5) as u(id, sku, e, v)
         on conflict (tenant_id, product_id) do update
         set deleted = true, epoch = excluded.epoch, source_version = excluded.source_version
         where (product.epoch, product.source_version) < (excluded.epoch, excluded.source_version)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.product_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.sku.as_str()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(events.iter().map(|e| e.epoch).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(events.iter().map(|e| e.aggregate_version).collect::<Vec<_>>())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Applies what identity says of locations.
pub(crate) async fn apply_locations(tx: &mut Tx, events: &[Envelope<Location>]) -> Result<()> {
    let events = newest(events, |p| p.location_id);
    sql("insert into location (tenant_id, location_id, branch_id, code, name, active, epoch, source_version)
         select $1, u.* from unnest($2, $3, $4, $5, $6, $7, $8) as u
         on conflict (tenant_id, location_id) do update
         set branch_id = excluded.branch_id, code = excluded.code, name = excluded.name, active = excluded.active,
             epoch = excluded.epoch, source_version = excluded.source_version
         where (location.epoch, location.source_version) < (excluded.epoch, excluded.source_version)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.location_id).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.branch_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.code.as_str()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.name.as_str()).collect::<Vec<_>>())
        .bind::<Array<Bool>, _>(events.iter().map(|e| e.payload.active).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(events.iter().map(|e| e.epoch).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(events.iter().map(|e| e.aggregate_version).collect::<Vec<_>>())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Applies what identity says of branches.
pub(crate) async fn apply_branches(tx: &mut Tx, events: &[Envelope<Branch>]) -> Result<()> {
    let events = newest(events, |p| p.branch_id);
    sql("insert into branch (tenant_id, branch_id, registration_id, epoch, source_version)
         select $1, u.* from unnest($2, $3, $4, $5) as u
         on conflict (tenant_id, branch_id) do update
         set registration_id = excluded.registration_id, epoch = excluded.epoch, source_version = excluded.source_version
         where (branch.epoch, branch.source_version) < (excluded.epoch, excluded.source_version)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.branch_id).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.registration_id).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(events.iter().map(|e| e.epoch).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(events.iter().map(|e| e.aggregate_version).collect::<Vec<_>>())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Applies what identity says of registrations.
pub(crate) async fn apply_registrations(
    tx: &mut Tx,
    events: &[Envelope<Registration>],
) -> Result<()> {
    let events = newest(events, |p| p.registration_id);
    sql("insert into registration (tenant_id, registration_id, gstin, epoch, source_version)
         select $1, u.* from unnest($2, $3, $4, $5) as u
         on conflict (tenant_id, registration_id) do update
         set gstin = excluded.gstin, epoch = excluded.epoch, source_version = excluded.source_version
         where (registration.epoch, registration.source_version) < (excluded.epoch, excluded.source_version)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.registration_id).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(events.iter().map(|e| e.payload.gstin.as_deref()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(events.iter().map(|e| e.epoch).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(events.iter().map(|e| e.aggregate_version).collect::<Vec<_>>())
        .execute(tx.conn())
        .await?;
    Ok(())
}
