//! Which events go to a handler together.
//!
//! A batch is sorted into slices: by tenant, and within a tenant by type. Order is kept within a key, also
//! across types: an event may join an earlier slice of its type unless an event of its key stands in a later
//! one. Between keys there is no order to keep, because Kafka gives none.

use std::collections::HashMap;

use bahi_types::TenantId;

/// What the plan has to know of an event.
pub(crate) struct Card<'a> {
    pub tenant: TenantId,
    pub handler: usize,
    /// Topic and key; a record without a key is bound to no other.
    pub key: Option<(&'a str, &'a [u8])>,
}

/// Events for one call of a handler, as indexes into the cards, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub tenant: TenantId,
    pub handler: usize,
    pub members: Vec<usize>,
}

#[derive(Default)]
struct Tenant<'a> {
    slots: Vec<Slot>,
    /// The last slot that holds an event of the key.
    last: HashMap<(&'a str, &'a [u8]), usize>,
}

/// Sorts cards, which are in order of arrival, into slots.
pub(crate) fn arrange<'a>(cards: impl IntoIterator<Item = Card<'a>>) -> Vec<Slot> {
    let mut order: Vec<TenantId> = Vec::new();
    let mut tenants: HashMap<TenantId, Tenant<'a>> = HashMap::new();
    for (index, card) in cards.into_iter().enumerate() {
        let tenant = tenants.entry(card.tenant).or_insert_with(|| {
            order.push(card.tenant);
            Tenant::default()
        });
        let from = card
            .key
            .and_then(|key| tenant.last.get(&key))
            .copied()
            .unwrap_or(0);
        let found = tenant
            .slots
            .iter()
            .skip(from)
            .position(|slot| slot.handler == card.handler);
        let at = found.map_or(tenant.slots.len(), |skipped| from + skipped);
        if at == tenant.slots.len() {
            tenant.slots.push(Slot {
                tenant: card.tenant,
                handler: card.handler,
                members: Vec::new(),
            });
        }
        tenant.slots[at].members.push(index);
        if let Some(key) = card.key {
            tenant.last.insert(key, at);
        }
    }
    order
        .into_iter()
        .filter_map(|tenant| tenants.remove(&tenant))
        .flat_map(|tenant| tenant.slots)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn tenant(n: u8) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(n.into()))
    }

    fn arranged(cards: &[(u8, usize, &str)]) -> Vec<(u8, usize, Vec<usize>)> {
        let plan = arrange(cards.iter().map(|(t, handler, key)| Card {
            tenant: tenant(*t),
            handler: *handler,
            key: (!key.is_empty()).then_some(("topic", key.as_bytes())),
        }));
        let number = |t: TenantId| u8::try_from(t.uuid().as_u128()).unwrap();
        plan.into_iter()
            .map(|slot| (number(slot.tenant), slot.handler, slot.members))
            .collect()
    }

    #[test]
    fn events_of_one_type_go_together() {
        assert_eq!(
            arranged(&[(1, 0, "a"), (1, 0, "b"), (1, 0, "a")]),
            [(1, 0, vec![0, 1, 2])]
        );
    }

    #[test]
    fn an_event_does_not_overtake_another_type_of_its_own_key() {
        // a: type 0, then 1, then 0 again; b and the record without a key are free to join the first slice.
        assert_eq!(
            arranged(&[
                (1, 0, "a"),
                (1, 1, "a"),
                (1, 0, "a"),
                (1, 0, "b"),
                (1, 0, "")
            ]),
            [(1, 0, vec![0, 3, 4]), (1, 1, vec![1]), (1, 0, vec![2])]
        );
    }

    #[test]
    fn tenants_are_visited_once_each() {
        assert_eq!(
            arranged(&[(1, 0, "a"), (2, 0, "b"), (1, 1, "c"), (2, 0, "d")]),
            [(1, 0, vec![0]), (1, 1, vec![2]), (2, 0, vec![1, 3])]
        );
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_every_key_keeps_its_order(
            cards in prop::collection::vec((0..3u8, 0..3usize, 0..5u8), 0..60)
        ) {
            let names: Vec<String> = cards.iter().map(|(t, _, key)| format!("{t}{key}")).collect();
            let plan = arrange(cards.iter().zip(&names).map(|((t, handler, _), name)| Card {
                tenant: tenant(*t),
                handler: *handler,
                key: Some(("topic", name.as_bytes())),
            }));
            let flat: Vec<usize> = plan.iter().flat_map(|slot| slot.members.clone()).collect();
            prop_assert_eq!(flat.len(), cards.len());
            for slot in &plan {
                for member in &slot.members {
                    prop_assert_eq!(cards[*member].1, slot.handler);
                    prop_assert_eq!(tenant(cards[*member].0), slot.tenant);
                }
            }
            for name in &names {
                let of_key: Vec<usize> = flat.iter().copied().filter(|i| names[*i] == *name).collect();
                prop_assert!(of_key.is_sorted());
            }
        }
    }
}
