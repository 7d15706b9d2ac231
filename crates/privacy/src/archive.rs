//! All that a service holds of a tenant: its rows of every table that has a tenant, as the catalogue of the database tells
//! which, as they were at one moment, and its objects.

use bahi_db::{Ctx, Db, Result as DbResult, Tx};
use bahi_objects::Objects;
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Array, Bool, Nullable, Text, Timestamptz},
};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Error, Holdings, LeftOut, Privacy, folder,
    pipe::{Pipe, Stored, pack},
};

/// Rows fetched at a time.
const CHUNK: &str = "fetch 200 from archived";

/// What no service exports.
const NOWHERE: [LeftOut; 3] = [
    LeftOut::new(
        "outbox.*",
        "what was said to other services on its way to them; what it was about is exported",
    ),
    LeftOut::new(
        "inbox.*",
        "what was heard of other services, each of which exports its own",
    ),
    LeftOut::new(
        "public.idempotency",
        "answers to requests of the last days, kept so that a request that is sent twice is carried out once",
    ),
];

/// A table of the archive.
#[derive(Clone, Debug, QueryableByName)]
struct Table {
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Array<Text>)]
    columns: Vec<String>,
    /// Which of them are decimals: as texts, because a number of JSON is a float to many who read it.
    #[diesel(sql_type = Array<Bool>)]
    decimal: Vec<bool>,
}

/// Everything in no archive of this service, with the reasons.
pub fn left_out(holdings: &Holdings) -> impl Iterator<Item = LeftOut> {
    NOWHERE.into_iter().chain(holdings.left_out.iter().copied())
}

/// What was written.
pub(crate) struct Archive {
    pub key: String,
    pub tables: i64,
    pub objects: i64,
    pub stored: Stored,
}

/// Writes the archive of a tenant. Each attempt has an object of its own, so that who has lost his turn spoils nothing.
pub(crate) async fn write(
    privacy: &Privacy,
    ctx: &Ctx,
    export: Uuid,
    attempt: i32,
) -> Result<Archive, Error> {
    let store = privacy.exports.as_ref().ok_or(Error::NoStore)?;
    let service = privacy.db.service();
    let key = format!("{}{service}-{attempt}.zip", folder(ctx.tenant, export));
    let mut counts = (0, 0);
    let stored = pack(store, &key, async |pipe: Pipe| {
        let (snapshot_at, schema, tables) =
            tables(&privacy.db, ctx, privacy.holdings, pipe.clone()).await?;
        let objects = match &privacy.own {
            Some(own) => objects(own, ctx, &pipe).await?,
            None => 0,
        };
        counts = (tables, objects);
        let left_out: Vec<Value> = left_out(privacy.holdings)
            .map(|left| json!({ "what": left.what, "why": left.why }))
            .collect();
        pipe.end(json!({
            "format": "bahi.tenant-export.v1", "service": service, "tenant_id": ctx.tenant, "export_id": export,
            "snapshot_at": snapshot_at, "schema_version": schema, "tables": tables, "objects": objects,
            "left_out": left_out,
        }))
        .await
    })
    .await?;
    Ok(Archive {
        key,
        tables: counts.0,
        objects: counts.1,
        stored,
    })
}

type Seen = (DateTime<Utc>, Option<String>, i64);

/// Writes the rows, all as they were at one moment.
async fn tables(
    db: &Db,
    ctx: &Ctx,
    holdings: &'static Holdings,
    pipe: Pipe,
) -> Result<Seen, Error> {
    db.read_snapshot(ctx, async move |tx: &mut Tx| -> Result<Seen, Error> {
        // A large tenant takes longer than a request may, and the store may keep the cursor waiting.
        let patience = "select set_config('statement_timeout', '60s', true),
            set_config('idle_in_transaction_session_timeout', '10min', true)";
        tx.conn()
            .batch_execute(patience)
            .await
            .map_err(bahi_db::Error::from)?;
        let (at, schema) = moment(tx).await?;
        let tables = of_tenants(tx, holdings).await?;
        let count = i64::try_from(tables.len()).unwrap_or(i64::MAX);
        for table in &tables {
            pipe.begin(format!("{}.{}.jsonl", table.schema, table.name), false)
                .await?;
            rows(tx, table, &pipe).await?;
        }
        Ok((at, schema, count))
    })
    .await
}

