//! What product says: the catalogue, prices and tax rates.

use bahi_types::{
    BrandId, CategoryId, Money, Price, ProductId, Quantity, Rate, TaxProfileId, UnitId,
};
use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventType, Topic};

const T: Topic = Topic::Products;

/// A product was added.
pub const PRODUCT_CREATED: EventType<Product> = EventType::new("product.created", T, "product");
/// A product changed.
pub const PRODUCT_UPDATED: EventType<Product> = EventType::new("product.updated", T, "product");
/// A product was deleted; it must never have been transacted.
pub const PRODUCT_DELETED: EventType<ProductDeleted> =
    EventType::new("product.deleted", T, "product");
/// A product's selling price changed.
pub const PRICE_CHANGED: EventType<PriceChanged> = EventType::new("price.changed", T, "product");
/// A category was added.
pub const CATEGORY_CREATED: EventType<Category> = EventType::new("category.created", T, "category");
/// A category changed.
pub const CATEGORY_UPDATED: EventType<Category> = EventType::new("category.updated", T, "category");
/// A category was deleted.
pub const CATEGORY_DELETED: EventType<Category> = EventType::new("category.deleted", T, "category");
/// A pattern of own barcodes was added.
pub const BARCODE_PATTERN_CREATED: EventType<BarcodePattern> =
    EventType::new("barcode_pattern.created", T, "barcode_pattern");
/// A pattern of own barcodes changed.
pub const BARCODE_PATTERN_UPDATED: EventType<BarcodePattern> =
    EventType::new("barcode_pattern.updated", T, "barcode_pattern");
/// A pattern of own barcodes was deleted.
pub const BARCODE_PATTERN_DELETED: EventType<BarcodePattern> =
    EventType::new("barcode_pattern.deleted", T, "barcode_pattern");
/// A tax profile was made or its rates changed; the payload holds its whole rate history.
pub const TAX_RATE_CHANGED: EventType<TaxProfile> =
    EventType::new("tax_rate.changed", T, "tax_profile");
/// A bulk import ended.
pub const PRODUCT_IMPORT_COMPLETED: EventType<ProductImportCompleted> =
    EventType::new("product.import_completed", T, "import_job");

/// Whether a product has stock. A kit is `goods` too, and names its components: whoever does not know kits finds none of
/// it in stock instead of selling it as a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProductKind {
    /// Kept in stock.
    Goods,
    /// Sold without stock: freight, charges, labour.
    Service,
}

/// How a product is followed through stock. Frozen once it has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tracking {
    /// By batch.
    pub batch: bool,
    /// By serial number.
    pub serial: bool,
    /// By expiry date (of its batches).
    pub expiry: bool,
}

/// The rate of units that cost more than a price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaxRateAbove {
    /// The price of one unit before tax, after discount. At this price the lower rate still holds.
    pub price: Price,
    /// GST in per cent.
    pub rate: Rate,
    /// Compensation cess in per cent.
    pub cess: Rate,
}

/// One rate of a tax profile, valid from a date until the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaxRate {
    /// First day on which it holds.
    pub valid_from: NaiveDate,
    /// First day on which it no longer holds.
    pub valid_to: Option<NaiveDate>,
    /// GST in per cent: CGST + SGST, or IGST.
    pub rate: Rate,
    /// Compensation cess in per cent.
    pub cess: Rate,
    /// What holds instead for dearer units, where the law sets a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<TaxRateAbove>,
}

/// A tax profile: HSN or SAC, category and rates by date.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaxProfile {
    /// The profile.
    pub tax_profile_id: TaxProfileId,
    /// Name.
    pub name: String,
    /// HSN code of 4, 6 or 8 digits, or a SAC beginning with 99.
    pub hsn: String,
    /// `taxable`, `nil`, `exempt` or `non_gst`.
    pub category: String,
    /// The rates, oldest first, without gaps or overlaps.
    pub rates: Vec<TaxRate>,
}

