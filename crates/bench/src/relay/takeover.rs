//! Two workers, one owner: how long nothing is published when the owner dies, and when its host disappears.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use super::{
    Shape,
    book::Book,
    contender::{Contender, Relay},
    load::{self, Schedule, Sent, first_arrivals, micros, waits},
    report::{Better, Report},
    site::{FAR, RELAY_ROLE, Site},
    topic::{Follower, Topic},
};

/// Events a second while it happens: they date the takeover to ten milliseconds.
const RATE: u32 = 100;
/// How long the load runs before it happens.
const BEFORE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);
/// After so long two workers have agreed on whose turn it is: the owner looks once a second, and leaves after two looks.
const SETTLED: Duration = Duration::from_secs(5);

/// All of it.
pub async fn run(site: &Site, shape: &Shape, report: &mut Report) -> anyhow::Result<()> {
    let topic = Topic::create(&site.kafka, "bench.takeover").await?;
    let book = Book::create(site, Contender::Bahi).await?;
    let follower = topic.follow(Contender::Bahi.id_header())?;
    let near = site.url(&book.name, RELAY_ROLE);
    let mut sent = Vec::new();

    let mut owner = Seat::take(&book, "bench-0".into(), &near).await?;
    for death in 1..=shape.deaths {
        let mut standby = Seat::beside(&book, format!("bench-{death}"), &near).await?;
        // The names decide whose turn it is.
        if is_owner(&book, &standby.host).await? {
            std::mem::swap(&mut owner, &mut standby);
        }
        let schedule = Schedule {
            rate: RATE,
            time: Duration::from_secs(6),
        };
        let name = format!("death{death}");
        let strike = async {
            tokio::time::sleep(BEFORE).await;
            let at = Instant::now();
            owner.relay.kill();
            Strike {
                at,
                over: Instant::now(),
            }
        };
        let load = load::run(site, &book, &topic.name, &name, schedule);
        let (now, at) = tokio::join!(load, strike);
        note(report, "owner killed", &follower, &now?, at, &mut sent).await?;
        until_owner(&book, &standby.host).await?;
        std::mem::swap(&mut owner, &mut standby);
    }
    owner.relay.kill();

    for gone in 1..=shape.disappearances {
        let (mut far, standby) = far_and_near(site, &book, gone).await?;
        let schedule = Schedule {
            rate: RATE,
            time: Duration::from_secs(20),
        };
        let name = format!("gone{gone}");
        let strike = async {
            tokio::time::sleep(BEFORE).await;
            disappear(&mut far.relay)
        };
        let load = load::run(site, &book, &topic.name, &name, schedule);
        let (now, gone) = tokio::join!(load, strike);
        let (now, gone) = (now?, gone);
        note(report, gone.how, &follower, &now, gone.strike, &mut sent).await?;
        until_owner(&book, &standby.host).await?;
        drop((gone, standby));
    }

    let ledger: Vec<_> = sent.iter().map(|event| event.entry.clone()).collect();
    let verdict = topic.judge(Contender::Bahi, &ledger)?;
    if !verdict.is_clean() {
        report.fault(format!("takeover: {verdict:?}"));
    }
    #[allow(clippy::cast_precision_loss)] // a count
    report.note(
        "takeover",
        "duplicates of all takeovers",
        Contender::Bahi.name(),
        verdict.duplicates as f64,
    );
    drop(follower);
    book.drop().await?;
    topic.delete().await
}

/// A worker and the name it goes by.
struct Seat {
    host: String,
    relay: Relay,
}

impl Seat {
    /// Starts a worker and waits until it has the lease.
    async fn take(book: &Book<'_>, host: String, url: &str) -> anyhow::Result<Self> {
        let relay = book.start_worker(&host, url)?;
        until_owner(book, &host).await?;
        Ok(Self { host, relay })
    }

    /// Starts a second worker and waits until the two have agreed.
    async fn beside(book: &Book<'_>, host: String, url: &str) -> anyhow::Result<Self> {
        let relay = book.start_worker(&host, url)?;
        tokio::time::sleep(SETTLED).await;
        Ok(Self { host, relay })
    }
}

/// An owner whose host can disappear, and a standby whose turn it is not: other names are tried until it is so.
async fn far_and_near(site: &Site, book: &Book<'_>, gone: u32) -> anyhow::Result<(Seat, Seat)> {
    let (far_url, near_url) = (site.far_url(&book.name), site.url(&book.name, RELAY_ROLE));
    for attempt in 0..20 {
        let far = Seat::take(book, format!("bench-far-{gone}-{attempt}"), &far_url).await?;
        let near = Seat::beside(book, format!("bench-near-{gone}-{attempt}"), &near_url).await?;
        if is_owner(book, &far.host).await? {
            return Ok((far, near));
        }
    }
    anyhow::bail!("every standby came before the owner")
}

