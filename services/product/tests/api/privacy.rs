//! The archive of a tenant, and the erasure of a person of whom nothing is known here but an id.

use bahi_events::SubjectKind;
use bahi_testkit::{TestStore, assert_left_out, erase, export};
use product::privacy::HOLDINGS;
use serde_json::json;
use uuid::Uuid;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_holds_all_of_the_tenant_with_its_pictures_and_nothing_of_another() {
    let app = start_with_store(None).await;
    let (shop, other) = (Shop::open(&app).await, Shop::open(&app).await);
    shop.add("OURS-1", json!({})).await.expect(201);
    other.add("THEIRS-1", json!({})).await.expect(201);
    let pictures = TestStore::of_env().bucket("products");
    // More than a part of an upload, and nothing that compresses.
    let mut large = Vec::with_capacity(9 << 20);
    while large.len() < 9 << 20 {
        large.extend_from_slice(Uuid::new_v4().as_bytes());
    }
    let image = Uuid::now_v7();
    let key = |tenant| format!("{tenant}/{image}/original");
    pictures
        .put(&key(shop.owner.tenant), large.clone().into(), "image/png")
        .await
        .unwrap();
    pictures
        .put(&key(other.owner.tenant), vec![7; 9].into(), "image/png")
        .await
        .unwrap();
    let privacy = &app.running.state.privacy;
    let archive = export(&app, privacy, &HOLDINGS, shop.owner.tenant).await;
    assert!(archive.text.contains("OURS-1") && !archive.text.contains("THEIRS-1"));
    let names: Vec<&String> = archive.objects.keys().collect();
    assert_eq!(names, [&format!("{image}/original")]);
    assert!(archive.objects[names[0]] == large);
    assert_eq!(archive.answer.archive.unwrap().objects, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_there_and_nothing_else_looks_like_a_secret() {
    assert_left_out(&start().await, &HOLDINGS, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nothing_was_there_to_erase() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    for subject in [SubjectKind::Customer, SubjectKind::User] {
        let privacy = &app.running.state.privacy;
        let said = erase(&app, privacy, shop.owner.tenant, subject, Uuid::now_v7()).await;
        assert_eq!((said.service.as_str(), said.erased.len()), ("product", 0));
        assert!(
            said.kept.iter().all(|kept| kept.rows.is_none()),
            "{:?}",
            said.kept
        );
    }
}
