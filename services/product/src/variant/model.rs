//! The matrix of variants, and what they inherit.

use std::collections::HashMap;

use bahi_http::Fault;
use bahi_types::ProductId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    attribute::model::{Attribute, AttributeId, Value, ValueId},
    column::List,
    product::model::{self as product, Choice, Draft, Kind, Product, Status},
    tax_profile::model::TaxProfile,
    text::{fold, words},
    unit::model::Unit,
};

/// Most variants of one template, and so of one matrix.
pub const MOST: usize = 1000;
/// Most attributes of one matrix.
pub const AXES: usize = 5;

/// What a variant inherits from its template unless it says it itself. `price` stands for both the price and whether it
/// includes tax.
pub const INHERITED: [&str; 9] = [
    "name",
    "kind",
    "category_id",
    "brand_id",
    "stock_unit_id",
    "tax_profile_id",
    "tracking",
    "price",
    "mrp",
];

words! {
    /// What becomes of a cell of the matrix.
    #[schema(as = VariantOutcome)]
    pub enum Outcome {
        /// The variant is made, or would be.
        New = "new",
        /// It is there already.
        Exists = "exists",
        /// Another product, or another cell, has its SKU.
        Clash = "clash",
    }
}

/// A cell of the matrix.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = VariantCell)]
pub struct Cell {
    /// Its SKU: of the variant that is there, or as the pattern makes it.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub outcome: Outcome,
    /// The variant; absent where there is none.
    pub product_id: Option<ProductId>,
    /// Its values.
    pub options: Vec<Choice>,
}

/// An attribute of the matrix with those of its values that are wanted.
#[derive(Clone, Debug)]
pub struct Axis {
    /// The attribute.
    pub id: AttributeId,
    /// Its name.
    pub name: String,
    /// The values, in order.
    pub values: Vec<Value>,
}

impl Axis {
    /// The attribute with these of its values; with all of them when absent.
    ///
    /// # Errors
    /// What it does not have.
    pub fn new(
        attribute: &Attribute,
        wanted: Option<&[ValueId]>,
        index: usize,
    ) -> Result<Self, Error> {
        let strange = wanted.is_some_and(|ids| {
            ids.iter()
                .any(|id| !attribute.values.iter().any(|v| v.id == *id))
        });
        let kept = |value: &&Value| wanted.is_none_or(|ids| ids.contains(&value.id));
        let values: Vec<Value> = attribute.values.iter().filter(kept).cloned().collect();
        if strange || values.is_empty() {
            let what = if strange {
                "names a value that it does not have"
            } else {
                "has no value"
            };
            return Err(Fault::field(format!("attributes[{index}].value_ids"), what).into());
        }
        Ok(Self {
            id: attribute.head.id,
            name: attribute.head.name.clone(),
            values,
        })
    }
}

/// A part of the pattern of SKUs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Sku,
    Code(usize),
}

/// How the SKUs of variants are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

impl Pattern {
    /// `{sku}` and the codes of all attributes, with hyphens between them.
    fn usual(axes: &[Axis]) -> Self {
        let codes = (0..axes.len()).flat_map(|n| [Part::Text("-".into()), Part::Code(n)]);
        Self([Part::Sku].into_iter().chain(codes).collect())
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: Option<&str>, axes: &[Axis]) -> Result<Self, Error> {
        let Some(text) = text else {
            return Ok(Self::usual(axes));
        };
        let wrong = |what: String| Error::from(Fault::field("sku_pattern", what));
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, after) = behind
                .split_once('}')
                .ok_or_else(|| wrong("has a brace that is not closed".into()))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let axis = axes.iter().position(|axis| fold(&axis.name) == fold(name));
            parts.push(match axis {
                Some(axis) => Part::Code(axis),
                None if fold(name) == "sku" => Part::Sku,
                None => {
                    return Err(wrong(format!(
                        "knows no {{{name}}}: there are {{sku}} and the attributes by name"
                    )));
                }
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let missing = axes
            .iter()
            .enumerate()
            .find(|(n, axis)| axis.values.len() > 1 && !parts.contains(&Part::Code(*n)));
        match missing {
            Some((_, axis)) => Err(wrong(format!(
                "must hold {{{}}}, or variants have one SKU",
                axis.name
            ))),
            None => Ok(Self(parts)),
        }
    }

    /// The SKU of the variant of `template` with these values.
    ///
    /// # Errors
    /// When it is none.
    fn sku(&self, template: &str, values: &[&Value]) -> Result<String, Error> {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Sku => template.to_owned(),
            Part::Code(n) => values
                .get(*n)
                .map(|value| value.code.clone())
                .unwrap_or_default(),
        };
        let made: String = self.0.iter().map(part).collect();
        product::sku(&made)
            .map_err(|what| Fault::field("sku_pattern", format!("makes {made:?}, which {what}")))?;
        Ok(made)
    }
}

