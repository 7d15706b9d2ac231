//! The fence of a stock count, with the real inventory on the other side.

use bahi_proto::sales::v1::{
    Fence, LookRequest, PassedRequest, PassedResponse, fences_client::FencesClient,
};
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

use crate::{offline::frozen, support::Shop};

impl Shop {
    fn signed<T>(&self, service: &str, message: T) -> Request<T> {
        let token = self.sales.service_token(service, self.tenant());
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    }

    async fn look(&self, service: &str) -> Result<PassedRequest, Status> {
        let mut client = FencesClient::connect(self.sales.grpc_url()).await.unwrap();
        let seen = client
            .look(self.signed(service, LookRequest {}))
            .await?
            .into_inner();
        Ok(PassedRequest {
            snapshot: seen.snapshot,
            epoch: seen.epoch,
        })
    }

    async fn passed(&self, look: &PassedRequest) -> PassedResponse {
        let mut client = FencesClient::connect(self.sales.grpc_url()).await.unwrap();
        let request = self.signed("inventory", look.clone());
        client.passed(request).await.unwrap().into_inner()
    }

    /// The relay writes down that everything is published by now.
    async fn published(&self, reached: Value) {
        let checkpoint =
            "insert into outbox.checkpoint (shard, lease_epoch, snap, published, reached)
                          values (0, 0, pg_current_snapshot(), 0, $1)";
        self.sales
            .admin()
            .await
            .execute(checkpoint, &[&reached])
            .await
            .unwrap();
    }

    async fn count_jobs(&self) {
        let state = &self.stock.as_ref().unwrap().running.state;
        let jobs = inventory::jobs::table(state);
        let job = jobs.iter().find(|j| j.name() == "post_counts").unwrap();
        job.once().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_is_passed_when_the_relay_has_published_what_it_saw() {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let session = shop.session().await;
    shop.published(json!({})).await;
    let before = shop.look("inventory").await.unwrap();
    assert_eq!(shop.passed(&before).await.fence(), Fence::Open);
    shop.sell(shop.basket(&session, &[(goods, "1")], "10"))
        .await
        .expect(201);
    let after = shop.look("inventory").await.unwrap();
    // What was sold since does not hold up the earlier look.
    assert_eq!(shop.passed(&before).await.fence(), Fence::Open);
    assert_eq!(shop.passed(&after).await.fence(), Fence::Closed);
    shop.published(json!({ "t.billing.events.v1": [4, 0], "t.audit.events.v1": [9] }))
        .await;
    let open = shop.passed(&after).await;
    assert_eq!(open.fence(), Fence::Open);
    let ends: Vec<_> = open
        .ends
        .iter()
        .map(|e| (e.partition, e.next_offset))
        .collect();
    assert_eq!(ends, [(0, 4), (1, 0)]);
    // A parked event is in no topic, whatever the cursor says.
    let admin = shop.sales.admin().await;
    let park = "insert into outbox.parked (seq, slot, event_id, topic, key, state, reason, error)
                select seq, slot, event_id, topic, key, 'refused', 'x', 'x' from outbox.event where event_type = 'invoice.issued'";
    assert_eq!(admin.execute(park, &[]).await.unwrap(), 1);
    assert_eq!(shop.passed(&after).await.fence(), Fence::Closed);
    admin
        .execute("delete from outbox.parked", &[])
        .await
        .unwrap();
    admin
        .execute("update outbox.epoch set epoch = 2", &[])
        .await
        .unwrap();
    admin
        .execute("update inbox.reconciled set epoch = 2", &[])
        .await
        .unwrap();
    assert_eq!(shop.passed(&after).await.fence(), Fence::Lost);
    assert_eq!(
        shop.look("product").await.unwrap_err().code(),
        Code::PermissionDenied
    );
}

/// Fault of the field: a count posts goods as lost that were sold while the event was still on its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_in_flight_during_the_count_gives_no_false_variance_between_the_real_services() {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let session = shop.session().await;
    shop.published(json!({})).await;
    // Two are carried out before the look, one after it; the events of both come only then.
    shop.sell(shop.basket(&session, &[(goods, "2")], "20"))
        .await
        .expect(201);
    let body =
        json!({ "location_id": shop.location, "lines": [{ "product_id": goods, "qty": "8" }] });
    let (counter, colleague) = (shop.keeper(), shop.keeper());
    let path = "/api/v1/inventory/reconcile";
    let count = counter.post_with_key(path, body, "k").await.expect(201);
    assert_eq!(
        count.body["lines"][0]["variance"], "-2",
        "what a count without a fence would post"
    );
    shop.sell(shop.basket(&session, &[(goods, "1")], "10"))
        .await
        .expect(201);
    let at = format!("/api/v1/inventory/counts/{}", count.text_at("id"));
    let state = async || {
        shop.count_jobs().await;
        counter.get(&at).await.expect(200).body
    };
    let approved = colleague
        .post(&format!("{at}:approve"), json!({}))
        .await
        .expect(200);
    assert_eq!(approved.body["state"], "approved");
    shop.relay().await;
    assert_eq!(
        state().await["state"],
        "approved",
        "the relay has not said that this was all"
    );
    shop.published(json!({})).await;
    let posted = state().await;
    assert_eq!(
        (&posted["state"], &posted["lines"][0]["variance"]),
        (&json!("posted"), &json!("0"))
    );
    shop.assert_stock(goods, ("7", "0", "7")).await;
    shop.assert_sound().await;
}

/// A count takes what was carried out before it; a sale of these goods that is told later must not take them again.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_made_away_before_a_count_and_sent_after_it_leaves_once() {
    let shop = Shop::open().await;
    let goods = shop.goods("10").await;
    let session = shop.session().await;
    shop.published(json!({})).await;
    let body =
        json!({ "location_id": shop.location, "lines": [{ "product_id": goods, "qty": "9" }] });
    let (counter, colleague) = (shop.keeper(), shop.keeper());
    let path = "/api/v1/inventory/reconcile";
    let count = counter.post_with_key(path, body, "k").await.expect(201);
    let at = format!("/api/v1/inventory/counts/{}", count.text_at("id"));
    colleague
        .post(&format!("{at}:approve"), json!({}))
        .await
        .expect(200);
    shop.relay().await;
    shop.published(json!({})).await;
    shop.count_jobs().await;
    assert_eq!(counter.get(&at).await.expect(200).body["state"], "posted");
    shop.assert_stock(goods, ("9", "0", "9")).await;
    let line = frozen(goods, "1", "10", 5);
    let sale = shop.away(&session, "P1F/26-27/0001", vec![line]);
    let reply = shop.sync(&[sale]).await.expect(200);
    assert_eq!(reply.body["items"][0]["result"], "issued", "{}", reply.text);
    shop.relay().await;
    shop.assert_stock(goods, ("9", "0", "9")).await;
    shop.assert_sound().await;
}
