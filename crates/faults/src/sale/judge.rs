//! The checker: over both databases and the topics. Nothing that a till was told is lost, nothing stands twice, nothing was
//! sold that was not there, numbers are consecutive, and what sales says has happened to the stock once.

use std::collections::{HashMap, HashSet};

use bahi_testkit::{Entry, Seen, judge as judge_events, wrong_in_goods, wrong_in_sales};
use tokio_postgres::Client;
use uuid::Uuid;

use super::{
    TOPICS,
    book::{Book, Document, Kind},
};
use crate::follow::Read;

/// Everything that is wrong.
///
/// # Errors
/// When the databases cannot be read.
pub async fn judge(
    book: &Book,
    sales: &Client,
    stock: &Client,
    read: &Read,
) -> anyhow::Result<Vec<String>> {
    let mut wrong = judge_books(book, sales, stock).await?;
    for (topic, seen) in TOPICS.iter().zip(&read.seen) {
        println!("{:>7} records in {topic}", seen.len());
    }
    wrong.extend(judge_topics(sales, stock, &read.seen).await?);
    if read.unreadable > 0 {
        wrong.push(format!("UNREADABLE: {} records", read.unreadable));
    }
    wrong.extend(book.found_wrong());
    Ok(wrong)
}

/// What is wrong with the databases.
///
/// # Errors
/// As [`judge`].
pub async fn judge_books(
    book: &Book,
    sales: &Client,
    stock: &Client,
) -> anyhow::Result<Vec<String>> {
    let mut wrong = documents(book, sales).await?;
    let unsound = wrong_in_sales(sales).await;
    wrong.extend(unsound.into_iter().map(|w| format!("UNSOUND: {w}")));
    wrong.extend(wrong_in_goods(sales, stock).await);
    wrong.extend(astray(sales, stock).await?);
    Ok(wrong)
}

fn kind(name: &str) -> Kind {
    match name {
        "invoice" => Kind::Invoice,
        "return" => Kind::Return,
        "cancellation" => Kind::Cancellation,
        "receipt" => Kind::Receipt,
        "order" => Kind::Order,
        _ => Kind::Delivery,
    }
}

/// What the tills were told against what stands.
async fn documents(book: &Book, sales: &Client) -> anyhow::Result<Vec<String>> {
    let all = "select 'invoice', invoice_id, number, total::text from invoice
               union all select 'return', credit_note_id, number, total::text from credit_note
               union all select 'cancellation', c.invoice_id, i.number, null from cancellation c join invoice i using (tenant_id, invoice_id)
               union all select 'receipt', receipt_id, number, amount::text from receipt
               union all select 'order', order_id, number, null from sales_order
               union all select 'delivery', fulfilment_id, number, null from fulfilment where state = 'delivered'";
    let mut standing = HashMap::new();
    let (mut numbers, mut wrong) = (HashSet::new(), Vec::new());
    for row in sales.query(all, &[]).await? {
        let kind = kind(row.get(0));
        let document = Document {
            number: row.get(2),
            total: row.get(3),
        };
        if kind != Kind::Cancellation && !numbers.insert(document.number.clone()) {
            wrong.push(format!("NUMBERS: {} stands twice", document.number));
        }
        standing.insert((kind, row.get::<_, Uuid>(1)), document);
    }
    for (kind, id, told) in book.documents() {
        let name = kind.name();
        match standing.remove(&(kind, id)) {
            None => wrong.push(format!("LOST: {name} {} ({id})", told.number)),
            Some(found) if found.number != told.number => wrong.push(format!(
                "ALTERED: {name} {id} is {}, not {}",
                found.number, told.number
            )),
            Some(found) if told.total.is_some() && found.total != told.total => {
                wrong.push(format!(
                    "ALTERED: {name} {} comes to {:?}, not {:?}",
                    told.number, found.total, told.total
                ));
            }
            Some(_) => {}
        }
    }
    for id in book.refusals() {
        if let Some(found) = standing.remove(&(Kind::Invoice, id)) {
            wrong.push(format!("ISSUED AFTER REFUSAL: {} ({id})", found.number));
        }
    }
    // What is left no till was told of.
    let mut doubts = book.doubts();
    for ((kind, id), found) in standing {
        if !doubts.excuse(kind, &found) {
            let name = kind.name();
            wrong.push(format!(
                "DOUBLED: {name} {} ({id}) is nobody's",
                found.number
            ));
        }
    }
    Ok(wrong)
}

async fn ids(client: &Client, query: &str) -> anyhow::Result<HashSet<Uuid>> {
    let rows = client.query(query, &[]).await?;
    Ok(rows.into_iter().map(|r| r.get(0)).collect())
}

/// What was short though it was sold online, and what lies beside the way.
async fn astray(sales: &Client, stock: &Client) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    // Only what was sold without the network may be short.
    let away = ids(
        sales,
        "select document_id from offline_number where outcome in ('issued', 'replaced')",
    )
    .await?;
    for id in ids(stock, "select invoice_id from shortage").await? {
        if !away.contains(&id) {
            wrong.push(format!("OVERSOLD: invoice {id}, sold online, was short"));
        }
    }
    for (name, client) in [("sales", sales), ("inventory", stock)] {
        let kept = [
            ("PARKED", "select count(*) from outbox.parked"),
            ("QUARANTINED", "select count(*) from inbox.quarantine"),
        ];
        for (what, query) in kept {
            let count: i64 = client.query_one(query, &[]).await?.get(0);
            if count > 0 {
                wrong.push(format!("{what}: {count} events in {name}"));
            }
        }
    }
    Ok(wrong)
}

/// What the outboxes said against what the topics hold.
///
/// # Errors
/// As [`judge`].
pub async fn judge_topics(
    sales: &Client,
    stock: &Client,
    seen: &[Vec<Seen>],
) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (topic, seen) in TOPICS.iter().zip(seen) {
        let said = "select event_id, key, aggregate_version, payload::text from outbox.event where topic = $1 order by seq";
        let mut ledger = Vec::new();
        for client in [sales, stock] {
            for row in client.query(said, &[topic]).await? {
                ledger.push(Entry::committed(
                    row.get(0),
                    row.get(1),
                    row.get(2),
                    row.get(3),
                ));
            }
        }
        let verdict = judge_events(&ledger, seen);
        if !verdict.is_clean() {
            wrong.push(format!("TOPIC {topic}: {verdict:?}"));
        }
    }
    Ok(wrong)
}
