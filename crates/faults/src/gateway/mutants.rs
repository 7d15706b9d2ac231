//! Things put wrong on purpose, to see that the judge finds them: some in the record of every run, and three around the gateways
//! themselves, for a run that must end badly.

use std::{collections::HashSet, time::Duration};

use clap::ValueEnum;

use super::{
    INTERVAL,
    book::{Came, Did, End, Fault, LIMITS, Pass, Record, Seen, Try},
    judge::judge,
};
use crate::plan::{Kind, Manner, Role};

/// Something that is wrong around the gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mutant {
    /// Something between gateways and endpoints asks again for changes whose connection broke.
    Repeating,
    /// The gateways are configured to notice nothing: neither checks nor failures leave an endpoint out.
    Blind,
    /// The gateways have no Redis: each counts alone.
    Alone,
}

/// A moment in which nothing is broken, and a service's requests succeed: the end of the run, or its very beginning.
fn quiet(record: &Record) -> Duration {
    record.length
}

fn read(record: &Record, at: Duration, came: Came) -> Try {
    let ids = record.tries.iter().map(|t| t.id);
    Try {
        id: ids.max().unwrap_or(0) + 1,
        gateway: 0,
        service: 0,
        post: false,
        long: false,
        begun: at,
        ended: at,
        came,
    }
}

fn refusal() -> Came {
    Came::Answer {
        status: 503,
        code: "SERVICE_UNAVAILABLE".to_owned(),
        right: false,
    }
}

