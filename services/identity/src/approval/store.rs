//! The SQL of PINs.

use bahi_db::{Result, Tx, sql};
use bahi_types::{BranchId, UserId};
use diesel::{
    QueryableByName,
    prelude::*,
    sql_types::{Array, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use super::model::{Approver, Pin};
use crate::{
    schema::{app_user, pin},
    user::Status,
};

/// An active user by how he is named.
pub async fn approver(tx: &mut Tx, named: &Approver) -> Result<Option<UserId>> {
    let active = app_user::table
        .filter(app_user::tenant_id.eq(tx.tenant()))
        .filter(app_user::status.eq(Status::ACTIVE))
        .select(app_user::id)
        .into_boxed();
    let found = match named {
        Approver::Id(id) => active.filter(app_user::id.eq(*id)),
        Approver::Email(email) => active.filter(app_user::email.eq(email.clone())),
    };
    Ok(found.first(tx.conn()).await.optional()?)
}

/// The PIN of a user, locked.
pub async fn lock(tx: &mut Tx, user: UserId) -> Result<Option<Pin>> {
    let row = pin::table
        .find((tx.tenant(), user))
        .select(Pin::as_select())
        .for_update();
    Ok(row.first(tx.conn()).await.optional()?)
}

/// Sets how often a locked PIN was guessed at in vain.
pub async fn set_failures(tx: &mut Tx, user: UserId, failures: i32) -> Result<()> {
    diesel::update(pin::table.find((tx.tenant(), user)))
        .set(pin::failures.eq(failures))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Sets a PIN, which nobody has guessed at.
pub async fn put(tx: &mut Tx, user: UserId, hash: &str) -> Result<()> {
    let row = (
        pin::hash.eq(hash),
        pin::failures.eq(0),
        pin::set_at.eq(tx.now()),
    );
    diesel::insert_into(pin::table)
        .values((pin::tenant_id.eq(tx.tenant()), pin::user_id.eq(user), row))
        .on_conflict((pin::tenant_id, pin::user_id))
        .do_update()
        .set(row)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Somebody who has a PIN.
#[derive(Debug, QueryableByName)]
pub struct Holder {
    /// Who.
    #[diesel(sql_type = SqlUuid)]
    pub user_id: UserId,
    /// His name.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// What his roles grant, with repetitions.
    #[diesel(sql_type = Array<Text>)]
    pub grants: Vec<String>,
    /// The branches that they are good at.
    #[diesel(sql_type = Nullable<Array<SqlUuid>>)]
    pub branch_ids: Option<Vec<BranchId>>,
}

/// The active users who have a PIN, by name; at most 1000.
pub async fn holders(tx: &mut Tx) -> Result<Vec<Holder>> {
    Ok(sql("
        select u.id as user_id, u.name, u.branch_ids, array(
                 select g from user_role ur join role r on r.tenant_id = ur.tenant_id and r.id = ur.role_id
                  cross join unnest(r.permissions) as g where ur.tenant_id = u.tenant_id and ur.user_id = u.id) as grants
          from pin p join app_user u on u.tenant_id = p.tenant_id and u.id = p.user_id
         where p.tenant_id = $1 and u.status = 'active' order by u.name, u.id limit 1000")
    .bind::<SqlUuid, _>(tx.tenant())
    .load(tx.conn())
    .await?)
}
