//! The ledger oracle: what was committed against what was seen. C1 nothing lost, C2 nothing that was not committed,
//! C3 first occurrences in order per key, C4 duplicates counted, C5 bytes as inserted. Every test of the way of an
//! event, and its benchmark, is judged by it.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use uuid::Uuid;

/// How a writer's transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// COMMIT was answered.
    Committed,
    /// It must never be seen.
    RolledBack,
    /// The connection broke during COMMIT: it may be seen.
    Unknown,
}

/// A digest of the bytes of a payload: millions of them fit in memory.
pub fn digest(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}

/// What a writer did, noted after COMMIT returned.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The event.
    pub event_id: Uuid,
    /// Its key.
    pub key: String,
    /// The version of the key's aggregate after it.
    pub version: i64,
    /// The [`digest`] of its payload.
    pub payload: u64,
    /// How its transaction ended.
    pub outcome: Outcome,
}

impl Entry {
    /// An event whose COMMIT was answered.
    pub fn committed(event_id: Uuid, key: &str, version: i64, payload: &str) -> Self {
        Self {
            event_id,
            key: key.to_owned(),
            version,
            payload: digest(payload.as_bytes()),
            outcome: Outcome::Committed,
        }
    }
}

/// What a reader saw, in its order.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The event.
    pub event_id: Uuid,
    /// The key it came under.
    pub key: String,
    /// Its version.
    pub version: i64,
    /// The [`digest`] of its payload.
    pub payload: u64,
}

impl Seen {
    /// An event as a reader found it.
    pub fn new(event_id: Uuid, key: &str, version: i64, payload: &str) -> Self {
        Self {
            event_id,
            key: key.to_owned(),
            version,
            payload: digest(payload.as_bytes()),
        }
    }
}

/// What [`judge`] found; all in events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// C1: committed and not seen.
    pub lost: usize,
    /// C2: seen and not committed.
    pub phantoms: usize,
    /// C3: first occurrences that came after a later version of their key.
    pub disorders: usize,
    /// C4: occurrences after the first.
    pub duplicates: usize,
    /// C5: seen otherwise than committed.
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

/// Judges what was seen, in its order per key, by what was committed.
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

#[cfg(test)]
mod tests {
    use super::*;

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
                .map(|(n, version, payload)| Seen::new(Uuid::from_u128(*n), "k", *version, payload))
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
}
