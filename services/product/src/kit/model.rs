//! What a kit consists of.

use std::collections::{HashMap, HashSet};

use bahi_types::{ProductId, Quantity, UnitId};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    product::model::{Kind, Product, Status},
    unit::model::Unit,
};

/// Most components of one kit.
pub const MOST: usize = 50;

/// Goods that a kit consists of.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
    async_graphql::SimpleObject,
    async_graphql::InputObject,
)]
#[serde(deny_unknown_fields)]
#[schema(as = KitComponent)]
#[graphql(name = "KitComponent", input_name = "KitComponentInput", complex)]
pub struct Component {
    /// The goods.
    pub product_id: ProductId,
    /// How much of them is in one kit, in their stock unit.
    pub qty: Quantity,
}

/// Refuses what cannot be a component.
///
/// # Errors
/// [`Error::Component`] with the first that is wrong.
pub fn check(components: &[Component], known: &[Product], units: &[Unit]) -> Result<(), Error> {
    let products: HashMap<ProductId, &Product> = known.iter().map(|p| (p.id, p)).collect();
    let decimals: HashMap<UnitId, i16> = units.iter().map(|u| (u.id, u.decimals)).collect();
    let mut seen = HashSet::new();
    for (index, component) in components.iter().enumerate() {
        let wrong = |wrong| Err(Error::Component { index, wrong });
        let Some(product) = products.get(&component.product_id) else {
            return wrong("there is no such product");
        };
        let most = decimals.get(&product.unit_id).copied().unwrap_or_default();
        if !seen.insert(component.product_id) {
            return wrong("stands there twice");
        }
        if product.kind != Kind::Goods {
            return wrong("is not goods");
        }
        if product.template {
            return wrong("has variants; name one of them");
        }
        if product.status == Status::Archived {
            return wrong("is archived");
        }
        if component.qty.decimal().normalize().scale() > u32::from(most.unsigned_abs()) {
            return wrong("has a quantity with more decimals than its unit");
        }
    }
    Ok(())
}
