//! A product and its rules.

use bahi_http::Fault;
use bahi_types::{
    BrandId, CategoryId, Money, Price, ProductId, TaxProfileId, UnitId, business_date,
};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    attribute::model::{AttributeId, ValueId},
    barcode::model::{Barcodes, Gtin},
    column::List,
    kit::model::Component,
    product_unit::model::{Factor, Units},
    schema::product,
    tax_profile::model::TaxProfile,
    text::words,
    unit::model::Unit,
    variant::model as variant,
};

words! {
    /// Whether a product has stock.
    #[schema(as = ProductKind)]
    #[graphql(name = "ProductKind")]
    pub enum Kind {
        /// Kept in stock.
        Goods = "goods",
        /// Sold without stock.
        Service = "service",
        /// Made up of goods when it is sold; has no stock of its own.
        Kit = "kit",
    }
}

words! {
    /// Where a product stands in its life.
    #[schema(as = ProductStatus)]
    #[graphql(name = "ProductStatus")]
    pub enum Status {
        /// Being prepared; not for sale.
        Draft = "draft",
        /// For sale.
        Active = "active",
        /// Sold off, not bought again.
        Discontinued = "discontinued",
        /// Out of the assortment; its barcodes are free.
        Archived = "archived",
    }
}

impl Status {
    /// The steps of the state machine.
    ///
    /// # Errors
    /// [`Error::Transition`].
    pub fn step(self, to: Self) -> Result<Self, Error> {
        use Status::{Active, Archived, Discontinued, Draft};
        match (self, to) {
            (Draft | Archived, Active)
            | (Active, Discontinued | Archived)
            | (Discontinued, Archived) => Ok(to),
            _ => Err(Error::Transition {
                from: self.word(),
                to: to.word(),
            }),
        }
    }
}

/// A product. The names of the fields are those of the columns: rows are written from its JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = product)]
pub struct Product {
    /// Id.
    pub id: ProductId,
    /// Version.
    pub version: i64,
    /// Stock-keeping unit.
    pub sku: String,
    /// Name.
    pub name: String,
    /// Goods or service.
    pub kind: Kind,
    /// State.
    pub status: Status,
    /// Category.
    pub category_id: Option<CategoryId>,
    /// Brand.
    pub brand_id: Option<BrandId>,
    /// Unit in which stock is kept.
    pub unit_id: UnitId,
    /// UQC of the unit.
    pub uqc: String,
    /// Units besides the stock unit.
    pub units: Units,
    /// Tax profile.
    pub tax_profile_id: TaxProfileId,
    /// HSN or SAC of the tax profile.
    pub hsn: String,
    /// Tracked by batch.
    pub track_batch: bool,
    /// Tracked by serial number.
    pub track_serial: bool,
    /// Tracked by expiry date of its batches.
    pub track_expiry: bool,
    /// Barcodes of one stock unit.
    pub barcodes: Barcodes,
    /// Selling price of one unit.
    pub price: Price,
    /// The price includes tax.
    pub price_includes_tax: bool,
    /// Maximum retail price, tax included.
    pub mrp: Option<Money>,
    /// Stock has moved.
    pub transacted: bool,
    /// The template that it is a variant of.
    pub variant_of: Option<ProductId>,
    /// It has variants.
    pub template: bool,
    /// A variant's values of its attributes, in order of the attributes' ids.
    pub options: List<Choice>,
    /// Fields that a variant says itself and does not inherit.
    pub overrides: List<String>,
    /// What a kit consists of.
    pub components: List<Component>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// The value that a variant has of an attribute.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
    async_graphql::SimpleObject,
)]
#[schema(as = ProductOption)]
#[graphql(name = "ProductOption")]
pub struct Choice {
    /// The attribute.
    #[schema(value_type = uuid::Uuid)]
    pub attribute_id: AttributeId,
    /// Its value.
    #[schema(value_type = uuid::Uuid)]
    pub value_id: ValueId,
}

