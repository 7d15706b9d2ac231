//! Copies of identity's organisation: who sells, where, from which stock, at which till.
//!
//! Applied only for a greater (epoch, version); a place not yet here is `NOT_YET_KNOWN`.

mod store;

pub(crate) use store::{
    Letterhead, Payee, Place, branches, letterhead, location, locations, locations_of, payee,
    registrations, till, tills, tills_of,
};
