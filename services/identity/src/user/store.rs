//! The SQL of users.

use std::collections::HashMap;

use bahi_db::{Error, Result, Tx, sql};
use bahi_http::{Walk, paged, walk};
use bahi_types::{BranchId, Page, PageQuery, RoleId, UserId};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    prelude::*,
    sql_types::{Array, BigInt, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use super::model::{Credentials, Member, User};
use crate::schema::{app_user, role, user_role};

/// A user with his roles.
pub async fn get(tx: &mut Tx, id: UserId) -> Result<Member> {
    let user = app_user::table
        .find((tx.tenant(), id))
        .select(User::as_select())
        .first(tx.conn())
        .await?;
    with_roles(tx, user).await
}

/// Users by id, with their roles.
pub async fn by_ids(tx: &mut Tx, ids: &[UserId]) -> Result<Vec<Member>> {
    let rows = app_user::table
        .filter(app_user::tenant_id.eq(tx.tenant()))
        .filter(app_user::id.eq_any(ids));
    let users: Vec<User> = rows.select(User::as_select()).load(tx.conn()).await?;
    let mut roles = roles(tx, ids).await?;
    let members = users.into_iter().map(|user| {
        let role_ids = roles.remove(&user.id).unwrap_or_default();
        Member { user, role_ids }
    });
    Ok(members.collect())
}

/// A user with his roles, locked.
pub async fn lock(tx: &mut Tx, id: UserId) -> Result<Member> {
    let user = app_user::table
        .find((tx.tenant(), id))
        .select(User::as_select())
        .for_update()
        .first(tx.conn())
        .await?;
    with_roles(tx, user).await
}

async fn with_roles(tx: &mut Tx, user: User) -> Result<Member> {
    let role_ids = roles(tx, &[user.id])
        .await?
        .remove(&user.id)
        .unwrap_or_default();
    Ok(Member { user, role_ids })
}

/// The roles of users, in order of id.
pub async fn roles(tx: &mut Tx, users: &[UserId]) -> Result<HashMap<UserId, Vec<RoleId>>> {
    let rows: Vec<(UserId, RoleId)> = user_role::table
        .filter(user_role::tenant_id.eq(tx.tenant()))
        .filter(user_role::user_id.eq_any(users))
        .order(user_role::role_id)
        .select((user_role::user_id, user_role::role_id))
        .load(tx.conn())
        .await?;
    let mut roles = HashMap::<_, Vec<_>>::new();
    for (user, role) in rows {
        roles.entry(user).or_default().push(role);
    }
    Ok(roles)
}

/// What signing in needs to know of a user.
pub async fn credentials(tx: &mut Tx, id: UserId) -> Result<Option<Credentials>> {
    let row = app_user::table
        .find((tx.tenant(), id))
        .select(Credentials::as_select());
    Ok(row.first(tx.conn()).await.optional()?)
}

/// As [`credentials`], locked against changes but not against others who sign in.
pub async fn share(tx: &mut Tx, id: UserId) -> Result<Option<Credentials>> {
    let row = app_user::table
        .find((tx.tenant(), id))
        .select(Credentials::as_select())
        .for_share();
    Ok(row.first(tx.conn()).await.optional()?)
}

/// As [`credentials`], locked.
pub async fn lock_credentials(tx: &mut Tx, id: UserId) -> Result<Option<Credentials>> {
    let row = app_user::table
        .find((tx.tenant(), id))
        .select(Credentials::as_select())
        .for_update();
    Ok(row.first(tx.conn()).await.optional()?)
}

/// The union of the grants of a user's roles.
pub async fn permissions(tx: &mut Tx, id: UserId) -> Result<Vec<String>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        permission: String,
    }
    let rows: Vec<Row> = sql("select distinct p.permission from user_role ur
         join role r on r.tenant_id = ur.tenant_id and r.id = ur.role_id
         cross join unnest(r.permissions) as p(permission)
         where ur.tenant_id = $1 and ur.user_id = $2 order by 1")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(id)
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| row.permission).collect())
}