/// How a product is followed through stock.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
    async_graphql::SimpleObject,
    async_graphql::InputObject,
)]
#[serde(deny_unknown_fields, default)]
#[graphql(name = "Tracking", input_name = "TrackingInput")]
pub struct Tracking {
    /// By batch.
    #[graphql(default)]
    pub batch: bool,
    /// By serial number.
    #[graphql(default)]
    pub serial: bool,
    /// By expiry date of its batches.
    #[graphql(default)]
    pub expiry: bool,
}

/// What can be said of a product.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Stock-keeping unit.
    pub sku: String,
    /// Name.
    pub name: String,
    /// Goods or service.
    pub kind: Kind,
    /// State; as it is, or draft for a new one, when absent.
    pub status: Option<Status>,
    /// Category.
    pub category_id: Option<CategoryId>,
    /// Brand.
    pub brand_id: Option<BrandId>,
    /// Unit in which stock is kept.
    pub unit_id: UnitId,
    /// Units besides the stock unit.
    pub units: Units,
    /// Tax profile.
    pub tax_profile_id: TaxProfileId,
    /// Tracking.
    pub tracking: Tracking,
    /// Barcodes.
    pub barcodes: Barcodes,
    /// Selling price of one unit.
    pub price: Price,
    /// The price includes tax.
    pub price_includes_tax: bool,
    /// Maximum retail price, tax included.
    pub mrp: Option<Money>,
    /// What a kit consists of.
    pub components: List<Component>,
}

impl Draft {
    /// What is said of a product now.
    pub fn of(product: &Product) -> Self {
        Self {
            sku: product.sku.clone(),
            name: product.name.clone(),
            kind: product.kind,
            status: None,
            category_id: product.category_id,
            brand_id: product.brand_id,
            unit_id: product.unit_id,
            units: product.units.clone(),
            tax_profile_id: product.tax_profile_id,
            tracking: Tracking {
                batch: product.track_batch,
                serial: product.track_serial,
                expiry: product.track_expiry,
            },
            barcodes: product.barcodes.clone(),
            price: product.price,
            price_includes_tax: product.price_includes_tax,
            mrp: product.mrp,
            components: product.components.clone(),
        }
    }
}

impl Product {
    /// The price of one of a unit (none is the stock unit): its own, or the product's times the factor.
    pub fn unit_price(&self, unit: Option<UnitId>) -> (Factor, Price) {
        let unit = unit.and_then(|unit| self.units.get(unit));
        let factor = unit.map_or(Factor::one(), |unit| unit.factor());
        let price = unit.and_then(|unit| unit.price);
        (factor, price.unwrap_or_else(|| factor.price(self.price)))
    }

    /// The MRP of one of a unit that costs `factor` stock units: never more than theirs together.
    pub fn unit_mrp(&self, factor: Factor) -> Option<Money> {
        self.mrp.map(|mrp| factor.mrp(mrp))
    }

