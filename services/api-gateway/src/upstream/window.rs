//! Counts of the recent past, in ten slots that are used again and again.

use std::time::Duration;

/// Slots of a window.
pub const SLOTS: u64 = 10;

/// Two counts over a rolling window.
#[derive(Clone, Debug)]
pub struct Window {
    slot: u64,
    slots: [(u64, u32, u32); SLOTS as usize],
}

impl Window {
    /// Over so long.
    pub fn new(length: Duration) -> Self {
        let slot = u64::try_from(length.as_millis()).unwrap_or(u64::MAX) / SLOTS;
        Self {
            slot: slot.max(1),
            // No slot is of this time.
            slots: [(u64::MAX, 0, 0); SLOTS as usize],
        }
    }

    fn number(&self, now: Duration) -> u64 {
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX) / self.slot
    }

    /// Adds to the counts.
    pub fn add(&mut self, now: Duration, first: u32, second: u32) {
        let number = self.number(now);
        if let Some(slot) = self.slots.get_mut((number % SLOTS) as usize) {
            if slot.0 != number {
                *slot = (number, 0, 0);
            }
            slot.1 = slot.1.saturating_add(first);
            slot.2 = slot.2.saturating_add(second);
        }
    }

    /// The counts.
    pub fn totals(&self, now: Duration) -> (u32, u32) {
        let number = self.number(now);
        let recent = self
            .slots
            .iter()
            .filter(|(at, ..)| *at <= number && number - *at < SLOTS);
        recent.fold((0, 0), |(a, b), (_, x, y)| {
            (a.saturating_add(*x), b.saturating_add(*y))
        })
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.slots = [(u64::MAX, 0, 0); SLOTS as usize];
    }
}