/// Adds a user.
pub async fn insert(tx: &mut Tx, user: &User, password_hash: Option<&str>) -> Result<()> {
    diesel::insert_into(app_user::table)
        .values((user, app_user::password_hash.eq(password_hash)))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Replaces the roles of a user.
pub async fn set_roles(tx: &mut Tx, id: UserId, roles: &[RoleId]) -> Result<()> {
    let held = user_role::table
        .filter(user_role::tenant_id.eq(tx.tenant()))
        .filter(user_role::user_id.eq(id));
    diesel::delete(held).execute(tx.conn()).await?;
    let rows: Vec<_> = roles
        .iter()
        .map(|role| {
            (
                user_role::tenant_id.eq(tx.tenant()),
                user_role::user_id.eq(id),
                user_role::role_id.eq(*role),
            )
        })
        .collect();
    diesel::insert_into(user_role::table)
        .values(rows)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Saves name, status, address and branches under the next version.
pub async fn save(tx: &mut Tx, user: &User) -> Result<()> {
    let changed = diesel::update(app_user::table.find((tx.tenant(), user.id)))
        .set((
            app_user::name.eq(&user.name),
            app_user::status.eq(&user.status),
            app_user::email.eq(&user.email),
            app_user::email_verified_at.eq(user.email_verified_at),
            app_user::branch_ids.eq(&user.branch_ids),
            app_user::version.eq(user.version),
            app_user::updated_at.eq(user.updated_at),
        ))
        .execute(tx.conn())
        .await?;
    if changed == 1 {
        Ok(())
    } else {
        Err(Error::NotFound)
    }
}

/// Sets a password. No one is told, so the version stays.
pub async fn set_password(tx: &mut Tx, id: UserId, hash: &str) -> Result<()> {
    diesel::update(app_user::table.find((tx.tenant(), id)))
        .set((
            app_user::password_hash.eq(hash),
            app_user::updated_at.eq(tx.now()),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Makes access tokens void that were issued before a second.
pub async fn set_not_before(tx: &mut Tx, ids: &[UserId], not_before: i64) -> Result<()> {
    sql("update app_user set not_before = greatest(not_before, $3) where tenant_id = $1 and id = any ($2)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<BigInt, _>(not_before)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Locks everybody who has a role, in order of id.
pub async fn lock_holders(tx: &mut Tx, role: RoleId) -> Result<Vec<UserId>> {
    let holders = user_role::table
        .filter(user_role::tenant_id.eq(tx.tenant()))
        .filter(user_role::role_id.eq(role))
        .select(user_role::user_id);
    let ids = app_user::table
        .filter(app_user::tenant_id.eq(tx.tenant()))
        .filter(app_user::id.eq_any(holders))
        .order(app_user::id)
        .select(app_user::id)
        .for_update();
    Ok(ids.load(tx.conn()).await?)
}

/// How many active owners there are besides a user.
pub async fn other_owners(tx: &mut Tx, id: UserId) -> Result<i64> {
    let owners = app_user::table
        .inner_join(
            user_role::table.on(user_role::tenant_id
                .eq(app_user::tenant_id)
                .and(user_role::user_id.eq(app_user::id))),
        )
        .inner_join(
            role::table.on(role::tenant_id
                .eq(user_role::tenant_id)
                .and(role::id.eq(user_role::role_id))),
        )
        .filter(app_user::tenant_id.eq(tx.tenant()))
        .filter(app_user::status.eq(super::Status::ACTIVE))
        .filter(app_user::id.ne(id))
        .filter(role::is_owner)
        .count();
    Ok(owners.get_result(tx.conn()).await?)
}

/// What a list of users may be narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Status.
    pub status: Option<String>,
    /// E-mail, whole.
    pub email: Option<String>,
    /// Role held.
    pub role: Option<RoleId>,
    /// Branch worked for.
    pub branch: Option<BranchId>,
}

/// Fields a list of users may be sorted by.
pub const SORTS: [&str; 3] = ["name", "email", "created_at"];

/// A page of users.
pub async fn list(
    tx: &mut Tx,
    query: &PageQuery,
    walk: &Walk,
    filter: &Filter,
) -> std::result::Result<Page<Member>, crate::Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = app_user::table
            .filter(app_user::tenant_id.eq(tenant))
            .into_boxed();
        if let Some(status) = filter.status.clone() {
            rows = rows.filter(app_user::status.eq(status));
        }
        if let Some(email) = filter.email.clone() {
            rows = rows.filter(app_user::email.eq(email));
        }
        if let Some(role) = filter.role {
            let holders = user_role::table
                .filter(user_role::tenant_id.eq(tenant))
                .filter(user_role::role_id.eq(role))
                .select(user_role::user_id);
            rows = rows.filter(app_user::id.eq_any(holders));
        }
        if let Some(branch) = filter.branch {
            let everywhere = app_user::branch_ids.is_null();
            let there = app_user::branch_ids
                .assume_not_null()
                .contains(vec![branch]);
            rows = rows.filter(everywhere.or(there));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(User::as_select());
    let rows = match walk.sort.field {
        "email" => walk!(rows, walk, app_user::email, String, app_user::id),
        "created_at" => walk!(
            rows,
            walk,
            app_user::created_at,
            DateTime<Utc>,
            app_user::id
        ),
        _ => walk!(rows, walk, app_user::name, String, app_user::id),
    };
    let users: Vec<User> = rows.load(tx.conn()).await?;
    let ids: Vec<_> = users.iter().map(|user| user.id).collect();
    let mut roles = roles(tx, &ids).await?;
    let members = users.into_iter().map(|user| {
        let role_ids = roles.remove(&user.id).unwrap_or_default();
        Member { user, role_ids }
    });
    let field = walk.sort.field;
    Ok(paged(
        members.collect(),
        query,
        total,
        |Member { user, .. }| {
            let key = match field {
                "email" => user.email.clone(),
                "created_at" => user.created_at.to_rfc3339(),
                _ => user.name.clone(),
            };
            (key, user.id.uuid())
        },
    ))
}