    /// A new product.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn new(
        draft: Draft,
        unit: &Unit,
        tax: &TaxProfile,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let status = match draft.status {
            None | Some(Status::Draft) => Status::Draft,
            Some(to) if to == Status::Active => to,
            Some(to) => {
                return Err(Error::Transition {
                    from: Status::Draft.word(),
                    to: to.word(),
                });
            }
        };
        let product = Self::said(ProductId::new(), draft, status, unit, tax, now);
        product.check_kind(tax)?;
        product.check_units()?;
        product.check_price(tax)?;
        Ok(product)
    }

    /// The product as `draft` wants it; itself when that is no change. What is changed of a variant is its own from
    /// then on.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn amended(
        &self,
        draft: Draft,
        unit: &Unit,
        tax: &TaxProfile,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let mut after = self.said_anew(draft, unit, tax, now)?;
        if self.variant_of.is_some() {
            after.overrides = variant::overrides(&self.overrides, &changed_fields(self, &after));
        }
        Ok(after)
    }

    /// The same for what a variant inherits.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn said_anew(
        &self,
        draft: Draft,
        unit: &Unit,
        tax: &TaxProfile,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let status = match draft.status {
            Some(to) if to != self.status => self.status.step(to)?,
            _ => self.status,
        };
        let after = Self {
            version: self.version + 1,
            transacted: self.transacted,
            variant_of: self.variant_of,
            template: self.template,
            options: self.options.clone(),
            overrides: self.overrides.clone(),
            created_at: self.created_at,
            ..Self::said(self.id, draft, status, unit, tax, now)
        };
        let changed = changed_fields(self, &after);
        if changed.is_empty() {
            return Ok(self.clone());
        }
        if let Some(field) = changed
            .iter()
            .find(|f| self.transacted && matches!(**f, "kind" | "stock_unit_id" | "tracking"))
        {
            return Err(Error::Frozen(field));
        }
        if self.transacted && !self.units.kept_in(&after.units) {
            return Err(Error::Frozen("units"));
        }
        after.check_kind(tax)?;
        after.check_units()?;
        // A rise of the tax does not stand in the way of another name.
        if changed.iter().any(|f| {
            matches!(
                *f,
                "price" | "price_includes_tax" | "mrp" | "tax_profile_id" | "units"
            )
        }) {
            after.check_price(tax)?;
        }
        Ok(after)
    }

    /// The product in another state.
    ///
    /// # Errors
    /// [`Error::Transition`], [`Error::TemplateNotSold`].
    pub fn moved(&self, to: Status, now: DateTime<Utc>) -> Result<Self, Error> {
        let status = self.status.step(to)?;
        if self.template {
            return Err(Error::TemplateNotSold);
        }
        Ok(Self {
            status,
            version: self.version + 1,
            updated_at: now,
            ..self.clone()
        })
    }

    /// The archived product of which goods have come in all the same: it is sold off again. Of its barcodes it keeps
    /// those that nobody has claimed since.
    pub fn reopened(&self, taken: &[String], now: DateTime<Utc>) -> Self {
        Self {
            status: Status::Discontinued,
            barcodes: self.barcodes.without(taken),
            units: self.units.without(taken),
            version: self.version + 1,
            updated_at: now,
            ..self.clone()
        }
    }

    /// Refuses to delete what has a history.
    ///
    /// # Errors
    /// [`Error::Transacted`].
    pub fn may_be_deleted(&self) -> Result<(), Error> {
        if self.transacted {
            Err(Error::Transacted)
        } else {
            Ok(())
        }
    }

    /// The barcodes it claims, as GTIN-14, and for which unit; none is the stock unit. An archived product claims none.
    pub fn claims(&self) -> Vec<(String, Option<UnitId>)> {
        if self.status == Status::Archived {
            return Vec::new();
        }
        self.coded()
            .map(|(code, unit)| (code.canonical(), unit))
            .collect()
    }

    /// The unit that a barcode it claims stands for; none is the stock unit.
    pub fn claimed(&self, code: &Gtin) -> Option<Option<UnitId>> {
        let mut codes = self.coded();
        let found = codes.find(|(own, _)| own.same(code));
        found
            .filter(|_| self.status != Status::Archived)
            .map(|(_, unit)| unit)
    }

    /// Stock units in one of a unit of this product.
    pub fn factor(&self, unit: UnitId) -> Option<Factor> {
        if unit == self.unit_id {
            return Some(Factor::one());
        }
        self.units.get(unit).map(|unit| unit.factor())
    }

    /// Its barcodes and those of its units, whether it claims them or not.
    pub fn codes(&self) -> impl Iterator<Item = &Gtin> {
        self.coded().map(|(code, _)| code)
    }

    /// Its barcodes and those of its units.
    fn coded(&self) -> impl Iterator<Item = (&Gtin, Option<UnitId>)> {
        let own = self.barcodes.iter().map(|code| (code, None));
        let of_units = self
            .units
            .iter()
            .flat_map(|unit| unit.barcodes.iter().map(|code| (code, Some(unit.unit_id))));
        own.chain(of_units)
    }

    fn said(
        id: ProductId,
        draft: Draft,
        status: Status,
        unit: &Unit,
        tax: &TaxProfile,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            version: 1,
            sku: draft.sku,
            name: draft.name,
            kind: draft.kind,
            status,
            category_id: draft.category_id,
            brand_id: draft.brand_id,
            unit_id: unit.id,
            uqc: unit.uqc.clone(),
            units: draft.units,
            tax_profile_id: tax.head.id,
            hsn: tax.head.hsn.clone(),
            track_batch: draft.tracking.batch,
            track_serial: draft.tracking.serial,
            track_expiry: draft.tracking.expiry,
            barcodes: draft.barcodes,
            price: draft.price,
            price_includes_tax: draft.price_includes_tax,
            mrp: draft.mrp,
            transacted: false,
            variant_of: None,
            template: false,
            options: List::default(),
            overrides: List::default(),
            components: draft.components,
            created_at: now,
            updated_at: now,
        }
    }

    fn check_kind(&self, tax: &TaxProfile) -> Result<(), Error> {
        if (self.kind == Kind::Service) != tax.is_for_services() {
            return Err(Error::WrongKindOfCode(self.hsn.clone()));
        }
        if self.kind != Kind::Goods && (self.track_batch || self.track_serial || self.track_expiry)
        {
            return Err(Error::TrackedService);
        }
        match (self.kind == Kind::Kit, self.components.is_empty()) {
            (true, true) => return Err(Error::KitWithoutComponents),
            (false, false) => return Err(Error::ComponentsOfNoKit),
            _ => {}
        }
        if self.kind == Kind::Kit && (self.template || self.variant_of.is_some()) {
            return Err(Error::KitInFamily);
        }
        if self.template && self.status != Status::Draft {
            return Err(Error::TemplateNotSold);
        }
        if self.track_expiry && !self.track_batch {
            return Err(Error::ExpiryWithoutBatch);
        }
        Ok(())
    }

    fn check_units(&self) -> Result<(), Error> {
        let mut codes: Vec<String> = self.barcodes.canonical().collect();
        for (at, unit) in self.units.iter().enumerate() {
            if unit.unit_id == self.unit_id {
                let message = "is the stock unit, whose factor is 1";
                return Err(Fault::field(format!("units[{at}].unit_id"), message).into());
            }
            if unit.price.is_some_and(Price::is_negative) {
                let field = format!("units[{at}].price");
                return Err(Fault::field(field, "must not be negative").into());
            }
            for code in unit.barcodes.canonical() {
                if codes.contains(&code) {
                    let field = format!("units[{at}].barcodes");
                    return Err(Fault::field(field, "names a barcode of the product twice").into());
                }
                codes.push(code);
            }
        }
        Ok(())
    }

    fn check_price(&self, tax: &TaxProfile) -> Result<(), Error> {
        let Some(mrp) = self.mrp else { return Ok(()) };
        let with_tax = |price: Price| {
            if self.price_includes_tax {
                Money::rounded(price.decimal())
            } else {
                tax.with_tax(price, business_date(self.updated_at))
            }
        };
        let price = with_tax(self.price);
        if price > mrp {
            return Err(Error::PriceAboveMrp { price, mrp });
        }
        for unit in self.units.iter() {
            let Some(price) = unit.price.map(with_tax) else {
                continue;
            };
            if !unit.factor().within(price.decimal(), mrp.decimal()) {
                let mrp = Price::rounded(mrp.decimal());
                let mrp = Money::rounded(unit.factor().price(mrp).decimal());
                return Err(Error::PriceAboveMrp { price, mrp });
            }
        }
        Ok(())
    }
}

