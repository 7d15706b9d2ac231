//! Exports of all data of a tenant.
//!
//! * One runs at a time for each tenant; whoever asks meanwhile is answered with that one.
//! * Every service that hears the privacy topic, as the register says, is asked by an event and answers by one. When all
//!   have, the export is ready, or failed with the service and its reason; who has not answered by the deadline has failed.
//! * What was written can be fetched for seven days by links of fifteen minutes, also what there is of a failed export; then
//!   it expires, and a job deletes its objects. An archive that comes later still is deleted too.

mod commands;
mod http;
mod model;
mod store;

pub use commands::{answered, tend};
pub use http::routes;
