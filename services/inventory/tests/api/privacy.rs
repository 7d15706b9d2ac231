//! The archive of a tenant, and the erasure of a person of whom nothing is known here but an id.

use bahi_events::SubjectKind;
use bahi_testkit::{TestStore, assert_left_out, erase, export};
use inventory::privacy::HOLDINGS;
use uuid::Uuid;

use crate::support::Shop;

async fn shop() -> Shop {
    let store = TestStore::of_env();
    Shop::at_with("2026-11-21T06:00:00Z", &store.settings_of("exports")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_holds_all_of_the_tenant_and_nothing_of_another() {
    let shop = shop().await;
    let other = shop.next_tenant().await;
    for one in [&shop, &other] {
        let product = one.product().await;
        one.receive(product, "5", "10").await.expect(201);
    }
    let privacy = &shop.state().privacy;
    let archive = export(&shop.app, privacy, &HOLDINGS, shop.tenant()).await;
    assert!(!archive.tables["public.movement"].is_empty());
    assert!(!archive.text.contains(&other.tenant().to_string()));
    // Decimals are texts: nobody reads them as floats.
    assert!(archive.tables["public.movement"][0]["qty"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_there_and_nothing_else_looks_like_a_secret() {
    let harmless = ["public.reservation.demand_hash"];
    assert_left_out(&shop().await.app, &HOLDINGS, &harmless).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nothing_was_there_to_erase() {
    let shop = shop().await;
    for subject in [SubjectKind::Customer, SubjectKind::User] {
        let privacy = &shop.state().privacy;
        let said = erase(&shop.app, privacy, shop.tenant(), subject, Uuid::now_v7()).await;
        assert_eq!((said.service.as_str(), said.erased.len()), ("inventory", 0));
        assert!(
            said.kept.iter().all(|kept| kept.rows.is_none()),
            "{:?}",
            said.kept
        );
    }
}
