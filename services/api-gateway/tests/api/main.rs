//! The gateway through its socket, in front of small servers that stand in for the services.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bodies;
mod conformance;
mod drain;
mod framing;
mod graph;
mod headers;
mod identity;
mod keys;
mod limits;
mod own_redis;
mod pages;
mod reload;
mod routing;
mod search;
mod shared;
mod slow;
mod smuggling;
mod streams;
mod support;
mod tickets;
mod tokens;
mod tunnel;
mod upstreams;
