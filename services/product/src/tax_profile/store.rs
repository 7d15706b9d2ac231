//! Every statement about tax profiles.

use std::collections::HashMap;

use bahi_db::{Error as Db, Tx, sql};
use bahi_http::{Walk, walk};
use bahi_types::TaxProfileId;
use diesel::{
    dsl::exists,
    prelude::*,
    sql_types::{Array, BigInt, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use crate::{
    Error,
    schema::{
        product,
        tax_profile::{self, dsl},
        tax_rate,
    },
    tax_profile::model::{Category, Head, TaxProfile, TaxRate},
    text::fold,
};

/// What a list of tax profiles may be narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This name, ignoring case.
    pub name: Option<String>,
    /// This HSN or SAC.
    pub hsn: Option<String>,
    /// This category.
    pub category: Option<Category>,
}

/// One profile, which must be there.
pub async fn get(tx: &mut Tx, id: TaxProfileId) -> Result<TaxProfile, Error> {
    let row = tax_profile::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let head: Option<Head> = row
        .select(Head::as_select())
        .first(tx.conn())
        .await
        .optional()?;
    one(tx, head).await?.ok_or(Db::NotFound.into())
}

/// One profile for a product that is about to use it: it stays as it is until the transaction ends.
pub async fn hold(tx: &mut Tx, id: TaxProfileId) -> Result<Option<TaxProfile>, Error> {
    let row = tax_profile::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let head: Option<Head> = row
        .select(Head::as_select())
        .for_key_share()
        .first(tx.conn())
        .await
        .optional()?;
    one(tx, head).await
}

/// Profiles by id, folded name or HSN, held like [`hold`].
pub async fn hold_any(
    tx: &mut Tx,
    ids: &[TaxProfileId],
    names: &[String],
    codes: &[String],
) -> Result<Vec<TaxProfile>, Error> {
    let wanted = dsl::id
        .eq_any(ids)
        .or(dsl::name_key.eq_any(names))
        .or(dsl::hsn.eq_any(codes));
    let rows = tax_profile::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(wanted)
        .order(dsl::id);
    let heads = rows
        .select(Head::as_select())
        .for_key_share()
        .load(tx.conn())
        .await?;
    with_rates(tx, heads).await
}

/// Profiles by id.
pub async fn by_ids(tx: &mut Tx, ids: &[TaxProfileId]) -> Result<Vec<TaxProfile>, Error> {
    let rows = tax_profile::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq_any(ids));
    let heads = rows.select(Head::as_select()).load(tx.conn()).await?;
    with_rates(tx, heads).await
}

/// Profiles by id, locked in the order of their ids.
pub async fn lock_by_ids(tx: &mut Tx, ids: &[TaxProfileId]) -> Result<Vec<TaxProfile>, Error> {
    let rows = tax_profile::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq_any(ids))
        .order(dsl::id);
    let heads = rows
        .select(Head::as_select())
        .for_update()
        .load(tx.conn())
        .await?;
    with_rates(tx, heads).await
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    id: TaxProfileId,
}

