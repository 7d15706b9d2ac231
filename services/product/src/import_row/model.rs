//! What a row of a file means for the catalogue.

use std::collections::HashMap;

use bahi_http::validate;
use bahi_types::{BrandId, CategoryId, ProductId, UnitId};
use chrono::{DateTime, Utc};

use crate::{
    Error,
    barcode::model::{Barcodes, Gtin},
    brand::model::Brand,
    category::model::{Category, LEVELS},
    import_row::sheet::{Cells, Column, Flaw},
    product::model::{self as product, Change, Draft, Kind, Product, Tracking},
    tax_profile::model::TaxProfile,
    text::fold,
    unit::model::Unit,
};

/// What a good row comes to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The product is so already.
    Unchanged,
    /// A product is made or changed.
    Change(Box<Change>),
}

/// The keys under which what rows refer to is looked up.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Folded SKUs.
    pub skus: Vec<String>,
    /// Folded codes of units.
    pub units: Vec<String>,
    /// Folded names of tax profiles.
    pub profiles: Vec<String>,
    /// HSN codes.
    pub codes: Vec<String>,
    /// Folded names of brands.
    pub brands: Vec<String>,
    /// Folded names of categories, of every level.
    pub categories: Vec<String>,
    /// Barcodes, as GTIN-14.
    pub barcodes: Vec<String>,
}

impl Wanted {
    /// What these rows refer to.
    pub fn by<'a>(rows: impl Iterator<Item = &'a Cells>) -> Self {
        let mut wanted = Self::default();
        for cells in rows {
            let folded = |column| cells.get(&column).map(|cell| fold(cell));
            wanted.skus.extend(folded(Column::Sku));
            wanted.units.extend(folded(Column::Unit));
            wanted.profiles.extend(folded(Column::TaxProfile));
            wanted
                .codes
                .extend(cells.get(&Column::Hsn).map(|cell| hsn(cell)));
            wanted.brands.extend(folded(Column::Brand));
            wanted.categories.extend(
                cells
                    .get(&Column::Category)
                    .into_iter()
                    .flat_map(|cell| path(cell))
                    .map(fold),
            );
            let codes = cells
                .get(&Column::Barcode)
                .and_then(|cell| barcodes(cell).ok())
                .unwrap_or_default();
            wanted.barcodes.extend(codes.canonical());
        }
        for keys in [
            &mut wanted.skus,
            &mut wanted.units,
            &mut wanted.profiles,
            &mut wanted.codes,
            &mut wanted.brands,
            &mut wanted.categories,
            &mut wanted.barcodes,
        ] {
            keys.sort_unstable();
            keys.dedup();
        }
        wanted
    }
}

/// What rows refer to, as it is, and what they add to it.
#[derive(Debug, Default)]
pub struct Known {
    /// Products by folded SKU.
    pub products: HashMap<String, Product>,
    /// Units by folded code.
    pub units: HashMap<String, Unit>,
    /// Units by id.
    pub units_by_id: HashMap<UnitId, Unit>,
    /// Tax profiles.
    pub profiles: Vec<TaxProfile>,
    /// Brands by folded name.
    pub brands: HashMap<String, BrandId>,
    /// Categories by parent and folded name.
    pub categories: HashMap<(Option<CategoryId>, String), CategoryId>,
    /// Who has which barcode.
    pub owners: HashMap<String, ProductId>,
    /// Brands that rows have added.
    pub new_brands: Vec<Brand>,
    /// Categories that rows have added, parents first.
    pub new_categories: Vec<Category>,
}

/// One row on its way through the checks: every cell is looked at, so that a row is told all its flaws at once.
struct Check<'a> {
    line: i64,
    cells: &'a Cells,
    flaws: Vec<Flaw>,
}

impl Check<'_> {
    fn flaw(&mut self, column: Column, reason: impl Into<String>) {
        let value = self
            .cells
            .get(&column)
            .map(String::as_str)
            .unwrap_or_default();
        self.flaws
            .push(Flaw::new(self.line, column.word(), value, reason));
    }

    fn cell(&self, column: Column) -> Option<&str> {
        self.cells.get(&column).map(String::as_str)
    }

    /// The cell as a value; `or` where it is empty, which must not be so without one.
    fn value<T>(
        &mut self,
        column: Column,
        or: Option<T>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.cell(column).map(read) {
            Some(Ok(value)) => Some(value),
            Some(Err(reason)) => {
                self.flaw(column, reason);
                None
            }
            None if or.is_none() => {
                self.flaw(column, "is missing");
                None
            }
            None => or,
        }
    }
}

