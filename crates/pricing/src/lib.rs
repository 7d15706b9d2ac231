//! How a basket gets its prices, as pure functions: price lists, promotions, coupons, and the maximum retail price.
//!
//! Nothing here reads a clock, a file or a database. [`resolve`] takes a basket and the rules that might concern it and
//! answers with a price for every line and the reason for it; the same basket and rules always give the same answer, in
//! whatever order their lines and rules come.
//!
//! # The order of precedence
//! 1. **The unit price** of a product in a unit comes from one price list, or else from the product itself. Lists that
//!    fit the branch, the customer group, the day and the quantity compete: the higher priority wins, then the narrower
//!    audience (customer group and branch, customer group, branch, everybody), then within the list the highest quantity
//!    break reached. Breaks look at the quantity of the whole basket, not of one line.
//! 2. **The MRP** of the line (that of its batch where it is named) caps the price with tax. A price without tax that
//!    could exceed it once its tax is rounded is charged with tax inside, at no more than the MRP.
//! 3. **Promotions on goods** lower what is left of their lines: a percentage, an amount a unit, buy some and get some,
//!    any so many of a set for a price or with some of them free.
//! 4. **Promotions on the bill** are taken from what is left then, and spread over their lines by largest remainder.
//!
//! Within 3 and 4 the higher priority goes first; among equals the one that saves the customer more on what is left at
//! that moment, then the smaller id. A promotion that is not stackable takes only lines that no other has touched, and
//! keeps others off them. A piece counts for one set only. Sets are made from the dearest piece down, and within a set
//! the cheapest are the free ones. A piece is worth what is left of its line, divided by the line's quantity; fractions
//! of a unit count for no set. No line falls below zero.
//!
//! | Module | Question |
//! |---|---|
//! | [`basket`] | What is bought, where, when and by whom? |
//! | [`list`] | What is the unit price? |
//! | [`promotion`] | What is taken off, and when? |
//! | [`explain`] | Which rule won, which lost, and why? |
//! | [`mod@quote`] | What does the basket come to? |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod basket;
pub mod explain;
pub mod list;
pub mod promotion;
pub mod quote;

mod apply;
mod cap;
mod paise;
mod sets;

pub use basket::{Audience, Base, Basket, Line, Period, Rules};
pub use explain::{Considered, CouponOutcome, RuleKind, Why};
pub use list::Offer;
pub use promotion::{Coupon, Promotion, Rule, RuleFault, Scope};
pub use quote::{Fault, LineFault, PricedLine, Quote, Share, Taken, resolve};
