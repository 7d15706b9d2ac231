//! Which goods of a receipt go back. Pure.

use bahi_types::Quantity;

use crate::ledger::Key;

/// Goods of a line of a receipt: where they lie, how many came there after them, how many they are.
pub type Found = (Key, Quantity, Quantity);

/// Takes `qty` of the goods found at `key`, the oldest first: behind how many that came later, and how many.
///
/// # Errors
/// How many there are, when that is less.
pub fn choose(
    found: &[Found],
    key: Key,
    qty: Quantity,
) -> Result<Vec<(Quantity, Quantity)>, Quantity> {
    let mut here: Vec<_> = found.iter().filter(|f| f.0 == key).collect();
    here.sort_by_key(|f| std::cmp::Reverse(f.1));
    let there: Quantity = here.iter().map(|f| f.2).sum();
    if there < qty {
        return Err(there);
    }
    let (mut left, mut parts) = (qty, Vec::new());
    for (_, behind, slice) in here {
        let part = left.min(*slice);
        if part.is_positive() {
            parts.push((*behind + *slice - part, part));
        }
        left -= part;
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use bahi_types::{LocationId, ProductId};
    use uuid::Uuid;

    use super::*;
    use crate::ledger::{NO_BATCH, Status};

    fn q(n: i64) -> Quantity {
        Quantity::from(n)
    }

    #[test]
    fn the_oldest_goods_of_the_receipt_go_first_and_no_others() {
        let id = |n| Uuid::from_u128(n);
        let place = (LocationId::from_uuid(id(1)), ProductId::from_uuid(id(2)));
        let shelf = Key::sellable(place, NO_BATCH);
        let apart = shelf.in_status(Status::Quarantine);
        let found = [
            (shelf, q(2), q(3)),
            (apart, q(0), q(9)),
            (shelf, q(8), q(4)),
        ];
        assert_eq!(
            choose(&found, shelf, q(6)),
            Ok(vec![(q(8), q(4)), (q(3), q(2))])
        );
        assert_eq!(choose(&found, shelf, q(3)), Ok(vec![(q(9), q(3))]));
        assert_eq!(choose(&found, shelf, q(8)), Err(q(7)));
        assert_eq!(choose(&[], shelf, q(1)), Err(q(0)));
    }
}
