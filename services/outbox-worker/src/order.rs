//! Watches that what leaves is in order: a service that draws its number before it takes its lock breaks the order of its
//! own events, and only here it shows.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Keys that are remembered; a later one takes the place of another.
const PLACES: usize = 4096;

/// The last version of each key, of late.
pub struct Order {
    places: Box<[(u64, i64)]>,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            places: vec![(0, i64::MIN); PLACES].into(),
        }
    }
}

impl Order {
    /// Whether `version` of this aggregate is older than what was sent before it. Never wrong about a key in order;
    /// blind to one whose place was taken.
    pub fn is_broken(&mut self, topic: &str, key: &str, aggregate: &str, version: i64) -> bool {
        let mut hasher = DefaultHasher::new();
        (topic, key, aggregate).hash(&mut hasher);
        let hash = hasher.finish();
        let place = &mut self.places[(hash % PLACES as u64) as usize];
        if place.0 != hash {
            *place = (hash, version);
            return false;
        }
        let broken = version < place.1;
        place.1 = place.1.max(version);
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_version_behind_its_successor_and_nothing_else() {
        let mut order = Order::default();
        for (key, version, broken) in [
            ("a", 1, false),
            ("b", 7, false),
            ("a", 1, false),
            ("a", 3, false),
            ("b", 6, true),
            ("a", 2, true),
            ("a", 3, false),
        ] {
            assert_eq!(
                order.is_broken("t", key, key, version),
                broken,
                "{key} {version}"
            );
        }
    }
}
