//! Everything this service says.

use bahi_events::{
    BARCODE_PATTERN_CREATED, BARCODE_PATTERN_DELETED, BARCODE_PATTERN_UPDATED, BarcodePattern,
    CATEGORY_CREATED, CATEGORY_DELETED, CATEGORY_UPDATED, COUPON_CREATED, COUPON_DELETED,
    COUPON_UPDATED, EventType, KitComponent, ListPrice, Outgoing, PRICE_CHANGED,
    PRICE_LIST_CREATED, PRICE_LIST_DELETED, PRICE_LIST_PRICES_CHANGED, PRICE_LIST_UPDATED,
    PRODUCT_CREATED, PRODUCT_DELETED, PRODUCT_IMPORT_COMPLETED, PRODUCT_UPDATED, PROMOTION_CREATED,
    PROMOTION_DELETED, PROMOTION_UPDATED, PriceChanged, PriceListPrices, ProductDeleted,
    ProductImportCompleted, ProductKind, ProductPrices, PromotionRule, PromotionScope,
    TAX_RATE_CHANGED, TaxRateAbove, Tracking,
};
use bahi_pricing::{Rule, Scope};
use bahi_types::{ProductId, business_date};

use crate::{
    barcode_pattern::model::Pattern,
    category::model::Category,
    coupon::model::Coupon,
    import_job::model::ImportJob,
    price_entry::model::PriceEntry,
    price_list::model::PriceList,
    product::model::{Change, Kind, Product},
    product_unit::model::ProductUnit,
    promotion::model::Promotion,
    tax_profile::model::TaxProfile,
};

/// What a change of a product has to be told: the product as it is now and, where it differs, the price.
/// The snapshot goes first: a copy that follows both applies one event per version.
pub fn product_changed(change: &Change) -> Vec<Outgoing> {
    let after = &change.after;
    let snapshot = product(after, change.changed_fields());
    let Some(before) = &change.before else {
        return vec![PRODUCT_CREATED.of(after.id.uuid(), after.version, &snapshot)];
    };
    let mut said = vec![PRODUCT_UPDATED.of(after.id.uuid(), after.version, &snapshot)];
    if change.reprices() {
        let price = PriceChanged {
            product_id: after.id,
            old: before.price,
            new: after.price,
            price_includes_tax: after.price_includes_tax,
            valid_from: Some(business_date(after.updated_at)),
        };
        said.push(PRICE_CHANGED.of(after.id.uuid(), after.version, &price));
    }
    said
}

fn product(product: &Product, changed_fields: Vec<&'static str>) -> bahi_events::Product {
    bahi_events::Product {
        product_id: product.id,
        sku: product.sku.clone(),
        name: product.name.clone(),
        variant_of: product.variant_of,
        kind: match product.kind {
            Kind::Goods | Kind::Kit => ProductKind::Goods,
            Kind::Service => ProductKind::Service,
        },
        category_id: product.category_id,
        brand_id: product.brand_id,
        hsn: product.hsn.clone(),
        tax_profile_id: product.tax_profile_id,
        stock_unit_id: product.unit_id,
        uqc: product.uqc.clone(),
        units: product.units.iter().map(unit).collect(),
        tracking: Tracking {
            batch: product.track_batch,
            serial: product.track_serial,
            expiry: product.track_expiry,
        },
        barcodes: product.barcodes.to_strings(),
        price: product.price,
        price_includes_tax: product.price_includes_tax,
        mrp: product.mrp,
        status: product.status.word().to_owned(),
        changed_fields: changed_fields.into_iter().map(str::to_owned).collect(),
        template: product.template,
        components: product
            .components
            .iter()
            .map(|component| KitComponent {
                product_id: component.product_id,
                qty: component.qty,
            })
            .collect(),
    }
}

fn unit(unit: &ProductUnit) -> bahi_events::ProductUnit {
    bahi_events::ProductUnit {
        unit_id: unit.unit_id,
        numerator: unit.numerator.into(),
        denominator: unit.denominator.into(),
        price: unit.price,
        barcodes: unit.barcodes.to_strings(),
    }
}

/// A product is gone.
pub fn product_deleted(product: &Product) -> Outgoing {
    let gone = ProductDeleted {
        product_id: product.id,
        sku: product.sku.clone(),
    };
    PRODUCT_DELETED.of(product.id.uuid(), product.version + 1, &gone)
}

/// A category is new.
pub fn category_created(category: &Category) -> Outgoing {
    self::category(CATEGORY_CREATED, category, category.version)
}