/// What a row means, given what is known.
///
/// # Errors
/// Everything that is wrong with the row.
pub fn decide(
    known: &mut Known,
    line: i64,
    cells: &Cells,
    now: DateTime<Utc>,
) -> Result<Outcome, Vec<Flaw>> {
    let mut check = Check {
        line,
        cells,
        flaws: Vec::new(),
    };
    let before = cells
        .get(&Column::Sku)
        .and_then(|sku| known.products.get(&fold(sku)))
        .cloned();
    let said = before.as_ref().map(Draft::of);
    let said = said.as_ref();

    let sku = check.value(Column::Sku, None, |cell| {
        product::sku(cell)
            .map(|()| cell.to_owned())
            .map_err(str::to_owned)
    });
    let name = check.value(Column::Name, said.map(|s| s.name.clone()), line_of_text);
    let kind = check.value(
        Column::Kind,
        said.map(|s| s.kind).or(Some(Kind::Goods)),
        word,
    );
    let status = match check.cell(Column::Status) {
        Some(_) => check.value(Column::Status, None, word).map(Some),
        // A file is a catalogue in use; what is still being prepared says so.
        None => Some(said.is_none().then_some(product::Status::Active)),
    };
    let price = check.value(Column::Price, said.map(|s| s.price), not_negative);
    let includes = said.map(|s| s.price_includes_tax).or(Some(true));
    let price_includes_tax = check.value(Column::PriceIncludesTax, includes, yes_or_no);
    let mrp = match check.cell(Column::Mrp) {
        Some(_) => check.value(Column::Mrp, None, positive).map(Some),
        None => Some(said.and_then(|s| s.mrp)),
    };
    let barcodes = check.value(
        Column::Barcode,
        Some(said.map(|s| s.barcodes.clone()).unwrap_or_default()),
        barcodes,
    );
    let tracked = said.map(|s| s.tracking).unwrap_or_default();
    let batch = check.value(Column::TrackBatch, Some(tracked.batch), yes_or_no);
    let serial = check.value(Column::TrackSerial, Some(tracked.serial), yes_or_no);
    let expiry = check.value(Column::TrackExpiry, Some(tracked.expiry), yes_or_no);
    let unit = unit(known, &mut check, said);
    let tax = tax_profile(known, &mut check, said);
    let brand = brand(known, &mut check, said, now);
    let category = category(known, &mut check, said, now);

    let (
        Some(sku),
        Some(name),
        Some(kind),
        Some(status),
        Some(price),
        Some(price_includes_tax),
        Some(mrp),
    ) = (sku, name, kind, status, price, price_includes_tax, mrp)
    else {
        return Err(check.flaws);
    };
    let (Some(barcodes), Some(batch), Some(serial), Some(expiry), Some(unit), Some(tax)) =
        (barcodes, batch, serial, expiry, unit, tax)
    else {
        return Err(check.flaws);
    };
    let (Some((brand_id, new_brand)), Some((category_id, new_categories))) = (brand, category)
    else {
        return Err(check.flaws);
    };
    let draft = Draft {
        sku,
        name,
        kind,
        status,
        category_id,
        brand_id,
        unit_id: unit.id,
        units: said.map(|s| s.units.clone()).unwrap_or_default(),
        tax_profile_id: tax.head.id,
        tracking: Tracking {
            batch,
            serial,
            expiry,
        },
        barcodes,
        price,
        price_includes_tax,
        mrp,
    };
    let after = match &before {
        Some(before) => before.amended(draft, &unit, &tax, now),
        None => Product::new(draft, &unit, &tax, now),
    };
    let after = match after {
        Ok(after) => after,
        Err(error) => {
            check.flaw(column_of(&error), error.to_string());
            return Err(check.flaws);
        }
    };
    if after.claims().iter().any(|(code, _)| {
        known
            .owners
            .get(code)
            .is_some_and(|owner| *owner != after.id)
    }) {
        check.flaw(Column::Barcode, Error::BarcodeTaken.to_string());
        return Err(check.flaws);
    }
    if before.as_ref() == Some(&after) {
        return Ok(Outcome::Unchanged);
    }
    known
        .brands
        .extend(new_brand.iter().map(|brand| (fold(&brand.name), brand.id)));
    known.new_brands.extend(new_brand);
    known.categories.extend(
        new_categories
            .iter()
            .map(|c| ((c.parent_id, fold(&c.name)), c.id)),
    );
    known.new_categories.extend(new_categories);
    Ok(Outcome::Change(Box::new(Change { before, after })))
}

