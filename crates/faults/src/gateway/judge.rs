//! The judgement over a record: what the gateways promise, by the rules of their README. Pure, so that it can be shown what it
//! finds.

use std::{collections::HashMap, time::Duration};

use super::{
    CONSECUTIVE, EJECT, INTERVAL, LONGEST,
    book::{Came, Did, End, Fault, LIMITS, Pass, Record, Seen, Try},
};
use crate::plan::{Kind, Manner, Role, Server, service_of};

/// Gateways that run at the same time.
const GATEWAYS: usize = 2;
/// Requests that may be under way from one gateway to one endpoint when this begins to fail.
const UNDER_WAY: usize = 8;
/// Reads that may fail because of one endpoint although others are sound: those whose repetition the budget of the
/// repetitions refuses, or hits a connection that breaks as well.
const READS: usize = 3;
/// Repetitions in [`SPAN`] that are allowed however few requests there are, and of how many requests one may be.
const FLOOR: usize = 10;
/// As [`FLOOR`].
const ONE_IN: usize = 10;
/// What the budget of repetitions looks back over.
const SPAN: Duration = Duration::from_secs(10);
/// How long a gateway may go on alone after Redis is back: it looks twice a second, and waits for a second.
const ALONE: Duration = Duration::from_secs(2);

/// What came of it.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Everything that is wrong.
    pub wrong: Vec<String>,
    /// Reads that failed though the rules of the README promise nothing else, by why.
    pub excused: HashMap<&'static str, usize>,
    /// Changes that failed, within the faults that explain it.
    pub changes: usize,
    /// Reads that were seen twice.
    pub repeated: usize,
    /// The longest time from the end of a fault to the beginning of the last request that failed by it.
    pub recovery: Duration,
    /// Goodbyes that were said when a gateway stopped.
    pub goodbyes: usize,
    /// The most requests of one fault that an endpoint failed before it was left out, and how many may.
    pub noticed: (usize, usize),
    /// The reads that failed although other endpoints were sound.
    pub unlucky: Vec<String>,
    /// Of each limit, what passed in all.
    pub passed: Vec<usize>,
}

fn seconds(at: Duration) -> String {
    format!("{:.2}s", at.as_secs_f64())
}

impl Fault {
    /// Whether something that lasted from `begun` to `ended` meets it, or the time `after` it.
    fn meets(&self, begun: Duration, ended: Duration, after: Duration) -> bool {
        begun <= self.to + after && ended >= self.from
    }

    /// The service that it is about.
    fn service(&self) -> Option<usize> {
        match self.kind {
            Kind::Endpoint(_) => Some(service_of(self.which)),
            Kind::Service => Some(self.which),
            _ => None,
        }
    }

    fn stops_gateway(&self, gateway: usize) -> bool {
        self.which == gateway
            && matches!(
                self.kind,
                Kind::Kill(Role::Gateway) | Kind::Stop(Role::Gateway)
            )
    }

    /// When a gateway can begin to see that this is healed: one that stood still looks when it runs again.
    fn to_of(&self, gateway: usize, record: &Record) -> Duration {
        let healed = self.to + (INTERVAL + record.lag) * 3;
        let stood = |f: &&Fault| f.stops_gateway(gateway) && f.from <= healed && f.to >= self.from;
        let stood = record.faults.iter().filter(stood).map(|f| f.to);
        stood.fold(self.to, Duration::max)
    }

    fn drains(&self, gateway: usize) -> bool {
        self.which == gateway && self.kind == Kind::Restart(Role::Gateway)
    }

    fn troubles_redis(&self) -> bool {
        matches!(
            self.kind,
            Kind::KillRedis | Kind::StopRedis | Kind::SlowRedis | Kind::Cut(Server::Redis)
        )
    }

    fn empties_redis(&self) -> bool {
        matches!(self.kind, Kind::KillRedis | Kind::EmptyRedis)
    }
}

/// Everything that is wrong, and what is not.
pub fn judge(record: &Record) -> Verdict {
    let mut verdict = Verdict::default();
    let by_id = record.by_id();
    // Three intervals of the health checks; each may be late by as much as the run itself was.
    let healed = (INTERVAL + record.lag) * 3;
    once(record, &by_id, &mut verdict);
    answered(record, &by_id, healed, &mut verdict);
    noticed(record, healed, &mut verdict);
    repeated(record, &by_id, &mut verdict);
    for (number, _) in LIMITS.iter().enumerate() {
        limited(record, number, &mut verdict);
    }
    said_goodbye(record, healed, &mut verdict);
    verdict
}

