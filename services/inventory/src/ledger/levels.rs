//! Balances of many products at once.

use std::collections::HashMap;

use bahi_db::{Result, Tx, sql};
use bahi_types::{BatchId, LocationId, ProductId, business_date};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Date, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;

use super::{model::Status, query::Stock};

/// Balances of a product: at every location or at one, of every batch or of one ([`super::NO_BATCH`] for none), in every
/// state or in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Of {
    pub product: ProductId,
    pub location: Option<LocationId>,
    pub batch: Option<BatchId>,
    pub status: Option<Status>,
}

#[derive(QueryableByName)]
struct Found {
    /// Which of those asked for it is, from 1.
    #[diesel(sql_type = BigInt)]
    n: i64,
    #[diesel(embed)]
    stock: Stock,
}

// What is shown is what a list of balances shows.
const LEVELS: &str = "
select u.n, s.product_id, p.sku, p.name, s.location_id,
       nullif(s.batch_id, '00000000-0000-0000-0000-000000000000') as batch_id,
       b.no as batch_no, s.expiry, s.blocked, s.status, s.on_hand, s.reserved,
       case when s.status = 'sellable' and not s.blocked and (s.expiry is null or s.expiry >= $2)
            then s.on_hand - s.reserved else 0 end as available, s.version
from unnest($3, $4, $5, $6) with ordinality as u(p, l, b, st, n)
join stock_item s on s.tenant_id = $1 and s.product_id = u.p and (u.l is null or s.location_id = u.l)
                 and (u.b is null or s.batch_id = u.b) and (u.st is null or s.status = u.st)
left join product p on p.tenant_id = s.tenant_id and p.product_id = s.product_id
left join batch b on b.tenant_id = s.tenant_id and b.id = s.batch_id
where not (s.on_hand = 0 and coalesce(p.batch_tracked, false) and s.batch_id = '00000000-0000-0000-0000-000000000000')
  and not (s.on_hand = 0 and s.status <> 'sellable')
order by u.n, s.location_id, s.batch_id, s.status";

/// Balances by what was asked for; what there is nothing of is missing.
pub(crate) async fn levels(tx: &mut Tx, asked: &[Of]) -> Result<HashMap<Of, Vec<Stock>>> {
    let rows: Vec<Found> = sql(LEVELS)
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Date, _>(business_date(tx.now()))
        .bind::<Array<SqlUuid>, _>(asked.iter().map(|a| a.product).collect::<Vec<_>>())
        .bind::<Array<Nullable<SqlUuid>>, _>(asked.iter().map(|a| a.location).collect::<Vec<_>>())
        .bind::<Array<Nullable<SqlUuid>>, _>(asked.iter().map(|a| a.batch).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(
            asked
                .iter()
                .map(|a| a.status.map(Status::name))
                .collect::<Vec<_>>(),
        )
        .load(tx.conn())
        .await?;
    let mut found: HashMap<Of, Vec<Stock>> = HashMap::new();
    for Found { n, stock } in rows {
        let of = usize::try_from(n - 1).ok().and_then(|n| asked.get(n));
        if let Some(of) = of {
            found.entry(*of).or_default().push(stock);
        }
    }
    Ok(found)
}
