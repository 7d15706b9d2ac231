//! Approvals: somebody with more rights lends some to a colleague at the till, by his PIN, for one document.
//!
//! * A PIN is 4 to 12 digits that are not all alike and no run. Its owner sets it with his password; only its hash is
//!   kept, it is never logged, and no request that holds one is remembered by its idempotency key.
//! * A guess is counted before it is checked. After five the next must wait, longer each time; ten wrong ones in a row,
//!   however far apart, lock the PIN until its owner sets it anew. Unknown, without a PIN and wrong look alike.
//! * Nobody lends what he does not hold. An approval names who gives and who gets it, the permissions, the document, the
//!   till and the reason; it is signed, lives five minutes, and is audited when it is given and when it is used.

mod commands;
mod http;
mod model;
mod store;

pub use http::routes;
