//! A partition that belongs to this member: where it stands, what it holds, when it is tried again.

use std::time::Duration;

use bahi_db::Position;
use rand::Rng;
use rdkafka::message::{BorrowedMessage, Message};
use tokio::time::Instant;

/// The state of a partition.
pub(crate) struct Partition<'c> {
    /// The position in the database.
    pub stored: i64,
    /// The furthest position there ever was.
    pub highest: i64,
    /// The position reached; ahead of `stored` by records that concern nobody here.
    pub next: i64,
    /// When such a lead is to be written.
    pub write_at: Option<Instant>,
    /// Records read and not handled yet, in order.
    pub held: Vec<BorrowedMessage<'c>>,
    /// Failures in a row.
    pub tries: u32,
    /// Paused; to be taken up again then.
    pub until: Option<Instant>,
    /// Another process moved the position: read it anew before going on.
    pub lost: bool,
    /// Nothing was read yet since it was assigned.
    pub new: bool,
    /// Where it was when it was last seen to move, and when.
    pub moved: (i64, Instant),
}

/// A lead without effect is written this late: a position is a commit, and a commit is a write to the disk.
const LEAD: Duration = Duration::from_millis(250);

impl<'c> Partition<'c> {
    pub(crate) fn at(position: &Position) -> Self {
        Self {
            stored: position.next,
            highest: position.highest,
            next: position.next,
            write_at: None,
            held: Vec::new(),
            tries: 0,
            until: None,
            lost: false,
            new: true,
            moved: (position.next, Instant::now()),
        }
    }

    pub(crate) fn push(&mut self, message: BorrowedMessage<'c>) {
        if std::mem::take(&mut self.new) && self.next > 0 && message.offset() != self.next {
            tracing::warn!(
                topic = message.topic(),
                partition = message.partition(),
                expected = self.next,
                found = message.offset(),
                "the topic does not go on where this consumer stopped"
            );
        }
        self.held.push(message);
    }

    /// How many of the records held are taken next. After a failure fewer and fewer, so that a batch that is
    /// too much for a time limit gets through.
    pub(crate) fn portion(&self) -> usize {
        (self.held.len() >> self.tries.min(16))
            .max(1)
            .min(self.held.len())
    }

    /// The first `records` held are settled: by a commit, or because they concern nobody here.
    pub(crate) fn advance(&mut self, records: usize, committed: bool) {
        if let Some(last) = records.checked_sub(1).and_then(|last| self.held.get(last)) {
            self.next = last.offset() + 1;
        }
        self.held.drain(..records);
        self.tries = 0;
        if committed {
            self.stored = self.next;
            self.highest = self.highest.max(self.next);
            self.write_at = None;
        } else if self.write_at.is_none() {
            self.write_at = Some(Instant::now() + LEAD);
        }
    }

    /// It failed (once more): it is tried again after this pause, at most `most`.
    pub(crate) fn put_off(&mut self, most: Duration) -> Duration {
        self.tries = self.tries.saturating_add(1);
        let pause = backoff(self.tries).min(most);
        self.until = Some(Instant::now() + pause);
        pause
    }

    /// Drops what is held: its position is not where it was thought to be.
    pub(crate) fn lose(&mut self) {
        self.held.clear();
        self.write_at = None;
        self.lost = true;
    }

    /// For how long nothing came of it, while `lag` records lie before it and nobody here keeps it from being read.
    pub(crate) fn stands(&mut self, lag: i64, now: Instant) -> Duration {
        let reading = self.held.is_empty() && self.until.is_none() && !self.lost;
        if lag == 0 || !reading || self.moved.0 != self.next {
            self.moved = (self.next, now);
        }
        now.saturating_duration_since(self.moved.1)
    }

    /// When something is to be done about it.
    pub(crate) fn due(&self) -> Option<Instant> {
        [self.until, self.write_at].into_iter().flatten().min()
    }
}

/// The longest pause of all.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);
/// The longest pause while the database is away: asking whether it is back costs little.
pub(crate) const OUTAGE: Duration = Duration::from_secs(1);

/// The pause after the n-th failure in a row: 50 ms, doubled up to 30 s, less a random part of up to a half.
pub(crate) fn backoff(failures: u32) -> Duration {
    let whole = 50u64
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(30_000);
    Duration::from_millis(rand::rng().random_range(whole / 2..=whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_50_ms_to_30_s() {
        for (failures, most) in [
            (1, 50),
            (2, 100),
            (5, 800),
            (10, 25_600),
            (11, 30_000),
            (4_000_000, 30_000),
        ] {
            for _ in 0..100 {
                let pause = backoff(failures);
                assert!(
                    Duration::from_millis(most / 2) <= pause
                        && pause <= Duration::from_millis(most)
                );
            }
        }
    }

    #[test]
    fn a_partition_stands_when_nobody_here_keeps_it_from_being_read() {
        let mut partition = Partition::at(&Position {
            topic: "t".into(),
            partition: 0,
            next: 5,
            highest: 5,
        });
        let mut now = partition.moved.1;
        // Ten seconds later.
        let mut after = |change: fn(&mut Partition<'_>), lag: i64| {
            now += Duration::from_secs(10);
            change(&mut partition);
            partition.stands(lag, now).as_secs()
        };
        assert_eq!(after(|_| (), 3), 10);
        assert_eq!(after(|_| (), 3), 20);
        assert_eq!(after(|p| p.next = 6, 2), 0, "it moved");
        assert_eq!(after(|_| (), 2), 10);
        assert_eq!(after(|_| (), 0), 0, "there is nothing to read");
        assert_eq!(after(|_| (), 1), 10);
        assert_eq!(after(|p| _ = p.put_off(OUTAGE), 1), 0, "put off");
        assert_eq!(after(|p| p.until = None, 1), 10);
        assert_eq!(after(|p| p.lose(), 1), 0, "read anew");
    }
}