/// A category changed.
pub fn category_updated(category: &Category) -> Outgoing {
    self::category(CATEGORY_UPDATED, category, category.version)
}

/// A category is gone.
pub fn category_deleted(category: &Category) -> Outgoing {
    self::category(CATEGORY_DELETED, category, category.version + 1)
}

fn category(
    event: EventType<bahi_events::Category>,
    category: &Category,
    version: i64,
) -> Outgoing {
    let snapshot = bahi_events::Category {
        category_id: category.id,
        parent_id: category.parent_id,
        name: category.name.clone(),
    };
    event.of(category.id.uuid(), version, &snapshot)
}

/// A pattern is new.
pub fn barcode_pattern_created(pattern: &Pattern) -> Outgoing {
    barcode_pattern(BARCODE_PATTERN_CREATED, pattern, pattern.version)
}

/// A pattern changed.
pub fn barcode_pattern_updated(pattern: &Pattern) -> Outgoing {
    barcode_pattern(BARCODE_PATTERN_UPDATED, pattern, pattern.version)
}

/// A pattern is gone.
pub fn barcode_pattern_deleted(pattern: &Pattern) -> Outgoing {
    barcode_pattern(BARCODE_PATTERN_DELETED, pattern, pattern.version + 1)
}

fn barcode_pattern(event: EventType<BarcodePattern>, pattern: &Pattern, version: i64) -> Outgoing {
    let snapshot = BarcodePattern {
        barcode_pattern_id: pattern.id.uuid(),
        pattern: pattern.pattern.clone(),
        meaning: pattern.meaning.word().into(),
        position: pattern.position,
        active: pattern.active,
    };
    event.of(pattern.id.uuid(), version, &snapshot)
}

/// A tax profile with its whole history of rates.
pub fn tax_rate_changed(profile: &TaxProfile) -> Outgoing {
    let snapshot = bahi_events::TaxProfile {
        tax_profile_id: profile.head.id,
        name: profile.head.name.clone(),
        hsn: profile.head.hsn.clone(),
        category: profile.head.category.word().to_owned(),
        rates: profile
            .rates
            .iter()
            .map(|rate| bahi_events::TaxRate {
                valid_from: rate.valid_from,
                valid_to: rate.valid_to,
                rate: rate.rate,
                cess: rate.cess,
                above: rate.above().map(|above| TaxRateAbove {
                    price: above.price,
                    rate: above.rate,
                    cess: above.cess,
                }),
            })
            .collect(),
    };
    TAX_RATE_CHANGED.of(profile.head.id.uuid(), profile.head.version, &snapshot)
}

/// A bulk import ended.
pub fn import_completed(job: &ImportJob) -> Outgoing {
    let result = ProductImportCompleted {
        job_id: job.id,
        rows: job.rows,
        created: job.created,
        updated: job.updated,
        refused: job.refused,
    };
    PRODUCT_IMPORT_COMPLETED.of(job.id, job.version, &result)
}

/// A price list is new.
pub fn price_list_created(list: &PriceList) -> Outgoing {
    price_list(PRICE_LIST_CREATED, list, list.version)
}

/// A price list changed in anything but its prices.
pub fn price_list_updated(list: &PriceList) -> Outgoing {
    price_list(PRICE_LIST_UPDATED, list, list.version)
}

/// A price list is gone with its prices.
pub fn price_list_deleted(list: &PriceList) -> Outgoing {
    price_list(PRICE_LIST_DELETED, list, list.version + 1)
}

fn price_list(
    event: EventType<bahi_events::PriceList>,
    list: &PriceList,
    version: i64,
) -> Outgoing {
    let snapshot = bahi_events::PriceList {
        price_list_id: list.id,
        name: list.name.clone(),
        priority: list.priority,
        price_includes_tax: list.price_includes_tax,
        branch_id: list.branch_id,
        customer_group_id: list.customer_group_id,
        valid_from: list.valid_from,
        valid_to: list.valid_to,
    };
    event.of(list.id.uuid(), version, &snapshot)
}

/// Prices that one event holds at most, some 300 bytes each.
const PRICES: usize = 2000;

