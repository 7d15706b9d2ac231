//! The judge: what was committed against what was seen. C1 nothing lost, C2 nothing that was not committed,
//! C3 first occurrences in order per key, C4 duplicates counted, C5 payloads as inserted.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    RolledBack,
    /// The connection broke during COMMIT.
    Unknown,
}

/// What a writer did, noted after COMMIT returned.
#[derive(Clone, Debug)]
pub struct Entry {
    pub event_id: Uuid,
    pub key: String,
    pub version: i64,
    pub payload: String,
    pub outcome: Outcome,
}

impl Entry {
    pub fn committed(event_id: Uuid, key: &str, version: i64, payload: &str) -> Self {
        Self {
            event_id,
            key: key.to_owned(),
            version,
            payload: payload.to_owned(),
            outcome: Outcome::Committed,
        }
    }
}

/// What a reader saw, in its order.
#[derive(Clone, Debug)]
pub struct Seen {
    pub event_id: Uuid,
    pub key: String,
    pub version: i64,
    pub payload: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub lost: usize,
    pub phantoms: usize,
    /// First occurrences that came after a later version of their key.
    pub disorders: usize,
    pub duplicates: usize,
    pub altered: usize,
}

impl Verdict {
    /// Nothing wrong, whatever was repeated.
    pub fn is_clean(&self) -> bool {
        *self
            == Self {
                duplicates: self.duplicates,
                ..Self::default()
            }
    }
}

pub fn judge(ledger: &[Entry], seen: &[Seen]) -> Verdict {
    let entries: HashMap<Uuid, &Entry> =
        ledger.iter().map(|entry| (entry.event_id, entry)).collect();
    let (mut verdict, mut first, mut reached) = (
        Verdict::default(),
        HashSet::new(),
        HashMap::<&str, i64>::new(),
    );
    for event in seen {
        let Some(entry) = entries
            .get(&event.event_id)
            .filter(|entry| entry.outcome != Outcome::RolledBack)
        else {
            verdict.phantoms += 1;
            continue;
        };
        if entry.payload != event.payload
            || entry.key != event.key
            || entry.version != event.version
        {
            verdict.altered += 1;
        }
        if !first.insert(event.event_id) {
            verdict.duplicates += 1;
            continue;
        }
        let reached = reached.entry(&event.key).or_default();
        if event.version < *reached {
            verdict.disorders += 1;
        }
        *reached = event.version.max(*reached);
    }
    verdict.lost = ledger
        .iter()
        .filter(|entry| entry.outcome == Outcome::Committed && !first.contains(&entry.event_id))
        .count();
    verdict
}

#[test]
fn the_oracle_finds_every_fault() {
    let entry = |n: u128, version| Entry::committed(Uuid::from_u128(n), "k", version, "{}");
    let rolled_back = Entry {
        outcome: Outcome::RolledBack,
        ..entry(9, 4)
    };
    let ledger = [entry(1, 1), entry(2, 2), entry(3, 3), rolled_back];
    let see = |order: &[(u128, i64, &str)]| {
        let seen: Vec<Seen> = order
            .iter()
            .map(|(n, version, payload)| Seen {
                event_id: Uuid::from_u128(*n),
                key: "k".into(),
                version: *version,
                payload: (*payload).into(),
            })
            .collect();
        judge(&ledger, &seen)
    };
    assert_eq!(
        see(&[(1, 1, "{}"), (2, 2, "{}"), (3, 3, "{}")]),
        Verdict::default()
    );
    assert_eq!(
        see(&[(1, 1, "{}"), (3, 3, "{}")]),
        Verdict {
            lost: 1,
            ..Verdict::default()
        }
    );
    assert_eq!(
        see(&[(1, 1, "{}"), (3, 3, "{}"), (2, 2, "{}")]),
        Verdict {
            disorders: 1,
            ..Verdict::default()
        }
    );
    assert_eq!(
        see(&[
            (1, 1, "{}"),
            (2, 2, "{}"),
            (1, 1, "{}"),
            (2, 2, "{}"),
            (3, 3, "{}")
        ]),
        Verdict {
            duplicates: 2,
            ..Verdict::default()
        }
    );
    assert_eq!(
        see(&[(1, 1, "{}"), (2, 2, "{ }"), (3, 3, "{}"), (9, 4, "{}")]),
        Verdict {
            phantoms: 1,
            altered: 1,
            ..Verdict::default()
        }
    );
}
