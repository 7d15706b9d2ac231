//! Every statement on the copies of the organisation.

use bahi_db::{Result, Tx, sql};
use bahi_events::{Branch, Envelope, Location, Registration, Till};
use bahi_kafka::Failed;
use bahi_types::{BranchId, LocationId, RegistrationId, TillId};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use crate::catalogue::newest;

/// A place that sells: location, branch and registration. What has not arrived yet is `None`.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Place {
    #[diesel(sql_type = SqlUuid)]
    pub location_id: LocationId,
    #[diesel(sql_type = SqlUuid)]
    pub branch_id: BranchId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub registration_id: Option<RegistrationId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub gstin: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub state_code: Option<String>,
    /// Of the till where one was asked for, else empty.
    #[diesel(sql_type = Text)]
    pub series: String,
    /// All of it is active, the till too where one was asked for.
    #[diesel(sql_type = Bool)]
    pub active: bool,
}

/// A till with the place it stands in.
pub(crate) async fn till(tx: &Tx, till: TillId) -> Result<Option<Place>> {
    Ok(sql("
        select t.location_id, t.branch_id, b.registration_id, r.gstin, r.state_code, t.series,
               t.active and coalesce(l.active, true) and coalesce(b.active, true) and coalesce(r.active, true) as active
          from till t
          left join location l on l.tenant_id = t.tenant_id and l.location_id = t.location_id
          left join branch b on b.tenant_id = t.tenant_id and b.branch_id = t.branch_id
          left join registration r on r.tenant_id = t.tenant_id and r.registration_id = b.registration_id
         where t.tenant_id = $1 and t.till_id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(till)
    .get_result(&mut tx.shared())
    .await
    .optional()?)
}

/// A location with its branch and registration.
pub(crate) async fn location(tx: &Tx, location: LocationId) -> Result<Option<Place>> {
    Ok(sql("
        select l.location_id, l.branch_id, b.registration_id, r.gstin, r.state_code, '' as series,
               l.active and coalesce(b.active, true) and coalesce(r.active, true) as active
          from location l
          left join branch b on b.tenant_id = l.tenant_id and b.branch_id = l.branch_id
          left join registration r on r.tenant_id = l.tenant_id and r.registration_id = b.registration_id
         where l.tenant_id = $1 and l.location_id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(location)
    .get_result(&mut tx.shared())
    .await
    .optional()?)
}

/// Who sells, as his documents name him. What has not arrived yet is `None`.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Letterhead {
    #[diesel(sql_type = Text)]
    pub legal_name: String,
    #[diesel(sql_type = Text)]
    pub state_code: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub branch: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub address: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub phone: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub till: Option<String>,
}

/// The letterhead of a registration's branch, with the till's name where there is one.
pub(crate) async fn letterhead(
    tx: &Tx,
    registration: RegistrationId,
    branch: BranchId,
    till: Option<TillId>,
) -> Result<Option<Letterhead>> {
    Ok(sql("
        select r.legal_name, r.state_code, b.name as branch, b.address, b.phone, t.name as till
          from registration r
          left join branch b on b.tenant_id = r.tenant_id and b.branch_id = $3
          left join till t on t.tenant_id = r.tenant_id and t.till_id = $4
         where r.tenant_id = $1 and r.registration_id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(registration)
    .bind::<SqlUuid, _>(branch)
    .bind::<Nullable<SqlUuid>, _>(till)
    .get_result(&mut tx.shared())
    .await
    .optional()?)
}

/// Who is paid at a branch.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Payee {
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub upi_vpa: Option<String>,
}

/// Who is paid at a branch, and at which address of UPI.
pub(crate) async fn payee(tx: &Tx, branch: BranchId) -> Result<Option<Payee>> {
    Ok(sql("
        select r.legal_name as name, b.upi_vpa from branch b
          join registration r on r.tenant_id = b.tenant_id and r.registration_id = b.registration_id
         where b.tenant_id = $1 and b.branch_id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(branch)
    .get_result(&mut tx.shared())
    .await
    .optional()?)
}

fn epochs<P>(events: &[&Envelope<P>]) -> Vec<i64> {
    events.iter().map(|e| e.epoch).collect()
}
fn versions<P>(events: &[&Envelope<P>]) -> Vec<i64> {
    events.iter().map(|e| e.aggregate_version).collect()
}

/// Applies `registration.created` and `registration.updated`.
pub(crate) async fn registrations(
    tx: &mut Tx,
    events: &[Envelope<Registration>],
) -> std::result::Result<(), Failed> {
    let events = newest(events, |r| r.registration_id.uuid());
    sql("insert into registration as o (tenant_id, registration_id, gstin, state_code, legal_name, active, epoch, version)
         select $1, n.* from unnest($2, $3, $4, $5, $6, $7, $8) as n
         on conflict (tenant_id, registration_id) do update set
           gstin = excluded.gstin, state_code = excluded.state_code, legal_name = excluded.legal_name,
           active = excluded.active, epoch = excluded.epoch, version = excluded.version
         where (excluded.epoch, excluded.version) > (o.epoch, o.version)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.registration_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(events.iter().map(|e| e.payload.gstin.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.state_code.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.legal_name.as_str()).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(events.iter().map(|e| e.payload.active).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(epochs(&events))
    .bind::<Array<BigInt>, _>(versions(&events))
    .execute(tx.conn())
    .await
    .map_err(bahi_db::Error::from)?;
    Ok(())
}

/// Applies `branch.created` and `branch.updated`.
pub(crate) async fn branches(
    tx: &mut Tx,
    events: &[Envelope<Branch>],
) -> std::result::Result<(), Failed> {
    let events = newest(events, |b| b.branch_id.uuid());
    sql("insert into branch as o (tenant_id, branch_id, code, name, registration_id, address, phone, active, epoch, version, upi_vpa)
         select $1, n.* from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) as n
         on conflict (tenant_id, branch_id) do update set
           code = excluded.code, name = excluded.name, registration_id = excluded.registration_id,
           address = excluded.address, phone = excluded.phone, upi_vpa = excluded.upi_vpa,
           active = excluded.active, epoch = excluded.epoch, version = excluded.version
         where (excluded.epoch, excluded.version) > (o.epoch, o.version)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.branch_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.code.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.name.as_str()).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.registration_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(events.iter().map(|e| e.payload.address.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(events.iter().map(|e| e.payload.phone.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(events.iter().map(|e| e.payload.active).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(epochs(&events))
    .bind::<Array<BigInt>, _>(versions(&events))
    .bind::<Array<Nullable<Text>>, _>(events.iter().map(|e| e.payload.upi_vpa.as_deref()).collect::<Vec<_>>())
    .execute(tx.conn())
    .await
    .map_err(bahi_db::Error::from)?;
    Ok(())
}

/// Applies `location.created` and `location.updated`.
pub(crate) async fn locations(
    tx: &mut Tx,
    events: &[Envelope<Location>],
) -> std::result::Result<(), Failed> {
    let events = newest(events, |l| l.location_id.uuid());
    sql("insert into location as o (tenant_id, location_id, branch_id, code, name, active, epoch, version)
         select $1, n.* from unnest($2, $3, $4, $5, $6, $7, $8) as n
         on conflict (tenant_id, location_id) do update set
           branch_id = excluded.branch_id, code = excluded.code, name = excluded.name,
           active = excluded.active, epoch = excluded.epoch, version = excluded.version
         where (excluded.epoch, excluded.version) > (o.epoch, o.version)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.location_id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.branch_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.code.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.name.as_str()).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(events.iter().map(|e| e.payload.active).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(epochs(&events))
    .bind::<Array<BigInt>, _>(versions(&events))
    .execute(tx.conn())
    .await
    .map_err(bahi_db::Error::from)?;
    Ok(())
}

/// Applies `till.created` and `till.updated`.
pub(crate) async fn tills(
    tx: &mut Tx,
    events: &[Envelope<Till>],
) -> std::result::Result<(), Failed> {
    let events = newest(events, |t| t.till_id.uuid());
    sql("insert into till as o (tenant_id, till_id, branch_id, location_id, code, name, series, round_to_rupee, active,
                                epoch, version)
         select $1, n.* from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) as n
         on conflict (tenant_id, till_id) do update set
           branch_id = excluded.branch_id, location_id = excluded.location_id, code = excluded.code, name = excluded.name,
           series = excluded.series, round_to_rupee = excluded.round_to_rupee,
           active = excluded.active, epoch = excluded.epoch, version = excluded.version
         where (excluded.epoch, excluded.version) > (o.epoch, o.version)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.till_id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.branch_id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.location_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.code.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.name.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.series.as_str()).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(events.iter().map(|e| e.payload.round_to_rupee).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(events.iter().map(|e| e.payload.active).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(epochs(&events))
    .bind::<Array<BigInt>, _>(versions(&events))
    .execute(tx.conn())
    .await
    .map_err(bahi_db::Error::from)?;
    Ok(())
}

/// The locations of branches.
pub(crate) async fn locations_of(tx: &Tx, branches: &[BranchId]) -> Result<Vec<LocationId>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        location_id: LocationId,
    }
    let rows: Vec<Row> =
        sql("select location_id from location where tenant_id = $1 and branch_id = any($2)")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<Array<SqlUuid>, _>(branches)
            .load(&mut tx.shared())
            .await?;
    Ok(rows.into_iter().map(|row| row.location_id).collect())
}

/// The tills of branches.
pub(crate) async fn tills_of(tx: &Tx, branches: &[BranchId]) -> Result<Vec<TillId>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        till_id: TillId,
    }
    let rows: Vec<Row> =
        sql("select till_id from till where tenant_id = $1 and branch_id = any($2)")
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<Array<SqlUuid>, _>(branches)
            .load(&mut tx.shared())
            .await?;
    Ok(rows.into_iter().map(|row| row.till_id).collect())
}
