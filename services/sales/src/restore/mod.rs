//! After a restore from a backup this database does not know the last of what it said. Selling on would give numbers
//! out twice, and `void` sales that happened.
//!
//! * A restore raises `outbox.epoch`. Until the database was compared with `billing.events.v1` and `orders.events.v1` under that epoch,
//!   nothing is sold, taken back, opened or closed, and `ReservationStates` is not answered: 503 `RESTORING`.
//! * Every event of this service in the topic that the database does not explain is an orphan. An invoice carries
//!   enough to be written again, number and all; so does the opening of a session. The rest (credit notes, receipts, notes
//!   on prices, cancellations, edits, closings, orders, what contradicts the database) is listed for a person:
//!   `GET /api/v1/sales/restore-orphans`.
//! * The counters of numbers are raised above every orphan's, listed or not, before anything is sold.
//! * The epoch is looked at every two seconds: a failover to a standby that lagged raises it while the service runs. What is
//!   sold in between may bear a number that the lost primary gave out too; the comparison lists it.
//! * An ordinary start costs one query, and a look at the last record of each partition: one that the outbox of this
//!   epoch has not written yet tells of a restore whose epoch was not raised, and nothing is sold until it is.
//! * Kafka being away holds no till up, unless a restore is known to have happened.

mod gate;
mod http;
mod model;
mod reconcile;
mod store;

pub(crate) use gate::Restore;
pub(crate) use http::routes;
