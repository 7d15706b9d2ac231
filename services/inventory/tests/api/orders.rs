//! What sales asks for its orders: attempts that replace each other, and deliveries that are told once.

use bahi_proto::inventory::v1::{
    DeliverLine, DeliverRequest, DemandLine, HoldForOrderRequest, ReleaseOrderRequest,
    deliver_response::Outcome as Delivery, hold_for_order_response::Outcome,
};
use bahi_types::{InvoiceId, ProductId};
use serde_json::json;
use uuid::Uuid;

use crate::support::Shop;

impl Shop {
    async fn hold_for(
        &self,
        (order, attempt): (Uuid, u32),
        lines: &[(ProductId, &str)],
        allow_short: bool,
    ) -> Outcome {
        let lines = (1..).zip(lines).map(|(line, (product, qty))| DemandLine {
            line,
            product_id: product.to_string(),
            qty: (*qty).to_owned(),
            ..DemandLine::default()
        });
        let request = HoldForOrderRequest {
            order_id: order.to_string(),
            attempt,
            location_id: self.location.to_string(),
            demand_hash: format!("{attempt}"),
            lines: lines.collect(),
            allow_short,
            ..HoldForOrderRequest::default()
        };
        let answer = self.grpc().hold_for_order(self.signed(request)).await;
        answer.unwrap().into_inner().outcome.unwrap()
    }

    async fn hand(
        &self,
        (order, attempt): (Uuid, u32),
        id: Uuid,
        lines: &[(i32, &str)],
    ) -> Delivery {
        let lines = lines.iter().map(|(line, qty)| DeliverLine {
            line: *line,
            qty: (*qty).to_owned(),
            ..DeliverLine::default()
        });
        let request = DeliverRequest {
            order_id: order.to_string(),
            attempt,
            fulfilment_id: id.to_string(),
            lines: lines.collect(),
        };
        let answer = self.grpc().deliver(self.signed(request)).await;
        answer.unwrap().into_inner().outcome.unwrap()
    }

    async fn let_order_go(&self, (order, attempt): (Uuid, u32)) {
        let request = ReleaseOrderRequest {
            order_id: order.to_string(),
            attempt,
        };
        self.grpc()
            .release_order(self.signed(request))
            .await
            .unwrap();
    }
}

fn held(outcome: Outcome) -> Vec<(i32, String)> {
    match outcome {
        Outcome::Held(held) => held.lines.into_iter().map(|l| (l.line, l.qty)).collect(),
        other => panic!("not held: {other:?}"),
    }
}

fn lines(lines: &[(i32, &str)]) -> Vec<(i32, String)> {
    lines.iter().map(|(n, q)| (*n, (*q).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_attempt_of_an_order_is_never_granted_and_the_next_is() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "3", "5").await;
    let order = Uuid::now_v7();
    let refused = shop
        .hold_for((order, 1), &[(tea, "2"), (tea, "2")], false)
        .await;
    let Outcome::Refused(short) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (
            short.lines[0].asked.as_str(),
            short.lines[0].available.as_str()
        ),
        ("4", "3")
    );
    shop.receive(tea, "1", "5").await;
    // The same request, late: were it granted now, nobody would ever release it.
    let late = shop
        .hold_for((order, 1), &[(tea, "2"), (tea, "2")], false)
        .await;
    assert!(matches!(late, Outcome::Terminal(_)), "{late:?}");
    shop.assert_stock(tea, ("4", "0", "4")).await;
    let next = shop
        .hold_for((order, 2), &[(tea, "2"), (tea, "2")], false)
        .await;
    assert_eq!(held(next), lines(&[(1, "2"), (2, "2")]));
    let again = shop
        .hold_for((order, 2), &[(tea, "2"), (tea, "2")], false)
        .await;
    assert_eq!(held(again), lines(&[(1, "2"), (2, "2")]));
    shop.assert_stock(tea, ("4", "4", "0")).await;
    shop.let_order_go((order, 2)).await;
    shop.assert_stock(tea, ("4", "0", "4")).await;
    // An attempt that was let go before it came.
    shop.let_order_go((order, 3)).await;
    let late = shop.hold_for((order, 3), &[(tea, "1")], false).await;
    assert!(matches!(late, Outcome::Terminal(_)), "{late:?}");
    shop.owner.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_attempt_takes_over_what_the_lower_had_before_anybody_else_is_served() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "3", "5").await;
    let order = Uuid::now_v7();
    let first = shop.hold_for((order, 1), &[(tea, "5")], true).await;
    assert_eq!(held(first), lines(&[(1, "3")]));
    // A till has sold what it could not get: it waits for whatever is freed.
    let sold = InvoiceId::new();
    shop.issue(sold, 1, &[(tea, "2")]).await;
    shop.assert_stock(tea, ("3", "3", "0")).await;
    let second = shop.hold_for((order, 2), &[(tea, "5")], true).await;
    assert_eq!(
        held(second),
        lines(&[(1, "3")]),
        "what it had is not given to the till"
    );
    let fulfilment = Uuid::now_v7();
    let over = shop.hand((order, 2), fulfilment, &[(1, "2")]).await;
    assert!(matches!(over, Delivery::Delivered(_)), "{over:?}");
    let same = shop.hand((order, 2), fulfilment, &[(1, "2")]).await;
    assert_eq!(format!("{same:?}"), format!("{over:?}"));
    shop.assert_stock(tea, ("1", "1", "0")).await;
    let path = format!(
        "/api/v1/inventory/reservations/{}",
        bahi_proto::reservation_id(InvoiceId::from_uuid(order), 2)
    );
    for verb in ["commit", "release"] {
        let refused = shop.owner.post(&format!("{path}:{verb}"), json!({})).await;
        assert_eq!(
            (refused.status, refused.code()),
            (409, "HELD_BY_SALE"),
            "{verb}"
        );
    }
    shop.owner.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_delivery_takes_nothing_however_late_it_is_told_again() {
    let shop = Shop::open().await;
    let tea = shop.product().await;
    shop.receive(tea, "3", "5").await;
    let order = Uuid::now_v7();
    shop.hold_for((order, 1), &[(tea, "1")], false).await;
    let fulfilment = Uuid::now_v7();
    let refused = shop.hand((order, 1), fulfilment, &[(1, "2")]).await;
    let Delivery::Refused(why) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(why.code, "MORE_THAN_RESERVED");
    shop.hold_for((order, 2), &[(tea, "2")], false).await;
    // By now it could be had; but whoever was refused has given it up.
    let late = shop.hand((order, 2), fulfilment, &[(1, "2")]).await;
    assert!(matches!(late, Delivery::Refused(_)), "{late:?}");
    shop.assert_stock(tea, ("3", "2", "1")).await;
    let other = shop.hand((order, 2), Uuid::now_v7(), &[(1, "2")]).await;
    assert!(matches!(other, Delivery::Delivered(_)), "{other:?}");
    shop.assert_stock(tea, ("1", "0", "1")).await;
    shop.owner.assert_books_agree().await;
}
