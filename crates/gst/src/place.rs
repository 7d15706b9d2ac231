//! Place of supply of goods: where a supply is taxed, and whether by one government or two.
//!
//! IGST Act 2017, s.7, s.8 and s.10(1); Circular 209/3/2024-GST for unregistered buyers.

use serde::{Deserialize, Serialize};

use crate::{gstin::Gstin, state::StateCode, tax::Levy};

/// What is known of a sale that decides where it is taxed.
#[derive(Clone, Copy, Debug)]
pub struct SupplyFacts<'a> {
    /// State of the seller's registration.
    pub supplier: StateCode,
    /// The buyer's GSTIN, if registered.
    pub buyer: Option<&'a Gstin>,
    /// State in the buyer's (billing) address recorded on the document.
    pub address: Option<StateCode>,
    /// State where the goods are delivered, or, not moving, where they are when handed over.
    pub delivery: Option<StateCode>,
    /// Whether the supply involves movement of the goods.
    pub moved: bool,
    /// Whether either side is a special economic zone unit or developer.
    pub sez: bool,
    /// Whether the goods leave India. An overseas buyer who takes delivery in India is no export.
    pub export: bool,
    /// Whether the goods go to one person on the direction of another, who is the buyer of this
    /// document (bill-to / ship-to).
    pub bill_to_ship_to: bool,
}

/// Where a supply is, and who taxes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Supply {
    /// Place of supply.
    pub place: StateCode,
    /// True for an inter-state supply (IGST), false for an intra-state one (CGST and SGST).
    pub inter: bool,
}

impl<'a> SupplyFacts<'a> {
    /// A counter sale to a walk-in of whom nothing is recorded.
    pub const fn counter(supplier: StateCode) -> Self {
        Self {
            supplier,
            buyer: None,
            address: None,
            delivery: None,
            moved: false,
            sez: false,
            export: false,
            bill_to_ship_to: false,
        }
    }

    fn place(&self) -> StateCode {
        if self.export {
            return StateCode::OTHER_COUNTRY;
        }
        let registered = self.buyer.and_then(Gstin::state);
        let place = if self.bill_to_ship_to {
            // s.10(1)(b): the principal place of business of the person who directs.
            registered.or_else(|| self.address_in_india())
        } else if registered.is_some() {
            self.place_for_registered(registered)
        } else {
            self.place_for_unregistered()
        };
        place.unwrap_or(self.supplier)
    }

    /// s.10(1)(a), where the movement ends, and (c), where the goods are.
    fn place_for_registered(&self, registered: Option<StateCode>) -> Option<StateCode> {
        let delivery = self.delivery.filter(|state| state.is_in_india());
        if self.moved {
            delivery.or(registered)
        } else {
            delivery
        }
    }

    /// s.10(1)(ca), whatever (a) and (c) say: the address on the invoice, and the place of delivery
    /// where that is another.
    fn place_for_unregistered(&self) -> Option<StateCode> {
        self.delivery
            .filter(|state| state.is_in_india())
            .or_else(|| self.address_in_india())
    }

    /// An address abroad is no place of supply of goods that stay in India.
    fn address_in_india(&self) -> Option<StateCode> {
        self.address.filter(|state| state.is_in_india())
    }
}

impl Supply {
    /// Which taxes fall due on the supply. Exports and supplies to SEZ under a letter of undertaking,
    /// and reverse charge, are for the caller: [`Levy::NotCharged`].
    pub const fn levy(self) -> Levy {
        if self.inter { Levy::Inter } else { Levy::Intra }
    }
}

