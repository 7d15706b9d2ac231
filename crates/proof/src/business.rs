//! A business that came in by the gateway, as any customer does, and has done one of each.

use bahi_demo::{
    client::Client as Owner,
    setup::{self, Item, Opening},
};
use bahi_types::{Price, Quantity, TenantId};
use serde_json::{Value, json};
use uuid::Uuid;

/// The password of every owner.
pub const PASSWORD: &str = "a long enough password";

/// A business whose owner has signed in.
pub struct Business {
    /// Its owner.
    pub owner: Owner,
    /// Its tenant.
    pub tenant: TenantId,
}

impl Business {
    /// The e-mail address of the owner of `name`.
    pub fn email(name: &str) -> String {
        format!("{name}@bahi.example")
    }

    /// Registers `name` at the gateway, and does one of each: stock received, a sale, a return, a held bill, an adjustment.
    ///
    /// # Panics
    /// When any of it is refused.
    pub async fn open(gateway: &str, name: &str) -> Self {
        let email = Self::email(name);
        let owner = Owner::open(gateway, &email, PASSWORD, name)
            .await
            .expect("registered");
        let (location, tills) = setup::organisation(&owner, 1).await.expect("organisation");
        let item = |n: u32| Item {
            sku: format!("SAME-{n}"),
            name: format!("{name} thing {n}"),
            goods: true,
            price: Price::from(118),
        };
        let items: Vec<Item> = (0..3).map(item).collect();
        setup::catalogue(&owner, &items, |_| {})
            .await
            .expect("catalogue");
        let products = setup::products(&owner).await.expect("products");
        let opening: Vec<Opening> = products
            .iter()
            .map(|(_, id)| Opening {
                product: id.clone(),
                qty: Quantity::from(50),
                cost: Price::from(60),
            })
            .collect();
        setup::receive(&owner, &location, &opening, |_| {})
            .await
            .expect("stock");
        let sessions = setup::open_tills(&owner, &tills).await.expect("tills");
        let lines: Vec<Value> = products
            .iter()
            .map(|(_, id)| json!({ "product_id": id, "qty": "2" }))
            .collect();
        let sale = json!({ "session_id": sessions[0], "lines": lines, "tenders": [{ "method": "cash", "amount": "708.00" }] });
        let invoice = post(&owner, "/api/v1/pos/invoice", &sale).await;
        let back = json!({
            "original_invoice_id": invoice["invoice_id"], "session_id": sessions[0], "lines": [{ "original_line": 1, "qty": "1" }],
            "refund_tenders": [{ "method": "cash", "amount": "118.00" }], "reason": "too small",
        });
        post(&owner, "/api/v1/sales/returns", &back).await;
        let held =
            json!({ "session_id": sessions[0], "label": "waits", "basket": { "lines": lines } });
        post(&owner, "/api/v1/pos/hold", &held).await;
        let change = json!({
            "location_id": location, "reason": "broken", "lines": [{ "product_id": products[0].1, "qty_delta": "-1" }],
        });
        post(&owner, "/api/v1/inventory/adjust", &change).await;
        let me = owner.get("/api/v1/auth/me").await.expect("me");
        let tenant = me["tenant_id"]
            .as_str()
            .expect("tenant")
            .parse()
            .expect("id");
        Self { owner, tenant }
    }
}

async fn post(owner: &Owner, path: &str, body: &Value) -> Value {
    owner
        .post(path, &Uuid::now_v7().to_string(), body)
        .await
        .unwrap_or_else(|e| panic!("{path}: {e:#}"))
}