/// A change is carried out once or, where the gateway says that it was not sent, not at all.
fn once(record: &Record, by_id: &HashMap<u64, Vec<&Seen>>, verdict: &mut Verdict) {
    let seen = |id: u64| by_id.get(&id).map_or(0, Vec::len);
    for one in record.tries.iter().filter(|t| t.post) {
        let (id, count) = (one.id, seen(one.id));
        if count > 1 {
            verdict
                .wrong
                .push(format!("DOUBLED: change {id} was seen {count} times"));
        }
        if one.done() && count == 0 {
            verdict.wrong.push(format!(
                "INVENTED: change {id} was answered and seen by nobody"
            ));
        }
        let refused = matches!(&one.came, Came::Answer { code, .. }
            if ["SERVICE_UNAVAILABLE", "SERVICE_BUSY", "TOO_MANY_REQUESTS"].contains(&code.as_str()));
        if (refused || one.came == Came::Unsent) && count > 0 {
            verdict.wrong.push(format!(
                "REFUSED AND SENT: change {id} was seen although the gateway says it was not sent"
            ));
        }
    }
}

/// Answers are the right ones, and requests fail only where a fault explains it.
fn answered(
    record: &Record,
    by_id: &HashMap<u64, Vec<&Seen>>,
    healed: Duration,
    verdict: &mut Verdict,
) {
    let mut reads_of = vec![0_usize; record.faults.len()];
    for one in &record.tries {
        if let Came::Answer {
            status: 200,
            right: false,
            ..
        } = one.came
        {
            verdict.wrong.push(format!(
                "CROSSED: request {} has the answer of another, or a part of its own",
                one.id
            ));
        }
        if one.good() {
            continue;
        }
        let met: Vec<(usize, &Fault)> = record
            .faults
            .iter()
            .enumerate()
            .filter(|(_, f)| {
                one.ended >= f.from && one.begun <= f.to_of(one.gateway, record) + healed
            })
            .collect();
        let of_service = |f: &Fault| f.service() == Some(one.service);
        let did = |what: Did| {
            let seen = by_id.get(&one.id).into_iter().flatten();
            seen.last().is_some_and(|seen| seen.did == what)
        };
        // A gateway that runs again has nothing to recover from.
        let stopped = met
            .iter()
            .any(|(_, f)| f.stops_gateway(one.gateway) && one.begun <= f.to + record.lag);
        let away = met
            .iter()
            .any(|(_, f)| f.kind == Kind::Service && of_service(f));
        let part = met.iter().find(|(_, f)| {
            of_service(f) && matches!(f.kind, Kind::Endpoint(how) if how != Manner::Slow)
        });
        let why = if stopped {
            Some("their gateway was killed or stood still")
        } else if one.came == Came::Unsent && met.iter().any(|(_, f)| f.drains(one.gateway)) {
            Some("sent to a gateway that had closed, and to the other then")
        } else if away {
            Some("no endpoint of the service was left")
        } else if let Some((number, fault)) = part {
            if let (false, Some(count)) = (one.post, reads_of.get_mut(*number)) {
                match one.came {
                    Came::Answer { status: 500, .. } if did(Did::Failed) => {
                        Some("the endpoint itself answered 500")
                    }
                    Came::BrokenOff if one.long && did(Did::Broke) => {
                        Some("long answers that their endpoint broke off")
                    }
                    _ => {
                        verdict
                            .unlucky
                            .push(format!("{} ({fault:?})", failure(one)));
                        *count += 1;
                        (*count <= READS).then_some("the one repetition failed as well")
                    }
                }
            } else {
                verdict.changes += 1;
                verdict.recovery = verdict
                    .recovery
                    .max(one.begun.saturating_sub(fault.to_of(one.gateway, record)));
                continue;
            }
        } else {
            None
        };
        for (_, fault) in &met {
            if of_service(fault) && !stopped {
                verdict.recovery = verdict
                    .recovery
                    .max(one.begun.saturating_sub(fault.to_of(one.gateway, record)));
            }
        }
        match why {
            Some(_) if one.post => verdict.changes += 1,
            Some(why) => *verdict.excused.entry(why).or_default() += 1,
            None => verdict.wrong.push(failure(one)),
        }
    }
}

