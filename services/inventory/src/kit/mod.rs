//! Kits: products that consist of others. There is never stock of a kit, only of its components.
//!
//! * Of a kit as many are available as its scarcest component makes, in whole kits.
//! * What is asked for at once is added up by component first: two kits that share one, or a kit and its own component,
//!   are checked together.
//! * A hold of a kit holds its components, all of them or nothing. Its lines name components; how many kits a line
//!   stands for is kept beside it, so that a part of it can be issued in whole kits, and of what they consist, so that a
//!   sale issues what was promised, whatever the kit has become since.
//! * A sale of kits moves their components under the number of its line, and remembers of what they consisted: a return
//!   brings these back. A fact is taken as it is: half a kit is half of its components.
//! * When goods of a batch are taken from a hold, kits that lose a component with them give the others back.

pub(crate) mod model;
pub(crate) mod store;

pub(crate) use model::{
    Kits, Part, Recipe, Sold, demand, in_whole_kits, loss, loss_with, taken_apart, undelivered,
};
