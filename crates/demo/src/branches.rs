//! After the sales: goods go to another branch and some are lost on the way, a count finds fewer than the books say, and
//! a batch past its last day is not promised. What must come out is worked out by hand.

use std::time::{Duration, Instant};

use anyhow::Context;
use bahi_types::business_date;
use chrono::{Days, Utc};
use serde_json::{Value, json};

use crate::{
    check::{self, Finding},
    client::{Client, Refusal, text},
};

/// How long a count may wait until all is heard that happened before its looks.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the chapter and says what was not as it must be.
///
/// # Errors
/// A refusal where none is due.
pub async fn run(
    client: &Client,
    shop: &str,
    progress: impl Fn(&str),
) -> anyhow::Result<Vec<Finding>> {
    progress("goods for a second branch");
    let east = branch(client).await?;
    let soap = product(client, "DEMO-SOAP", "Sandal soap 125 g", json!({})).await?;
    let followed = json!({ "batch": true, "expiry": true });
    let curd = product(client, "DEMO-CURD", "Curd 400 g", followed).await?;
    let today = business_date(Utc::now());
    let receipt = json!({ "location_id": shop, "reference": "For the second branch", "lines": [
        { "product_id": soap, "qty": "300", "unit_cost": "100" },
        { "product_id": soap, "qty": "200", "unit_cost": "110" },
        { "product_id": curd, "qty": "5", "unit_cost": "9", "batch_no": "OLD", "expiry": today - Days::new(1) },
        { "product_id": curd, "qty": "4", "unit_cost": "11", "batch_no": "NEW", "expiry": today + Days::new(60) },
    ] });
    client
        .post("/api/v1/inventory/receipts", "branches-receipt", &receipt)
        .await?;
    let (sent, soap_line) = transfer(client, shop, &east, &soap).await?;
    progress("a count in the second branch");
    let counted = count(client, &east, &soap).await?;
    let refused = expired(client, shop, &curd).await?;
    let stock = client
        .get(&format!(
            "/api/v1/inventory/stock?product={soap}&location={east}"
        ))
        .await?;
    let found = finding(
        "goods of both branches",
        "490 on hand in the second",
        vec![
            ("on hand", &stock["items"][0]["on_hand"], "490"),
            ("in transit", &sent["value_in_transit"], "0.00"),
        ],
    );
    Ok(vec![
        finding(
            "a transfer with a loss",
            "500 sent, 495 arrived, 5 lost",
            vec![
                ("state", &sent["state"], "closed_short"),
                ("sent", &soap_line["shipped_value"], "52000.00"),
                ("arrived", &soap_line["received_value"], "51450.00"),
                ("lost", &soap_line["short_value"], "550.00"),
            ],
        ),
        finding(
            "a count with a difference",
            "5 fewer than the books said",
            vec![
                ("state", &counted["state"], "posted"),
                ("variance", &counted["lines"][0]["variance"], "-5"),
                ("value", &counted["value_delta"], "-500.00"),
            ],
        ),
        finding(
            "a batch past its last day",
            "not promised",
            vec![
                ("code", &refused["code"], "INSUFFICIENT_STOCK"),
                ("available", &refused["lines"][0]["available"], "4"),
                ("left out", &refused["lines"][0]["excluded"][0]["qty"], "5"),
                (
                    "because",
                    &refused["lines"][0]["excluded"][0]["reason"],
                    "expired",
                ),
            ],
        ),
        found,
        check::integrity(client).await?,
    ])
}

fn finding(name: &'static str, counted: &str, facts: Vec<(&str, &Value, &str)>) -> Finding {
    let wrong = facts
        .into_iter()
        .filter(|(_, is, must)| *is != must)
        .map(|(what, is, must)| format!("{what} is {is}, must be {must}"));
    Finding {
        name,
        wrong: wrong.collect(),
        counted: counted.to_owned(),
    }
}

