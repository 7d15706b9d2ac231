//! Every statement on dues.

use bahi_db::{Result, Tx, sql};
use bahi_types::CustomerId;
use chrono::NaiveDate;
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Date, Integer, Nullable, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::model::{Bucket, OpenItem, Party};

/// Which parties a list shows.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub as_of: NaiveDate,
    pub customer: Option<CustomerId>,
    /// Those that owe something of that age.
    pub bucket: Option<Bucket>,
    pub after: Option<String>,
    pub limit: i64,
    pub offset: i64,
}

// $1 tenant, $2 as of, $3 customer, $4 and $5 days of the bucket.
macro_rules! parties {
    () => {
        "with open as (
           select e.invoice_id, sum(e.dues) as open, $2 - min(e.due_date) as age
             from account_entry e
            where e.tenant_id = $1 and e.invoice_id is not null and e.date <= $2 and ($3 is null or e.customer_id = $3)
            group by e.invoice_id having sum(e.dues) <> 0),
         party as (
           select coalesce(i.customer_id::text, concat_ws(' ', i.buyer_phone, i.buyer_name)) as key, i.customer_id,
                  max(i.buyer_name) as name, max(i.buyer_phone) as phone, sum(o.open) as dues,
                  coalesce(sum(o.open) filter (where o.age < 0), 0) as not_due,
                  coalesce(sum(o.open) filter (where o.age between 0 and 30), 0) as to_30,
                  coalesce(sum(o.open) filter (where o.age between 31 and 60), 0) as to_60,
                  coalesce(sum(o.open) filter (where o.age between 61 and 90), 0) as to_90,
                  coalesce(sum(o.open) filter (where o.age > 90), 0) as over_90,
                  coalesce(sum(o.open) filter (where o.age > 0), 0) as overdue
             from open o join invoice i on i.tenant_id = $1 and i.invoice_id = o.invoice_id
            group by 1, 2 having coalesce(sum(o.open) filter (where o.age between $4 and $5), 0) <> 0)"
    };
}

/// A page of parties, how many there are, and the sums of them all.
pub(super) async fn list(tx: &Tx, filter: &Filter) -> Result<(Vec<Party>, i64, Party)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
        #[diesel(embed)]
        sums: Party,
    }
    let (first, last) = filter.bucket.map_or((i32::MIN, i32::MAX), Bucket::days);
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql(concat!(
        parties!(),
        " select p.key, p.customer_id, coalesce(c.name, p.name) as name, coalesce(c.phone, p.phone) as phone, p.dues,
                 p.not_due, p.to_30, p.to_60, p.to_90, p.over_90, p.overdue,
                 coalesce((select sum(e.advances) from account_entry e
                            where e.tenant_id = $1 and e.customer_id = p.customer_id and e.date <= $2), 0) as advances
            from party p left join customer c on c.tenant_id = $1 and c.customer_id = p.customer_id
           where $6 is null or p.key > $6
           order by p.key limit $7 offset $8"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Date, _>(filter.as_of)
    .bind::<Nullable<SqlUuid>, _>(filter.customer)
    .bind::<Integer, _>(first)
    .bind::<Integer, _>(last)
    .bind::<Nullable<Text>, _>(filter.after.as_deref())
    .bind::<BigInt, _>(filter.limit)
    .bind::<BigInt, _>(filter.offset)
    .load(&mut reader);
    let total = sql(concat!(
        parties!(),
        " select count(*) as total, '' as key, null::uuid as customer_id, null::text as name, null::text as phone,
                 coalesce(sum(dues), 0) as dues, coalesce(sum(not_due), 0) as not_due, coalesce(sum(to_30), 0) as to_30,
                 coalesce(sum(to_60), 0) as to_60, coalesce(sum(to_90), 0) as to_90,
                 coalesce(sum(over_90), 0) as over_90, coalesce(sum(overdue), 0) as overdue,
                 coalesce((select sum(e.advances) from account_entry e
                            where e.tenant_id = $1 and e.date <= $2
                              and e.customer_id in (select customer_id from party)), 0) as advances
            from party"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Date, _>(filter.as_of)
    .bind::<Nullable<SqlUuid>, _>(filter.customer)
    .bind::<Integer, _>(first)
    .bind::<Integer, _>(last)
    .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total, total.sums))
}

/// Open items of a customer by due date, and how many there are.
pub(super) async fn items(
    tx: &Tx,
    customer: CustomerId,
    as_of: NaiveDate,
    after: Option<(NaiveDate, Uuid)>,
    limit: i64,
    offset: i64,
) -> Result<(Vec<OpenItem>, i64)> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(embed)]
        item: OpenItem,
        #[diesel(sql_type = BigInt)]
        items: i64,
    }
    let rows: Vec<Row> = sql("
        with open as (
          select e.invoice_id, sum(e.dues) as open, min(e.due_date) as due_date
            from account_entry e
           where e.tenant_id = $1 and e.customer_id = $2 and e.invoice_id is not null and e.date <= $3
           group by e.invoice_id having sum(e.dues) <> 0),
        item as (
          select i.invoice_id, i.number, i.date, o.due_date, coalesce(i.reference, i.external_reference) as reference,
                 i.total, o.open
            from open o join invoice i on i.tenant_id = $1 and i.invoice_id = o.invoice_id)
        select i.*, (select count(*) from item) as items
          from item i
         where $4 is null or (i.due_date, i.invoice_id) > ($4, $5)
         order by i.due_date, i.invoice_id limit $6 offset $7")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(customer)
    .bind::<Date, _>(as_of)
    .bind::<Nullable<Date>, _>(after.map(|a| a.0))
    .bind::<Nullable<SqlUuid>, _>(after.map(|a| a.1))
    .bind::<BigInt, _>(limit)
    .bind::<BigInt, _>(offset)
    .load(&mut tx.shared())
    .await?;
    let total = rows.as_slice().first().map_or(0, |r| r.items);
    Ok((rows.into_iter().map(|r| r.item).collect(), total))
}