async fn moment(tx: &mut Tx) -> DbResult<(DateTime<Utc>, Option<String>)> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Timestamptz)]
        at: DateTime<Utc>,
        #[diesel(sql_type = Nullable<Text>)]
        schema: Option<String>,
    }
    let row: Row = bahi_db::sql(
        "select now() as at, (select max(version) from public.__diesel_schema_migrations)::text as schema",
    )
    .get_result(tx.conn())
    .await?;
    Ok((row.at, row.schema))
}

/// Every table that has a tenant and is not left out, without the columns that are.
async fn of_tenants(tx: &mut Tx, holdings: &Holdings) -> DbResult<Vec<Table>> {
    let out: Vec<&str> = left_out(holdings).map(|left| left.what).collect();
    Ok(bahi_db::sql(
        "select n.nspname::text as schema, c.relname::text as name,
                array_agg(a.attname::text order by a.attnum) as columns,
                array_agg(a.atttypid = 'numeric'::regtype order by a.attnum) as decimal
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
           join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          where c.relkind in ('r', 'p') and not c.relispartition
            and exists (select from pg_attribute t where t.attrelid = c.oid and t.attname = 'tenant_id' and not t.attisdropped)
            and n.nspname || '.*' <> all ($1) and n.nspname || '.' || c.relname <> all ($1)
            and n.nspname || '.' || c.relname || '.' || a.attname <> all ($1)
          group by 1, 2 order by 1, 2",
    )
    .bind::<Array<Text>, _>(out)
    .load(tx.conn())
    .await?)
}

async fn rows(tx: &mut Tx, table: &Table, pipe: &Pipe) -> Result<(), Error> {
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        line: String,
    }
    let open = tx.conn().batch_execute(&cursor(table)).await;
    open.map_err(bahi_db::Error::from)?;
    loop {
        let lines: Vec<Line> = diesel::sql_query(CHUNK)
            .load(tx.conn())
            .await
            .map_err(bahi_db::Error::from)?;
        if lines.is_empty() {
            break;
        }
        let mut text = String::with_capacity(lines.iter().map(|l| l.line.len() + 1).sum());
        for line in &lines {
            text.push_str(&line.line);
            text.push('\n');
        }
        pipe.more(text.into(), lines.len() as i64).await?;
    }
    let close = tx.conn().batch_execute("close archived").await;
    Ok(close.map_err(bahi_db::Error::from)?)
}

/// The rows of the tenant, each as an object. The policies of the database would show no other's; the filter says so once
/// more.
fn cursor(table: &Table) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns: Vec<String> = table
        .columns
        .iter()
        .zip(&table.decimal)
        .map(|(column, decimal)| {
            let column = quoted(column);
            if *decimal {
                format!("{column}::text as {column}")
            } else {
                column
            }
        })
        .collect();
    format!(
        "declare archived no scroll cursor for select row_to_json(t)::text as line from (
           select {} from {}.{} where tenant_id = current_setting('app.tenant_id')::uuid) t",
        columns.join(", "),
        quoted(&table.schema),
        quoted(&table.name),
    )
}

/// Adds the tenant's objects; one that goes meanwhile is passed over.
async fn objects(own: &Objects, ctx: &Ctx, pipe: &Pipe) -> Result<i64, Error> {
    let prefix = format!("{}/", ctx.tenant);
    let (mut after, mut count) = (None, 0);
    loop {
        let keys = own.list(&prefix, after.as_deref()).await?;
        let Some(last) = keys.last().cloned() else {
            return Ok(count);
        };
        for key in keys {
            let Some(mut object) = own.open(&key).await? else {
                continue;
            };
            let name = key.strip_prefix(&prefix).unwrap_or(&key);
            pipe.begin(format!("objects/{name}"), true).await?;
            while let Some(bytes) = object.next().await? {
                pipe.more(bytes, 0).await?;
            }
            count += 1;
        }
        after = Some(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_asked_for_the_tenants_rows_alone_with_decimals_as_texts() {
        let table = Table {
            schema: "public".into(),
            name: "or\"der".into(),
            columns: vec!["id".into(), "total".into()],
            decimal: vec![false, true],
        };
        let text = cursor(&table);
        assert!(
            text.contains(
                "select \"id\", \"total\"::text as \"total\" from \"public\".\"or\"\"der\""
            )
        );
        assert!(text.contains("where tenant_id = current_setting('app.tenant_id')::uuid"));
    }
}
