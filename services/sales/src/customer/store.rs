//! Every statement on customers and their accounts.

use bahi_db::{Result, Tx, sql};
use bahi_events::{Customer as Told, CustomerDeleted, Envelope, SubjectKind};
use bahi_kafka::Failed;
use bahi_types::{CustomerId, InvoiceId, Money};
use diesel::{
    OptionalExtension, QueryableByName,
    sql_types::{
        Array, BigInt, Date, Integer, Jsonb, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::model::{self, Account, Customer, Entry};
use crate::catalogue::newest;

macro_rules! columns {
    () => {
        "customer_id, name, phone, email, gstin, addresses, customer_group_id, credit_limit, credit_days, status"
    };
}

/// A customer; deleted ones too.
pub(crate) async fn find(tx: &Tx, customer: CustomerId) -> Result<Option<Customer>> {
    Ok(sql(concat!(
        "select ",
        columns!(),
        " from customer where tenant_id = $1 and customer_id = $2"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(customer)
    .get_result(&mut tx.shared())
    .await
    .optional()?)
}

/// Customers by id; deleted ones too.
pub(super) async fn by_ids(tx: &mut Tx, ids: &[CustomerId]) -> Result<Vec<Customer>> {
    Ok(sql(concat!(
        "select ",
        columns!(),
        " from customer where tenant_id = $1 and customer_id = any ($2)"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx.conn())
    .await?)
}

/// Which customers a list shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub phone: Option<String>,
    /// What the name begins with, in any case.
    pub name: Option<String>,
    /// Only these.
    pub ids: Option<Vec<CustomerId>>,
    pub after: Option<(String, Uuid)>,
    pub limit: i64,
    pub offset: i64,
}

macro_rules! filters {
    () => {
        " where tenant_id = $1 and status <> 'deleted' and ($2 is null or phone = $2)
            and ($3 is null or starts_with(lower(name), lower($3)))
            and ($4 is null or customer_id = any ($4))"
    };
}

/// A page of customers by name, and how many there are.
pub(super) async fn list(tx: &Tx, filter: &Filter) -> Result<(Vec<Customer>, i64)> {
    #[derive(QueryableByName)]
    struct Total {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let (mut reader, mut counter) = (tx.shared(), tx.shared());
    let rows = sql(concat!(
        "select ",
        columns!(),
        " from customer",
        filters!(),
        " and ($5 is null or (name, customer_id) > ($5, $6)) order by name, customer_id limit $7 offset $8"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<Text>, _>(filter.phone.as_deref())
    .bind::<Nullable<Text>, _>(filter.name.as_deref())
    .bind::<Nullable<Array<SqlUuid>>, _>(filter.ids.as_deref())
    .bind::<Nullable<Text>, _>(filter.after.as_ref().map(|a| a.0.as_str()))
    .bind::<Nullable<SqlUuid>, _>(filter.after.as_ref().map(|a| a.1))
    .bind::<BigInt, _>(filter.limit)
    .bind::<BigInt, _>(filter.offset)
    .load(&mut reader);
    let total = sql(concat!(
        "select count(*) as total from customer",
        filters!()
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Nullable<Text>, _>(filter.phone.as_deref())
    .bind::<Nullable<Text>, _>(filter.name.as_deref())
    .bind::<Nullable<Array<SqlUuid>>, _>(filter.ids.as_deref())
    .get_result::<Total>(&mut counter);
    let (rows, total) = futures::try_join!(rows, total)?;
    Ok((rows, total.total))
}

/// Customers in whose names, numbers or addresses of mail each of these words begins a word, at most `limit` after `offset`:
/// those first whose name is, or begins with, `name`. The rarest word is looked up, and its customers for the others; where
/// more than 5,000 begin with each of them, that many count.
pub(super) async fn matching(
    tx: &Tx,
    words: &[String],
    name: &str,
    limit: i64,
    offset: i64,
) -> Result<Vec<Customer>> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    Ok(sql(concat!(
        "with asked as (select a.word, a.n from unnest($2) with ordinality as a(word, n)),
         hit as materialized (
           select a.n, w.customer_id, w.many from asked a
            cross join lateral (
              select distinct w.customer_id, count(*) over () as many from (
                select customer_id from customer_word w
                 where w.tenant_id = $1 and w.word >= a.word and w.word < a.word || chr(1114111)
                 order by w.word limit 5000) w) w),
         called as (
           select h.customer_id from hit h
            where h.n = (select n from hit order by many, n limit 1)
              and (select count(distinct n) from hit) = cardinality($2)
              and not exists (
                select from asked a
                 where a.n <> h.n and not exists (
                   select from customer_word w
                    where w.tenant_id = $1 and w.customer_id = h.customer_id
                      and w.word >= a.word and w.word < a.word || chr(1114111))))
         select ",
        columns!(),
        " from customer join called using (customer_id)
          where tenant_id = $1 and status not in ('deleted', 'merged')
          order by lower(name) = $3 desc, starts_with(lower(name), $3) desc, name, customer_id limit $4 offset $5"
    ))
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<Text>, _>(words)
    .bind::<Text, _>(name)
    .bind::<BigInt, _>(limit)
    .bind::<BigInt, _>(offset)
    .load(&mut tx.shared())
    .await?)
}

/// Rewrites the words that customers are found by.
async fn learn(
    tx: &mut Tx,
    customers: &[CustomerId],
    words: &[(CustomerId, String)],
) -> Result<()> {
    sql("delete from customer_word where tenant_id = $1 and customer_id = any ($2)")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(customers)
        .execute(tx.conn())
        .await?;
    sql("insert into customer_word (tenant_id, customer_id, word) select $1, n.* from unnest($2, $3) as n")
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Array<SqlUuid>, _>(words.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(words.iter().map(|(_, w)| w.as_str()).collect::<Vec<_>>())
        .execute(tx.conn())
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Changed {
    #[diesel(sql_type = SqlUuid)]
    customer_id: CustomerId,
}

/// An account, locked; it is opened where there is none.
pub(crate) async fn lock(tx: &Tx, customer: CustomerId) -> Result<Account> {
    Ok(sql("
        with a as (
          insert into customer_account as a (tenant_id, customer_id) values ($1, $2)
          on conflict (tenant_id, customer_id) do update set customer_id = excluded.customer_id
          returning a.customer_id, a.dues, a.orders, a.advances)
        select a.customer_id, a.dues, a.orders, a.advances, c.status, c.credit_limit, c.credit_days
          from a left join customer c on c.tenant_id = $1 and c.customer_id = a.customer_id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(customer)
    .get_result(&mut tx.shared())
    .await?)
}

/// Locks the accounts that these invoices are on, in the order of their keys, and answers whose they are.
pub(crate) async fn lock_of(tx: &Tx, invoices: &[InvoiceId]) -> Result<Vec<CustomerId>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        customer_id: CustomerId,
    }
    let rows: Vec<Row> = sql("
        insert into customer_account as a (tenant_id, customer_id)
        select distinct tenant_id, customer_id from invoice
         where tenant_id = $1 and invoice_id = any($2) and customer_id is not null
         order by customer_id
        on conflict (tenant_id, customer_id) do update set customer_id = excluded.customer_id
        returning a.customer_id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(invoices)
    .load(&mut tx.shared())
    .await?;
    Ok(rows.into_iter().map(|row| row.customer_id).collect())
}

/// An account as it stands, with nothing on it where it was never used; `None` for a customer nobody knows.
pub(super) async fn account(tx: &Tx, customer: CustomerId) -> Result<Option<Account>> {
    Ok(sql("
        select c.customer_id, coalesce(a.dues, 0) as dues, coalesce(a.orders, 0) as orders,
               coalesce(a.advances, 0) as advances, c.status, c.credit_limit, c.credit_days
          from customer c left join customer_account a on a.tenant_id = c.tenant_id and a.customer_id = c.customer_id
         where c.tenant_id = $1 and c.customer_id = $2")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(customer)
    .get_result(&mut tx.shared())
    .await
    .optional()?)
}

/// Accounts of customers, as they stand.
pub(super) async fn accounts(tx: &mut Tx, customers: &[CustomerId]) -> Result<Vec<Account>> {
    Ok(sql("
        select c.customer_id, coalesce(a.dues, 0) as dues, coalesce(a.orders, 0) as orders,
               coalesce(a.advances, 0) as advances, c.status, c.credit_limit, c.credit_days
          from customer c left join customer_account a on a.tenant_id = c.tenant_id and a.customer_id = c.customer_id
         where c.tenant_id = $1 and c.customer_id = any ($2)")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(customers)
    .load(tx.conn())
    .await?)
}

/// Adds to the sums of a locked account.
pub(super) async fn change(
    tx: &Tx,
    customer: CustomerId,
    dues: Money,
    orders: Money,
    advances: Money,
) -> Result<()> {
    sql(
        "update customer_account set dues = dues + $3, orders = orders + $4, advances = advances + $5
          where tenant_id = $1 and customer_id = $2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(customer)
    .bind::<Numeric, _>(dues)
    .bind::<Numeric, _>(orders)
    .bind::<Numeric, _>(advances)
    .execute(&mut tx.shared())
    .await?;
    Ok(())
}

/// Writes entries.
pub(crate) async fn record(tx: &Tx, entries: &[Entry]) -> Result<usize> {
    if entries.is_empty() {
        return Ok(0);
    }
    let each = |f: fn(&Entry) -> Option<Uuid>| entries.iter().map(f).collect::<Vec<_>>();
    Ok(sql("
        insert into account_entry (tenant_id, booked_at, entry_id, customer_id, invoice_id, receipt_id, kind, document_id,
                                   date, due_date, dues, advances)
        select $1, $2, n.* from unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12) as n")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Timestamptz, _>(tx.now())
    .bind::<Array<SqlUuid>, _>(entries.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
    .bind::<Array<Nullable<SqlUuid>>, _>(each(|e| e.customer.map(CustomerId::uuid)))
    .bind::<Array<Nullable<SqlUuid>>, _>(each(|e| e.invoice.map(|id| id.uuid())))
    .bind::<Array<Nullable<SqlUuid>>, _>(each(|e| e.receipt.map(|id| id.uuid())))
    .bind::<Array<Text>, _>(entries.iter().map(|e| e.kind.name()).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(entries.iter().map(|e| e.document).collect::<Vec<_>>())
    .bind::<Array<Date>, _>(entries.iter().map(|e| e.date).collect::<Vec<_>>())
    .bind::<Array<Nullable<Date>>, _>(entries.iter().map(|e| e.due).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(entries.iter().map(|e| e.dues).collect::<Vec<_>>())
    .bind::<Array<Numeric>, _>(entries.iter().map(|e| e.advances).collect::<Vec<_>>())
    .execute(&mut tx.shared())
    .await?)
}

/// Applies `customer.created` and `customer.updated`.
pub(crate) async fn customers(
    tx: &mut Tx,
    events: &[Envelope<Told>],
) -> std::result::Result<(), Failed> {
    Ok(put(tx, events).await?)
}

async fn put(tx: &mut Tx, events: &[Envelope<Told>]) -> Result<()> {
    let mut events = newest(events, |c| c.customer_id.uuid());
    // An older event about somebody who was erased brings nothing back.
    let ids = events
        .iter()
        .map(|e| e.payload.customer_id.uuid())
        .collect();
    let gone = bahi_privacy::erased(tx, SubjectKind::Customer, ids).await?;
    events.retain(|e| !gone.contains(&e.payload.customer_id.uuid()));
    let addresses = events
        .iter()
        .map(|e| serde_json::to_value(&e.payload.addresses))
        .collect::<std::result::Result<Vec<Value>, _>>()?;
    let days = |e: &&Envelope<Told>| i32::try_from(e.payload.credit_days).unwrap_or(i32::MAX);
    let changed: Vec<Changed> = sql("insert into customer as c (tenant_id, customer_id, name, phone, email, gstin, addresses, customer_group_id,
                                    credit_limit, credit_days, status, epoch, version)
         select $1, n.* from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) as n
         on conflict (tenant_id, customer_id) do update set
           name = excluded.name, phone = excluded.phone, email = excluded.email, gstin = excluded.gstin,
           addresses = excluded.addresses, customer_group_id = excluded.customer_group_id,
           credit_limit = excluded.credit_limit, credit_days = excluded.credit_days, status = excluded.status,
           epoch = excluded.epoch, version = excluded.version
         where (excluded.epoch, excluded.version) > (c.epoch, c.version)
         returning customer_id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.customer_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.name.as_str()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(events.iter().map(|e| e.payload.phone.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(events.iter().map(|e| e.payload.email.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(events.iter().map(|e| e.payload.gstin.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(addresses)
    .bind::<Array<Nullable<SqlUuid>>, _>(events.iter().map(|e| e.payload.customer_group_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<Numeric>>, _>(events.iter().map(|e| e.payload.credit_limit).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(events.iter().map(days).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|e| e.payload.status.as_str()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.epoch).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.aggregate_version).collect::<Vec<_>>())
    .load(tx.conn())
    .await?;
    if changed.is_empty() {
        return Ok(());
    }
    let changed: Vec<CustomerId> = changed.into_iter().map(|row| row.customer_id).collect();
    let written = events
        .iter()
        .map(|e| &e.payload)
        .filter(|c| changed.contains(&c.customer_id) && c.status.as_str() != "merged");
    let words: Vec<(CustomerId, String)> = written
        .flat_map(|c| {
            let told = [c.phone.as_deref(), c.email.as_deref(), c.gstin.as_deref()];
            let found_by = model::found_by(&c.name, told);
            found_by.into_iter().map(|word| (c.customer_id, word))
        })
        .collect();
    learn(tx, &changed, &words).await
}

/// Applies `customer.deleted`.
pub(crate) async fn deleted(
    tx: &mut Tx,
    events: &[Envelope<CustomerDeleted>],
) -> std::result::Result<(), Failed> {
    let events = newest(events, |c| c.customer_id.uuid());
    let changed: Vec<Changed> = sql("insert into customer as c (tenant_id, customer_id, name, addresses, credit_days, status, epoch, version)
         select $1, n.customer_id, '', '[]', 0, 'deleted', n.epoch, n.version
           from unnest($2, $3, $4) as n(customer_id, epoch, version)
         on conflict (tenant_id, customer_id) do update set
           status = 'deleted', epoch = excluded.epoch, version = excluded.version
         where (excluded.epoch, excluded.version) > (c.epoch, c.version)
         returning customer_id")
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Array<SqlUuid>, _>(events.iter().map(|e| e.payload.customer_id).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.epoch).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(events.iter().map(|e| e.aggregate_version).collect::<Vec<_>>())
    .load(tx.conn())
    .await
    .map_err(bahi_db::Error::from)?;
    let changed: Vec<CustomerId> = changed.into_iter().map(|row| row.customer_id).collect();
    Ok(learn(tx, &changed, &[]).await?)
}
