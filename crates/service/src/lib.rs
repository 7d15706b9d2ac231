//! The whole of "main": configuration from the environment, telemetry, start-up and shutdown order.
//!
//! A service describes itself as an [`App`]; [`main`] gives it `run` (the default), `migrate`, `config`,
//! `openapi` and, where it hears anything, `consumer`; where it has a configuration file, `--check-config`; beside commands of
//! its own.

mod app;
mod cli;
mod connection;
mod consumer;
mod env;
mod job;
mod openapi;
mod pause;
mod run;
mod telemetry;

pub use app::{App, Asked, Parts};
pub use connection::Connection;
pub use env::Env;
pub use job::{Failures, Job};
pub use pause::pause_point;
pub use run::{Running, main, start};