fn failure(one: &Try) -> String {
    format!(
        "FAILED: {} {} of service {} at gateway {} from {} to {}: {:?}",
        if one.post { "change" } else { "read" },
        one.id,
        one.service,
        one.gateway + 1,
        seconds(one.begun),
        seconds(one.ended),
        one.came
    )
}

/// An endpoint that fails is noticed, and gets requests again when it is well.
fn noticed(record: &Record, healed: Duration, verdict: &mut Verdict) {
    let long: std::collections::HashSet<u64> = record
        .tries
        .iter()
        .filter(|t| t.long)
        .map(|t| t.id)
        .collect();
    for fault in &record.faults {
        let Kind::Endpoint(manner) = fault.kind else {
            continue;
        };
        // A long answer was good as far as the gateway waited for it.
        let failed = record.seen.iter().filter(|s| {
            s.endpoint == fault.which
                && (fault.from..=fault.to).contains(&s.at)
                && matches!(s.did, Did::Failed | Did::Broke)
                && !(manner == Manner::HalfBody && long.contains(&s.id))
        });
        let failed = failed.count();
        // Left out for so long each time, and looked at anew.
        let lasted = (fault.to - fault.from).as_millis() / EJECT.as_millis();
        let turns = 1 + usize::try_from(lasted).unwrap_or(0);
        let may = GATEWAYS * turns * (CONSECUTIVE as usize + UNDER_WAY);
        if failed > verdict.noticed.0 {
            verdict.noticed = (failed, may);
        }
        if failed > may {
            verdict.wrong.push(format!(
                "NOT LEFT OUT: endpoint {} ({manner:?}) was given {failed} requests from {} on, {may} may be",
                fault.which,
                seconds(fault.from)
            ));
        }
        let until = fault.to + LONGEST + healed;
        let again =
            |f: &Fault| f.from > fault.from && f.from <= until && f.service() == fault.service();
        let judged = until < record.length && !record.faults.iter().any(again);
        let mut seen = record.seen.iter();
        if judged && !seen.any(|s| s.endpoint == fault.which && s.at > fault.to && s.at <= until) {
            verdict.wrong.push(format!(
                "NOT TAKEN BACK: endpoint {} is well since {} and gets no request",
                fault.which,
                seconds(fault.to)
            ));
        }
    }
}

/// A read is asked again once, and of ten requests one.
fn repeated(record: &Record, by_id: &HashMap<u64, Vec<&Seen>>, verdict: &mut Verdict) {
    let mut again: HashMap<(usize, usize), Vec<Duration>> = HashMap::new();
    let mut asked: HashMap<(usize, usize), Vec<Duration>> = HashMap::new();
    for one in &record.tries {
        let at = (one.gateway, one.service);
        asked.entry(at).or_default().push(one.begun);
        let Some(seen) = by_id.get(&one.id).filter(|_| !one.post) else {
            continue;
        };
        if seen.len() > 2 {
            verdict.wrong.push(format!(
                "ASKED TOO OFTEN: read {} was seen {} times",
                one.id,
                seen.len()
            ));
        }
        if let Some(second) = seen.get(1) {
            verdict.repeated += 1;
            again.entry(at).or_default().push(second.at);
        }
    }
    for (at, mut times) in again {
        times.sort_unstable();
        let asked = asked.get(&at).map_or(&[][..], Vec::as_slice);
        for (number, last) in times.iter().enumerate() {
            let from = last.saturating_sub(SPAN);
            let spent = times[..=number].iter().filter(|t| **t > from).count();
            let asked = asked.iter().filter(|t| **t > from && *t <= last);
            // The gateway looks back in steps, and counts when a request comes to it: a tenth either way, and two.
            let may = (asked.count() / ONE_IN).max(FLOOR) * 11 / 10 + 2;
            if spent > may {
                verdict.wrong.push(format!(
                    "TOO MANY REPETITIONS: {spent} to service {} by gateway {} in the ten seconds to {}, {may} may be",
                    at.1,
                    at.0 + 1,
                    seconds(*last)
                ));
                break;
            }
        }
    }
}

