//! The reference vectors, with where they come from, in `vectors.json`.

#![allow(clippy::unwrap_used)]

use bahi_gst::{
    Amounts, Discount, Document, DocumentKind, Gstin, GstinError, GstinKind, Levy, Line,
    OutwardLine, Pricing, RoundOff, SupplyNature, TaxCategory, TaxRate, classify, compute,
    gstin_check_digit, prorate, prorate_line,
};
use rust_decimal::Decimal;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}
fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}
/// A decimal written as a string or as a whole number.
fn d(value: &Value) -> Decimal {
    value.as_str().map_or_else(
        || value.to_string().parse().unwrap(),
        |text| text.parse().unwrap(),
    )
}

#[test]
fn valid_gstins_are_of_the_kind_they_are_listed_under() {
    let kinds = [
        ("normal", GstinKind::Normal, 18),
        ("tcs", GstinKind::TaxCollector, 5),
        ("tds", GstinKind::TaxDeductor, 1),
    ];
    for (name, kind, count) in kinds {
        let valid = vectors()["gstin"]["valid"][name].clone();
        assert_eq!(list(&valid).len(), count);
        for text in list(&valid) {
            let gstin: Gstin = text.as_str().unwrap().parse().unwrap();
            assert_eq!(gstin.kind(), kind, "{gstin}");
            assert_eq!(gstin.state().unwrap().to_string(), gstin.as_str()[..2]);
            assert_eq!(gstin.pan().unwrap().as_str(), &gstin.as_str()[2..12]);
        }
    }
}

#[test]
fn a_wrong_check_digit_is_refused_with_the_right_one() {
    let vectors = vectors();
    let wrong = vectors["gstin"]["invalid_check_digit"].as_object().unwrap();
    assert_eq!(wrong.len(), 7);
    for (text, right) in wrong {
        let expected = right.as_str().unwrap().chars().next().unwrap();
        let found = text.chars().last().unwrap();
        assert_eq!(gstin_check_digit(&text[..14]), Some(expected), "{text}");
        assert_eq!(
            text.parse::<Gstin>(),
            Err(GstinError::CheckDigit { expected, found })
        );
    }
}

#[test]
fn an_inclusive_price_splits_without_a_paisa_over() {
    for vector in list(&vectors()["inclusive_split"]) {
        let price = d(&vector["incl"]);
        let line = Line {
            qty: Decimal::ONE,
            unit_price: price,
            pricing: Pricing::Inclusive,
            discount: Discount::None,
            tax: TaxRate::taxable(d(&vector["rate"]), Decimal::ZERO).unwrap(),
        };
        let document = Document {
            lines: &[line],
            bill_discount: Discount::None,
            levy: Levy::Intra,
            round_off: RoundOff::None,
        };
        let amounts = compute(&document).unwrap().lines[0].amounts;
        assert_eq!(amounts.taxable, d(&vector["taxable"]));
        assert_eq!(
            (amounts.cgst, amounts.sgst),
            (d(&vector["cgst"]), d(&vector["cgst"]))
        );
        assert_eq!(amounts.total(), price);
    }
}

#[test]
fn the_limit_for_large_sales_to_consumers_follows_the_date() {
    let supplier: Gstin = "27AAPFU0939F1ZV".parse().unwrap();
    for vector in list(&vectors()["b2c_limit"]) {
        let line = OutwardLine {
            kind: DocumentKind::Invoice,
            date: vector["date"].as_str().unwrap().parse().unwrap(),
            supplier: &supplier,
            buyer: None,
            category: TaxCategory::Taxable,
            nature: SupplyNature::Domestic,
            inter: true,
            document_total: d(&vector["total"]),
            original_total: None,
        };
        let table = classify(&line).unwrap();
        assert_eq!(
            table.section(),
            vector["table"].as_str().unwrap(),
            "{vector}"
        );
    }
}

#[test]
fn part_returns_give_back_exactly_what_was_sold() {
    let vector = vectors()["return_proration"].clone();
    let sold = d(&vector["qty"]);
    for name in ["taxable", "cgst", "cogs"] {
        let total = d(&vector[name]);
        let (mut returned, mut given) = (Decimal::ZERO, Decimal::ZERO);
        let shares = list(&vector[format!("{name}_out")]).iter();
        for (qty, expected) in list(&vector["returns"]).iter().zip(shares) {
            returned += d(qty);
            let share = prorate(total, sold, returned, given).unwrap();
            assert_eq!(share, d(expected), "{name} after {returned}");
            given += share;
        }
        assert_eq!(given, total);
    }
}

#[test]
fn a_line_is_given_back_amount_by_amount() {
    let vector = vectors()["return_proration"].clone();
    let (taxable, tax) = (d(&vector["taxable"]), d(&vector["cgst"]));
    let sold = Amounts {
        taxable,
        cgst: tax,
        sgst: tax,
        ..Amounts::ZERO
    };
    let first = prorate_line(
        &sold,
        Pricing::Exclusive,
        d(&vector["qty"]),
        d(&vector["returns"][0]),
        &Amounts::ZERO,
    )
    .unwrap();
    assert_eq!(first.taxable, d(&vector["taxable_out"][0]));
    assert_eq!(
        (first.cgst, first.sgst),
        (d(&vector["cgst_out"][0]), d(&vector["cgst_out"][0]))
    );
}
