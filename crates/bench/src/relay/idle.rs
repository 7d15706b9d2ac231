//! Every database of the register and nothing to do.

use super::{
    Shape,
    book::Book,
    contender::{Contender, Relay},
    report::{Better, Report},
    site::{RELAY_ROLE, Site},
    topic::Topic,
    usage,
};

/// All runs.
pub async fn run(site: &Site, shape: &Shape, report: &mut Report) -> anyhow::Result<()> {
    let mut databases = Vec::new();
    for service in site.services()? {
        let name = format!("bench_idle_{}", service.replace('-', "_"));
        let client = site.create_database(&name).await?;
        client
            .batch_execute(&bahi_db::outbox_sql("bahi_sales_app"))
            .await?;
        databases.push((service, name));
    }
    eprintln!("idle: {} databases", databases.len());
    for _ in 0..shape.runs {
        let urls: Vec<(String, String)> = databases
            .iter()
            .map(|(service, name)| (service.clone(), site.url(name, RELAY_ROLE)))
            .collect();
        let relay = Relay::worker(site, site.register(), "bench", &urls)?;
        until_all_owned(site, &databases).await?;
        observe(site, shape, report, relay, Contender::Bahi.name()).await?;
        if shape.with_debezium {
            let book = Book::create(site, Contender::Tuned).await?;
            let topic = Topic::create(&site.kafka, "bench.idle").await?;
            let relay = book.start(Contender::Tuned, &topic.name).await?;
            // One event says that it has started.
            let wait = topic.follow(Contender::Tuned.id_header())?;
            book.fill("", 1, 1).await?;
            wait.until(1, std::time::Duration::from_secs(60)).await;
            drop(wait);
            observe(site, shape, report, relay, "Debezium tuned*").await?;
            topic.delete().await?;
            book.drop().await?;
        }
    }
    for (_, name) in databases {
        site.drop_database(&name).await?;
    }
    Ok(())
}

async fn until_all_owned(site: &Site, databases: &[(String, String)]) -> anyhow::Result<()> {
    for (_, name) in databases {
        let client = site.connect(name).await?;
        let owned = "select count(*) from outbox.shard where owner is not null and exists
                     (select from pg_locks l join pg_database d on d.oid = l.database
                       where l.locktype = 'advisory' and d.datname = current_database())";
        for attempt in 0u32.. {
            if client.query_one(owned, &[]).await?.get::<_, i64>(0) > 0 {
                break;
            }
            anyhow::ensure!(attempt < 300, "{name} is not owned after 30 s");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

#[allow(clippy::float_arithmetic)] // figures, not money
async fn observe(
    site: &Site,
    shape: &Shape,
    report: &mut Report,
    relay: Relay,
    who: &'static str,
) -> anyhow::Result<()> {
    // Starting is not idling.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let before = usage::read(site, &[relay.pid()]);
    tokio::time::sleep(shape.idle).await;
    let used = before.until(&usage::read(site, &[relay.pid()]));
    let share = |seconds: f64| seconds / shape.idle.as_secs_f64() * 100.0;
    let mut note = |metric: &str, value: f64| report.note("idle", metric, who, value);
    note("relay, % of a core", share(used.relay));
    note("its backends, % of a core", share(used.backends));
    note(
        "relay and backends, % of a core",
        share(used.relay + used.backends),
    );
    note("RSS, MiB", usage::memory(relay.pid()).0);
    note(usage::OTHERS, used.others);
    Ok(())
}

/// Asks for the aims.
pub fn ask(report: &mut Report) {
    println!("(Debezium tuned*: one database; a connector reads one)");
    let all = report.median("idle", "relay and backends, % of a core", Contender::Bahi);
    report.ask(
        "idle: worker and backends, % of a core",
        all,
        Better::Less,
        3.0,
    );
    let rss = report.median("idle", "RSS, MiB", Contender::Bahi);
    report.ask("idle: RSS, MiB", rss, Better::Less, 60.0);
}
