//! The run of the sale: twenty tills at the shipped services, each noting what it was answered; at the end the books of both
//! databases and the topics must be what the tills were told.

mod book;
mod judge;
mod mutants;
mod shop;
mod till;

use std::{fs, process::Command, sync::Arc, time::Duration};

use anyhow::Context;
use bahi_testkit::register_of;
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub use self::mutants::Mutant;
use self::{
    book::Book,
    judge::judge,
    shop::Shop,
    till::{Errand, Till},
};
use crate::{
    fleet::{Fleet, Seat},
    follow::Follower,
    inject::{announce, carry_out},
    plan::{Planned, Role, Sessions},
    rig::{self, Rig},
    stage::{PARTITIONS, Stage},
};

/// Tills of the shop.
const TILLS: usize = 20;
/// Topics that the services say something in, which the judge reads.
pub const TOPICS: [&str; 4] = [
    "billing.events.v1",
    "orders.events.v1",
    "inventory.events.v1",
    "audit.events.v1",
];
/// Topics of those that the shop is made by.
const OTHERS: [&str; 3] = ["identity.events.v1", "products.events.v1", "crm.events.v1"];
/// The databases under test.
pub const SALES: &str = "bahi_sales";
/// As [`SALES`].
pub const STOCK: &str = "bahi_inventory";
/// How long tills may take to finish when all is healed.
const PATIENCE: Duration = Duration::from_secs(120);

fn sessions(whose: Sessions) -> (&'static str, Vec<&'static str>) {
    match whose {
        Sessions::Sales => ("sales", vec![SALES]),
        Sessions::Inventory => ("inventory", vec![STOCK]),
        _ => ("outbox-worker", vec![SALES, STOCK]),
    }
}

/// Databases, roles and topics, as an installation makes them.
async fn build(rig: &Rig) -> anyhow::Result<()> {
    let admin = rig.stage.admin("postgres").await?;
    for (service, database) in [("sales", SALES), ("inventory", STOCK)] {
        let owner = format!("bahi_{service}_owner");
        let create = format!("create database {database} owner {owner}");
        admin.batch_execute(&create).await?;
        let out = Command::new(rig.bin.join(service))
            .arg("migrate")
            .env(
                "BAHI_MIGRATE_URL",
                rig.stage.url(database, Some(&owner), ""),
            )
            .output()?;
        let told = String::from_utf8_lossy(&out.stderr);
        anyhow::ensure!(out.status.success(), "{service} migrate: {told}");
    }
    let topics: Vec<&str> = TOPICS.into_iter().chain(OTHERS).collect();
    bahi_kafka::create_topics(&rig.stage.kafka, &topics, PARTITIONS).await
}

/// Where the services answer.
pub struct Addresses {
    /// Sales over HTTP.
    pub sales: String,
    /// Inventory over HTTP.
    pub stock: String,
}

fn seats(rig: &Rig) -> anyhow::Result<(Vec<Seat>, Addresses)> {
    let file = rig.logs.join("services.toml");
    fs::write(&file, register_of(&["sales", "inventory", "outbox-worker"]))?;
    let relayed = [("sales", SALES), ("inventory", STOCK)];
    let mut seats = vec![
        rig.worker(0, &file, &relayed),
        rig.worker(1, &file, &relayed),
    ];
    let roles = [
        (Role::Sales, "sales", SALES),
        (Role::Inventory, "inventory", STOCK),
    ];
    // Below the kernel's ephemeral range: what is down is not replaced by somebody's connection.
    let first: usize = rig::var("BAHI_FAULTS_SERVICES")?.parse()?;
    let at = |n: usize| format!("127.0.0.1:{}", first + n);
    for (n, (role, service, database)) in roles.into_iter().enumerate() {
        let own = format!("bahi_{service}_app");
        let settings = [
            ("BAHI_LISTEN", at(n)),
            ("BAHI_GRPC_LISTEN", at(2 + n)),
            ("BAHI_SALES_GRPC", format!("http://{}", at(2))),
            ("BAHI_INVENTORY_GRPC", format!("http://{}", at(3))),
            ("BAHI_DATABASE_URL", rig.stage.service_url(database, &own)),
            ("BAHI_KAFKA", rig.stage.kafka.clone()),
            ("BAHI_REGISTER", file.display().to_string()),
            ("BAHI_TRUST_DIR", format!("{}/public", rig.keys.display())),
            (
                "BAHI_KEY_FILE",
                format!("{}/private/{service}.pem", rig.keys.display()),
            ),
            // Holds of sales that died are asked about within the run.
            ("BAHI_HOLD_SECONDS", "5".to_owned()),
            ("BAHI_DB_CHECKOUT_MS", "2000".to_owned()),
            ("BAHI_LOG", "info".to_owned()),
        ];
        let binary = rig.bin.join(service);
        seats.push(Seat::of(role, 0, move |command| {
            command.arg(&binary).envs(settings.clone());
        }));
    }
    let addresses = Addresses {
        sales: format!("http://{}", at(0)),
        stock: format!("http://{}", at(1)),
    };
    Ok((seats, addresses))
}