/// What a row claims within its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Line of the row.
    pub line: i64,
    /// `sku` or `barcode`.
    pub column: Column,
    /// The value as the file has it.
    pub value: String,
    /// The value in the form in which two are compared.
    pub key: String,
}

/// What a row claims within its file: its SKU and its barcodes.
pub fn claims(line: i64, cells: &Cells) -> Vec<Claim> {
    let claim = |column: Column, value: &str, key: String| Claim {
        line,
        column,
        value: value.to_owned(),
        key: format!("{}:{key}", column.word()),
    };
    let sku = cells
        .get(&Column::Sku)
        .map(|cell| claim(Column::Sku, cell, fold(cell)));
    let codes = cells
        .get(&Column::Barcode)
        .and_then(|cell| barcodes(cell).ok())
        .unwrap_or_default();
    let codes = codes
        .iter()
        .map(|code| claim(Column::Barcode, code.as_str(), code.canonical()));
    sku.into_iter().chain(codes).collect()
}

fn unit(known: &Known, check: &mut Check, said: Option<&Draft>) -> Option<Unit> {
    let unit = match check.cell(Column::Unit) {
        Some(code) => known.units.get(&fold(code)),
        None => said.and_then(|said| known.units_by_id.get(&said.unit_id)),
    };
    if unit.is_none() {
        let reason = if check.cell(Column::Unit).is_some() {
            "is not the code of a unit"
        } else {
            "is missing"
        };
        check.flaw(Column::Unit, reason);
    }
    unit.cloned()
}

fn tax_profile(known: &Known, check: &mut Check, said: Option<&Draft>) -> Option<TaxProfile> {
    let now = said.and_then(|said| {
        known
            .profiles
            .iter()
            .find(|profile| profile.head.id == said.tax_profile_id)
    });
    if let Some(name) = check.cell(Column::TaxProfile) {
        let found = known
            .profiles
            .iter()
            .find(|profile| fold(&profile.head.name) == fold(name));
        if found.is_none() {
            check.flaw(Column::TaxProfile, "is not the name of a tax profile");
        }
        return found.cloned();
    }
    let Some(code) = check.cell(Column::Hsn).map(hsn) else {
        if now.is_none() {
            check.flaw(Column::Hsn, "is missing, and so is tax_profile");
        }
        return now.cloned();
    };
    if now.is_some_and(|profile| profile.head.hsn == code) {
        return now.cloned();
    }
    let mut found = known
        .profiles
        .iter()
        .filter(|profile| profile.head.hsn == code);
    match (found.next(), found.next()) {
        (Some(one), None) => return Some(one.clone()),
        (None, _) => check.flaw(Column::Hsn, "is not the HSN or SAC of a tax profile"),
        (Some(_), Some(_)) => check.flaw(
            Column::Hsn,
            "is that of several tax profiles; name one in tax_profile",
        ),
    }
    None
}

type Named<Id, New> = Option<(Option<Id>, New)>;

fn brand(
    known: &Known,
    check: &mut Check,
    said: Option<&Draft>,
    now: DateTime<Utc>,
) -> Named<BrandId, Option<Brand>> {
    let Some(cell) = check.cell(Column::Brand) else {
        return Some((said.and_then(|said| said.brand_id), None));
    };
    if let Some(id) = known.brands.get(&fold(cell)) {
        return Some((Some(*id), None));
    }
    let brand = check
        .value(Column::Brand, None, line_of_text)
        .map(|name| Brand::new(name, now))?;
    Some((Some(brand.id), Some(brand)))
}

fn category(
    known: &Known,
    check: &mut Check,
    said: Option<&Draft>,
    now: DateTime<Utc>,
) -> Named<CategoryId, Vec<Category>> {
    let Some(cell) = check.cell(Column::Category) else {
        return Some((said.and_then(|said| said.category_id), Vec::new()));
    };
    let names: Vec<String> = path(cell).map(str::to_owned).collect();
    if names.is_empty() || names.len() > LEVELS {
        check.flaw(
            Column::Category,
            format!("is not a path of 1 to {LEVELS} names"),
        );
        return None;
    }
    if let Some(reason) = names.iter().find_map(|name| line_of_text(name).err()) {
        check.flaw(Column::Category, reason);
        return None;
    }
    // A single name may stand anywhere in the tree, as long as it stands there once.
    if let [name] = names.as_slice() {
        let key = fold(name);
        let mut found = known
            .categories
            .iter()
            .filter(|((_, known), _)| *known == key)
            .map(|(_, id)| *id);
        match (found.next(), found.next()) {
            (Some(one), None) => return Some((Some(one), Vec::new())),
            (Some(_), Some(_)) => {
                check.flaw(
                    Column::Category,
                    "is the name of several categories; give the path from the top, with >",
                );
                return None;
            }
            (None, _) => {}
        }
    }
    let (mut parent, mut new) = (None, Vec::new());
    for name in names {
        parent = Some(match known.categories.get(&(parent, fold(&name))) {
            Some(id) => *id,
            None => {
                new.push(Category::new(name, parent, now));
                new.last().map(|category| category.id)?
            }
        });
    }
    Some((parent, new))
}