async fn branch(client: &Client) -> anyhow::Result<String> {
    let main = client.walk("/api/v1/branches").await?;
    let registration = main.first().context("no branch")?["registration_id"].clone();
    let body = json!({ "registration_id": registration, "code": "EAST", "name": "East branch" });
    let branch = client
        .find_or_post("/api/v1/branches", "code", "EAST", body)
        .await?;
    let body = json!({ "branch_id": branch["id"], "code": "EAST-FLOOR", "name": "East floor" });
    let location = client
        .find_or_post("/api/v1/locations", "code", "EAST-FLOOR", body)
        .await?;
    Ok(text(&location, "id")?.to_owned())
}

async fn product(
    client: &Client,
    sku: &str,
    name: &str,
    tracking: Value,
) -> anyhow::Result<String> {
    let of = async |path: &str, field: &str, value: &str| -> anyhow::Result<Value> {
        let rows = client.walk(path).await?;
        let row = rows.into_iter().find(|row| row[field] == value);
        Ok(row.with_context(|| format!("no {value}"))?["id"].clone())
    };
    let body = json!({
        "sku": sku, "name": name, "status": "active", "price": "149", "tracking": tracking,
        "unit_id": of("/api/v1/units", "code", "PCS").await?,
        "tax_profile_id": of("/api/v1/tax-profiles", "name", "Gifts and festive articles").await?,
    });
    let product = client
        .post("/api/v1/products", &format!("branches-{sku}"), &body)
        .await?;
    Ok(text(&product, "id")?.to_owned())
}

/// The transfer at its end, and what became of its goods.
async fn transfer(
    client: &Client,
    shop: &str,
    east: &str,
    soap: &str,
) -> anyhow::Result<(Value, Value)> {
    let send = json!({ "from_location_id": shop, "to_location_id": east, "reference": "First goods for the east",
                       "lines": [{ "product_id": soap, "qty": "500" }] });
    let sent = client
        .post("/api/v1/inventory/transfer", "branches-send", &send)
        .await?;
    let path = format!("/api/v1/inventory/transfers/{}", text(&sent, "id")?);
    let arrived = json!({ "lines": [{ "line": 1, "qty": "495" }] });
    client
        .post(&format!("{path}:receive"), "branches-receive", &arrived)
        .await?;
    let lost = json!({ "reason": "A carton fell off the lorry" });
    let ended = client
        .post(&format!("{path}:close-short"), "branches-close", &lost)
        .await?;
    let part = ended["lines"][0]["parts"][0].clone();
    Ok((ended, part))
}

/// The count once it is posted.
async fn count(client: &Client, east: &str, soap: &str) -> anyhow::Result<Value> {
    let policy = client.get("/api/v1/inventory/policy").await?;
    let version = policy["version"].as_i64().unwrap_or_default();
    // One person runs the demonstration; by itself the house wants a second one for any difference.
    let wanted = json!({ "second_person_above": "1000", "reasons": policy["reasons"] });
    client
        .put("/api/v1/inventory/policy", version, &wanted)
        .await?;
    let order = json!({ "location_id": east, "lines": [{ "product_id": soap }] });
    let count = client
        .post("/api/v1/inventory/counts", "branches-count", &order)
        .await?;
    let path = format!("/api/v1/inventory/counts/{}", text(&count, "id")?);
    let seen = json!({ "lines": [{ "product_id": soap, "qty": "490" }] });
    client
        .post(&format!("{path}/lines"), "branches-counted", &seen)
        .await?;
    client
        .post(&format!("{path}:submit"), "branches-submit", &json!({}))
        .await?;
    client
        .post(&format!("{path}:approve"), "branches-approve", &json!({}))
        .await?;
    let started = Instant::now();
    loop {
        let count = client.get(&path).await?;
        if count["state"] == "posted" || started.elapsed() > PATIENCE {
            return Ok(count);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The refusal of more than what is not expired.
async fn expired(client: &Client, shop: &str, curd: &str) -> anyhow::Result<Value> {
    let ask = json!({ "location_id": shop, "lines": [{ "product_id": curd, "qty": "6" }] });
    match client
        .post("/api/v1/inventory/reservations", "branches-expired", &ask)
        .await
    {
        Ok(granted) => Ok(granted),
        Err(error) => match error.downcast_ref::<Refusal>() {
            Some(refusal) => Ok(refusal.problem.clone()),
            None => Err(error),
        },
    }
}
