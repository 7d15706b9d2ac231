//! What product says of prices: price lists, promotions and coupons.

use bahi_types::{
    BranchId, BrandId, CategoryId, CouponId, CustomerGroupId, Money, Price, PriceEntryId,
    PriceListId, ProductId, PromotionId, Quantity, Rate, UnitId,
};
use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EventType, Topic};

const T: Topic = Topic::Products;

/// A price list was added, without prices.
pub const PRICE_LIST_CREATED: EventType<PriceList> =
    EventType::new("price_list.created", T, "price_list");
/// A price list changed in anything but its prices.
pub const PRICE_LIST_UPDATED: EventType<PriceList> =
    EventType::new("price_list.updated", T, "price_list");
/// A price list was deleted with all its prices.
pub const PRICE_LIST_DELETED: EventType<PriceList> =
    EventType::new("price_list.deleted", T, "price_list");
/// Prices of a price list changed. It holds all prices of the products it names; a copy keeps the version with each
/// product of the list. One change may be told in several events of one version, each with other products.
pub const PRICE_LIST_PRICES_CHANGED: EventType<PriceListPrices> =
    EventType::new("price_list.prices_changed", T, "price_list");
/// A promotion was added, as a draft.
pub const PROMOTION_CREATED: EventType<Promotion> =
    EventType::new("promotion.created", T, "promotion");
/// A promotion changed, or was activated or ended.
pub const PROMOTION_UPDATED: EventType<Promotion> =
    EventType::new("promotion.updated", T, "promotion");
/// A draft of a promotion was deleted with its coupons.
pub const PROMOTION_DELETED: EventType<Promotion> =
    EventType::new("promotion.deleted", T, "promotion");
/// A coupon was added to a promotion.
pub const COUPON_CREATED: EventType<Coupon> = EventType::new("coupon.created", T, "coupon");
/// A coupon changed.
pub const COUPON_UPDATED: EventType<Coupon> = EventType::new("coupon.updated", T, "coupon");
/// A coupon of a draft was deleted.
pub const COUPON_DELETED: EventType<Coupon> = EventType::new("coupon.deleted", T, "coupon");

/// A price list without its prices.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PriceList {
    /// The list.
    pub price_list_id: PriceListId,
    /// Name.
    pub name: String,
    /// Lists of a higher priority go before others.
    pub priority: i32,
    /// Its prices include tax.
    pub price_includes_tax: bool,
    /// The branch it is for; all when absent.
    pub branch_id: Option<BranchId>,
    /// The group of customers it is for; everybody when absent.
    pub customer_group_id: Option<CustomerGroupId>,
    /// First day.
    pub valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds.
    pub valid_to: Option<NaiveDate>,
}

/// All prices that a price list has for some products.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PriceListPrices {
    /// The list.
    pub price_list_id: PriceListId,
    /// The products whose prices changed.
    pub products: Vec<ProductPrices>,
}

/// All prices that a price list has for a product; none when they are gone.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProductPrices {
    /// The product.
    pub product_id: ProductId,
    /// Its prices.
    pub prices: Vec<ListPrice>,
}

/// A price of a price list.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListPrice {
    /// The entry.
    pub entry_id: PriceEntryId,
    /// The unit it is for.
    pub unit_id: UnitId,
    /// The quantity from which it holds, in that unit.
    pub min_qty: Quantity,
    /// Of one unit.
    pub price: Price,
    /// First day.
    pub valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds.
    pub valid_to: Option<NaiveDate>,
}

/// Which goods: those named, or of a category (or one below it) or brand that is named; all when nothing is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct PromotionScope {
    /// Products.
    pub products: Vec<ProductId>,
    /// Categories.
    pub categories: Vec<CategoryId>,
    /// Brands.
    pub brands: Vec<BrandId>,
}

/// What a promotion takes off. Amounts are in the terms of the lines: with tax where their prices include it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PromotionRule {
    /// A percentage of each line.
    Percent {
        /// Per cent.
        percent: Rate,
    },
    /// An amount of each unit.
    AmountPerUnit {
        /// Rupees.
        amount: Money,
    },
    /// Who buys so many gets so many more for less.
    BuyGet {
        /// Units to be bought at their price.
        buy_qty: u32,
        /// Units that are got.
        get_qty: u32,
        /// What is got; the goods of the promotion themselves when absent.
        get: Option<PromotionScope>,
        /// Per cent off what is got.
        percent: Rate,
        /// Times in one basket.
        max_times: Option<u32>,
    },
    /// Any so many of the goods for a price.
    SetPrice {
        /// Units of a set.
        qty: u32,
        /// Rupees for a set.
        price: Money,
        /// Sets in one basket.
        max_times: Option<u32>,
    },
    /// Of any so many of the goods, the cheapest are free.
    SetFree {
        /// Units of a set.
        qty: u32,
        /// Units of it that are free.
        free: u32,
        /// Sets in one basket.
        max_times: Option<u32>,
    },
    /// A percentage of the sum of the lines, spread over them.
    BillPercent {
        /// Per cent.
        percent: Rate,
        /// Rupees at most.
        max_discount: Option<Money>,
    },
    /// An amount of the sum of the lines, spread over them.
    BillAmount {
        /// Rupees.
        amount: Money,
    },
}

/// A promotion: all that a till needs to apply it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Promotion {
    /// The promotion.
    pub promotion_id: PromotionId,
    /// Name.
    pub name: String,
    /// `draft`, `active` or `ended`; it applies only while active.
    pub status: String,
    /// The higher goes first.
    pub priority: i32,
    /// It goes together with others that do.
    pub stackable: bool,
    /// It applies only where one of its coupons is given.
    pub needs_coupon: bool,
    /// The branch it is for; all when absent.
    pub branch_id: Option<BranchId>,
    /// The group of customers it is for; everybody when absent.
    pub customer_group_id: Option<CustomerGroupId>,
    /// First day.
    pub valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds.
    pub valid_to: Option<NaiveDate>,
    /// Which goods it is about.
    pub scope: PromotionScope,
    /// Quantity that its lines must come to.
    pub min_qty: Option<Quantity>,
    /// Amount that its lines must come to before it.
    pub min_amount: Option<Money>,
    /// What it takes off.
    pub rule: PromotionRule,
}

/// A coupon. Sales counts its uses in the transaction of the sale.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Coupon {
    /// The coupon.
    pub coupon_id: CouponId,
    /// The promotion it opens.
    pub promotion_id: PromotionId,
    /// Code, in capitals; unique in the tenant.
    pub code: String,
    /// It may be used.
    pub enabled: bool,
    /// How often in all.
    pub limit: Option<u32>,
    /// How often by one customer.
    pub limit_per_customer: Option<u32>,
    /// First day.
    pub valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds.
    pub valid_to: Option<NaiveDate>,
}
