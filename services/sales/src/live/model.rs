//! What is told, who wants to know it, and where a client stands. Pure.

use std::collections::BTreeSet;

use bahi_events::Topic;
use bahi_kafka::Place;
use bahi_types::{BranchId, LocationId, PosSessionId, ProductId, Quantity, TenantId, TillId};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The topics that tills are told of.
pub(super) const TOPICS: [Topic; 3] = [Topic::Billing, Topic::Products, Topic::Inventory];

/// What a till is told.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum News {
    /// What may be promised of a product at a location now.
    Stock {
        location_id: LocationId,
        product_id: ProductId,
        available: Quantity,
    },
    /// A product was created or changed (price, barcodes, tax, state): its copy is to be loaded anew.
    Product { product_id: ProductId },
    /// Prices of a list, a promotion, a coupon or a tax rate changed: what is priced is to be priced anew.
    Prices { event: String },
    /// A basket was put aside, or taken up, thrown away.
    HeldBill {
        event: String,
        branch_id: BranchId,
        held_bill_id: Uuid,
    },
    /// A till was opened or closed.
    Session {
        event: String,
        session_id: PosSessionId,
        till_id: TillId,
    },
}

/// Goods whose level may have changed.
pub(super) type Touched = BTreeSet<(LocationId, ProductId)>;

/// What an event means to tills.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Meaning {
    pub news: Vec<News>,
    pub touched: Touched,
}

#[derive(Deserialize)]
struct Head<'a> {
    event_type: &'a str,
    tenant_id: TenantId,
    aggregate_id: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Goods {
    #[serde(default, alias = "from_location_id")]
    location_id: Option<LocationId>,
    #[serde(default)]
    to_location_id: Option<LocationId>,
    #[serde(default)]
    product_id: Option<ProductId>,
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    product_id: Option<ProductId>,
    #[serde(default)]
    location_id: Option<LocationId>,
}

#[derive(Deserialize)]
struct Bill {
    branch_id: BranchId,
    held_bill_id: Uuid,
}

#[derive(Deserialize)]
struct Till {
    session_id: PosSessionId,
    till_id: TillId,
}

/// What a record says to tills, and to whose. `None` for what is no event.
pub(super) fn meaning(value: &[u8]) -> Option<(TenantId, Meaning)> {
    let head: Head<'_> = serde_json::from_slice(value).ok()?;
    let (kind, mut meaning) = (head.event_type, Meaning::default());
    let (noun, _) = kind.split_once('.').unwrap_or((kind, ""));
    match noun {
        "product" => meaning.news.push(News::Product {
            product_id: head.aggregate_id.parse().ok()?,
        }),
        "price" | "price_list" | "promotion" | "coupon" | "tax_rate" => {
            meaning.news.push(News::Prices {
                event: kind.to_owned(),
            });
        }
        "pos" if kind.starts_with("pos.bill_") => {
            let bill: Bill = serde_json::from_str(head.payload.get()).ok()?;
            meaning.news.push(News::HeldBill {
                event: kind.to_owned(),
                branch_id: bill.branch_id,
                held_bill_id: bill.held_bill_id,
            });
        }
        "pos" => {
            let till: Till = serde_json::from_str(head.payload.get()).ok()?;
            meaning.news.push(News::Session {
                event: kind.to_owned(),
                session_id: till.session_id,
                till_id: till.till_id,
            });
        }
        "stock" | "inventory" | "batch" | "invoice" | "return" => {
            let goods: Goods = serde_json::from_str(head.payload.get()).ok()?;
            let places = [goods.location_id, goods.to_location_id];
            for location in places.into_iter().flatten() {
                let lines = goods.lines.iter().filter_map(|line| line.product_id);
                let touched = lines.chain(goods.product_id);
                meaning.touched.extend(touched.map(|p| (location, p)));
            }
            let lines = goods.lines.iter();
            let own = lines.filter_map(|line| Some((line.location_id?, line.product_id?)));
            meaning.touched.extend(own);
        }
        _ => {}
    }
    Some((head.tenant_id, meaning))
}

/// What a client wants to be told. Nothing named is everything of the tenant; prices are told to everybody.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Interest {
    /// Where stock is watched; resolved from the branches that were asked for.
    pub locations: Option<BTreeSet<LocationId>>,
    pub branches: Option<BTreeSet<BranchId>>,
    pub tills: Option<BTreeSet<TillId>>,
    pub products: Option<BTreeSet<ProductId>>,
}

fn wants<T: Ord>(wanted: &Option<BTreeSet<T>>, one: &T) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted.contains(one))
}

impl Interest {
    /// Whether the level of these goods is watched.
    pub(super) fn watches(&self, (location, product): &(LocationId, ProductId)) -> bool {
        wants(&self.locations, location) && wants(&self.products, product)
    }