/// The column that a broken rule is about.
fn column_of(error: &Error) -> Column {
    match error {
        Error::PriceAboveMrp { .. } => Column::Price,
        Error::WrongKindOfCode(_) => Column::Hsn,
        Error::TrackedService => Column::Kind,
        Error::ExpiryWithoutBatch | Error::Frozen("tracking") => Column::TrackExpiry,
        Error::Frozen("kind") => Column::Kind,
        Error::Frozen("stock_unit_id") => Column::Unit,
        Error::Transition { .. } => Column::Status,
        _ => Column::Sku,
    }
}

fn line_of_text(cell: &str) -> Result<String, String> {
    validate::line(cell, &())
        .map(|()| cell.to_owned())
        .map_err(|error| error.message().to_owned())
}

fn word<T: std::str::FromStr<Err = &'static str>>(cell: &str) -> Result<T, String> {
    cell.to_lowercase().parse().map_err(str::to_owned)
}

fn not_negative<const S: u32>(cell: &str) -> Result<bahi_types::Fixed<S>, String> {
    let value: bahi_types::Fixed<S> = cell
        .parse()
        .map_err(|error: bahi_types::FixedError| error.to_string())?;
    if value.is_negative() {
        Err("must not be negative".into())
    } else {
        Ok(value)
    }
}

fn positive<const S: u32>(cell: &str) -> Result<bahi_types::Fixed<S>, String> {
    let value = not_negative(cell)?;
    if value.is_zero() {
        Err("must be greater than zero".into())
    } else {
        Ok(value)
    }
}

fn yes_or_no(cell: &str) -> Result<bool, String> {
    match cell.to_lowercase().as_str() {
        "yes" | "y" | "true" | "1" => Ok(true),
        "no" | "n" | "false" | "0" => Ok(false),
        _ => Err("is neither yes nor no".into()),
    }
}

fn barcodes(cell: &str) -> Result<Barcodes, String> {
    let codes = cell
        .split(|c: char| c == '|' || c.is_whitespace())
        .filter(|code| !code.is_empty());
    let codes: Result<Vec<Gtin>, _> = codes.map(|code| Gtin::try_from(code.to_owned())).collect();
    Barcodes::try_from(codes?)
}

fn path(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('>').map(str::trim)
}

