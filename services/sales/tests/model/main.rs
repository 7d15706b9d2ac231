//! An executable model of a sale's protocol as it is built: sales and inventory as two databases, requests that crash
//! anywhere, messages that are lost or late, events that come twice. Every state within small bounds is visited,
//! breadth first, so a counterexample is the shortest there is.
//!
//! Each rule of the protocol is a switch. With all of them no state is wrong; without any one of them there is a
//! state that is, and [`without_any_one_rule_something_goes_wrong`] names it.

mod search;
mod world;

use search::{Outcome, search};
use world::{Rule, Rules, Scenario};

/// Quantities of the baskets: services alone, one piece, two pieces, and one piece asked for in another way.
const NOTHING: u8 = 0;
const ONE: u8 = 1;
const TWO: u8 = 2;
const OTHER_ONE: u8 = 3;

fn scenarios() -> Vec<Scenario> {
    let base = Scenario::default();
    vec![
        Scenario {
            name: "one sale, everything breaks",
            requests: vec![(0, ONE)],
            stock: 1,
            crashes: 1,
            timeouts: 1,
            errors: 1,
            unknowns: 1,
            twice: 1,
            ..base
        },
        Scenario {
            name: "one sale, asked again after a crash",
            requests: vec![(0, ONE), (0, ONE)],
            stock: 1,
            crashes: 1,
            twice: 1,
            ..base
        },
        Scenario {
            name: "one sale, asked again after a timeout",
            requests: vec![(0, ONE), (0, ONE)],
            stock: 1,
            timeouts: 1,
            refusals: 1,
            ..base
        },
        Scenario {
            name: "one sale, two requests and an unknown commit",
            requests: vec![(0, ONE), (0, ONE)],
            stock: 2,
            unknowns: 1,
            ..base
        },
        Scenario {
            name: "two baskets under one id",
            requests: vec![(0, ONE), (0, TWO)],
            stock: 2,
            timeouts: 1,
            ..base
        },
        Scenario {
            name: "two baskets under one id, too little stock",
            requests: vec![(0, ONE), (0, TWO)],
            stock: 1,
            timeouts: 1,
            ..base
        },
        Scenario {
            name: "two baskets under one id, one of services",
            requests: vec![(0, ONE), (0, NOTHING)],
            stock: 1,
            timeouts: 1,
            ..base
        },
        Scenario {
            name: "two sales of the last piece",
            requests: vec![(0, ONE), (1, ONE)],
            stock: 1,
            errors: 1,
            twice: 1,
            ..base
        },
        Scenario {
            name: "two sales of the last piece, an unknown commit",
            requests: vec![(0, ONE), (1, ONE)],
            stock: 1,
            unknowns: 1,
            ..base
        },
        Scenario {
            name: "two sales of the last piece, a crash",
            requests: vec![(0, ONE), (1, ONE)],
            stock: 1,
            crashes: 1,
            ..base
        },
        Scenario {
            name: "a sale given up",
            requests: vec![(0, ONE)],
            stock: 1,
            abandons: true,
            timeouts: 1,
            ..base
        },
        Scenario {
            name: "goods lost while sold",
            requests: vec![(0, ONE), (1, ONE)],
            stock: 2,
            losses: 1,
            ..base
        },
        Scenario {
            name: "goods lost, another basket",
            requests: vec![(0, ONE), (1, ONE), (1, OTHER_ONE)],
            stock: 2,
            losses: 1,
            asks: false,
            ..base
        },
    ]
}

fn all(rules: Rules) -> Option<(&'static str, String)> {
    scenarios()
        .into_iter()
        .find_map(|scenario| match search(&scenario, rules) {
            Outcome::Sound { .. } => None,
            Outcome::Wrong { what, trace } => Some((
                what,
                format!("{}: {what}\n  {}", scenario.name, trace.join("\n  ")),
            )),
        })
}

#[test]
fn with_every_rule_no_state_is_wrong() {
    let mut states = 0;
    for scenario in scenarios() {
        match search(&scenario, Rules::all()) {
            Outcome::Sound { states: n } => {
                println!("{n:>8} states: {}", scenario.name);
                states += n;
            }
            Outcome::Wrong { what, trace } => {
                panic!("{}: {what}\n  {}", scenario.name, trace.join("\n  "))
            }
        }
    }
    // A model that visits little proves little.
    assert!(states > 20_000, "only {states} states");
}

#[test]
fn without_any_one_rule_something_goes_wrong() {
    for rule in Rule::ALL {
        let found = all(Rules::without(rule));
        let (_, told) =
            found.unwrap_or_else(|| panic!("{rule:?} can be left out and nothing is wrong"));
        println!("without {rule:?}: {told}");
    }
}