/// A product before (none for a new one) and after a command.
#[derive(Clone, Debug)]
pub struct Change {
    /// Before.
    pub before: Option<Product>,
    /// After.
    pub after: Product,
}

impl Change {
    /// Names of the fields that differ; none for a new product.
    pub fn changed_fields(&self) -> Vec<&'static str> {
        self.before
            .as_ref()
            .map(|before| changed_fields(before, &self.after))
            .unwrap_or_default()
    }

    /// The price of a known product differs.
    pub fn reprices(&self) -> bool {
        let price = |product: &Product| (product.price, product.price_includes_tax);
        self.before
            .as_ref()
            .is_some_and(|before| price(before) != price(&self.after))
    }

    /// The claims on barcodes differ.
    pub fn reclaims(&self) -> bool {
        self.before
            .as_ref()
            .map(Product::claims)
            .unwrap_or_default()
            != self.after.claims()
    }

    /// The goods that a kit consists of differ.
    pub fn recomposes(&self) -> bool {
        let none = List::default();
        let before = self
            .before
            .as_ref()
            .map_or(&none, |before| &before.components);
        *before != self.after.components
    }

    /// A product that was kept in stock by itself is no longer.
    pub fn leaves_the_shelf(&self) -> bool {
        let shelved = |p: &Product| p.kind == Kind::Goods && !p.template;
        self.before.as_ref().is_some_and(shelved) && !shelved(&self.after)
    }

    /// The product is taken out of the assortment.
    pub fn archives(&self) -> bool {
        self.after.status == Status::Archived
            && self
                .before
                .as_ref()
                .is_some_and(|before| before.status != Status::Archived)
    }

    /// The units besides the stock unit differ.
    pub fn reunits(&self) -> bool {
        match &self.before {
            Some(before) => before.units != self.after.units,
            None => self.after.units.iter().len() > 0,
        }
    }

    /// Events that it is told with.
    pub fn events(&self) -> usize {
        1 + usize::from(self.reprices())
    }
}