/// The place of supply of goods.
///
/// Without a delivery address the goods of a registered buyer are taken to go to the state of the
/// registration if they move, and to be handed over at the seller's if they do not. Exports, whose
/// place is in no state, and supplies from or to an SEZ are always inter-state (IGST Act, s.7(5)). A
/// state that was merged or divided counts as its successor.
pub fn place_of_supply(facts: &SupplyFacts<'_>) -> Supply {
    let place = facts.place().successor();
    let inter = facts.sez || place != facts.supplier.successor();
    Supply { place, inter }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(code: u8) -> StateCode {
        StateCode::try_from(code).unwrap()
    }
    fn supply(place: u8, inter: bool) -> Supply {
        Supply {
            place: state(place),
            inter,
        }
    }
    fn maharashtra() -> SupplyFacts<'static> {
        SupplyFacts::counter(state(27))
    }
    fn in_karnataka() -> Gstin {
        "29AABCR1718E1ZL".parse().unwrap()
    }
    fn in_maharashtra() -> Gstin {
        "27AAJCS5738D1Z6".parse().unwrap()
    }

    #[test]
    fn a_walk_in_without_an_address_is_taxed_at_the_counter() {
        assert_eq!(place_of_supply(&maharashtra()), supply(27, false));
    }

    #[test]
    fn an_unregistered_buyer_is_where_the_invoice_says() {
        let address = SupplyFacts {
            address: Some(state(29)),
            ..maharashtra()
        };
        assert_eq!(place_of_supply(&address), supply(29, true));
        // Even when the goods move elsewhere without the delivery being recorded.
        assert_eq!(
            place_of_supply(&SupplyFacts {
                moved: true,
                ..address
            }),
            supply(29, true)
        );
    }

    #[test]
    fn the_delivery_address_of_an_unregistered_buyer_wins_over_the_billing_address() {
        // The example of Circular 209/3/2024: billed to one state, delivered in another.
        let facts = SupplyFacts {
            address: Some(state(32)),
            delivery: Some(state(29)),
            moved: true,
            ..maharashtra()
        };
        assert_eq!(place_of_supply(&facts), supply(29, true));
    }

    #[test]
    fn goods_for_a_registered_buyer_are_where_the_movement_ends() {
        let buyer = in_karnataka();
        let sold = SupplyFacts {
            buyer: Some(&buyer),
            moved: true,
            ..maharashtra()
        };
        assert_eq!(place_of_supply(&sold), supply(29, true));
        let delivered_at_home = SupplyFacts {
            delivery: Some(state(27)),
            ..sold
        };
        assert_eq!(place_of_supply(&delivered_at_home), supply(27, false));
    }

    #[test]
    fn goods_that_do_not_move_are_where_they_are() {
        let buyer = in_karnataka();
        let over_the_counter = SupplyFacts {
            buyer: Some(&buyer),
            ..maharashtra()
        };
        assert_eq!(place_of_supply(&over_the_counter), supply(27, false));
        let installed = SupplyFacts {
            delivery: Some(state(33)),
            ..over_the_counter
        };
        assert_eq!(place_of_supply(&installed), supply(33, true));
    }

    #[test]
    fn bill_to_ship_to_is_taxed_where_the_one_who_directs_is() {
        let buyer = in_maharashtra();
        let facts = SupplyFacts {
            buyer: Some(&buyer),
            delivery: Some(state(29)),
            moved: true,
            bill_to_ship_to: true,
            ..maharashtra()
        };
        assert_eq!(place_of_supply(&facts), supply(27, false));
    }

    #[test]
    fn an_export_goes_to_96_and_is_inter_state() {
        let facts = SupplyFacts {
            export: true,
            moved: true,
            ..maharashtra()
        };
        assert_eq!(place_of_supply(&facts), supply(96, true));
    }

    #[test]
    fn an_overseas_buyer_served_in_india_is_domestic() {
        let abroad = SupplyFacts {
            address: Some(StateCode::OTHER_COUNTRY),
            ..maharashtra()
        };
        assert_eq!(place_of_supply(&abroad), supply(27, false));
        let delivered = SupplyFacts {
            delivery: Some(state(30)),
            moved: true,
            ..abroad
        };
        assert_eq!(place_of_supply(&delivered), supply(30, true));
    }

    #[test]
    fn an_sez_next_door_is_inter_state() {
        let buyer = in_maharashtra();
        let facts = SupplyFacts {
            buyer: Some(&buyer),
            moved: true,
            sez: true,
            ..maharashtra()
        };
        assert_eq!(place_of_supply(&facts), supply(27, true));
    }

    #[test]
    fn a_merged_state_is_its_successor() {
        let daman = SupplyFacts {
            address: Some(state(25)),
            ..SupplyFacts::counter(state(26))
        };
        assert_eq!(place_of_supply(&daman), supply(26, false));
        let andhra = SupplyFacts {
            address: Some(state(37)),
            ..SupplyFacts::counter(state(28))
        };
        assert_eq!(place_of_supply(&andhra), supply(37, false));
    }
}
