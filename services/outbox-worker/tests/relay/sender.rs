//! Senders that are wrong, each in a way that is in use somewhere, beside what this worker does instead.

use std::time::Duration;

use bahi_testkit::{Entry, Verdict, judge};
use outbox_worker::{
    checkpoint::Checkpoints,
    envelope, lease,
    origin::Origin,
    reader::{Reader, Tail},
    session::SessionError,
    snapshot::Snapshot,
    topic::Reached,
    window::Cursor,
};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, FutureProducer, FutureRecord, Producer, PurgeConfig},
    util::Timeout,
};
use uuid::Uuid;

use crate::{
    load::committed,
    log::Log,
    world::{World, emit, env},
};

fn settings(own: &[(&str, &str)]) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", env("BAHI_TEST_KAFKA"))
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random");
    for (name, value) in own {
        settings.set(*name, *value);
    }
    settings
}

/// An owner in a few lines: what it has read, and how to write down how far it is.
struct Owner {
    reader: Reader,
    checkpoints: Checkpoints,
    cursor: Cursor,
    records: Vec<(String, Vec<u8>)>,
}

impl Owner {
    async fn of_the_first_shard(world: &World) -> Self {
        let client = world.relay_client().await;
        let lease = lease::try_acquire(&client, 0, "naive")
            .await
            .unwrap()
            .unwrap();
        let origin = Origin::read(&client).await.unwrap();
        let checkpoints = Checkpoints::new(&client, lease, origin).await.unwrap();
        let reader = Reader::new(client, lease.shard).await.unwrap();
        let Tail::Window(snap, rows) = reader.tail(&Snapshot::origin()).await.unwrap() else {
            panic!("too much for a test")
        };
        let records = rows.iter().map(|row| {
            let (event, mut value) = (row.event().unwrap(), Vec::new());
            envelope::compose(&event, "naive", &mut value);
            (event.key.to_owned(), value)
        });
        Self {
            records: records.collect(),
            cursor: Cursor {
                snap,
                open: None,
                published: 0,
            },
            reader,
            checkpoints,
        }
    }

    fn send(&self, topic: &str, producer: &BaseProducer) {
        for (key, value) in &self.records {
            producer
                .send(BaseRecord::to(topic).key(key).payload(value))
                .unwrap();
        }
    }

    async fn save(&self) -> Result<(), SessionError> {
        self.checkpoints
            .save(self.reader.client(), &self.cursor, &Reached::default())
            .await
    }
}

/// A worker goes on; what does the topic hold when a last event has come through?
async fn relayed_to_the_end(world: &World, log: &Log, mut ledger: Vec<Entry>) -> Verdict {
    let worker = world.start();
    let last = emit(&world.app().await, &log.name, "last", 1, "{}").await;
    log.until_all(&[last.event_id]).await;
    world.operate("drain --db @").await;
    worker.stop().await;
    ledger.push(last);
    judge(&ledger, &log.seen())
}

