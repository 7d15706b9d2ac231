//! Returns to suppliers: goods go back to whom they were bought from.
//!
//! * Sellable, quarantined and damaged goods may go back, also those of a blocked, recalled or expired batch. They are
//!   taken from what nobody was promised: no hold is broken for them.
//! * They cost what the product's method says. A line that names the line of a receipt takes the very goods of that
//!   receipt, as far as the books find them in its balance, at what those cost; all others stay as they are.
//! * A return counts for today or a day of an open period. Its id guards it: said twice, it moves goods once.

mod commands;
mod http;
mod model;

pub use commands::{Line, NewLine, NewReturn, SupplierReturn, send};
pub use http::routes;
