//! The gateway through its socket, in front of small servers that stand in for the services.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bodies;
mod conformance;
mod framing;
mod graph;
mod headers;
mod keys;
mod limits;
mod own_redis;
mod pages;
mod routing;
mod search;
mod shared;
mod slow;
mod smuggling;
mod support;
mod tokens;
mod tunnel;
mod upstreams;
