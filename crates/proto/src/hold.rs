//! What sales and inventory must compute alike: the id of a hold and the hash of a demand.

use std::collections::BTreeMap;

use bahi_types::{InvoiceId, LocationId, ProductId, Quantity, ReservationId};
use sha2::{Digest, Sha256};

/// The hold of one attempt at an invoice: UUIDv5 of the invoice's id and the attempt in decimal.
/// Attempts count from 1.
pub fn reservation_id(invoice: InvoiceId, attempt: u32) -> ReservationId {
    ReservationId::derived(invoice.uuid(), &attempt.to_string())
}

/// SHA-256, in lower-case hex, of what a basket takes from stock: the demand of each product, summed over its
/// lines, in order of product, at one location. Two baskets with the same hash move the same stock, however
/// their lines are cut.
pub fn demand_hash(
    location: LocationId,
    demand: impl IntoIterator<Item = (ProductId, Quantity)>,
) -> String {
    let mut sums: BTreeMap<ProductId, Quantity> = BTreeMap::new();
    for (product, qty) in demand {
        *sums.entry(product).or_default() += qty;
    }
    let mut hash = Sha256::new();
    hash.update(format!("bahi.demand.v1\n{location}\n"));
    for (product, qty) in sums {
        hash.update(format!("{product} {qty}\n"));
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qty(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn the_id_of_a_hold_is_the_same_everywhere_and_differs_by_attempt() {
        let invoice: InvoiceId = "0190a0b0-0000-7000-8000-000000000001".parse().unwrap();
        assert_eq!(
            reservation_id(invoice, 1).to_string(),
            "c6246cea-2bb5-5c29-83a2-6f3a2a014d0c"
        );
        assert_ne!(reservation_id(invoice, 1), reservation_id(invoice, 2));
    }

    #[test]
    fn a_hash_knows_sums_and_not_lines() {
        let (place, a, b) = (LocationId::new(), ProductId::new(), ProductId::new());
        let whole = demand_hash(place, [(a, qty("3")), (b, qty("1.5"))]);
        assert_eq!(
            whole,
            demand_hash(place, [(b, qty("1.500")), (a, qty("1")), (a, qty("2.0"))])
        );
        assert_ne!(
            whole,
            demand_hash(place, [(a, qty("3")), (b, qty("1.501"))])
        );
        assert_ne!(
            whole,
            demand_hash(LocationId::new(), [(a, qty("3")), (b, qty("1.5"))])
        );
        assert_eq!(whole.len(), 64);
    }
}