/// A unit in which a product is handled besides the one its stock is kept in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProductUnit {
    /// The unit.
    pub unit_id: UnitId,
    /// One of it is `numerator / denominator` stock units; both are greater than zero, in lowest terms.
    pub numerator: i64,
    /// See `numerator`.
    pub denominator: i64,
    /// Selling price of one of it; the price of a stock unit times the factor when absent.
    pub price: Option<Price>,
    /// Barcodes that stand for one of it.
    pub barcodes: Vec<String>,
}

/// Goods that a kit consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KitComponent {
    /// The goods; never a kit.
    pub product_id: ProductId,
    /// How much of them is in one kit, in their stock unit.
    pub qty: Quantity,
}

/// A product: all that a till or a store needs to know of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Product {
    /// The product.
    pub product_id: ProductId,
    /// Stock-keeping unit; unique in the tenant, ignoring case.
    pub sku: String,
    /// Name.
    pub name: String,
    /// The product this one is a variant of.
    pub variant_of: Option<ProductId>,
    /// Kept in stock or not.
    pub kind: ProductKind,
    /// Category.
    pub category_id: Option<CategoryId>,
    /// Brand.
    pub brand_id: Option<BrandId>,
    /// HSN or SAC of its tax profile.
    pub hsn: String,
    /// Tax profile.
    pub tax_profile_id: TaxProfileId,
    /// Unit in which stock is kept.
    pub stock_unit_id: UnitId,
    /// Unit Quantity Code of that unit for GST.
    pub uqc: String,
    /// Units besides the stock unit.
    #[serde(default)]
    pub units: Vec<ProductUnit>,
    /// Tracking.
    pub tracking: Tracking,
    /// Barcodes of one stock unit.
    pub barcodes: Vec<String>,
    /// Selling price of one stock unit.
    pub price: Price,
    /// The price includes tax.
    pub price_includes_tax: bool,
    /// Maximum retail price, tax included.
    pub mrp: Option<Money>,
    /// `draft`, `active`, `discontinued` or `archived`.
    pub status: String,
    /// Names of the fields that differ from before; empty on creation.
    pub changed_fields: Vec<String>,
    /// It has variants and is neither sold nor stocked itself; its state is always `draft`.
    #[serde(default)]
    pub template: bool,
    /// What a kit consists of; empty for everything else.
    #[serde(default)]
    pub components: Vec<KitComponent>,
}

/// A product is gone.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProductDeleted {
    /// The product.
    pub product_id: ProductId,
    /// Its SKU.
    pub sku: String,
}

/// A product's own selling price changed; those of price lists are told by `price_list.prices_changed`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PriceChanged {
    /// The product.
    pub product_id: ProductId,
    /// Before.
    pub old: Price,
    /// After.
    pub new: Price,
    /// The price includes tax.
    pub price_includes_tax: bool,
    /// The business day from which it holds.
    #[serde(default)]
    pub valid_from: Option<NaiveDate>,
}

/// A category.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Category {
    /// The category.
    pub category_id: CategoryId,
    /// The one above.
    pub parent_id: Option<CategoryId>,
    /// Name.
    pub name: String,
}

/// How a shop reads the barcodes that its scales print.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BarcodePattern {
    /// The pattern.
    pub barcode_pattern_id: Uuid,
    /// `21.....{NNDDD}`: digits that are so, `.` a digit of the item, `N` and `D` those of the value before and after the
    /// point.
    pub pattern: String,
    /// `weight` in kilograms, `price` or `quantity`.
    pub meaning: String,
    /// The lowest is tried first.
    pub position: i32,
    /// It is used.
    pub active: bool,
}

/// A bulk import ended.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ProductImportCompleted {
    /// The job.
    pub job_id: Uuid,
    /// Rows read.
    pub rows: i64,
    /// Products made.
    pub created: i64,
    /// Products changed.
    pub updated: i64,
    /// Rows refused.
    pub refused: i64,
}
