//! Pictures of products.
//!
//! pending → ready → deleted; a picture that is refused, or never sent, is deleted too.
//!
//! * A client announces type and length, and sends the picture to the object store itself, with a URL that is good for
//!   that type, that length and a quarter of an hour. `:complete` looks at what has arrived: only a picture of the
//!   announced type and length, of bounded size in pixels, that can be decoded becomes ready. All else is refused and
//!   removed.
//! * What was looked at is what is kept: the checked bytes are stored anew under a key that no URL can write to.
//! * A product has at most 20 pictures, in an order of the client's.
//! * The store is never asked inside a transaction. A completion holds a lease, so that two do not write the same keys,
//!   and it ends before its lease does; only when nobody works on a picture are its objects deleted, and then its row.
//! * Pictures are no part of `product.updated`: their URLs are handed out by this service alone, and expire.

pub mod commands;
mod http;
pub mod model;
mod picture;
pub mod store;

pub use http::routes;
pub use picture::Refused;
