//! Whoever writes the archive of a business dies, or only seems to: another writes it, and it is answered once.

use bahi_events::{TENANT_EXPORT_ANSWERED, TENANT_EXPORT_REQUESTED, TenantExportRequested};
use bahi_proof::{Fleet, How, Process, events};
use bahi_testkit::{TestStore, eventually, most_resident};
use bahi_types::TenantId;
use chrono::{TimeDelta, Utc};
use serde_json::Value;
use uuid::Uuid;

/// Where the archive is in the store, and nobody has been told.
const WRITTEN: &str = "privacy.export_written";

/// A business asks for its archive; the export.
fn ask(fleet: &Fleet, tenant: TenantId) -> Uuid {
    let export = Uuid::now_v7();
    let asked = TenantExportRequested {
        export_id: export,
        deadline_at: Utc::now() + TimeDelta::hours(6),
    };
    fleet.say(TENANT_EXPORT_REQUESTED.of(export, 1, &asked), tenant);
    export
}

struct Asked {
    fleet: Fleet,
    tenant: TenantId,
    export: Uuid,
    first: Process,
    _worker: Process,
}

/// A business has asked for its archive, and inventory has just written it.
async fn written() -> Asked {
    let fleet = Fleet::of(&["inventory", "sales", "outbox-worker"]).await;
    let worker = fleet.start("outbox-worker", How::default()).await;
    let pause = How {
        pause: WRITTEN,
        ..How::default()
    };
    let first = fleet.start("inventory", pause).await;
    let tenant = TenantId::new();
    let export = ask(&fleet, tenant);
    fleet.reached(&first, WRITTEN).await;
    Asked {
        fleet,
        tenant,
        export,
        first,
        _worker: worker,
    }
}

impl Asked {
    /// The minute is over for which the first had the task.
    async fn lease_ends(&self) {
        let inventory = self.fleet.database("inventory").admin().await;
        let over = "update privacy.task set lease_until = now() - interval '1 second'";
        let over = inventory.execute(over, &[]).await;
        assert_eq!(over.expect("a task"), 1);
    }

    /// Every answer, once there is one.
    async fn answers(&self) -> Vec<Value> {
        let topic = self.fleet.topic("privacy");
        eventually(|| async {
            let said = events(&topic).await.into_iter();
            let said = said.filter(|event| event["event_type"] == TENANT_EXPORT_ANSWERED.name);
            let said: Vec<Value> = said.map(|mut event| event["payload"].take()).collect();
            (!said.is_empty()).then_some(said)
        })
        .await
    }

    /// Archives in the store, by the end of their keys.
    async fn archives(&self) -> Vec<String> {
        let folder = format!("{}/{}/", self.tenant, self.export);
        let store = TestStore::of_env().bucket("exports");
        let keys = store.list(&folder, None).await.expect("a store");
        keys.iter()
            .map(|key| key[folder.len()..].to_owned())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_writes_the_archive_when_its_writer_was_killed() {
    let mut asked = written().await;
    asked.first.kill();
    assert_eq!(asked.archives().await, ["inventory-1.zip"]);
    let _again = asked.fleet.start("inventory", How::default()).await;
    asked.lease_ends().await;
    let answers = asked.answers().await;
    let [answer] = &*answers else {
        panic!("{answers:?}");
    };
    let key = answer["archive"]["object_key"].as_str().expect("a key");
    assert!(key.ends_with("/inventory-2.zip"), "{answer}");
    assert!(asked.archives().await.contains(&"inventory-2.zip".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_too_late_says_nothing_and_leaves_no_archive() {
    let asked = written().await;
    let replica = How {
        replica: true,
        ..How::default()
    };
    let _second = asked.fleet.start("inventory", replica).await;
    asked.lease_ends().await;
    let answers = asked.answers().await;
    asked.fleet.go_on(&asked.first, WRITTEN);
    eventually(|| async {
        let left = asked.archives().await;
        (left == ["inventory-2.zip"]).then_some(())
    })
    .await;
    assert_eq!(asked.answers().await, answers);
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_business_takes_no_more_memory_than_a_small_one() {
    const ALLOWED: usize = 64 << 20;
    let fleet = Fleet::of(&["product"]).await;
    let product = fleet.start("product", How::default()).await;
    let database = fleet.database("product").admin().await;
    let written = async |tenant: TenantId| {
        let export = ask(&fleet, tenant);
        let bytes = "select answer -> 'archive' ->> 'bytes' from privacy.task where id = $1 and finished_at is not null";
        eventually(|| async {
            let row = database
                .query_opt(bytes, &[&export])
                .await
                .expect("tasks")?;
            row.get::<_, Option<String>>(0)?.parse::<usize>().ok()
        })
        .await
    };
    written(TenantId::new()).await;
    let before = most_resident(product.pid());
    let large = TenantId::new();
    // Texts of which deflate makes half, and pictures of which it makes nothing.
    let rows = format!(
        "insert into import_job select '{large}', gen_random_uuid(), 1, 'completed', false, 0, 0, 0, 0, 0, 0, 0, 0, 0, '[]', null,
             '{{}}', gen_random_uuid(), now(), false, now(), now(), now();
         insert into import_error select '{large}', j.id, line, 'name', '',
             (select string_agg(gen_random_uuid()::text, '') from generate_series(1, 60) where line > 0)
           from import_job j, generate_series(1, 10000) line"
    );
    database.batch_execute(&rows).await.expect("rows");
    let pictures = TestStore::of_env().bucket("products");
    let mut picture = Vec::with_capacity(16 << 20);
    while picture.len() < 16 << 20 {
        picture.extend_from_slice(Uuid::new_v4().as_bytes());
    }
    for n in 0..8 {
        let (key, bytes) = (format!("{large}/{n}"), picture.clone().into());
        pictures.put(&key, bytes, "image/png").await.expect("put");
    }
    let bytes = written(large).await;
    assert!(bytes > 2 * ALLOWED, "{bytes} bytes");
    let more = most_resident(product.pid()) - before;
    assert!(more < ALLOWED, "{more} bytes more for {bytes}");
}
