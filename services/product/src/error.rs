//! Everything that can go wrong here, and what it means to a client.

use bahi_db::Failure;
use bahi_http::{Fault, Refusal, Verdict};
use bahi_types::Money;
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
    /// The range 29 has no more numbers.
    #[error("There are no more barcodes in our range.")]
    RangeExhausted,
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

/// Constraint names carry the meaning; see the migrations.
impl From<bahi_db::Error> for Error {
    fn from(error: bahi_db::Error) -> Self {
        match &error {
            bahi_db::Error::Unique(name) => match name.as_str() {
                "product_sku_key" => Self::SkuTaken,
                "barcode_gtin_key" => Self::BarcodeTaken,
                "brand_name_key" | "category_name_key" | "tax_profile_name_key" => Self::NameTaken,
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
            Self::RangeExhausted => Verdict::conflict("RANGE_EXHAUSTED"),
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
            Self::UnknownReference(field) | Self::FixedByUse(field) | Self::Frozen(field) => {
                member("field", json!(field))
            }
            Self::ImageRefused(refused) => member("field", json!(refused.field())),
            Self::ImageOrder => member("field", json!("image_ids")),
            Self::Unreadable { field, .. } => member("field", json!(field)),
            Self::SheetTooLong(_) => member("field", json!("format")),
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
            _ => None,
        }
    }
}