/// A process dies with its events in the producer, after it has marked them (the mutant) or without.
async fn dies_unacknowledged(mark: bool) -> Verdict {
    let world = World::new().await;
    let log = world.topic(2, &[]).await;
    let app = world.app().await;
    let mut ledger = Vec::new();
    for version in 1..=10 {
        ledger.push(emit(&app, &log.name, "k", version, "{}").await);
    }
    let owner = Owner::of_the_first_shard(&world).await;
    let producer: BaseProducer = settings(&[("linger.ms", "60000")]).create().unwrap();
    owner.send(&log.name, &producer);
    if mark {
        owner.save().await.unwrap();
    }
    producer.purge(PurgeConfig::default().queue().inflight());
    drop((producer, owner));
    let verdict = relayed_to_the_end(&world, &log, ledger).await;
    world.close().await;
    verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_before_the_acknowledgement_loses_what_was_on_its_way() {
    let mutant = dies_unacknowledged(true).await;
    assert_eq!(mutant.lost, 10, "{mutant:?}");
    let right = dies_unacknowledged(false).await;
    assert!(right.is_clean(), "{right:?}");
}

/// An owner of half a database is frozen; the database is united meanwhile; it wakes and writes down how far it is,
/// guarded by its lease or (the mutant) not.
async fn wakes_after_the_shards_are_united(guarded: bool) -> Verdict {
    let world = World::new().await;
    let log = world.topic(4, &[]).await;
    let app = world.app().await;
    let (code, said) = world.operate("shards --db @ --count 2 --yes").await;
    assert_eq!(code, 0, "{said}");
    let mut ledger = Vec::new();
    for n in 0..40 {
        ledger.push(emit(&app, &log.name, &format!("k{n}"), 1, "{}").await);
    }
    let owner = Owner::of_the_first_shard(&world).await;
    assert!((1..40).contains(&owner.records.len()), "half of the keys");
    let producer: BaseProducer = settings(&[]).create().unwrap();
    owner.send(&log.name, &producer);
    producer.flush(Duration::from_secs(10)).unwrap();
    let (code, said) = world.operate("shards --db @ --count 1 --yes").await;
    assert_eq!(code, 0, "{said}");
    if guarded {
        assert!(matches!(owner.save().await, Err(SessionError::Fenced)));
    } else {
        let insert = "insert into outbox.checkpoint (shard, lease_epoch, snap, published) \
                      select 0, lease_epoch, $1::text::pg_snapshot, 0 from outbox.shard where shard = 0";
        let snap = owner.cursor.snap.to_string();
        let client = owner.reader.client();
        client.execute(insert, &[&snap]).await.unwrap();
    }
    drop(owner);
    let verdict = relayed_to_the_end(&world, &log, ledger).await;
    world.close().await;
    verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_without_the_lease_s_number_loses_what_was_another_owner_s() {
    let mutant = wakes_after_the_shards_are_united(false).await;
    assert!(mutant.lost > 0, "{mutant:?}");
    let right = wakes_after_the_shards_are_united(true).await;
    assert!(right.is_clean(), "{right:?}");
}

/// Versions of one key through a queue of a few records, by tasks that try again when it is full (the mutant), or in place.
async fn through_a_full_queue(in_place: bool) -> Verdict {
    let world = World::new().await;
    let log = world.topic(1, &[]).await;
    let small = settings(&[("queue.buffering.max.messages", "5")]);
    let entries: Vec<Entry> = (1..=300)
        .map(|version| Entry::committed(Uuid::now_v7(), "k", version, "{}"))
        .collect();
    let value = |entry: &Entry| {
        format!(
            "{{\"event_id\":\"{}\",\"aggregate_version\":{},\"payload\":{{}}}}",
            entry.event_id, entry.version
        )
    };
    if in_place {
        let producer: BaseProducer = small.create().unwrap();
        for entry in &entries {
            let value = value(entry);
            let mut record = BaseRecord::to(&log.name).key("k").payload(&value);
            while let Err((error, back)) = producer.send(record) {
                assert!(matches!(
                    error,
                    KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
                ));
                producer.poll(Duration::from_millis(1));
                record = back;
            }
        }
        producer.flush(Duration::from_secs(20)).unwrap();
    } else {
        let producer: FutureProducer = small.create().unwrap();
        let sends = entries.iter().map(|entry| {
            let (producer, topic, value) = (producer.clone(), log.name.clone(), value(entry));
            tokio::spawn(async move {
                let record = FutureRecord::to(&topic).key("k").payload(&value);
                producer.send(record, Timeout::Never).await.unwrap();
            })
        });
        for send in sends.collect::<Vec<_>>() {
            send.await.unwrap();
        }
    }
    log.until_all(&committed(&entries)).await;
    let verdict = judge(&entries, &log.seen());
    world.close().await;
    verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futures_that_try_again_when_the_queue_is_full_break_the_order() {
    let mutant = through_a_full_queue(false).await;
    assert!(mutant.disorders > 0 && mutant.lost == 0, "{mutant:?}");
    let right = through_a_full_queue(true).await;
    assert!(right.is_clean(), "{right:?}");
}