/// A run; whether all was well.
///
/// # Errors
/// When it could not be made or judged.
pub async fn run(
    seed: u64,
    length: Duration,
    mutant: Option<Mutant>,
    plan: &[Planned],
) -> anyhow::Result<bool> {
    let rig = Rig::of_env()?;
    build(&rig).await.context("making databases and topics")?;
    let follower = Follower::start(&rig.stage.kafka, &TOPICS)?;
    let (seats, addresses) = seats(&rig)?;
    let fleet = Arc::new(Fleet::start_all(&rig.logs, rig.clock.clone(), seats)?);
    let watched = fleet.clone();
    let mut watch = tokio::spawn(async move { watched.watch().await });
    let shop = Arc::new(Shop::open(&rig, &addresses).await.context("the shop")?);
    if let Some(mutant) = mutant {
        mutant.before(&rig.stage).await?;
    }
    let injector = Arc::new(rig.injector(&fleet, sessions));
    announce(&*injector, plan);

    println!("\nas it happens:");
    let book = Arc::new(Book::default());
    let errand = Errand::new(mutant);
    let mut tills = tokio::task::JoinSet::new();
    for number in 0..TILLS {
        let till = Till::new(number, seed, &shop, &book, &errand);
        tills.spawn(till.run());
    }
    let began = Instant::now();
    follower.begin();
    let progress = async {
        loop {
            sleep(Duration::from_secs(15)).await;
            println!(
                "{:>6.1}s   {} documents answered, {} events published",
                began.elapsed().as_secs_f64(),
                book.len(),
                follower.len()
            );
        }
    };
    let (faults, failed) = tokio::select! {
        never = progress => never,
        _ = &mut watch => anyhow::bail!("processes end by themselves all the time; logs in {}", rig.logs.display()),
        faults = async {
            let faults = carry_out(&injector, plan, began).await;
            sleep_until(began + length).await;
            faults
        } => faults,
    };
    println!(
        "{:>6.1}s all is healed, tills finish",
        began.elapsed().as_secs_f64()
    );
    injector.heal().await?;
    errand.stop();
    let mut wrong: Vec<String> = Vec::new();
    let finished = async {
        while let Some(till) = tills.join_next().await {
            till.context("a till panicked")?;
        }
        anyhow::Ok(())
    };
    match timeout(PATIENCE, finished).await {
        Ok(finished) => finished?,
        Err(_) => wrong.push(format!("UNANSWERED: {}", book.waiting())),
    }
    println!("{:>6.1}s tills are answered", began.elapsed().as_secs_f64());
    if let Some(stuck) = rig::drained(async || unfinished(&rig.stage, &follower).await).await {
        wrong.push(format!("NOT DRAINED: {stuck}"));
    }
    println!("{:>6.1}s drained", began.elapsed().as_secs_f64());
    wrong.extend(shop.books_agree().await);
    watch.abort();
    rig::tell_faults(&faults);
    wrong.extend(
        failed
            .iter()
            .map(|f| format!("NOT DONE, or not undone: {f}")),
    );
    for end in fleet.ends() {
        println!("ended by itself: {end}");
    }
    let silence = follower.silence();
    let read = follower.finish()?;
    if let Some(mutant) = mutant {
        mutant.after(&rig.stage).await?;
    }
    let sales = rig.stage.admin(SALES).await?;
    let stock = rig.stage.admin(STOCK).await?;
    book.print();
    wrong.extend(judge(&book, &sales, &stock, &read).await?);
    let caught = mutants::caught(&book, &sales, &stock, &read).await?;
    for missed in &caught.missed {
        wrong.push(format!("MISSED: the checker does not see {missed}"));
    }
    println!(
        "\n{} of {} things put wrong on purpose were seen; longest time without an event {:.1} s",
        caught.seen,
        caught.seen + caught.missed.len(),
        silence.as_secs_f64()
    );
    Ok(rig.tell(seed, &wrong))
}

async fn unfinished(stage: &Stage, follower: &Follower) -> anyhow::Result<Option<String>> {
    let (sales, stock) = (stage.admin(SALES).await?, stage.admin(STOCK).await?);
    // The first column makes the transaction known to the relay.
    let open = "select pg_current_xact_id()::text, (select count(*) from outbox.status where not published and not parked)";
    for (name, database) in [("sales", &sales), ("inventory", &stock)] {
        let unpublished: i64 = database.query_one(open, &[]).await?.get(1);
        if unpublished > 0 {
            return Ok(Some(format!(
                "{unpublished} events of {name} are not published"
            )));
        }
    }
    let Some(ends) = follower.at_end()? else {
        return Ok(Some(format!(
            "the reader stands at {} records",
            follower.len()
        )));
    };
    for (name, database) in [("sales", &sales), ("inventory", &stock)] {
        let behind = "select count(*) from unnest($1::text[], $2::int[], $3::bigint[]) e(topic, part, at)
                        join (select distinct consumer, topic from inbox.position) c using (topic)
                        left join inbox.position p using (consumer, topic, part) where coalesce(p.next_offset, 0) < e.at";
        let topics: Vec<&str> = ends.iter().map(|(topic, _, _)| TOPICS[*topic]).collect();
        let parts: Vec<i32> = ends.iter().map(|(_, part, _)| *part).collect();
        let at: Vec<i64> = ends.iter().map(|(_, _, at)| *at).collect();
        let behind: i64 = database
            .query_one(behind, &[&topics, &parts, &at])
            .await?
            .get(0);
        if behind > 0 {
            return Ok(Some(format!("{name} has not handled {behind} partitions")));
        }
    }
    let waits = [
        (
            &stock,
            "select count(*) from reservation where state = 'pending' and owner = 'sales'",
            "holds of sales are pending",
        ),
        (
            &stock,
            "select count(*) from count_session where state = 'approved'",
            "counts are not posted",
        ),
        (
            &sales,
            "select count(*) from sales_order where step is not null",
            "orders wait for inventory",
        ),
    ];
    for (database, query, what) in waits {
        let count: i64 = database.query_one(query, &[]).await?.get(0);
        if count > 0 {
            return Ok(Some(format!("{count} {what}")));
        }
    }
    Ok(None)
}