/// The matrix of `axes`: every combination of their values with its SKU and name, the last axis changing first.
///
/// # Errors
/// [`Error::TooManyVariants`]; a pattern that makes no SKU.
pub fn matrix(template: &Product, axes: &[Axis], pattern: &Pattern) -> Result<Vec<Cell>, Error> {
    let count = axes
        .iter()
        .try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len()))
        .unwrap_or(usize::MAX);
    if count > MOST {
        return Err(Error::TooManyVariants { count, most: MOST });
    }
    let mut combinations: Vec<Vec<&Value>> = vec![Vec::new()];
    for axis in axes {
        let mut longer = Vec::with_capacity(combinations.len() * axis.values.len());
        for values in &combinations {
            longer.extend(axis.values.iter().map(|value| {
                let mut values = values.clone();
                values.push(value);
                values
            }));
        }
        combinations = longer;
    }
    let cell = |values: Vec<&Value>| -> Result<Cell, Error> {
        let mut options: Vec<Choice> = axes
            .iter()
            .zip(&values)
            .map(|(axis, value)| Choice {
                attribute_id: axis.id,
                value_id: value.id,
            })
            .collect();
        options.sort_unstable();
        Ok(Cell {
            sku: pattern.sku(&template.sku, &values)?,
            name: name(&template.name, &values),
            outcome: Outcome::New,
            product_id: None,
            options,
        })
    };
    combinations.into_iter().map(cell).collect()
}