/// What may pass a limit from one moment to another: `burst + rate × t`, and two portions for each gateway. Where Redis was
/// away each gateway counts alone; where it has forgotten all, that is one more burst.
fn may_pass(record: &Record, number: usize, from: Duration, to: Duration) -> u64 {
    let limit = &LIMITS[number];
    let (rate, burst, portion) = (
        u64::from(limit.rate),
        u64::from(limit.burst),
        u64::from(limit.portion),
    );
    let meets = |f: &&Fault, after: Duration| f.meets(from, to, after);
    let faults = record.faults.iter();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    // A gateway that was started anew knows nothing of what the one before it has let pass.
    let started = |f: &&Fault| {
        matches!(
            f.kind,
            Kind::Kill(Role::Gateway) | Kind::Restart(Role::Gateway)
        )
    };
    let started = faults.clone().filter(started);
    let processes = count(GATEWAYS) + count(started.filter(|f| meets(f, Duration::ZERO)).count());
    let away = ALONE + record.lag;
    let emptied = faults
        .clone()
        .filter(|f| f.empties_redis() && meets(f, away));
    let emptied = count(emptied.count());
    let mut alone = faults.filter(|f| f.troubles_redis() && meets(f, away));
    // Redis does not answer in a second either where the machine does not.
    let buckets = match alone.next().is_some() || record.lag >= super::PATIENCE / 2 {
        true => processes,
        false => 1,
    };
    let filled = (u128::from(rate) * (to - from).as_millis()).div_ceil(1000);
    let filled = u64::try_from(filled).unwrap_or(u64::MAX);
    buckets * (burst + filled) + 2 * portion * processes + emptied * burst
}

/// No limit lets more pass than it may, in any window.
fn limited(record: &Record, number: usize, verdict: &mut Verdict) {
    let of_limit = record.passes.iter().filter(|p| p.limit == number);
    let mut passes: Vec<&Pass> = of_limit.collect();
    verdict.passed.push(passes.len());
    passes.sort_unstable_by_key(|p| p.begun);
    // Windows that are too full and do not overlap are told of, each once.
    let mut told = Duration::ZERO;
    for (first, pass) in passes.iter().enumerate() {
        if pass.begun < told {
            continue;
        }
        let mut ends: Vec<Duration> = passes[first..].iter().map(|p| p.ended).collect();
        ends.sort_unstable();
        for (count, to) in ends.iter().enumerate() {
            // So many lie wholly within.
            let count = u64::try_from(count + 1).unwrap_or(u64::MAX);
            let limit = &LIMITS[number];
            // Asked for only where it could be too many.
            if count <= u64::from(limit.burst) {
                continue;
            }
            let may = may_pass(record, number, pass.begun, *to);
            if count > may {
                verdict.wrong.push(format!(
                    "TOO MANY PASSED: {count} of {} from {} to {}, {may} may",
                    limit.name,
                    seconds(pass.begun),
                    seconds(*to)
                ));
                told = *to;
                break;
            }
        }
    }
}

/// WebSockets and streams of events end with a word when their gateway stops, and otherwise only with what they stand on.
fn said_goodbye(record: &Record, healed: Duration, verdict: &mut Verdict) {
    for end in &record.ends {
        let met = |is: &dyn Fn(&Fault) -> bool| {
            let mut faults = record.faults.iter();
            faults.any(|f| is(f) && f.meets(end.at, end.at, healed))
        };
        let drained = met(&|f| f.drains(end.gateway));
        let broken = met(&|f| f.stops_gateway(end.gateway) || f.service() == Some(end.service));
        match (drained, end.goodbye) {
            (true, true) => verdict.goodbyes += 1,
            _ if broken => {}
            (true, false) => verdict.wrong.push(silent(end, "without a word")),
            (false, _) => verdict.wrong.push(silent(end, "though nothing was broken")),
        }
    }
    let drained = |f: &Fault| matches!(f.kind, Kind::Restart(Role::Gateway));
    if verdict.goodbyes == 0 && record.faults.iter().any(drained) {
        verdict
            .wrong
            .push("NO GOODBYE: a gateway stopped and no stream through it was told".to_owned());
    }
}

fn silent(end: &End, how: &str) -> String {
    let what = match end.socket {
        true => "a WebSocket",
        false => "a stream of events",
    };
    let (gateway, at) = (end.gateway + 1, seconds(end.at));
    format!("ENDED: {what} through gateway {gateway} ended {how} at {at}")
}