/// A code has an even number of digits; a spreadsheet takes the zero of `0401` for no digit at all.
fn hsn(cell: &str) -> String {
    if cell.len() % 2 == 1 && cell.bytes().all(|b| b.is_ascii_digit()) {
        format!("0{cell}")
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{tax_profile, unit};

    fn known() -> Known {
        let now = Utc::now();
        let unit = unit::model::Draft {
            code: "PCS".into(),
            name: "Piece".into(),
            uqc: "PCS".parse().unwrap(),
            decimals: 0,
        };
        let unit = Unit::new(unit, now);
        let profile = |name: &str, hsn: &str| {
            let rate = tax_profile::model::TaxRate {
                valid_from: "2017-07-01".parse().unwrap(),
                valid_to: None,
                rate: 18.into(),
                cess: 0.into(),
            };
            let draft = tax_profile::model::Draft {
                name: name.into(),
                hsn: hsn.parse().unwrap(),
                category: tax_profile::model::Category::Taxable,
                rates: vec![rate],
            };
            TaxProfile::new(draft, now).unwrap()
        };
        Known {
            units_by_id: HashMap::from([(unit.id, unit.clone())]),
            units: HashMap::from([("pcs".into(), unit)]),
            profiles: vec![
                profile("Milk", "0401"),
                profile("Shoes", "6403"),
                profile("Boots", "6403"),
            ],
            ..Known::default()
        }
    }

    fn cells(pairs: &[(Column, &str)]) -> Cells {
        let all = [
            (Column::Sku, "A-1"),
            (Column::Name, "Milk"),
            (Column::Unit, "pcs"),
            (Column::Hsn, "401"),
            (Column::Price, "25.50"),
        ];
        let said = all.iter().chain(pairs).map(|(c, v)| (*c, (*v).to_owned()));
        let mut cells: Cells = said.collect();
        cells.retain(|_, value| !value.is_empty());
        cells
    }

    fn outcome(known: &mut Known, pairs: &[(Column, &str)]) -> Result<Change, Vec<String>> {
        match decide(known, 7, &cells(pairs), Utc::now()) {
            Ok(Outcome::Change(change)) => Ok(*change),
            Ok(Outcome::Unchanged) => Err(vec!["unchanged".into()]),
            Err(flaws) => Err(flaws
                .into_iter()
                .map(|flaw| format!("{}: {}", flaw.column, flaw.reason))
                .collect()),
        }
    }

    #[test]
    fn a_new_row_makes_an_active_product_with_its_category_and_brand() {
        let mut known = known();
        let row = [
            (Column::Category, "Food > Dairy"),
            (Column::Brand, "Amul"),
            (Column::Barcode, "4006381333931"),
        ];
        let made = outcome(&mut known, &row).unwrap();
        assert_eq!(made.after.status, product::Status::Active);
        assert_eq!(made.after.hsn, "0401");
        assert!(made.after.price_includes_tax && made.before.is_none());
        let names: Vec<&str> = known
            .new_categories
            .iter()
            .map(|c| c.name.as_str())
            .collect();
        assert_eq!(names, ["Food", "Dairy"]);
        assert_eq!(made.after.category_id, Some(known.new_categories[1].id));
        // The next row finds what this one has added, by its bare name too.
        let next = outcome(
            &mut known,
            &[
                (Column::Sku, "A-2"),
                (Column::Category, "dairy"),
                (Column::Brand, "AMUL"),
            ],
        );
        assert_eq!(
            next.unwrap().after.category_id,
            Some(known.new_categories[1].id)
        );
        assert_eq!((known.new_categories.len(), known.new_brands.len()), (2, 1));
    }

    #[test]
    fn a_row_is_told_all_its_flaws_at_once() {
        let row = [
            (Column::Name, ""),
            (Column::Unit, "BOX"),
            (Column::Price, "1,299"),
            (Column::Mrp, "0"),
            (Column::Barcode, "8.90E+12"),
            (Column::PriceIncludesTax, "perhaps"),
            (Column::Status, "sold"),
            (Column::Hsn, "6403"),
        ];
        let flaws = outcome(&mut known(), &row).unwrap_err();
        assert_eq!(
            flaws,
            [
                "name: is missing",
                "status: is not one of draft active discontinued archived",
                "price: is not a plain decimal like 12.50",
                "price_includes_tax: is neither yes nor no",
                "mrp: must be greater than zero",
                "barcode: \"8.90E+12\" is not a barcode of 8, 12, 13 or 14 digits",
                "unit: is not the code of a unit",
                "hsn: is that of several tax profiles; name one in tax_profile",
            ]
        );
    }

    #[test]
    fn a_known_row_changes_only_what_it_says() {
        let mut known = known();
        let made = outcome(&mut known, &[(Column::Mrp, "30"), (Column::Brand, "Amul")])
            .unwrap()
            .after;
        known.products.insert("a-1".into(), made.clone());
        let same = [
            (Column::Name, ""),
            (Column::Unit, ""),
            (Column::Hsn, ""),
            (Column::Price, ""),
        ];
        assert_eq!(outcome(&mut known, &same).unwrap_err(), ["unchanged"]);
        let dearer = outcome(&mut known, &[(Column::Sku, "a-1"), (Column::Price, "26")]).unwrap();
        assert_eq!(dearer.changed_fields(), ["sku", "price"]);
        assert_eq!(
            (dearer.after.mrp, dearer.after.brand_id),
            (made.mrp, made.brand_id)
        );
        assert_eq!(
            outcome(&mut known, &[(Column::Price, "31")])
                .unwrap_err()
                .len(),
            1
        );
    }

    #[test]
    fn a_barcode_of_another_product_is_refused() {
        let mut known = known();
        known
            .owners
            .insert("04006381333931".into(), ProductId::new());
        let flaws = outcome(&mut known, &[(Column::Barcode, "4006381333931")]).unwrap_err();
        assert_eq!(
            flaws,
            ["barcode: Another product has one of these barcodes."]
        );
    }
}
