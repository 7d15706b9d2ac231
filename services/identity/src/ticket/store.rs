//! The SQL of tickets.

use bahi_db::{Result, Tx};
use bahi_types::UserId;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Kind, Ticket};
use crate::schema::ticket;

/// Adds a ticket.
pub async fn insert(tx: &mut Tx, row: &Ticket, hash: &[u8]) -> Result<()> {
    diesel::insert_into(ticket::table)
        .values((row, ticket::hash.eq(hash)))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The ticket of a token.
pub async fn find(tx: &mut Tx, hash: &[u8]) -> Result<Option<Ticket>> {
    let row = ticket::table
        .filter(ticket::tenant_id.eq(tx.tenant()))
        .filter(ticket::hash.eq(hash));
    Ok(row
        .select(Ticket::as_select())
        .first(tx.conn())
        .await
        .optional()?)
}

/// Marks a ticket as used, unless it is already.
pub async fn mark_used(tx: &mut Tx, id: Uuid) -> Result<bool> {
    let unused = ticket::table
        .find((tx.tenant(), id))
        .filter(ticket::used_at.is_null());
    let changed = diesel::update(unused)
        .set(ticket::used_at.eq(tx.now()))
        .execute(tx.conn())
        .await?;
    Ok(changed == 1)
}

/// When tickets of a kind were made for a user since a time, the last first.
pub async fn made_since(
    tx: &mut Tx,
    user: UserId,
    kind: Kind,
    since: DateTime<Utc>,
) -> Result<Vec<DateTime<Utc>>> {
    let made = ticket::table
        .filter(ticket::tenant_id.eq(tx.tenant()))
        .filter(ticket::user_id.eq(user))
        .filter(ticket::kind.eq(kind.name()))
        .filter(ticket::created_at.gt(since))
        .order(ticket::created_at.desc())
        .select(ticket::created_at);
    Ok(made.load(tx.conn()).await?)
}

/// Makes the unused tickets of a kind of a user void.
pub async fn mark_kind_used(tx: &mut Tx, user: UserId, kind: Kind) -> Result<()> {
    let unused = ticket::table
        .filter(ticket::tenant_id.eq(tx.tenant()))
        .filter(ticket::user_id.eq(user))
        .filter(ticket::kind.eq(kind.name()))
        .filter(ticket::used_at.is_null());
    diesel::update(unused)
        .set(ticket::used_at.eq(tx.now()))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Makes the unused tickets of a user void.
pub async fn mark_all_used(tx: &mut Tx, user: UserId) -> Result<()> {
    let unused = ticket::table
        .filter(ticket::tenant_id.eq(tx.tenant()))
        .filter(ticket::user_id.eq(user))
        .filter(ticket::used_at.is_null());
    diesel::update(unused)
        .set(ticket::used_at.eq(tx.now()))
        .execute(tx.conn())
        .await?;
    Ok(())
}
