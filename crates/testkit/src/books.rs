//! What must hold in the books of sales, and between them and inventory's, whatever happened: for every test and run.

use std::collections::{BTreeMap, HashSet};

use tokio_postgres::Client;
use uuid::Uuid;

/// What is wrong with the books of sales, over all tenants; nothing when they are sound.
///
/// # Panics
/// When they cannot be read.
pub async fn wrong_in_sales(books: &Client) -> Vec<String> {
    let wrong = books
        .query(include_str!("../sql/wrong_in_sales.sql"), &[])
        .await
        .expect("the books of sales");
    wrong.into_iter().map(|row| row.get(0)).collect()
}

async fn sums(client: &Client, query: &str) -> BTreeMap<Uuid, i64> {
    let rows = client.query(query, &[]).await.expect(query);
    rows.into_iter().map(|r| (r.get(0), r.get(1))).collect()
}

async fn ids(client: &Client, query: &str) -> HashSet<Uuid> {
    let rows = client.query(query, &[]).await.expect(query);
    rows.into_iter().map(|r| r.get(0)).collect()
}

/// What sales says against what became of the goods, product by product: what was sold and delivered has left once or is
/// an open shortage, what came back is there, and nothing is held but for orders. Wants every event to be heard.
///
/// # Panics
/// When the books cannot be read.
pub async fn wrong_in_goods(sales: &Client, stock: &Client) -> Vec<String> {
    let mut wrong = Vec::new();
    // What moved for a document, however often its event came: once.
    let pairs = [
        (
            "invoice",
            "select distinct invoice_id from invoice_line where stocked and of_order is null",
            "select source_id from movement_header where source_type = 'invoice'",
        ),
        (
            "return",
            "select credit_note_id from credit_note",
            "select source_id from movement_header where source_type = 'return'",
        ),
        (
            "delivery",
            "select fulfilment_id from fulfilment where state = 'delivered'",
            "select source_id from movement_header where source_type = 'fulfilment'",
        ),
    ];
    let known = ids(
        sales,
        "select invoice_id from invoice union all select credit_note_id from credit_note
         union all select fulfilment_id from fulfilment where state = 'delivered'",
    )
    .await;
    for (what, said, heard) in pairs {
        let (said, heard) = (ids(sales, said).await, ids(stock, heard).await);
        for id in said.difference(&heard) {
            wrong.push(format!("NO EFFECT: {what} {id} has not moved stock"));
        }
        for id in heard.difference(&known) {
            wrong.push(format!("EFFECT WITHOUT CAUSE: {what} {id} has moved stock"));
        }
    }
    let sold = sums(
        sales,
        "select product_id, sum(qty)::bigint from (
           select l.product_id, l.qty from invoice_line l join invoice i using (tenant_id, invoice_id)
             where l.stocked and l.of_order is null and i.status <> 'cancelled'
           union all select l.product_id, l.qty from fulfilment_line l join fulfilment f using (tenant_id, fulfilment_id)
             where l.stocked and f.state = 'delivered'
           union all select product_id, -qty from credit_note_line) s group by product_id",
    )
    .await;
    let came = sums(
        stock,
        "select product_id, sum(qty)::bigint from movement
          where source_type not in ('invoice', 'return', 'fulfilment', 'shortage_settlement') group by 1",
    )
    .await;
    let open = sums(
        stock,
        "select product_id, sum(open)::bigint from shortage group by 1",
    )
    .await;
    let held = sums(
        stock,
        "select product_id, sum(reserved)::bigint from stock_item group by 1",
    )
    .await;
    let promised = sums(
        sales,
        "select product_id, sum(held)::bigint from sales_order_line group by 1",
    )
    .await;
    let on_hand = sums(
        stock,
        "select product_id, sum(on_hand)::bigint from stock_item group by 1",
    )
    .await;
    for product in on_hand.keys() {
        let of = |sums: &BTreeMap<Uuid, i64>| sums.get(product).copied().unwrap_or_default();
        let due = of(&came) - of(&sold) + of(&open);
        if of(&on_hand) != due {
            wrong.push(format!(
                "STOCK: {} of {product} on hand; {} came, {} were sold, {} are short",
                of(&on_hand),
                of(&came),
                of(&sold),
                of(&open)
            ));
        }
        if of(&held) != of(&promised) {
            wrong.push(format!(
                "STUCK: {} of {product} are held, {} for orders",
                of(&held),
                of(&promised)
            ));
        }
    }
    let stays = "select id from reservation where state = 'pending' and owner = 'sales'";
    for id in ids(stock, stays).await {
        wrong.push(format!("STUCK: the hold {id} of a sale"));
    }
    wrong
}
