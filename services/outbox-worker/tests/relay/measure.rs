//! Measurements, to be run by hand in a release build; they assert nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::world::{World, emit};

fn percentile(sorted: &[i64], per_mille: usize) -> i64 {
    sorted
        .get((sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: latency from COMMIT to the consumer at fixed rates"]
async fn latency() {
    for rate in [100u32, 500, 1000] {
        let world = World::new().await;
        let log = world.topic(12, &[]).await;
        let process = world.spawn();
        let payload = format!("{{\"pad\":\"{}\"}}", "x".repeat(280));
        let hint = world.app().await;
        let (poked, committed) = (
            Arc::new(tokio::sync::Notify::new()),
            Arc::new(Mutex::new(Vec::new())),
        );
        let poke = poked.clone();
        let hinting = tokio::spawn(async move {
            hint.batch_execute("set synchronous_commit = off")
                .await
                .unwrap();
            loop {
                poke.notified().await;
                hint.batch_execute("select pg_notify('outbox', '')")
                    .await
                    .unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let warm = emit(&world.app().await, &log.name, "warm", 1, "{}").await;
        log.until_all(&[warm.event_id]).await;
        let (writers, seconds) = (8u32, 10u32);
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for writer in 0..writers {
            let (client, topic, payload) = (world.app().await, log.name.clone(), payload.clone());
            let (poked, committed) = (poked.clone(), committed.clone());
            tasks.spawn(async move {
                for n in 0..(rate * seconds / writers) {
                    // An open loop: the schedule does not wait for the answers.
                    let due = Duration::from_secs(1) * (n * writers + writer) / rate;
                    tokio::time::sleep_until((started + due).into()).await;
                    let entry = emit(
                        &client,
                        &topic,
                        &format!("k{}", n % 100),
                        i64::from(n),
                        &payload,
                    )
                    .await;
                    committed
                        .lock()
                        .push((entry.event_id, outbox_worker::flight::now_micros()));
                    poked.notify_one();
                }
            });
        }
        tasks.join_all().await;
        let committed = Arc::into_inner(committed).unwrap().into_inner();
        let ids: Vec<_> = committed.iter().map(|(id, _)| *id).collect();
        log.until_all(&ids).await;
        let arrived: std::collections::HashMap<_, _> = log
            .records()
            .iter()
            .map(|record| (record.seen().event_id, record.arrived))
            .collect();
        let mut latencies: Vec<i64> = committed.iter().map(|(id, at)| arrived[id] - at).collect();
        latencies.sort_unstable();
        println!(
            "{rate}/s: p50 {} us, p90 {} us, p99 {} us, p99.9 {} us, max {} us; worker {:?} cpu, {} MB",
            percentile(&latencies, 500),
            percentile(&latencies, 900),
            percentile(&latencies, 990),
            percentile(&latencies, 999),
            percentile(&latencies, 1000),
            process.cpu(),
            process.memory() >> 20
        );
        hinting.abort();
        drop(process);
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: a backlog of half a million events"]
async fn drain() {
    let world = World::new().await;
    let log = world.topic(12, &[]).await;
    let topic = log.name.clone();
    drop(log);
    let (app, admin) = (world.app().await, world.admin().await);
    let insert = "insert into outbox.event (event_id, topic, key, event_type, aggregate_type, aggregate_id, aggregate_version, tenant_id, payload) \
                  select gen_random_uuid(), $1, 'k' || n % 500, 'thing.changed', 'thing', 'k' || n % 500, n, gen_random_uuid(), \
                         json_build_object('n', n, 'pad', repeat(md5(n::text), 8)) from generate_series(1, 500) n";
    for _ in 0..1000 {
        app.execute(insert, &[&topic]).await.unwrap();
    }
    let mut perf = std::env::var("BAHI_PERF").ok().map(|file| {
        std::process::Command::new("perf")
            .args(["record", "-a", "-F", "999", "-g", "-o", &file])
            .spawn()
            .unwrap()
    });
    let started = Instant::now();
    let process = world.spawn();
    let checkpoint = "select coalesce(max(published), 0) from outbox.checkpoint";
    let (mut last, mut memory, mut first) = (0, 0, None);
    while last < 500_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        last = admin
            .query_one(checkpoint, &[])
            .await
            .unwrap()
            .get::<_, i64>(0);
        memory = memory.max(process.memory());
        if last > 0 && first.is_none() {
            first = Some((started.elapsed(), last));
        }
    }
    let elapsed = started.elapsed();
    if let Some(perf) = &mut perf {
        std::process::Command::new("kill")
            .args(["-INT", &perf.id().to_string()])
            .status()
            .unwrap();
        perf.wait().unwrap();
    }
    let (begun, ahead) = first.unwrap();
    println!(
        "500000 events in {elapsed:?} from the start of the process, first checkpoint after {begun:?}; {:.0}/s in between; worker {:?} cpu, {} MB at most",
        (500_000 - ahead) as f64 / (elapsed - begun).as_secs_f64(),
        process.cpu(),
        memory >> 20
    );
    drop(process);
    world.close().await;
}