/// Profiles whose HSN or SAC begins with one of these, which are digits; at most `most`.
pub async fn ids_by_prefix(
    tx: &mut Tx,
    prefixes: &[String],
    most: i64,
) -> Result<Vec<TaxProfileId>, Error> {
    let like: Vec<String> = prefixes.iter().map(|prefix| format!("{prefix}%")).collect();
    let rows: Vec<Found> = sql(
        "select id from tax_profile where tenant_id = $1 and hsn like any($2) order by id limit $3",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<Text>, _>(like)
    .bind::<BigInt, _>(most)
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// How many products each of these profiles has; those without any are left out.
pub async fn users(tx: &mut Tx, ids: &[TaxProfileId]) -> Result<HashMap<TaxProfileId, i64>, Error> {
    let rows: Vec<(TaxProfileId, i64)> = product::table
        .filter(product::tenant_id.eq(tx.tenant()))
        .filter(product::tax_profile_id.eq_any(ids))
        .group_by(product::tax_profile_id)
        .select((product::tax_profile_id, diesel::dsl::count_star()))
        .load(tx.conn())
        .await?;
    Ok(rows.into_iter().collect())
}

/// One profile, locked, at the version that the caller has seen.
pub async fn lock(tx: &mut Tx, id: TaxProfileId, seen: i64) -> Result<TaxProfile, Error> {
    let profile = lock_any_version(tx, id).await?;
    if profile.head.version == seen {
        Ok(profile)
    } else {
        Err(Db::Stale {
            current: profile.head.version,
        }
        .into())
    }
}

/// One profile, locked.
pub async fn lock_any_version(tx: &mut Tx, id: TaxProfileId) -> Result<TaxProfile, Error> {
    let row = tax_profile::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    let head: Option<Head> = row
        .select(Head::as_select())
        .for_update()
        .first(tx.conn())
        .await
        .optional()?;
    one(tx, head).await?.ok_or(Db::NotFound.into())
}

/// Whether a product uses a profile.
pub async fn in_use(tx: &mut Tx, id: TaxProfileId) -> Result<bool, Error> {
    let users = product::table
        .filter(product::tenant_id.eq(tx.tenant()))
        .filter(product::tax_profile_id.eq(id));
    Ok(diesel::select(exists(users)).get_result(tx.conn()).await?)
}

/// A page of profiles, and how many there are.
pub async fn list(
    tx: &mut Tx,
    filter: &Filter,
    at: &Walk,
) -> Result<(Vec<TaxProfile>, i64), Error> {
    let tenant = tx.tenant();
    let matching = || {
        let mut rows = tax_profile::table
            .filter(dsl::tenant_id.eq(tenant))
            .into_boxed();
        if let Some(name) = &filter.name {
            rows = rows.filter(dsl::name_key.eq(fold(name)));
        }
        if let Some(hsn) = &filter.hsn {
            rows = rows.filter(dsl::hsn.eq(hsn));
        }
        if let Some(category) = filter.category {
            rows = rows.filter(dsl::category.eq(category));
        }
        rows
    };
    let total = matching().count().get_result(tx.conn()).await?;
    let rows = matching().select(Head::as_select());
    let heads = match at.sort.field {
        "hsn" => {
            walk!(rows, at, dsl::hsn, String, dsl::id)
                .load(tx.conn())
                .await?
        }
        _ => {
            walk!(rows, at, dsl::name, String, dsl::id)
                .load(tx.conn())
                .await?
        }
    };
    Ok((with_rates(tx, heads).await?, total))
}

/// Adds a profile.
pub async fn insert(tx: &mut Tx, profile: &TaxProfile) -> Result<(), Error> {
    let head = &profile.head;
    diesel::insert_into(tax_profile::table)
        .values((
            dsl::tenant_id.eq(tx.tenant()),
            head,
            dsl::name_key.eq(fold(&head.name)),
        ))
        .execute(tx.conn())
        .await?;
    insert_rates(tx, profile).await
}

/// Stores a profile that is locked.
pub async fn save(tx: &mut Tx, profile: &TaxProfile) -> Result<(), Error> {
    let head = &profile.head;
    let row = tax_profile::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(head.id));
    diesel::update(row)
        .set((head, dsl::name_key.eq(fold(&head.name))))
        .execute(tx.conn())
        .await?;
    let rates = tax_rate::table
        .filter(tax_rate::tenant_id.eq(tx.tenant()))
        .filter(tax_rate::tax_profile_id.eq(head.id));
    diesel::delete(rates).execute(tx.conn()).await?;
    insert_rates(tx, profile).await
}

/// Deletes a profile that is locked.
pub async fn delete(tx: &mut Tx, id: TaxProfileId) -> Result<(), Error> {
    let row = tax_profile::table
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}

async fn insert_rates(tx: &mut Tx, profile: &TaxProfile) -> Result<(), Error> {
    let (tenant, id) = (tx.tenant(), profile.head.id);
    let rows = profile.rates.iter().map(|rate| {
        (
            tax_rate::tenant_id.eq(tenant),
            tax_rate::tax_profile_id.eq(id),
            rate,
        )
    });
    let rows: Vec<_> = rows.collect();
    diesel::insert_into(tax_rate::table)
        .values(rows)
        .execute(tx.conn())
        .await?;
    Ok(())
}

async fn one(tx: &mut Tx, head: Option<Head>) -> Result<Option<TaxProfile>, Error> {
    Ok(with_rates(tx, head.into_iter().collect()).await?.pop())
}

async fn with_rates(tx: &mut Tx, heads: Vec<Head>) -> Result<Vec<TaxProfile>, Error> {
    let ids: Vec<TaxProfileId> = heads.iter().map(|head| head.id).collect();
    let rows: Vec<(TaxProfileId, TaxRate)> = tax_rate::table
        .filter(tax_rate::tenant_id.eq(tx.tenant()))
        .filter(tax_rate::tax_profile_id.eq_any(ids))
        .order(tax_rate::valid_from)
        .select((tax_rate::tax_profile_id, TaxRate::as_select()))
        .load(tx.conn())
        .await?;
    let mut rates: HashMap<TaxProfileId, Vec<TaxRate>> = HashMap::new();
    for (id, rate) in rows {
        rates.entry(id).or_default().push(rate);
    }
    let profiles = heads.into_iter().map(|head| TaxProfile {
        rates: rates.remove(&head.id).unwrap_or_default(),
        head,
    });
    Ok(profiles.collect())
}
