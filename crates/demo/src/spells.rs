//! When tills are away: drawn from a seed and measured in documents of the file, so that a run can be had again.

use std::ops::{Range, RangeInclusive};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::index::sample};

/// The seed at hand: with it the sale of the file's only bill that came back is made away, and so is the return.
pub const SEED: u64 = 2023;
/// Documents of the file that a spell lasts. A till sells every eighth of them.
const AWAY: RangeInclusive<usize> = 80..=400;
/// Documents between two spells.
const BACK: RangeInclusive<usize> = 60..=360;

/// For each till its spells, by the index of documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(Vec<Vec<Range<usize>>>);

impl Schedule {
    /// Half of the tills, drawn by lot, go away and come back until the file is near its end; they end it at home.
    pub fn draw(seed: u64, tills: usize, documents: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut spells = vec![Vec::new(); tills];
        let mut away = sample(&mut rng, tills, tills / 2).into_vec();
        away.sort_unstable();
        for till in away {
            let mut from = rng.random_range(BACK);
            loop {
                let until = from + rng.random_range(AWAY);
                if until >= documents {
                    break;
                }
                spells[till].push(from..until);
                from = until + rng.random_range(BACK);
            }
        }
        Self(spells)
    }

    /// The spell in which a till is when a document's turn comes.
    pub fn at(&self, till: usize, document: usize) -> Option<&Range<usize>> {
        let spells = self.0.get(till)?;
        spells.iter().find(|spell| spell.contains(&document))
    }

    /// How many tills go away, and how often in all.
    pub fn count(&self) -> (usize, usize) {
        let away = self.0.iter().filter(|spells| !spells.is_empty()).count();
        (away, self.0.iter().map(Vec::len).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_schedule_and_every_till_comes_back() {
        for seed in 0..200 {
            let schedule = Schedule::draw(seed, 8, 2_093);
            assert_eq!(schedule, Schedule::draw(seed, 8, 2_093));
            assert_ne!(schedule, Schedule::draw(seed + 1, 8, 2_093));
            let (away, spells) = schedule.count();
            assert_eq!(away, 4);
            assert!(spells >= 8, "{spells} with seed {seed}");
            for spells in &schedule.0 {
                assert!(spells.iter().all(|s| AWAY.contains(&s.len())));
                assert!(spells.windows(2).all(|w| w[0].end < w[1].start));
                // A document of its own is still to come when it is back.
                assert!(spells.last().is_none_or(|last| last.end < 2_093));
            }
        }
    }

    #[test]
    fn the_seed_at_hand_takes_the_bill_and_its_return_away() {
        let book = crate::file::read(crate::file::FILE).unwrap();
        let schedule = Schedule::draw(SEED, 8, book.documents.len());
        let parts = book.returns();
        let mut billed = Vec::new();
        for (at, parts) in parts.iter().enumerate() {
            billed.extend(parts.iter().filter_map(|p| Some((at, p.original?))));
        }
        // The file has one.
        assert_eq!(billed.len(), 1);
        let (back, sold) = billed[0];
        let away = |at: usize| schedule.at(at % 8, at).cloned();
        assert!(away(sold).unwrap().end < away(back).unwrap().start);
    }
}
