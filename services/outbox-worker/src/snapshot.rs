//! PostgreSQL's `pg_snapshot`: which transactions had committed at one moment. The cursor of the relay.

use std::{fmt, str::FromStr};

/// A set of transactions: all below `xmin`, none from `xmax` on, and between them all but those in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    xmin: u64,
    xmax: u64,
    in_progress: Vec<u64>,
}

impl Snapshot {
    /// Before every transaction: the cursor of a database of which nothing is published yet.
    /// (3 is the first transaction id that PostgreSQL gives out.)
    pub fn origin() -> Self {
        Self {
            xmin: 3,
            xmax: 3,
            in_progress: Vec::new(),
        }
    }

    /// Whether nothing at all is visible in it.
    pub fn is_origin(&self) -> bool {
        self.xmax <= 3
    }

    /// Every transaction from this one on started after the snapshot.
    pub fn xmax(&self) -> u64 {
        self.xmax
    }

    /// The transactions that were running when the snapshot was taken; ascending.
    pub fn in_progress(&self) -> &[u64] {
        &self.in_progress
    }

    /// What both see.
    pub fn intersection(&self, other: &Self) -> Self {
        let xmax = self.xmax.min(other.xmax);
        let mut in_progress: Vec<u64> = self
            .in_progress
            .iter()
            .chain(&other.in_progress)
            .copied()
            .filter(|xid| *xid < xmax)
            .collect();
        in_progress.sort_unstable();
        in_progress.dedup();
        Self {
            xmin: self.xmin.min(other.xmin).min(xmax),
            xmax,
            in_progress,
        }
    }

    /// Whether `txid` had committed (or rolled back) when the snapshot was taken.
    pub fn sees(&self, txid: u64) -> bool {
        txid < self.xmin || (txid < self.xmax && self.in_progress.binary_search(&txid).is_err())
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (i, xid) in self.in_progress.iter().enumerate() {
            write!(f, "{}{xid}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A text that is not a snapshot.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a snapshot: {0:?}")]
pub struct NotASnapshot(String);

impl FromStr for Snapshot {
    type Err = NotASnapshot;

    fn from_str(text: &str) -> Result<Self, NotASnapshot> {
        parse(text).ok_or_else(|| NotASnapshot(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Snapshot> {
    let mut parts = text.split(':');
    let xmin: u64 = parts.next()?.parse().ok()?;
    let xmax: u64 = parts.next()?.parse().ok()?;
    let list = parts.next()?;
    if parts.next().is_some() || xmin == 0 || xmin > xmax {
        return None;
    }
    let in_progress = match list {
        "" => Vec::new(),
        list => list
            .split(',')
            .map(|xid| xid.parse().ok())
            .collect::<Option<Vec<u64>>>()?,
    };
    let ordered = in_progress.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = in_progress.iter().all(|xid| (xmin..xmax).contains(xid));
    (ordered && inside).then_some(Snapshot {
        xmin,
        xmax,
        in_progress,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        text.parse().unwrap()
    }

    #[test]
    fn reads_and_writes_the_text_of_postgres() {
        for text in [
            "3:3:",
            "10:20:",
            "10:20:10",
            "10:20:10,14,15",
            "4294967297:4294967399:4294967300",
        ] {
            assert_eq!(snapshot(text).to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_not_a_snapshot() {
        for text in [
            "",
            "1",
            "1:2",
            "2:1:",
            "0:1:",
            "a:2:",
            "10:20:9",
            "10:20:20",
            "10:20:12,11",
            "10:20:11,11",
            "1:2::",
            "1:2:,",
        ] {
            assert!(text.parse::<Snapshot>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn sees_what_had_ended_and_nothing_else() {
        let snapshot = snapshot("10:20:12,15");
        let seen: Vec<u64> = (8..23).filter(|xid| snapshot.sees(*xid)).collect();
        assert_eq!(seen, [8, 9, 10, 11, 13, 14, 16, 17, 18, 19]);
    }

    proptest! {
        #[test]
        fn an_intersection_sees_what_both_see(a in any_snapshot(), b in any_snapshot()) {
            let both = a.intersection(&b);
            for xid in 3..60 {
                prop_assert_eq!(both.sees(xid), a.sees(xid) && b.sees(xid), "{} of {} and {}", xid, &a, &b);
            }
            prop_assert_eq!(both.to_string().parse::<Snapshot>().unwrap(), both);
        }
    }

    fn any_snapshot() -> impl Strategy<Value = Snapshot> {
        (
            3u64..40,
            0u64..15,
            proptest::collection::btree_set(0u64..15, 0..8),
        )
            .prop_map(|(xmin, width, gaps)| Snapshot {
                xmin,
                xmax: xmin + width,
                in_progress: gaps
                    .into_iter()
                    .filter(|gap| *gap < width)
                    .map(|gap| xmin + gap)
                    .collect(),
            })
    }

    #[test]
    fn the_origin_sees_nothing() {
        assert!(Snapshot::origin().is_origin());
        assert!((3..100).all(|xid| !Snapshot::origin().sees(xid)));
        assert!(!snapshot("10:20:").is_origin());
    }
}
