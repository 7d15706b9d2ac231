//! Breadth-first search over all states.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use crate::world::{Rules, Scenario, Step, World};

/// What a search found.
pub enum Outcome {
    /// Every state is as it should be.
    Sound {
        /// Visited.
        states: usize,
    },
    /// One is not; the shortest way to it.
    Wrong {
        /// What is wrong with it.
        what: &'static str,
        /// The steps to it.
        trace: Vec<String>,
    },
}

/// More than this is a mistake in the bounds.
const MOST: usize = 150_000;

/// Visits every state of a scenario.
pub fn search(scenario: &Scenario, rules: Rules) -> Outcome {
    let start = World::new(scenario, rules);
    let mut seen: HashMap<World, usize> = HashMap::from([(start.clone(), 0)]);
    // Where each state came from, and by which step.
    let mut origins: Vec<(usize, Step)> = vec![(0, Step::Loss)];
    let mut queue = VecDeque::from([(start, 0)]);
    while let Some((world, id)) = queue.pop_front() {
        let next = world.steps(rules);
        let verdict = world.wrong().or_else(|| {
            if next.is_empty() {
                world.wrong_at_rest(rules)
            } else {
                None
            }
        });
        if let Some(what) = verdict {
            let mut trace = Vec::new();
            let mut at = id;
            while at != 0 {
                trace.push(origins[at].1.to_string());
                at = origins[at].0;
            }
            trace.reverse();
            return Outcome::Wrong { what, trace };
        }
        for (step, world) in next {
            let fresh = seen.len();
            if let Entry::Vacant(entry) = seen.entry(world) {
                origins.push((id, step));
                queue.push_back((entry.key().clone(), fresh));
                entry.insert(fresh);
            }
        }
        assert!(
            seen.len() < MOST,
            "{}: the bounds are too wide",
            scenario.name
        );
    }
    Outcome::Sound { states: seen.len() }
}
