//! Decisions on attempts to sell, and the calls by which stock is promised: sales' half of the protocol.
//!
//! * An invoice's attempts are decided in one table: `void`, `issued` or `closed`. It alone decides; the invoice's
//!   later status never does.
//! * At most one attempt of an invoice is `issued`, and none once it is `closed` (partial unique index).
//! * A hold whose grant was received ends in exactly one of two ways: `issued` with the invoice, or `void`
//!   committed first and released afterwards. Nothing is ever released on a guess.
//! * Asked by inventory about an attempt without a decision, sales writes `void` before it answers, so a sale that
//!   was too slow meets that row and takes its next attempt.
//! * A request begins at the highest voided attempt + 1 and takes at most [`ATTEMPTS`] itself; an invoice id has no
//!   limit.

mod inventory;
mod model;
mod orders;
mod rpc;
mod store;

pub(crate) use inventory::{Allocated, Demand, Inventory, Promise};
pub(crate) use model::Standing;
pub(crate) use orders::{Hand, Handed, Held};
pub(crate) use rpc::Server;
pub(crate) use store::{close, issue, standing, standings, void};

/// Attempts of an invoice among which the one of a restored invoice is looked for.
pub(crate) const MOST_SEARCHED: u32 = 10_000;

/// Attempts that one request takes.
pub(crate) const ATTEMPTS: usize = 5;
