//! The words every service shares: ids, money, quantities, time, pages. No I/O happens here.

mod clock;
mod fiscal_year;
mod fixed;
mod graphql;
mod id;
mod page;
mod scope;
mod stand;
mod words;

#[doc(hidden)]
pub use async_graphql;
pub use clock::{Clock, business_date};
pub use fiscal_year::FiscalYear;
pub use fixed::{Currency, Fixed, FixedError, Money, Price, Quantity, Rate, r2, round_to};
pub use id::*;
pub use page::{Cursor, CursorError, Page, PageQuery, Sort};
pub use scope::Scope;
pub use words::words;