async fn is_owner(book: &Book<'_>, host: &str) -> anyhow::Result<bool> {
    let owner: Option<String> = book
        .client
        .query_one("select owner from outbox.shard", &[])
        .await?
        .get(0);
    Ok(owner.is_some_and(|owner| owner.split('/').next() == Some(host)))
}

/// Waits until this host's worker has the lease.
async fn until_owner(book: &Book<'_>, host: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        if is_owner(book, host).await? {
            return Ok(());
        }
        anyhow::ensure!(
            started.elapsed() < PATIENCE,
            "{host} has not taken the lease"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What happened to the owner: when it began, and when nothing could come of it any more.
#[derive(Clone, Copy)]
struct Strike {
    at: Instant,
    over: Instant,
}

/// A host that is gone; it comes back when this is dropped.
struct Gone {
    how: &'static str,
    strike: Strike,
    routed: bool,
}

fn route(action: &str) -> bool {
    Command::new("ip")
        .args(["route", action, "blackhole", FAR, "table", "local"])
        .output()
        .is_ok_and(|out| out.status.success())
}

/// From now on nothing reaches the server from `relay`, no goodbye either. Without the right to change routes the process
/// is stopped, which is nearly the same: it is silent, but its kernel still answers.
fn disappear(relay: &mut Relay) -> Gone {
    let at = Instant::now();
    if route("add") {
        let over = Instant::now();
        relay.kill();
        return Gone {
            how: "host gone",
            strike: Strike { at, over },
            routed: true,
        };
    }
    bahi_testkit::signal(relay.pid(), "STOP");
    Gone {
        how: "host frozen",
        strike: Strike {
            at,
            over: Instant::now(),
        },
        routed: false,
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        if self.routed {
            route("del");
        }
    }
}

#[allow(clippy::float_arithmetic)] // times, not money
async fn note(
    report: &mut Report,
    how: &str,
    follower: &Follower,
    now: &[Sent],
    strike: Strike,
    sent: &mut Vec<Sent>,
) -> anyhow::Result<()> {
    let mut first = first_arrivals(&follower.since(0));
    let started = Instant::now();
    while now
        .iter()
        .any(|event| !first.contains_key(&event.entry.event_id))
        && started.elapsed() < PATIENCE
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
        first = first_arrivals(&follower.since(0));
    }
    let sent_and_came = now
        .iter()
        .filter_map(|event| Some((event.due, first.get(&event.entry.event_id)?.at)));
    let takeover = first_of_the_next(strike.over, sent_and_came)
        .map_or(f64::INFINITY, |at| micros(strike.at, at) as f64 / 1e6);
    let (waits, _) = waits(now, &first)?;
    let who = Contender::Bahi.name();
    eprintln!("takeover: {how}: {takeover:.2} s");
    report.note(
        "takeover",
        &format!("{how}: to the first event of the next owner, s"),
        who,
        takeover,
    );
    report.note(
        "takeover",
        &format!("{how}: longest commit to consumer, s"),
        who,
        waits.max() as f64 / 1e6,
    );
    sent.extend(now.iter().cloned());
    Ok(())
}

/// When the first event arrived that only the next owner can have published: one that was sent to the server when the old
/// one was certainly gone. An event that was merely committed by then may have been read by the old one before its end.
fn first_of_the_next(
    over: Instant,
    sent_and_came: impl Iterator<Item = (Instant, Instant)>,
) -> Option<Instant> {
    sent_and_came
        .filter(|(sent, _)| *sent > over)
        .map(|(_, came)| came)
        .min()
}

/// Asks for the aims.
pub fn ask(report: &mut Report) {
    for (how, aim) in [
        ("owner killed", 1.0),
        ("host gone", 12.0),
        ("host frozen", 12.0),
    ] {
        let metric = format!("{how}: to the first event of the next owner, s");
        let value = report.median("takeover", &metric, Contender::Bahi);
        report.ask(&format!("takeover, {metric}"), value, Better::Less, aim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_the_old_owner_may_have_read_does_not_end_the_takeover() {
        let over = Instant::now();
        let after = |millis| over + Duration::from_millis(millis);
        let before = over.checked_sub(Duration::from_millis(3)).unwrap_or(over);
        let events = [
            (before, after(1)),
            (after(30), after(5011)),
            (after(20), after(5010)),
        ];
        assert_eq!(
            first_of_the_next(over, events.into_iter()),
            Some(after(5010))
        );
        assert_eq!(first_of_the_next(over, std::iter::empty()), None);
    }
}