type Wrong = (&'static str, fn(&mut Record));

/// What is put wrong, each into a record of its own.
pub const WRONGS: &[Wrong] = &[
    ("a change that is seen twice", |record| {
        let done = record.tries.iter().find(|t| t.post && t.done());
        let id = done.map(|t| t.id);
        let seen = record.seen.iter().find(|s| Some(s.id) == id).cloned();
        record.seen.extend(seen);
    }),
    ("a change that is answered and was never seen", |record| {
        let done = record.tries.iter().find(|t| t.post && t.done());
        let id = done.map(|t| t.id);
        record.seen.retain(|s| Some(s.id) != id);
    }),
    ("a change that was sent and is said not to be", |record| {
        let done = record.tries.iter_mut().find(|t| t.post && t.done());
        if let Some(done) = done {
            done.came = refusal();
        }
    }),
    ("a read that fails while nothing is broken", |record| {
        let failed = read(record, quiet(record), refusal());
        record.tries.push(failed);
    }),
    (
        "reads that fail although one endpoint of three is well",
        |record| {
            let at = record.length + Duration::from_secs(60);
            record.faults.push(Fault {
                kind: Kind::Endpoint(Manner::HangsUp),
                which: 0,
                from: at,
                to: at,
            });
            for _ in 0..20 {
                let failed = read(record, at, refusal());
                record.tries.push(failed);
            }
        },
    ),
    ("a service that is back too late", |record| {
        let to = record.length + Duration::from_secs(60);
        record.faults.push(Fault {
            kind: Kind::Service,
            which: 0,
            from: to,
            to,
        });
        let late = to + (INTERVAL + record.lag) * 4;
        let failed = read(record, late, refusal());
        record.tries.push(failed);
    }),
    ("an answer that is another's", |record| {
        let answered = record.tries.iter_mut().find(|t| t.done());
        if let Some(Try {
            came: Came::Answer { right, .. },
            ..
        }) = answered
        {
            *right = false;
        }
    }),
    ("a broken answer that is taken for a whole one", |record| {
        let broken = Came::Answer {
            status: 200,
            code: String::new(),
            right: false,
        };
        let answered = read(record, quiet(record), broken);
        record.tries.push(answered);
    }),
    ("a limit that lets too many pass", |record| {
        let at = record.length + Duration::from_secs(60);
        let limit = &LIMITS[1];
        // With whatever may pass of each gateway alone, and of those that were started anew.
        for _ in 0..=limit.burst * 2 {
            record.passes.push(Pass {
                limit: 1,
                begun: at,
                ended: at,
            });
        }
    }),
    ("an endpoint that fails on and on", |record| {
        let from = record.length + Duration::from_secs(60);
        record.faults.push(Fault {
            kind: Kind::Endpoint(Manner::Fails),
            which: 0,
            from,
            to: from,
        });
        for id in 0..100 {
            record.seen.push(Seen {
                id: u64::MAX - id,
                endpoint: 0,
                post: false,
                at: from,
                did: Did::Failed,
            });
        }
    }),
    ("an endpoint that is never taken back", |record| {
        let to = record.length + Duration::from_secs(60);
        record.faults.push(Fault {
            kind: Kind::Endpoint(Manner::Gone),
            which: 0,
            from: to,
            to,
        });
        record.length = to + Duration::from_secs(600);
    }),
    ("a read that is asked three times", |record| {
        let done = record.tries.iter().find(|t| !t.post && t.done());
        let id = done.map(|t| t.id);
        let seen = record.seen.iter().find(|s| Some(s.id) == id).cloned();
        record.seen.extend(seen.clone());
        record.seen.extend(seen);
    }),
    ("every read asked twice", |record| {
        let reads = record.seen.iter().filter(|s| !s.post);
        let again: Vec<Seen> = reads.cloned().collect();
        record.seen.extend(again);
    }),
    ("a WebSocket that ends without a word", |record| {
        let at = record.length + Duration::from_secs(60);
        record.faults.push(Fault {
            kind: Kind::Restart(Role::Gateway),
            which: 0,
            from: at,
            to: at,
        });
        record.ends.push(End {
            gateway: 0,
            service: 1,
            socket: true,
            at,
            goodbye: false,
        });
    }),
    ("a stream that ends for nothing", |record| {
        record.ends.push(End {
            gateway: 1,
            service: 0,
            socket: false,
            at: record.length + Duration::from_secs(60),
            goodbye: true,
        });
    }),
];

/// What the judge does not see of what is put wrong.
pub fn missed(record: &Record) -> Vec<&'static str> {
    let before: HashSet<String> = judge(record).wrong.into_iter().collect();
    let unseen = |(_, put): &&Wrong| {
        let mut record = record.clone();
        put(&mut record);
        let wrong = judge(&record).wrong;
        wrong.iter().all(|one| before.contains(one))
    };
    WRONGS
        .iter()
        .filter(unseen)
        .map(|(what, _)| *what)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run in which a read and a change went well, and the first endpoint hung up once on a read.
    fn run() -> Record {
        let second = Duration::from_secs(1);
        let good = Came::Answer {
            status: 200,
            code: String::new(),
            right: true,
        };
        let mut record = Record {
            length: second * 60,
            ..Record::default()
        };
        for id in 1..=40 {
            record.tries.push(Try {
                id,
                post: id % 2 == 0,
                ..read(&record, second * 5, good.clone())
            });
            record.seen.push(Seen {
                id,
                endpoint: 1,
                post: id % 2 == 0,
                at: second * 5,
                did: Did::Answered,
            });
        }
        record.faults.push(Fault {
            kind: Kind::Endpoint(Manner::HangsUp),
            which: 0,
            from: second * 4,
            to: second * 6,
        });
        record.seen.insert(
            0,
            Seen {
                id: 1,
                endpoint: 0,
                post: false,
                at: second * 5,
                did: Did::Broke,
            },
        );
        record.seen.push(Seen {
            id: 99,
            endpoint: 0,
            post: false,
            at: second * 8,
            did: Did::Answered,
        });
        record
    }

    #[test]
    fn a_run_in_which_all_went_well_is_well() {
        let verdict = judge(&run());
        assert_eq!(verdict.wrong, Vec::<String>::new());
        assert_eq!(verdict.repeated, 1);
    }

    #[test]
    fn each_thing_put_wrong_is_seen() {
        assert_eq!(missed(&run()), Vec::<&str>::new());
    }

    #[test]
    fn a_limit_is_held_to_what_gateways_may_do_alone_only_while_redis_is_away() {
        let second = Duration::from_secs(1);
        let mut record = run();
        for number in 0..2 * LIMITS[1].burst {
            let at = second * 40 + Duration::from_millis(u64::from(number));
            record.passes.push(Pass {
                limit: 1,
                begun: at,
                ended: at,
            });
        }
        assert_eq!(judge(&record).wrong.len(), 1);
        record.faults.push(Fault {
            kind: Kind::StopRedis,
            which: 0,
            from: second * 38,
            to: second * 41,
        });
        assert_eq!(judge(&record).wrong, Vec::<String>::new());
    }

    #[test]
    fn a_gateway_that_stood_still_has_three_intervals_of_its_own() {
        let second = Duration::from_secs(1);
        let mut record = run();
        let fault = |kind, from, to| Fault {
            kind,
            which: 0,
            from: second * from,
            to: second * to,
        };
        record.faults.push(fault(Kind::Service, 38, 40));
        let failed = read(&record, second * 46, refusal());
        record.tries.push(failed);
        assert_eq!(judge(&record).wrong.len(), 1);
        record.faults.push(fault(Kind::Stop(Role::Gateway), 39, 44));
        assert_eq!(judge(&record).wrong, Vec::<String>::new());
    }

    #[test]
    fn a_fault_explains_what_fails_until_three_intervals_after_it_and_no_longer() {
        for (intervals, wrong) in [(0, 0), (3, 0), (4, 1)] {
            let mut record = run();
            let to = Duration::from_secs(40);
            record.faults.push(Fault {
                kind: Kind::Service,
                which: 0,
                from: to - INTERVAL,
                to,
            });
            let failed = read(&record, to + INTERVAL * intervals, refusal());
            record.tries.push(failed);
            assert_eq!(judge(&record).wrong.len(), wrong, "{intervals}");
        }
    }
}