    /// Whether this is to be told.
    pub(super) fn covers(&self, news: &News) -> bool {
        match news {
            News::Stock {
                location_id,
                product_id,
                ..
            } => self.watches(&(*location_id, *product_id)),
            News::Product { product_id } => wants(&self.products, product_id),
            News::Prices { .. } => true,
            News::HeldBill { branch_id, .. } => wants(&self.branches, branch_id),
            News::Session { till_id, .. } => wants(&self.tills, till_id),
        }
    }
}

/// A place as a client carries it: opaque to the client.
pub(super) fn token(place: &Place) -> String {
    let mut bytes = vec![1];
    for ((topic, partition), offset) in place {
        let topic = TOPICS.iter().position(|known| known == topic);
        varint(&mut bytes, topic.unwrap_or_default() as u64);
        varint(&mut bytes, u64::try_from(*partition).unwrap_or_default());
        varint(&mut bytes, u64::try_from(*offset).unwrap_or_default());
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place of a token; `None` when it is none of ours.
pub(super) fn place(token: &str) -> Option<Place> {
    if token.len() > 8192 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let mut rest = bytes.strip_prefix(&[1])?;
    let mut place = Place::new();
    while !rest.is_empty() {
        let topic = *TOPICS.get(usize::try_from(read(&mut rest)?).ok()?)?;
        let partition = i32::try_from(read(&mut rest)?).ok()?;
        let offset = i64::try_from(read(&mut rest)?).ok()?;
        place.insert((topic, partition), offset);
    }
    Some(place)
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_is_read_as_it_was_written(
            entries in proptest::collection::btree_map((0usize..3, 0i32..200), 0i64..i64::MAX / 2, 0..40)
        ) {
            let there: Place = entries.into_iter().map(|((t, p), o)| ((TOPICS[t], p), o)).collect();
            prop_assert_eq!(place(&token(&there)), Some(there));
        }

        #[test]
        fn no_text_breaks_it(text in ".{0,60}") {
            let _ = place(&text);
        }
    }

    fn event(kind: &str, payload: &serde_json::Value) -> Vec<u8> {
        let id = Uuid::from_u128(7);
        serde_json::to_vec(&serde_json::json!({
            "event_id": id, "event_type": kind, "tenant_id": id, "aggregate_id": id, "payload": payload,
        }))
        .unwrap()
    }

    #[test]
    fn an_event_touches_the_goods_of_its_lines_where_they_lie() {
        let [shop, store, tea, salt] = [1u128, 2, 3, 4].map(Uuid::from_u128);
        let touched = |kind: &str, payload: serde_json::Value| {
            let (_, meaning) = meaning(&event(kind, &payload)).unwrap();
            let pairs = meaning.touched.into_iter();
            pairs.map(|(l, p)| (l.uuid(), p.uuid())).collect::<Vec<_>>()
        };
        let lines = serde_json::json!([{ "product_id": tea }, { "product_id": salt }, { "product_id": tea }]);
        assert_eq!(
            touched(
                "invoice.issued",
                serde_json::json!({ "location_id": shop, "lines": lines })
            ),
            [(shop, tea), (shop, salt)]
        );
        assert_eq!(
            touched(
                "inventory.transferred",
                serde_json::json!({ "from_location_id": shop, "to_location_id": store, "lines": [{ "product_id": tea }] })
            ),
            [(shop, tea), (store, tea)]
        );
        assert_eq!(
            touched(
                "stock.status_changed",
                serde_json::json!({ "location_id": shop, "product_id": salt })
            ),
            [(shop, salt)]
        );
        assert_eq!(meaning(b"no event"), None);
        assert_eq!(
            meaning(&event("audit.recorded", &serde_json::json!(null)))
                .unwrap()
                .1,
            Meaning::default()
        );
    }

    #[test]
    fn whoever_names_nothing_is_told_everything_and_whoever_names_is_told_that() {
        let [one, other] = [1u128, 2].map(Uuid::from_u128);
        let stock = |location: Uuid, product: Uuid| News::Stock {
            location_id: LocationId::from_uuid(location),
            product_id: ProductId::from_uuid(product),
            available: Quantity::ZERO,
        };
        let all = Interest::default();
        let one_place = Interest {
            locations: Some([LocationId::from_uuid(one)].into()),
            products: Some([ProductId::from_uuid(one)].into()),
            ..Interest::default()
        };
        assert!(all.covers(&stock(one, other)));
        assert!(one_place.covers(&stock(one, one)));
        assert!(!one_place.covers(&stock(other, one)));
        assert!(!one_place.covers(&stock(one, other)));
        let prices = News::Prices {
            event: "promotion.updated".into(),
        };
        assert!(one_place.covers(&prices));
    }
}