fn changed_fields(before: &Product, after: &Product) -> Vec<&'static str> {
    let tracking = |p: &Product| (p.track_batch, p.track_serial, p.track_expiry);
    let differs = [
        ("sku", before.sku != after.sku),
        ("name", before.name != after.name),
        ("kind", before.kind != after.kind),
        ("status", before.status != after.status),
        ("category_id", before.category_id != after.category_id),
        ("brand_id", before.brand_id != after.brand_id),
        ("stock_unit_id", before.unit_id != after.unit_id),
        ("units", before.units != after.units),
        (
            "tax_profile_id",
            before.tax_profile_id != after.tax_profile_id,
        ),
        ("tracking", tracking(before) != tracking(after)),
        ("barcodes", before.barcodes != after.barcodes),
        ("price", before.price != after.price),
        (
            "price_includes_tax",
            before.price_includes_tax != after.price_includes_tax,
        ),
        ("mrp", before.mrp != after.mrp),
        ("template", before.template != after.template),
        ("components", before.components != after.components),
    ];
    differs
        .into_iter()
        .filter_map(|(field, differs)| differs.then_some(field))
        .collect()
}

/// A stock-keeping unit: 1 to 64 printable ASCII characters without a space at either end.
///
/// # Errors
/// What is wrong with it.
pub fn sku(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > 64 {
        Err("must have 1 to 64 characters")
    } else if !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        Err("must consist of Latin letters, digits and signs")
    } else if text.trim() != text || text.contains("  ") {
        Err("must not begin or end with a space, nor hold two in a row")
    } else {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::tax_profile::model::{self as tax, Category};

    fn unit() -> Unit {
        let draft = crate::unit::model::Draft {
            code: "PCS".into(),
            name: "Piece".into(),
            uqc: "PCS".parse().unwrap(),
            decimals: 0,
        };
        Unit::new(draft, Utc::now())
    }

    fn profile(hsn: &str, percent: i64) -> TaxProfile {
        let rate = tax::TaxRate {
            valid_from: "2017-07-01".parse().unwrap(),
            valid_to: None,
            rate: percent.into(),
            cess: 0.into(),
            price_limit: None,
            rate_above: None,
            cess_above: None,
        };
        let draft = tax::Draft {
            name: hsn.into(),
            hsn: hsn.parse().unwrap(),
            category: Category::Taxable,
            rates: vec![rate],
        };
        TaxProfile::new(draft, Utc::now()).unwrap()
    }

    pub(crate) fn draft(price: &str, includes: bool, mrp: Option<&str>) -> Draft {
        Draft {
            sku: "CABLE-1".into(),
            name: "Cable".into(),
            kind: Kind::Goods,
            status: None,
            category_id: None,
            brand_id: None,
            unit_id: UnitId::new(),
            units: Units::default(),
            tax_profile_id: TaxProfileId::new(),
            tracking: Tracking::default(),
            barcodes: Barcodes::default(),
            price: price.parse().unwrap(),
            price_includes_tax: includes,
            mrp: mrp.map(|m| m.parse().unwrap()),
            components: List::default(),
        }
    }

    /// An active product with these barcodes.
    pub(crate) fn with_barcodes(draft: Draft, codes: &[&str]) -> Product {
        let codes: Vec<Gtin> = codes.iter().map(|code| code.parse().unwrap()).collect();
        let barcodes = codes.try_into().unwrap();
        new(Draft {
            barcodes,
            status: Some(Status::Active),
            ..draft
        })
        .unwrap()
    }

    fn new(draft: Draft) -> Result<Product, Error> {
        Product::new(draft, &unit(), &profile("854442", 18), Utc::now())
    }

    #[test]
    fn the_price_with_tax_does_not_exceed_the_mrp() {
        for (price, includes, mrp, right) in [
            ("299", true, Some("299"), true),
            ("299.01", true, Some("299"), false),
            ("253.3898", false, Some("299"), true), // 298.999964, which is 299.00
            ("253.40", false, Some("299"), false),  // 299.01
            ("1000000", false, None, true),
            ("0", true, Some("0.01"), true),
        ] {
            let made = new(draft(price, includes, mrp));
            assert_eq!(made.is_ok(), right, "{price} {includes} {mrp:?}: {made:?}");
        }
    }

    #[test]
    fn the_state_machine_has_these_steps_and_no_others() {
        use Status::{Active, Archived, Discontinued, Draft};
        let all = [Draft, Active, Discontinued, Archived];
        let steps: Vec<(Status, Status)> = all
            .into_iter()
            .flat_map(|from| all.into_iter().map(move |to| (from, to)))
            .filter(|(from, to)| from.step(*to).is_ok())
            .collect();
        assert_eq!(
            steps,
            [
                (Draft, Active),
                (Active, Discontinued),
                (Active, Archived),
                (Discontinued, Archived),
                (Archived, Active)
            ]
        );
    }

    #[test]
    fn movement_freezes_what_stock_depends_on() {
        let (unit, tax, now) = (unit(), profile("854442", 18), Utc::now());
        let product = Product {
            transacted: true,
            ..new(draft("1", true, None)).unwrap()
        };
        let mut tracked = Draft::of(&product);
        tracked.tracking.batch = true;
        assert!(matches!(
            product.amended(tracked, &unit, &tax, now),
            Err(Error::Frozen("stock_unit_id"))
        ));
        let same_unit = Unit {
            id: product.unit_id,
            ..unit
        };
        let mut tracked = Draft::of(&product);
        tracked.tracking.batch = true;
        assert!(matches!(
            product.amended(tracked, &same_unit, &tax, now),
            Err(Error::Frozen("tracking"))
        ));
        let mut renamed = Draft::of(&product);
        renamed.name = "Lead".into();
        let after = product.amended(renamed, &same_unit, &tax, now).unwrap();
        assert!(after.transacted && after.version == 2);
        assert!(matches!(product.may_be_deleted(), Err(Error::Transacted)));
    }

    #[test]
    fn a_rise_of_the_tax_does_not_stand_in_the_way_of_a_name() {
        let product = new(draft("253.3898", false, Some("299"))).unwrap();
        let (unit, mut dearer) = (
            Unit {
                id: product.unit_id,
                ..unit()
            },
            profile("854442", 28),
        );
        dearer.head.id = product.tax_profile_id;
        let mut renamed = Draft::of(&product);
        renamed.name = "Lead".into();
        assert!(
            product
                .amended(renamed.clone(), &unit, &dearer, Utc::now())
                .is_ok()
        );
        renamed.price = "253.38".parse().unwrap();
        assert!(matches!(
            product.amended(renamed, &unit, &dearer, Utc::now()),
            Err(Error::PriceAboveMrp { .. })
        ));
    }

    #[test]
    fn services_have_a_sac_and_are_not_tracked() {
        let (unit, now) = (unit(), Utc::now());
        let service = Draft {
            kind: Kind::Service,
            ..draft("1", true, None)
        };
        let (sac, hsn) = (profile("996812", 18), profile("854442", 18));
        assert!(Product::new(service.clone(), &unit, &sac, now).is_ok());
        assert!(matches!(
            Product::new(service.clone(), &unit, &hsn, now),
            Err(Error::WrongKindOfCode(_))
        ));
        assert!(matches!(
            Product::new(draft("1", true, None), &unit, &sac, now),
            Err(Error::WrongKindOfCode(_))
        ));
        let tracked = Draft {
            tracking: Tracking {
                serial: true,
                ..Tracking::default()
            },
            ..service
        };
        assert!(matches!(
            Product::new(tracked, &unit, &sac, now),
            Err(Error::TrackedService)
        ));
        let expiring = Draft {
            tracking: Tracking {
                expiry: true,
                ..Tracking::default()
            },
            ..draft("1", true, None)
        };
        assert!(matches!(new(expiring), Err(Error::ExpiryWithoutBatch)));
    }

    #[test]
    fn a_change_names_its_fields_and_the_same_again_is_none() {
        let product = new(draft("1", true, None)).unwrap();
        let (unit, mut tax) = (
            Unit {
                id: product.unit_id,
                ..unit()
            },
            profile("854442", 18),
        );
        tax.head.id = product.tax_profile_id;
        assert_eq!(
            product
                .amended(Draft::of(&product), &unit, &tax, Utc::now())
                .unwrap(),
            product
        );
        let dearer = Draft {
            price: "2".parse().unwrap(),
            ..Draft::of(&product)
        };
        let after = product.amended(dearer, &unit, &tax, Utc::now()).unwrap();
        let change = Change {
            before: Some(product),
            after,
        };
        assert_eq!(change.changed_fields(), ["price"]);
        assert!(change.reprices() && !change.reclaims());
        assert_eq!(change.events(), 2);
    }

    #[test]
    fn kits_have_components_and_nothing_else_has() {
        let component = Component {
            product_id: ProductId::new(),
            qty: 2.into(),
        };
        let kit = |kind, components: Vec<Component>| Draft {
            kind,
            components: components.into(),
            ..draft("1", true, None)
        };
        assert!(new(kit(Kind::Kit, vec![component])).is_ok());
        assert!(matches!(
            new(kit(Kind::Kit, vec![])),
            Err(Error::KitWithoutComponents)
        ));
        assert!(matches!(
            new(kit(Kind::Goods, vec![component])),
            Err(Error::ComponentsOfNoKit)
        ));
        let mut tracked = kit(Kind::Kit, vec![component]);
        tracked.tracking.batch = true;
        assert!(matches!(new(tracked), Err(Error::TrackedService)));
    }

    #[test]
    fn a_template_is_never_on_sale() {
        let template = Product {
            template: true,
            ..new(draft("1", true, None)).unwrap()
        };
        assert!(matches!(
            template.moved(Status::Active, Utc::now()),
            Err(Error::TemplateNotSold)
        ));
        let (unit, mut tax) = (
            Unit {
                id: template.unit_id,
                ..unit()
            },
            profile("854442", 18),
        );
        tax.head.id = template.tax_profile_id;
        let mut sold = Draft::of(&template);
        sold.status = Some(Status::Active);
        assert!(matches!(
            template.amended(sold, &unit, &tax, Utc::now()),
            Err(Error::TemplateNotSold)
        ));
    }

    #[test]
    fn an_sku_is_plain_text() {
        for good in ["A", "a-1/b_2#", "TEA 250G"] {
            assert_eq!(sku(good), Ok(()), "{good}");
        }
        for bad in ["", " A", "A ", "A  B", "चाय", "A\tB", &"x".repeat(65)] {
            assert!(sku(bad).is_err(), "{bad}");
        }
    }
}
