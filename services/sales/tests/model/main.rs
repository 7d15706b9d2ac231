//! An executable model of a sale's protocol as it is built: sales and inventory as two databases, requests that crash
//! anywhere, messages that are lost or late, events that come twice, returns and cancels, tills that were away, goods that
//! are found gone, counts. Every state within small bounds is visited, breadth first, so a counterexample is the
//! shortest there is.
//!
//! Each rule of the protocol is a switch. With all of them no state is wrong; without any one of them there is a
//! state that is, and [`without_any_one_rule_something_goes_wrong`] names it.

#![allow(clippy::unwrap_used)] // Tests fail by panicking.

mod search;
mod world;

use search::{Outcome, search};
use world::{Rule, Rules, Scenario, Undo};

/// Quantities of the baskets: services alone, one piece, two pieces, and one piece asked for in another way.
const NOTHING: u8 = 0;
const ONE: u8 = 1;
const TWO: u8 = 2;
const OTHER_ONE: u8 = 3;

fn scenarios() -> Vec<Scenario> {
    let sale = |name, requests: &[(usize, u8)], stock| Scenario {
        name,
        requests: requests.to_vec(),
        stock,
        ..Scenario::default()
    };
    let (again, two) = ([(0, ONE), (0, ONE)], [(0, ONE), (1, ONE)]);
    let baskets = [(0, ONE), (0, TWO)];
    let services = [(0, ONE), (0, NOTHING)];
    let late = [(0, ONE), (0, NOTHING), (0, ONE)];
    vec![
        Scenario {
            crashes: 1,
            timeouts: 1,
            errors: 1,
            unknowns: 1,
            refusals: 1,
            twice: 1,
            asks: 3,
            ..sale("one sale, everything breaks", &[(0, ONE)], 1)
        },
        Scenario {
            crashes: 1,
            twice: 1,
            asks: 2,
            ..sale("asked again after a crash", &again, 1)
        },
        Scenario {
            timeouts: 1,
            refusals: 1,
            asks: 2,
            ..sale("asked again after a timeout", &again, 1)
        },
        Scenario {
            unknowns: 1,
            asks: 2,
            ..sale("two requests and an unknown commit", &again, 2)
        },
        Scenario {
            timeouts: 1,
            ..sale("two baskets under one id", &baskets, 2)
        },
        Scenario {
            timeouts: 1,
            ..sale("two baskets under one id, too little stock", &baskets, 1)
        },
        Scenario {
            timeouts: 1,
            errors: 1,
            asks: 2,
            ..sale("two baskets under one id, one of services", &services, 2)
        },
        Scenario {
            errors: 1,
            twice: 1,
            asks: 2,
            ..sale("two sales of the last piece", &two, 1)
        },
        Scenario {
            unknowns: 1,
            asks: 2,
            ..sale("two sales of the last piece, an unknown commit", &two, 1)
        },
        Scenario {
            crashes: 1,
            asks: 2,
            ..sale("two sales of the last piece, a crash", &two, 1)
        },
        Scenario {
            abandons: true,
            timeouts: 1,
            asks: 2,
            ..sale("a sale given up", &again, 1)
        },
        Scenario {
            losses: 1,
            twice: 1,
            ..sale("goods lost while sold", &two, 2)
        },
        Scenario {
            timeouts: 1,
            errors: 1,
            asks: 0,
            ..sale("a call that arrives late", &late, 2)
        },
        Scenario {
            sent: again.to_vec(),
            crashes: 1,
            timeouts: 1,
            twice: 1,
            ..sale("what a till sold while it was away, sent twice", &[], 1)
        },
        Scenario {
            sent: vec![(0, TWO)],
            errors: 1,
            unknowns: 1,
            ..sale(
                "sold while the till was away, more than there is",
                &[(1, ONE)],
                1,
            )
        },
        Scenario {
            sent: vec![(0, ONE)],
            timeouts: 1,
            ..sale("tried online before the network went", &[(0, ONE)], 1)
        },
        Scenario {
            sent: again.to_vec(),
            asks: 0,
            ..sale("tried online with another basket", &[(0, TWO)], 2)
        },
        Scenario {
            sent: again.to_vec(),
            abandons: true,
            asks: 0,
            ..sale("given up online, and sold all the same", &[(0, ONE)], 1)
        },
        Scenario {
            undos: vec![Undo::Return, Undo::Return],
            twice: 1,
            ..sale("a piece comes back, twice asked", &[(0, ONE)], 1)
        },
        Scenario {
            undos: vec![Undo::Return, Undo::Cancel],
            twice: 1,
            ..sale(
                "a piece comes back and the rest is cancelled",
                &[(0, TWO)],
                2,
            )
        },
        Scenario {
            undos: vec![Undo::Cancel],
            twice: 1,
            asks: 2,
            ..sale("the last piece is sold, cancelled and sold again", &two, 1)
        },
        Scenario {
            undos: vec![Undo::Cancel],
            crashes: 1,
            ..sale("cancelled, and asked for again", &again, 1)
        },
        Scenario {
            sent: vec![(0, TWO)],
            undos: vec![Undo::Return],
            found: 1,
            ..sale("what was short comes back in part", &[(1, ONE)], 1)
        },
        Scenario {
            unheld: true,
            undos: vec![Undo::Cancel],
            ..sale(
                "a sale without a hold is cancelled, the piece is another's",
                &[(1, ONE)],
                1,
            )
        },
        Scenario {
            counts: 1,
            twice: 1,
            ..sale("counted while the shop sells", &two, 2)
        },
        Scenario {
            counts: 1,
            sent: vec![(0, ONE)],
            ..sale("counted while a till is away", &[(1, ONE)], 2)
        },
        Scenario {
            counts: 1,
            sent: vec![(0, TWO)],
            found: 1,
            ..sale("counted where something is owed", &[], 1)
        },
        Scenario {
            counts: 2,
            found: 1,
            ..sale("counted by two while the shop sells", &[(0, ONE)], 2)
        },
        Scenario {
            counts: 2,
            sent: vec![(0, ONE)],
            ..sale("counted by two while a till is away", &[], 2)
        },
        Scenario {
            unheld: true,
            ..sale(
                "a sale without a hold, another basket",
                &[(1, ONE), (1, OTHER_ONE)],
                1,
            )
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
