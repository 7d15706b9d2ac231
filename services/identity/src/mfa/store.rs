//! The SQL of second factors.

use bahi_db::{Result, Tx};
use bahi_types::UserId;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::model::Mfa;
use crate::schema::{mfa, recovery_code};

/// Whether a user has a second factor that counts.
pub async fn is_enabled(tx: &mut Tx, user: UserId) -> Result<bool> {
    Ok(find(tx, user)
        .await?
        .is_some_and(|mfa| mfa.confirmed_at.is_some()))
}

/// The second factor of a user.
pub async fn find(tx: &mut Tx, user: UserId) -> Result<Option<Mfa>> {
    let row = mfa::table
        .find((tx.tenant(), user))
        .select(Mfa::as_select());
    Ok(row.first(tx.conn()).await.optional()?)
}

/// As [`find`], locked.
pub async fn lock(tx: &mut Tx, user: UserId) -> Result<Option<Mfa>> {
    let row = mfa::table
        .find((tx.tenant(), user))
        .select(Mfa::as_select())
        .for_update();
    Ok(row.first(tx.conn()).await.optional()?)
}

/// Keeps a secret that does not count yet, in place of an earlier one.
pub async fn put(tx: &mut Tx, user: UserId, sealed: &[u8]) -> Result<()> {
    let unconfirmed = (
        mfa::sealed.eq(sealed),
        mfa::last_step.eq(0),
        mfa::created_at.eq(tx.now()),
        mfa::confirmed_at.eq(None::<DateTime<Utc>>),
    );
    diesel::insert_into(mfa::table)
        .values((
            mfa::tenant_id.eq(tx.tenant()),
            mfa::user_id.eq(user),
            unconfirmed,
        ))
        .on_conflict((mfa::tenant_id, mfa::user_id))
        .do_update()
        .set(unconfirmed)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Notes the step of a code that was taken.
pub async fn set_step(tx: &mut Tx, user: UserId, step: i64) -> Result<()> {
    diesel::update(mfa::table.find((tx.tenant(), user)))
        .set(mfa::last_step.eq(step))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Keeps the same secret under another seal.
pub async fn set_sealed(tx: &mut Tx, user: UserId, sealed: &[u8]) -> Result<()> {
    diesel::update(mfa::table.find((tx.tenant(), user)))
        .set(mfa::sealed.eq(sealed))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Makes it count.
pub async fn confirm(tx: &mut Tx, user: UserId) -> Result<()> {
    diesel::update(mfa::table.find((tx.tenant(), user)))
        .set(mfa::confirmed_at.eq(tx.now()))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Forgets a user's second factor and his recovery codes; whether there was one.
pub async fn delete(tx: &mut Tx, user: UserId) -> Result<bool> {
    delete_codes(tx, user).await?;
    let gone = diesel::delete(mfa::table.find((tx.tenant(), user)));
    Ok(gone.execute(tx.conn()).await? == 1)
}

async fn delete_codes(tx: &mut Tx, user: UserId) -> Result<()> {
    let codes = recovery_code::table
        .filter(recovery_code::tenant_id.eq(tx.tenant()))
        .filter(recovery_code::user_id.eq(user));
    diesel::delete(codes).execute(tx.conn()).await?;
    Ok(())
}

/// Replaces the recovery codes of a user.
pub async fn set_codes(tx: &mut Tx, user: UserId, hashes: &[Vec<u8>]) -> Result<()> {
    delete_codes(tx, user).await?;
    let rows: Vec<_> = hashes
        .iter()
        .map(|hash| {
            (
                recovery_code::tenant_id.eq(tx.tenant()),
                recovery_code::user_id.eq(user),
                recovery_code::hash.eq(hash),
            )
        })
        .collect();
    diesel::insert_into(recovery_code::table)
        .values(rows)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Uses a recovery code up; whether it was there.
pub async fn use_code(tx: &mut Tx, user: UserId, hash: &[u8]) -> Result<bool> {
    let unused = recovery_code::table
        .find((tx.tenant(), user, hash))
        .filter(recovery_code::used_at.is_null());
    let changed = diesel::update(unused)
        .set(recovery_code::used_at.eq(tx.now()))
        .execute(tx.conn())
        .await?;
    Ok(changed == 1)
}

/// How many recovery codes are left.
pub async fn codes_left(tx: &mut Tx, user: UserId) -> Result<i64> {
    let unused = recovery_code::table
        .filter(recovery_code::tenant_id.eq(tx.tenant()))
        .filter(recovery_code::user_id.eq(user))
        .filter(recovery_code::used_at.is_null())
        .count();
    Ok(unused.get_result(tx.conn()).await?)
}