/// The template's name and the values behind it, within the 200 characters of a name.
fn name(template: &str, values: &[&Value]) -> String {
    let values: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
    let name = format!("{template} {}", values.join(" / "));
    name.chars()
        .take(200)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// The name that a variant inherits. Its values stand in the order of the attributes' names.
pub fn name_of(template: &str, variant: &Product, attributes: &[Attribute]) -> String {
    let mut attributes: Vec<&Attribute> = attributes.iter().collect();
    attributes.sort_by_key(|attribute| fold(&attribute.head.name));
    let values: Vec<&Value> = attributes
        .into_iter()
        .flat_map(|attribute| &attribute.values)
        .filter(|value| {
            variant
                .options
                .iter()
                .any(|choice| choice.value_id == value.id)
        })
        .collect();
    name(template, &values)
}

/// Says of each cell whether its variant is there, or another product has its SKU.
///
/// # Errors
/// [`Error::OtherAttributes`]; [`Error::TooManyVariants`] with those there are.
pub fn settle(
    cells: &mut [Cell],
    variants: &[Product],
    owners: &HashMap<String, ProductId>,
) -> Result<(), Error> {
    let attributes = |options: &[Choice]| -> Vec<AttributeId> {
        options.iter().map(|o| o.attribute_id).collect()
    };
    if let (Some(cell), Some(variant)) = (cells.first(), variants.first())
        && attributes(&cell.options) != attributes(&variant.options)
    {
        return Err(Error::OtherAttributes);
    }
    let known: HashMap<&[Choice], &Product> = variants.iter().map(|v| (&*v.options, v)).collect();
    let mut taken: HashMap<String, usize> = HashMap::new();
    for cell in cells.iter_mut() {
        if let Some(variant) = known.get(cell.options.as_slice()) {
            cell.outcome = Outcome::Exists;
            cell.product_id = Some(variant.id);
            cell.sku = variant.sku.clone();
            cell.name = variant.name.clone();
        } else {
            *taken.entry(fold(&cell.sku)).or_default() += 1;
        }
    }
    let mut new = 0;
    for cell in cells.iter_mut().filter(|cell| cell.outcome == Outcome::New) {
        let key = fold(&cell.sku);
        if owners.contains_key(&key) || taken.get(&key).is_some_and(|count| *count > 1) {
            cell.outcome = Outcome::Clash;
        }
        new += 1;
    }
    let count = variants.len() + new;
    if count > MOST {
        return Err(Error::TooManyVariants { count, most: MOST });
    }
    Ok(())
}

/// Refuses what cannot have variants.
///
/// # Errors
/// [`Error::KitInFamily`], [`Error::Transacted`], [`Error::NoTemplate`].
pub fn may_have_variants(product: &Product) -> Result<(), Error> {
    if product.kind == Kind::Kit {
        return Err(Error::KitInFamily);
    }
    if product.transacted {
        return Err(Error::Transacted);
    }
    if product.variant_of.is_some() || product.status != Status::Draft {
        return Err(Error::NoTemplate);
    }
    Ok(())
}

/// The product as a template.
pub fn as_template(product: &Product, now: DateTime<Utc>) -> Product {
    Product {
        template: true,
        version: product.version + 1,
        updated_at: now,
        ..product.clone()
    }
}

/// The variant of a cell: all of it is the template's, but SKU, name, barcodes (those of units too) and state. Units are
/// its own from then on.
pub fn make(template: &Product, cell: &Cell, status: Status, now: DateTime<Utc>) -> Product {
    Product {
        id: ProductId::new(),
        version: 1,
        sku: cell.sku.clone(),
        name: cell.name.clone(),
        status,
        barcodes: Default::default(),
        units: template.units.bare(),
        transacted: false,
        variant_of: Some(template.id),
        template: false,
        options: cell.options.clone().into(),
        overrides: List::default(),
        components: List::default(),
        created_at: now,
        updated_at: now,
        ..template.clone()
    }
}

/// What a variant says itself after it was changed in these fields.
pub fn overrides(before: &[String], changed: &[&str]) -> List<String> {
    let mut all: Vec<String> = before.to_vec();
    for field in changed {
        let field = if *field == "price_includes_tax" {
            "price"
        } else {
            field
        };
        if INHERITED.contains(&field) && !all.iter().any(|known| known == field) {
            all.push(field.to_owned());
        }
    }
    all.sort_unstable();
    all.into()
}

/// What a variant says when it inherits all but `overrides` of the template, which was `before` and is `after`.
pub fn inherited(
    variant: &Product,
    before: &Product,
    after: &Product,
    overrides: &[String],
) -> Draft {
    let (own, theirs) = (Draft::of(variant), Draft::of(after));
    let says = |field: &str| overrides.iter().any(|said| said == field);
    let name = match variant.name.strip_prefix(before.name.as_str()) {
        Some(values) if !says("name") => format!("{}{values}", after.name)
            .chars()
            .take(200)
            .collect::<String>()
            .trim_end()
            .to_owned(),
        _ => own.name.clone(),
    };
    let price = if says("price") { &own } else { &theirs };
    Draft {
        name,
        kind: if says("kind") { own.kind } else { theirs.kind },
        category_id: if says("category_id") {
            own.category_id
        } else {
            theirs.category_id
        },
        brand_id: if says("brand_id") {
            own.brand_id
        } else {
            theirs.brand_id
        },
        unit_id: if says("stock_unit_id") {
            own.unit_id
        } else {
            theirs.unit_id
        },
        tax_profile_id: if says("tax_profile_id") {
            own.tax_profile_id
        } else {
            theirs.tax_profile_id
        },
        tracking: if says("tracking") {
            own.tracking
        } else {
            theirs.tracking
        },
        price: price.price,
        price_includes_tax: price.price_includes_tax,
        mrp: if says("mrp") { own.mrp } else { theirs.mrp },
        ..own
    }
}

/// The variant as `draft` wants it, without that becoming its own.
///
/// # Errors
/// [`Error::Variant`] with the rule that it would break.
pub fn follow(
    variant: &Product,
    draft: Draft,
    unit: &Unit,
    tax: &TaxProfile,
    now: DateTime<Utc>,
) -> Result<Product, Error> {
    variant
        .said_anew(draft, unit, tax, now)
        .map_err(|reason| Error::Variant {
            sku: variant.sku.clone(),
            reason: Box::new(reason),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(name: &str, codes: &[&str]) -> Axis {
        let value = |code: &&str| Value {
            id: ValueId::new(),
            name: code.to_lowercase(),
            code: (*code).into(),
        };
        Axis {
            id: AttributeId::new(),
            name: name.into(),
            values: codes.iter().map(value).collect(),
        }
    }

    fn skus(pattern: Option<&str>, axes: &[Axis]) -> Result<Vec<String>, Error> {
        let pattern = Pattern::read(pattern, axes)?;
        let value = |n: usize| -> Vec<&Value> {
            axes.iter()
                .map(|axis| &axis.values[n % axis.values.len()])
                .collect()
        };
        (0..2).map(|n| pattern.sku("SHIRT", &value(n))).collect()
    }

    #[test]
    fn a_pattern_makes_skus_and_says_what_it_does_not_know() {
        let axes = [
            axis("Size", &["S", "M"]),
            axis("Sleeve length", &["LONG", "SHORT"]),
        ];
        assert_eq!(
            skus(None, &axes).unwrap(),
            ["SHIRT-S-LONG", "SHIRT-M-SHORT"]
        );
        let pattern = "{sleeve LENGTH}/{sku}.{size}x";
        assert_eq!(
            skus(Some(pattern), &axes).unwrap(),
            ["LONG/SHIRT.Sx", "SHORT/SHIRT.Mx"]
        );
        for wrong in [
            "{sku}-{size}",
            "{sku}-{size}-{colour}",
            "{sku",
            " {sku}{size}{sleeve length}",
            "{size}{sleeve length}ß",
        ] {
            assert!(skus(Some(wrong), &axes).is_err(), "{wrong}");
        }
        // An attribute of one value need not stand in it.
        assert!(
            skus(
                Some("{sku}-{size}"),
                &[axis("Size", &["S", "M"]), axis("Fit", &["SLIM"])]
            )
            .is_ok()
        );
    }

    #[test]
    fn what_is_changed_is_a_variants_own() {
        let own = overrides(
            &["mrp".to_owned()],
            &["sku", "price_includes_tax", "barcodes", "name", "price"],
        );
        assert_eq!(&*own, ["mrp", "name", "price"]);
        assert_eq!(overrides(&own, &["status", "name"]), own);
    }
}
