//! Everything that can go wrong here, and what it means to a client.

use actix_web::http::StatusCode;
use bahi_db::Failure;
use bahi_http::{Fault, Refusal, Verdict};
use bahi_types::{Money, PriceListId, TaxProfileId};
use chrono::NaiveDate;
use serde_json::{Map, Value, json};

use crate::image::Refused;

/// A refusal or failure of this service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(bahi_db::Error),
    /// The request.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Another product has the SKU.
    #[error("Another product has this SKU.")]
    SkuTaken,
    /// Another product that is not archived has the barcode.
    #[error("Another product has one of these barcodes.")]
    BarcodeTaken,
    /// Another brand, tax profile, or category of the same parent has the name.
    #[error("The name is taken.")]
    NameTaken,
    /// Another unit has the code.
    #[error("The code is taken.")]
    CodeTaken,
    /// The body names something that is not there.
    #[error("{0}: there is no such thing.")]
    UnknownReference(&'static str),
    /// Something refers to what was to be deleted.
    #[error("It is in use.")]
    InUse,
    /// A field cannot change while products use the thing.
    #[error("{0} cannot change while products use it.")]
    FixedByUse(&'static str),
    /// The product has stock movements and cannot be deleted.
    #[error("The product has stock movements; archive it instead.")]
    Transacted,
    /// A field of a product that has stock movements.
    #[error("{0} cannot change once stock has moved.")]
    Frozen(&'static str),
    /// The state machine has no such step.
    #[error("What is {from} cannot become {to}.")]
    Transition {
        /// Its state.
        from: &'static str,
        /// The state asked for.
        to: &'static str,
    },
    /// The price including tax exceeds the maximum retail price.
    #[error("The price including tax is {price}, above the MRP of {mrp}.")]
    PriceAboveMrp {
        /// The price including tax.
        price: Money,
        /// The MRP.
        mrp: Money,
    },
    /// Services have no stock that could be tracked.
    #[error("Only goods can be tracked.")]
    TrackedService,
    /// An expiry date is one of a batch.
    #[error("Tracking by expiry needs tracking by batch.")]
    ExpiryWithoutBatch,
    /// Goods with a SAC, or a service with an HSN code.
    #[error("{0} does not fit: codes that begin with 99 are for services, all others for goods.")]
    WrongKindOfCode(String),
    /// The new parent lies below the category itself.
    #[error("A category cannot lie below itself.")]
    Cycle,
    /// The tree would have too many levels.
    #[error("The tree of categories has at most {0} levels.")]
    TooDeep(usize),
    /// Two rates hold on the same day.
    #[error("Two rates hold on {0}.")]
    RatesOverlap(NaiveDate),
    /// No rate holds on a day after the first.
    #[error("No rate holds from {0} on.")]
    RatesGap(NaiveDate),
    /// A rate ends before it begins.
    #[error("The rate from {0} ends before it begins.")]
    RatePeriod(NaiveDate),
    /// A rate begins on this day already.
    #[error("A rate begins on {0} already.")]
    RateExists(NaiveDate),
    /// The law knows no such rate.
    #[error("The law knows no such rate: {0}.")]
    UnlawfulRate(bahi_gst::RateError),
    /// A profile has a rate from that very day on.
    #[error("{name} has a rate that begins on {from} already.")]
    ProfileHasRate {
        /// The profile.
        profile: TaxProfileId,
        /// Its name.
        name: String,
        /// The day.
        from: NaiveDate,
    },
    /// A change is about too many tax profiles.
    #[error("At most {0} tax profiles change at once.")]
    TooManyProfiles(usize),
    /// A field of the body names something that is not there.
    #[error("{0}: there is no such thing.")]
    UnknownAt(String),
    /// Another price list of the same audience and priority holds on the same days; which, where that is known.
    #[error(
        "Another price list of this priority is for the same branch and customers on the same days."
    )]
    PriceListsAmbiguous(Option<(PriceListId, String)>),
    /// Two prices for the same product, unit and quantity hold on the same days.
    #[error("{field} overlaps with {other}.")]
    PriceRulesOverlap {
        /// The price that was to be.
        field: String,
        /// The price that stands in its way: an id, or a field of the same request.
        other: String,
    },
    /// A list has as many prices of a product as it may.
    #[error("{field}: a price list has at most {most} prices of one product.")]
    TooManyPrices {
        /// The price that is one too many.
        field: String,
        /// How many there may be.
        most: usize,
    },
    /// The price of an entry, tax included, exceeds the maximum retail price.
    #[error("{field}: the price including tax is {price}, above the MRP of {mrp}.")]
    EntryAboveMrp {
        /// The field.
        field: String,
        /// The price including tax.
        price: Money,
        /// The MRP.
        mrp: Money,
    },
    /// A field of a promotion that customers may have seen.
    #[error("{0} cannot change once the promotion is active.")]
    FixedWhenActive(&'static str),
    /// The promotion is over.
    #[error("The promotion has ended.")]
    PromotionEnded,
    /// As many promotions are active as may be.
    #[error("At most {0} promotions are active at once.")]
    TooManyActive(i64),
    /// A coupon for a promotion that applies without one.
    #[error("The promotion applies without a coupon.")]
    CouponsNotNeeded,
    /// Another coupon has or had the code.
    #[error("Another coupon has this code.")]
    CouponCodeTaken,
    /// A product that is a draft or archived.
    #[error("{field}: {sku} is not for sale.")]
    NotForSale {
        /// The line.
        field: String,
        /// The product.
        sku: String,
    },
    /// Neither the product nor a price list has a price in this unit.
    #[error("{field}: {sku} has no price in this unit.")]
    NoPrice {
        /// The field.
        field: String,
        /// The product.
        sku: String,
    },
    /// Something is wrong with a value of an attribute.
    #[error("values[{index}].{what}: {wrong}.")]
    Value {
        /// Which one, from 0.
        index: usize,
        /// Its field.
        what: &'static str,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// The product has variants: they are sold, it is not.
    #[error("A product with variants is a draft: its variants are sold and stocked, not itself.")]
    TemplateNotSold,
    /// Variants can be made of a draft only.
    #[error("Variants are made of goods or a service that is a draft, and is no variant itself.")]
    NoTemplate,
    /// The product is no variant.
    #[error("The product is no variant.")]
    NoVariant,
    /// The variants that there are have other attributes.
    #[error("The variants of this product have other attributes.")]
    OtherAttributes,
    /// Too many variants.
    #[error("That makes {count} variants; {most} are the most.")]
    TooManyVariants {
        /// How many it would be.
        count: usize,
        /// The most.
        most: usize,
    },
    /// SKUs of the matrix are taken by other products, or stand in it twice.
    #[error("{} of the SKUs are taken: {}.", .0.len(), first(.0))]
    SkusTaken(Vec<String>),
    /// A variant cannot follow its template.
    #[error("The variant {sku} cannot follow: {reason}")]
    Variant {
        /// Its SKU.
        sku: String,
        /// What it breaks.
        reason: Box<Error>,
    },
    /// A kit of nothing.
    #[error("A kit needs components.")]
    KitWithoutComponents,
    /// Components of something that is no kit.
    #[error("Only a kit has components.")]
    ComponentsOfNoKit,
    /// A kit that has variants, or is one.
    #[error("A kit neither has variants nor is one.")]
    KitInFamily,
    /// Something cannot be a component.
    #[error("components[{index}]: {wrong}.")]
    Component {
        /// Which one, from 0.
        index: usize,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// Kits consist of it.
    #[error("Kits consist of this product, so it must stay goods of its own.")]
    ComponentOfKit,
    /// Inventory has stock of the product, or owes some.
    #[error(
        "There is stock of the product: {on_hand} on hand, {reserved} reserved, {owed} sold and not delivered."
    )]
    StockExists {
        /// On hand.
        on_hand: String,
        /// Held.
        reserved: String,
        /// Sold and not issued.
        owed: String,
    },
    /// A transfer or a count names the product.
    #[error("A transfer or a count that has not ended names the product; end it first.")]
    OpenDocuments,
    /// Whether there is stock must be asked first. Never leaves the service.
    #[error("Inventory has to be asked for the stock of the product.")]
    StockUnknown {
        /// Arrivals so far.
        arrivals: i64,
    },
    /// Inventory does not answer.
    #[error("Inventory cannot be asked for the stock of the product now.")]
    InventoryUnreachable,
    /// More categories than fit into one answer.
    #[error("The tree has more than {0} categories; ask for the part below one of them.")]
    TreeTooLarge(usize),
    /// The range has no more numbers.
    #[error("There are no more barcodes in this range.")]
    RangeExhausted,
    /// Another pattern is the same.
    #[error("There is this pattern already.")]
    PatternTaken,
    /// The tenant has as many patterns as it may.
    #[error("There are at most {0} patterns.")]
    TooManyPatterns(i64),
    /// No product has one of these barcodes.
    #[error("No product has the barcode {}.", .0.join(" or "))]
    UnknownBarcode(Vec<String>),
    /// The code is of a pallet or carton, not of a product.
    #[error("{0} is the SSCC of a logistic unit, not the barcode of a product.")]
    LogisticUnit(String),
    /// A code with a weight, of a product whose unit is none of weight.
    #[error("The code says a weight, but the product is counted in {0}.")]
    NotWeighed(String),
    /// A label is to show a barcode that there is not.
    #[error("{0} has no barcode to print.")]
    LabelWithoutBarcode(String),
    /// A label is too small for what it is to show.
    #[error("The label of {sku} {rule}.")]
    LabelTooSmall {
        /// Of which product.
        sku: String,
        /// What is missing.
        rule: String,
    },
    /// A code cannot be drawn.
    #[error("The picture could not be written.")]
    Picture(#[from] png::EncodingError),
    /// The object store does not answer, or there is none; the reason is for the log alone.
    #[error("The store of pictures does not answer; try again.")]
    StoreAway(String),
    /// The product has as many pictures as it may have.
    #[error("A product has at most {0} pictures.")]
    TooManyImages(i64),
    /// Nothing lies where the picture was to be sent.
    #[error("The picture has not been sent to its URL yet.")]
    ImageNotSent,
    /// Somebody else completes the picture, or too many pictures are being looked at.
    #[error("The picture is being looked at; try again.")]
    ImageBusy,
    /// What was sent is not taken for a picture.
    #[error(transparent)]
    ImageRefused(Refused),
    /// An order that does not name every picture once.
    #[error("image_ids: must name each ready picture of the product once.")]
    ImageOrder,
    /// An import file that cannot be read at all.
    #[error("{field}: {rule}")]
    Unreadable {
        /// `file`, `header` or `row <n>`.
        field: String,
        /// What is wrong.
        rule: String,
    },
    /// More rows than a sheet of a workbook can hold.
    #[error("format: {0} products are more than a sheet can hold; take csv or a filter.")]
    SheetTooLong(i64),
    /// Every turn is taken.
    #[error("Too many others are at it; try again.")]
    Crowded,
    /// The disk for temporary files is full or broken; the reason is for the log alone.
    #[error("There is no room for a temporary file; try again.")]
    Disk(String),
}

fn first(skus: &[String]) -> String {
    skus.iter()
        .take(5)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Constraint names carry the meaning; see the migrations.
impl From<bahi_db::Error> for Error {
    fn from(error: bahi_db::Error) -> Self {
        match &error {
            bahi_db::Error::Unique(name) => match name.as_str() {
                "product_sku_key" => Self::SkuTaken,
                "barcode_gtin_key" => Self::BarcodeTaken,
                "attribute_name_key"
                | "brand_name_key"
                | "category_name_key"
                | "price_list_name_key"
                | "tax_profile_name_key" => Self::NameTaken,
                "coupon_code_key" => Self::CouponCodeTaken,
                "price_list_ambiguous" => Self::PriceListsAmbiguous(None),
                "price_entry_overlap" => Self::PriceRulesOverlap {
                    field: "entries".into(),
                    other: "a price that is there".into(),
                },
                "unit_code_key" => Self::CodeTaken,
                "barcode_pattern_pattern_key" => Self::PatternTaken,
                _ => Self::Db(error),
            },
            // References are looked up before they are stored, so this is a deletion that came too early, or a
            // reference that was deleted in between.
            bahi_db::Error::ForeignKey(_) => Self::InUse,
            _ => Self::Db(error),
        }
    }
}

impl From<bahi_objects::Away> for Error {
    fn from(away: bahi_objects::Away) -> Self {
        Self::StoreAway(away.0)
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        bahi_db::Error::from(error).into()
    }
}

impl Failure for Error {
    fn database(&self) -> Option<&bahi_db::Error> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}

impl Error {
    /// Lost a race against a writer of the same data; a fresh look may help.
    pub fn is_race(&self) -> bool {
        matches!(
            self,
            Self::SkuTaken | Self::BarcodeTaken | Self::NameTaken | Self::InUse
        )
    }
}

impl Refusal for Error {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Db(error) => error.verdict(),
            Self::Fault(fault) => fault.verdict(),
            Self::SkuTaken => Verdict::conflict("SKU_TAKEN"),
            Self::BarcodeTaken => Verdict::conflict("BARCODE_TAKEN"),
            Self::NameTaken => Verdict::conflict("NAME_TAKEN"),
            Self::CodeTaken => Verdict::conflict("CODE_TAKEN"),
            Self::UnknownReference(_) => Verdict::refused("UNKNOWN_REFERENCE"),
            Self::InUse => Verdict::conflict("IN_USE"),
            Self::FixedByUse(_) => Verdict::conflict("FIXED_BY_USE"),
            Self::Transacted => Verdict::conflict("PRODUCT_TRANSACTED"),
            Self::Frozen(_) => Verdict::conflict("FIELD_FROZEN"),
            Self::Transition { .. } => Verdict::conflict("INVALID_TRANSITION"),
            Self::PriceAboveMrp { .. } => Verdict::refused("PRICE_ABOVE_MRP"),
            Self::TrackedService => Verdict::refused("TRACKED_SERVICE"),
            Self::ExpiryWithoutBatch => Verdict::refused("EXPIRY_WITHOUT_BATCH"),
            Self::WrongKindOfCode(_) => Verdict::refused("WRONG_KIND_OF_CODE"),
            Self::Cycle => Verdict::refused("CATEGORY_CYCLE"),
            Self::TooDeep(_) => Verdict::refused("CATEGORY_TOO_DEEP"),
            Self::RatesOverlap(_) => Verdict::refused("RATES_OVERLAP"),
            Self::RatesGap(_) => Verdict::refused("RATES_GAP"),
            Self::RatePeriod(_) => Verdict::refused("RATE_PERIOD"),
            Self::RateExists(_) => Verdict::conflict("RATE_EXISTS"),
            Self::UnlawfulRate(_) => Verdict::refused("UNLAWFUL_RATE"),
            Self::ProfileHasRate { .. } => Verdict::conflict("RATE_EXISTS"),
            Self::TooManyProfiles(_) => Verdict::refused("TOO_MANY_PROFILES"),
            Self::UnknownAt(_) => Verdict::refused("UNKNOWN_REFERENCE"),
            Self::PriceListsAmbiguous(_) => Verdict::conflict("PRICE_LISTS_AMBIGUOUS"),
            Self::PriceRulesOverlap { .. } => Verdict::conflict("PRICE_RULES_OVERLAP"),
            Self::TooManyPrices { .. } => Verdict::refused("TOO_MANY_PRICES"),
            Self::EntryAboveMrp { .. } => Verdict::refused("PRICE_ABOVE_MRP"),
            Self::FixedWhenActive(_) => Verdict::conflict("FIXED_WHEN_ACTIVE"),
            Self::PromotionEnded => Verdict::conflict("PROMOTION_ENDED"),
            Self::TooManyActive(_) => Verdict::conflict("TOO_MANY_ACTIVE"),
            Self::CouponsNotNeeded => Verdict::refused("COUPONS_NOT_NEEDED"),
            Self::CouponCodeTaken => Verdict::conflict("COUPON_CODE_TAKEN"),
            Self::NotForSale { .. } => Verdict::refused("NOT_FOR_SALE"),
            Self::NoPrice { .. } => Verdict::refused("NO_PRICE"),
            Self::Value { .. } => Verdict::refused("ATTRIBUTE_VALUE"),
            Self::TemplateNotSold => Verdict::conflict("TEMPLATE_NOT_SOLD"),
            Self::NoTemplate => Verdict::conflict("NO_TEMPLATE"),
            Self::NoVariant => Verdict::conflict("NO_VARIANT"),
            Self::OtherAttributes => Verdict::conflict("OTHER_ATTRIBUTES"),
            Self::TooManyVariants { .. } => Verdict::refused("TOO_MANY_VARIANTS"),
            Self::SkusTaken(_) => Verdict::conflict("SKU_TAKEN"),
            Self::Variant { reason, .. } => reason.verdict(),
            Self::KitWithoutComponents => Verdict::refused("KIT_WITHOUT_COMPONENTS"),
            Self::ComponentsOfNoKit => Verdict::refused("COMPONENTS_OF_NO_KIT"),
            Self::KitInFamily => Verdict::refused("KIT_IN_FAMILY"),
            Self::Component { .. } => Verdict::refused("COMPONENT_REFUSED"),
            Self::ComponentOfKit => Verdict::conflict("COMPONENT_OF_KIT"),
            Self::StockExists { .. } => Verdict::conflict("STOCK_EXISTS"),
            Self::OpenDocuments => Verdict::conflict("OPEN_DOCUMENTS"),
            Self::StockUnknown { .. } | Self::InventoryUnreachable => {
                Verdict::unavailable("INVENTORY_UNREACHABLE")
            }
            Self::TreeTooLarge(_) => Verdict::refused("TREE_TOO_LARGE"),
            Self::RangeExhausted => Verdict::conflict("RANGE_EXHAUSTED"),
            Self::PatternTaken => Verdict::conflict("PATTERN_TAKEN"),
            Self::TooManyPatterns(_) => Verdict::conflict("TOO_MANY_PATTERNS"),
            Self::UnknownBarcode(_) => Verdict::not_found("NOT_FOUND"),
            Self::LogisticUnit(_) => Verdict::refused("LOGISTIC_UNIT"),
            Self::NotWeighed(_) => Verdict::refused("NOT_WEIGHED"),
            Self::LabelWithoutBarcode(_) => Verdict::refused("LABEL_WITHOUT_BARCODE"),
            Self::LabelTooSmall { .. } => Verdict::refused("LABEL_TOO_SMALL"),
            Self::Picture(_) => Verdict::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
            Self::StoreAway(_) => Verdict::unavailable("STORE_UNAVAILABLE"),
            Self::TooManyImages(_) => Verdict::refused("TOO_MANY_IMAGES"),
            Self::ImageNotSent => Verdict::conflict("IMAGE_NOT_SENT"),
            Self::ImageBusy => Verdict::conflict("IMAGE_BUSY"),
            Self::ImageRefused(refused) => Verdict::refused(refused.code()),
            Self::ImageOrder => Verdict::refused("IMAGE_ORDER"),
            Self::Unreadable { .. } => Verdict::refused("UNREADABLE_FILE"),
            Self::SheetTooLong(_) => Verdict::refused("SHEET_TOO_LONG"),
            Self::Crowded => Verdict::unavailable("BUSY"),
            Self::Disk(_) => Verdict::unavailable("DISK_UNAVAILABLE"),
        }
    }

    fn details(&self) -> Option<Map<String, Value>> {
        let member = |name: &str, value: Value| Some(Map::from_iter([(name.to_owned(), value)]));
        match self {
            Self::Db(error) => error.details(),
            Self::Fault(fault) => fault.details(),
            Self::UnknownReference(field)
            | Self::FixedByUse(field)
            | Self::FixedWhenActive(field)
            | Self::Frozen(field) => member("field", json!(field)),
            Self::UnknownAt(field)
            | Self::TooManyPrices { field, .. }
            | Self::EntryAboveMrp { field, .. }
            | Self::NotForSale { field, .. }
            | Self::NoPrice { field, .. } => member("field", json!(field)),
            Self::CouponCodeTaken => member("field", json!("code")),
            Self::PriceRulesOverlap { field, other } => Some(Map::from_iter([
                ("field".to_owned(), json!(field)),
                ("other".to_owned(), json!(other)),
            ])),
            Self::PriceListsAmbiguous(Some((id, name))) => Some(Map::from_iter([
                ("price_list_id".to_owned(), json!(id)),
                ("name".to_owned(), json!(name)),
            ])),
            Self::ProfileHasRate { profile, .. } => member("tax_profile_id", json!(profile)),
            Self::LogisticUnit(sscc) => member("sscc", json!(sscc)),
            Self::UnknownBarcode(codes) => member("barcodes", json!(codes)),
            Self::ImageRefused(refused) => member("field", json!(refused.field())),
            Self::ImageOrder => member("field", json!("image_ids")),
            Self::Unreadable { field, .. } => member("field", json!(field)),
            Self::SheetTooLong(_) => member("field", json!("format")),
            Self::Value { index, what, .. } => {
                member("field", json!(format!("values[{index}].{what}")))
            }
            Self::Component { index, .. } => member("field", json!(format!("components[{index}]"))),
            Self::SkusTaken(skus) => member("skus", json!(skus)),
            Self::Variant { sku, .. } => member("sku", json!(sku)),
            Self::TooManyVariants { count, most } => Some(Map::from_iter([
                ("count".to_owned(), json!(count)),
                ("most".to_owned(), json!(most)),
            ])),
            Self::StockExists {
                on_hand,
                reserved,
                owed,
            } => Some(Map::from_iter([
                ("on_hand".to_owned(), json!(on_hand)),
                ("reserved".to_owned(), json!(reserved)),
                ("owed".to_owned(), json!(owed)),
            ])),
            Self::Transition { from, to } => Some(Map::from_iter([
                ("from".to_owned(), json!(from)),
                ("to".to_owned(), json!(to)),
            ])),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Db(error) => error.retry_after(),
            Self::Fault(fault) => fault.retry_after(),
            Self::StoreAway(_) | Self::Disk(_) => Some(5),
            Self::ImageBusy | Self::Crowded => Some(2),
            Self::StockUnknown { .. } | Self::InventoryUnreachable => Some(1),
            _ => None,
        }
    }
}
