//! What no service can prove alone: on the shipped binaries, killed from outside, and with two tenants side by side.

#![allow(missing_docs)]

mod archives;
mod crash;
mod crash_orders;
mod operator;
mod restore;
mod scenarios;
mod tenants;
