//! A shop before its first sale: organisation, catalogue, stock, open tills.

use anyhow::{Context, bail};
use bahi_types::{Price, Quantity};
use serde_json::{Value, json};

use crate::client::{Client, text};

/// A shop that can sell.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Stock location.
    pub location: String,
    /// Tills.
    pub tills: Vec<String>,
    /// Open POS sessions, one a till.
    pub sessions: Vec<String>,
    /// Who sells.
    pub cashier: String,
}

/// A product to load.
#[derive(Clone, Debug)]
pub struct Item {
    /// SKU.
    pub sku: String,
    /// Name.
    pub name: String,
    /// Has stock.
    pub goods: bool,
    /// Price with tax.
    pub price: Price,
}

/// An opening stock.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Product id.
    pub product: String,
    /// Quantity.
    pub qty: Quantity,
    /// Cost of one.
    pub cost: Price,
}

/// Makes registration, branch, location and `tills` tills where they are not there.
///
/// # Errors
/// A refusal.
pub async fn organisation(client: &Client, tills: usize) -> anyhow::Result<(String, Vec<String>)> {
    let gstin = "27AAPFU0939F1ZV";
    let body = json!({ "gstin": gstin, "legal_name": "Online Retail Demo" });
    let registration = client
        .find_or_post("/api/v1/registrations", "gstin", gstin, body)
        .await?;
    let body = json!({ "registration_id": text(&registration, "id")?, "code": "MAIN", "name": "Main branch" });
    let branch = client
        .find_or_post("/api/v1/branches", "code", "MAIN", body)
        .await?;
    let branch_id = text(&branch, "id")?;
    let body = json!({ "branch_id": branch_id, "code": "SHOP", "name": "Shop floor" });
    let location = client
        .find_or_post("/api/v1/locations", "code", "SHOP", body)
        .await?;
    let location_id = text(&location, "id")?;
    let mut ids = Vec::new();
    for number in 1..=tills {
        let code = format!("P{number}");
        let body = json!({
            "branch_id": branch_id, "location_id": location_id, "code": code, "name": format!("Till {number}"),
            "series": code, "round_to_rupee": false,
        });
        let till = client
            .find_or_post("/api/v1/tills", "code", &code, body)
            .await?;
        ids.push(text(&till, "id")?.to_owned());
    }
    Ok((location_id.to_owned(), ids))
}

/// Makes the units and the tax profiles.
///
/// # Errors
/// When one is refused.
pub async fn masters(client: &Client) -> anyhow::Result<()> {
    let unit = json!({ "code": "PCS", "name": "Pieces", "uqc": "PCS", "decimals": 0 });
    client
        .find_or_post("/api/v1/units", "code", "PCS", unit)
        .await?;
    let none = json!({ "code": "NA", "name": "Not applicable", "uqc": "NA", "decimals": 3 });
    client
        .find_or_post("/api/v1/units", "code", "NA", none)
        .await?;
    for (name, hsn) in [
        ("Gifts and festive articles", "950590"),
        ("Services of a shop", "998599"),
    ] {
        let body = json!({ "name": name, "hsn": hsn, "category": "taxable",
                           "rates": [{ "valid_from": "2017-07-01", "rate": "18", "cess": "0" }] });
        client
            .find_or_post("/api/v1/tax-profiles", "name", name, body)
            .await?;
    }
    Ok(())
}

/// Makes the units and the tax profiles, and imports `items` as one CSV file. Returns rows refused, with line and reason.
///
/// # Errors
/// A refusal of the whole.
pub async fn catalogue(
    client: &Client,
    items: &[Item],
    progress: impl Fn(u64),
) -> anyhow::Result<Vec<Value>> {
    masters(client).await?;
    let mut file = csv::Writer::from_writer(Vec::new());
    file.write_record([
        "sku",
        "name",
        "kind",
        "unit",
        "tax_profile",
        "price",
        "price_includes_tax",
        "status",
    ])?;
    for item in items {
        let (kind, unit, profile) = if item.goods {
            ("goods", "PCS", "Gifts and festive articles")
        } else {
            ("service", "NA", "Services of a shop")
        };
        let price = item.price.to_string();
        file.write_record([
            item.sku.as_str(),
            &item.name,
            kind,
            unit,
            profile,
            &price,
            "true",
            "active",
        ])?;
    }
    let job = client
        .post_file(
            "/api/v1/products/bulk-import",
            "demo-catalogue",
            "text/csv",
            file.into_inner()?,
        )
        .await?;
    let id = text(&job, "id")?.to_owned();
    loop {
        let job = client.get(&format!("/api/v1/import-jobs/{id}")).await?;
        let number = |name: &str| job[name].as_u64().unwrap_or_default();
        progress(number("applied"));
        match text(&job, "status")? {
            "completed" => return Ok(Vec::new()),
            "completed_with_errors" => return Ok(vec![job]),
            "failed" | "invalid" | "cancelled" => bail!("the import ended as {job}"),
            _ => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

/// Every product of the tenant: (SKU, id).
///
/// # Errors
/// A refusal.
pub async fn products(client: &Client) -> anyhow::Result<Vec<(String, String)>> {
    let rows = client.walk("/api/v1/products").await?;
    rows.iter()
        .map(|row| Ok((text(row, "sku")?.to_owned(), text(row, "id")?.to_owned())))
        .collect()
}

/// Receives opening stock, 250 lines a document.
///
/// # Errors
/// A refusal.
pub async fn receive(
    client: &Client,
    location: &str,
    stock: &[Opening],
    progress: impl Fn(u64),
) -> anyhow::Result<()> {
    for (number, lines) in stock.chunks(250).enumerate() {
        let lines: Vec<Value> = lines
            .iter()
            .map(|o| json!({ "product_id": o.product, "qty": o.qty, "unit_cost": o.cost }))
            .collect();
        let body = json!({ "location_id": location, "reference": format!("Opening stock {}", number + 1), "lines": lines });
        client
            .post(
                "/api/v1/inventory/receipts",
                &format!("opening-{location}-{number}"),
                &body,
            )
            .await
            .context("opening stock")?;
        progress(((number + 1) * 250).min(stock.len()) as u64);
    }
    Ok(())
}

/// Opens a session at each till, or finds the open one.
///
/// # Errors
/// A refusal.
pub async fn open_tills(client: &Client, tills: &[String]) -> anyhow::Result<Vec<String>> {
    let open = client.walk("/api/v1/pos/sessions?state=open").await?;
    let mut sessions = Vec::new();
    for till in tills {
        let found = open.iter().find(|s| s["till_id"] == **till);
        let session = match found {
            Some(session) => session.clone(),
            None => {
                let body = json!({ "till_id": till, "opening_float": "2000.00" });
                client
                    .post("/api/v1/pos/sessions:open", &format!("open-{till}"), &body)
                    .await?
            }
        };
        sessions.push(text(&session, "session_id")?.to_owned());
    }
    Ok(sessions)
}
