//! Looking up what a basket's prices depend on. It reads only.

use std::collections::HashMap;

use bahi_db::Tx;
use bahi_pricing::Rules;
use bahi_types::{CategoryId, ProductId, PromotionId, TaxProfileId, UnitId};

use crate::{
    Error, category, coupon, price_entry,
    price_quote::model::{self, Goods, Named, Quoted, Request},
    product,
    promotion::{self, model::Promotion},
    tax_profile,
    text::fold,
    unit,
};

/// Prices a basket; answers with the names of the promotions that were considered as well.
pub async fn quote(
    tx: &mut Tx,
    request: &Request,
) -> Result<(Quoted, HashMap<PromotionId, String>), Error> {
    let goods = goods(tx, request).await?;
    let (basket, lines) = model::basket(request, &goods)?;
    let products: Vec<ProductId> = goods.products.keys().copied().collect();
    let asked = price_entry::store::Asked {
        branch: request.branch,
        customer_group: request.customer_group,
        date: request.date,
    };
    let mut offers = price_entry::store::offers(tx, &products, asked).await?;
    offers.extend(price_entry::store::others(tx, &products, asked).await?);
    offers.extend(model::in_units(&offers, &lines));
    let promotions = promotion::store::active(tx).await?;
    let coupons = if request.coupons.is_empty() {
        Vec::new()
    } else {
        coupon::store::by_code(tx, &request.coupons).await?
    };
    let rules = Rules {
        offers,
        promotions: promotions.iter().map(Promotion::rule).collect(),
        coupons: coupons.iter().map(coupon::model::Coupon::rule).collect(),
    };
    let quoted = model::quote(request, &goods, &basket, lines, &rules)?;
    let names = promotions.into_iter().map(|p| (p.id, p.name)).collect();
    Ok((quoted, names))
}

async fn goods(tx: &mut Tx, request: &Request) -> Result<Goods, Error> {
    let (mut ids, mut skus): (Vec<ProductId>, Vec<String>) = (Vec::new(), Vec::new());
    for line in &request.lines {
        match &line.product {
            Named::Id(id) => ids.push(*id),
            Named::Sku(sku) => skus.push(fold(sku)),
        }
    }
    let mut products = product::store::by_ids(tx, &ids).await?;
    if !skus.is_empty() {
        products.extend(product::store::by_sku(tx, &skus).await?);
    }
    let profiles: Vec<TaxProfileId> = products.iter().map(|p| p.tax_profile_id).collect();
    let taxes = tax_profile::store::by_ids(tx, &profiles).await?;
    let mut categories: Vec<CategoryId> = products.iter().filter_map(|p| p.category_id).collect();
    categories.sort_unstable();
    categories.dedup();
    let categories = category::store::lines(tx, &categories).await?;
    let mut units: Vec<UnitId> = request.lines.iter().filter_map(|l| l.unit_id).collect();
    units.sort_unstable();
    units.dedup();
    let units = unit::store::known(tx, &units).await?;
    Ok(Goods {
        by_sku: products.iter().map(|p| (fold(&p.sku), p.id)).collect(),
        products: products.into_iter().map(|p| (p.id, p)).collect(),
        taxes: taxes.into_iter().map(|tax| (tax.head.id, tax)).collect(),
        categories,
        units,
    })
}
