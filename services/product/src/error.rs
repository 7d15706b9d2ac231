//! Everything that can go wrong here, and what it means to a client.

use actix_web::http::StatusCode;
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
}

/// Constraint names carry the meaning; see the migrations.
impl From<bahi_db::Error> for Error {
    fn from(error: bahi_db::Error) -> Self {
        match &error {
            bahi_db::Error::Unique(name) => match name.as_str() {
                "product_sku_key" => Self::SkuTaken,
                "barcode_gtin_key" => Self::BarcodeTaken,
                "brand_name_key" | "category_name_key" | "tax_profile_name_key" => Self::NameTaken,
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
            Self::RangeExhausted => Verdict::conflict("RANGE_EXHAUSTED"),
            Self::PatternTaken => Verdict::conflict("PATTERN_TAKEN"),
            Self::TooManyPatterns(_) => Verdict::conflict("TOO_MANY_PATTERNS"),
            Self::UnknownBarcode(_) => Verdict::not_found("NOT_FOUND"),
            Self::LogisticUnit(_) => Verdict::refused("LOGISTIC_UNIT"),
            Self::NotWeighed(_) => Verdict::refused("NOT_WEIGHED"),
            Self::LabelWithoutBarcode(_) => Verdict::refused("LABEL_WITHOUT_BARCODE"),
            Self::LabelTooSmall { .. } => Verdict::refused("LABEL_TOO_SMALL"),
            Self::Picture(_) => Verdict::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
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
            Self::LogisticUnit(sscc) => member("sscc", json!(sscc)),
            Self::UnknownBarcode(codes) => member("barcodes", json!(codes)),
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
            _ => None,
        }
    }
}