/// What prices a list has now for some products; `prices` are all of them, by product.
pub fn prices_changed(
    list: &PriceList,
    products: &[ProductId],
    prices: &[PriceEntry],
) -> Vec<Outgoing> {
    let of_product = |product: &ProductId| ProductPrices {
        product_id: *product,
        prices: prices
            .iter()
            .filter(|price| price.product_id == *product)
            .map(|price| ListPrice {
                entry_id: price.id,
                unit_id: price.unit_id,
                min_qty: price.min_qty,
                price: price.price,
                valid_from: price.valid_from,
                valid_to: price.valid_to,
            })
            .collect(),
    };
    let mut said: Vec<Vec<ProductPrices>> = Vec::new();
    let mut room = 0;
    for product in products.iter().map(of_product) {
        let needed = product.prices.len() + 1;
        match said.last_mut() {
            Some(some) if needed <= room => some.push(product),
            _ => {
                said.push(vec![product]);
                room = PRICES;
            }
        }
        room = room.saturating_sub(needed);
    }
    let event = |products| {
        let prices = PriceListPrices {
            price_list_id: list.id,
            products,
        };
        PRICE_LIST_PRICES_CHANGED.of(list.id.uuid(), list.version, &prices)
    };
    said.into_iter().map(event).collect()
}

/// A promotion is new.
pub fn promotion_created(promotion: &Promotion) -> Outgoing {
    self::promotion(PROMOTION_CREATED, promotion, promotion.version)
}

/// A promotion changed, or was activated or ended.
pub fn promotion_updated(promotion: &Promotion) -> Outgoing {
    self::promotion(PROMOTION_UPDATED, promotion, promotion.version)
}

/// A draft of a promotion is gone with its coupons.
pub fn promotion_deleted(promotion: &Promotion) -> Outgoing {
    self::promotion(PROMOTION_DELETED, promotion, promotion.version + 1)
}

fn promotion(
    event: EventType<bahi_events::Promotion>,
    promotion: &Promotion,
    version: i64,
) -> Outgoing {
    let snapshot = bahi_events::Promotion {
        promotion_id: promotion.id,
        name: promotion.name.clone(),
        status: promotion.status.word().to_owned(),
        priority: promotion.priority,
        stackable: promotion.stackable,
        needs_coupon: promotion.needs_coupon,
        branch_id: promotion.branch_id,
        customer_group_id: promotion.customer_group_id,
        valid_from: promotion.valid_from,
        valid_to: promotion.valid_to,
        scope: scope(&promotion.scope.0),
        min_qty: promotion.min_qty,
        min_amount: promotion.min_amount,
        rule: rule(&promotion.rule.0),
    };
    event.of(promotion.id.uuid(), version, &snapshot)
}

fn scope(scope: &Scope) -> PromotionScope {
    PromotionScope {
        products: scope.products.clone(),
        categories: scope.categories.clone(),
        brands: scope.brands.clone(),
    }
}

fn rule(rule: &Rule) -> PromotionRule {
    match rule.clone() {
        Rule::Percent { percent } => PromotionRule::Percent { percent },
        Rule::AmountPerUnit { amount } => PromotionRule::AmountPerUnit { amount },
        Rule::BuyGet {
            buy_qty,
            get_qty,
            get,
            percent,
            max_times,
        } => PromotionRule::BuyGet {
            buy_qty,
            get_qty,
            get: get.as_ref().map(scope),
            percent,
            max_times,
        },
        Rule::SetPrice {
            qty,
            price,
            max_times,
        } => PromotionRule::SetPrice {
            qty,
            price,
            max_times,
        },
        Rule::SetFree {
            qty,
            free,
            max_times,
        } => PromotionRule::SetFree {
            qty,
            free,
            max_times,
        },
        Rule::BillPercent {
            percent,
            max_discount,
        } => PromotionRule::BillPercent {
            percent,
            max_discount,
        },
        Rule::BillAmount { amount } => PromotionRule::BillAmount { amount },
    }
}

/// A coupon is new.
pub fn coupon_created(coupon: &Coupon) -> Outgoing {
    self::coupon(COUPON_CREATED, coupon, coupon.version)
}

/// A coupon changed.
pub fn coupon_updated(coupon: &Coupon) -> Outgoing {
    self::coupon(COUPON_UPDATED, coupon, coupon.version)
}

/// A coupon of a draft is gone.
pub fn coupon_deleted(coupon: &Coupon) -> Outgoing {
    self::coupon(COUPON_DELETED, coupon, coupon.version + 1)
}

fn coupon(event: EventType<bahi_events::Coupon>, coupon: &Coupon, version: i64) -> Outgoing {
    let rule = coupon.rule();
    let snapshot = bahi_events::Coupon {
        coupon_id: coupon.id,
        promotion_id: coupon.promotion_id,
        code: coupon.code.clone(),
        enabled: coupon.enabled,
        limit: rule.limit,
        limit_per_customer: rule.limit_per_customer,
        valid_from: coupon.valid_from,
        valid_to: coupon.valid_to,
    };
    event.of(coupon.id.uuid(), version, &snapshot)
}
