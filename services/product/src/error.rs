//! Everything that can go wrong here, and what it means to a client.

use bahi_db::Failure;
use bahi_http::{Fault, Refusal, Verdict};
use bahi_types::Money;
use chrono::NaiveDate;
use serde_json::{Map, Value, json};

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
    /// The range 29 has no more numbers.
    #[error("There are no more barcodes in our range.")]
    RangeExhausted,
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
                | "tax_profile_name_key" => Self::NameTaken,
                "unit_code_key" => Self::CodeTaken,
                _ => Self::Db(error),
            },
            // References are looked up before they are stored, so this is a deletion that came too early, or a
            // reference that was deleted in between.
            bahi_db::Error::ForeignKey(_) => Self::InUse,
            _ => Self::Db(error),
        }
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
            Self::StockUnknown { .. } | Self::InventoryUnreachable => {
                Verdict::unavailable("INVENTORY_UNREACHABLE")
            }
            Self::TreeTooLarge(_) => Verdict::refused("TREE_TOO_LARGE"),
            Self::RangeExhausted => Verdict::conflict("RANGE_EXHAUSTED"),
        }
    }

    fn details(&self) -> Option<Map<String, Value>> {
        let member = |name: &str, value: Value| Some(Map::from_iter([(name.to_owned(), value)]));
        match self {
            Self::Db(error) => error.details(),
            Self::Fault(fault) => fault.details(),
            Self::UnknownReference(field) | Self::FixedByUse(field) | Self::Frozen(field) => {
                member("field", json!(field))
            }
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
            Self::StockUnknown { .. } | Self::InventoryUnreachable => Some(1),
            _ => None,
        }
    }
}
