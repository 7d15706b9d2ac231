//! What is refused, and how the refusal reads.

#![allow(clippy::unwrap_used)]

use bahi_gst::{Discount, Document, Levy, Line, Pricing, RoundOff, TaxError, TaxRate, compute};
use rust_decimal::Decimal;

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}
fn line(qty: &str, unit_price: &str, discount: Discount) -> Line {
    let tax = TaxRate::taxable(d("18"), Decimal::ZERO).unwrap();
    Line {
        qty: d(qty),
        unit_price: d(unit_price),
        pricing: Pricing::Exclusive,
        discount,
        tax,
    }
}
fn refused(lines: &[Line], bill_discount: Discount) -> TaxError {
    let round_off = RoundOff::NearestRupee;
    compute(&Document {
        lines,
        bill_discount,
        levy: Levy::Intra,
        round_off,
    })
    .unwrap_err()
}
fn refused_second(bad: Line) -> String {
    refused(&[line("1", "10", Discount::None), bad], Discount::None).to_string()
}

#[test]
fn a_document_needs_a_line() {
    assert_eq!(refused(&[], Discount::None), TaxError::NoLines);
}

#[test]
fn the_refusal_names_line_and_field() {
    let none = Discount::None;
    for (bad, reads) in [
        (line("0", "10", none), "line 2: quantity must not be zero"),
        (
            line("-1", "10", none),
            "line 2: quantity must have the same sign on all lines",
        ),
        (
            line("1.0005", "10", none),
            "line 2: quantity has more than 3 decimals",
        ),
        (
            line("1000000000000000", "0", none),
            "line 2: quantity is too large",
        ),
        (
            line("1", "-0.01", none),
            "line 2: unit price must not be negative",
        ),
        (
            line("1", "0.00001", none),
            "line 2: unit price has more than 4 decimals",
        ),
        (
            line("99999999", "99999999", none),
            "line 2: amount is too large",
        ),
    ] {
        assert_eq!(refused_second(bad), reads);
    }
}

#[test]
fn a_discount_is_between_nothing_and_everything() {
    for (discount, reads) in [
        (
            Discount::Amount(d("10.01")),
            "line 2: discount exceeds what it is taken from",
        ),
        (
            Discount::Amount(d("-0.01")),
            "line 2: discount must not be negative",
        ),
        (
            Discount::Amount(d("0.001")),
            "line 2: discount has more than 2 decimals",
        ),
        (
            Discount::Percent(d("100.001")),
            "line 2: discount exceeds what it is taken from",
        ),
        (
            Discount::Percent(d("-0.001")),
            "line 2: discount must not be negative",
        ),
        (
            Discount::Percent(d("1.0001")),
            "line 2: discount has more than 3 decimals",
        ),
        (
            Discount::Percent(Decimal::MAX),
            "line 2: discount is too large",
        ),
    ] {
        assert_eq!(refused_second(line("1", "10", discount)), reads);
    }
    let ten = [line("1", "10", Discount::None)];
    let over = refused(&ten, Discount::Amount(d("10.01"))).to_string();
    assert_eq!(over, "bill discount exceeds what it is taken from");
    let free = [line("1", "0", Discount::None)];
    let of_nothing = refused(&free, Discount::Amount(d("0.01"))).to_string();
    assert_eq!(of_nothing, "bill discount exceeds what it is taken from");
}

#[test]
fn everything_may_be_given_away() {
    let lines = [
        line("1", "10", Discount::Percent(d("100"))),
        line("1", "5", Discount::None),
    ];
    let bill_discount = Discount::Amount(d("5"));
    let document = Document {
        lines: &lines,
        bill_discount,
        levy: Levy::Intra,
        round_off: RoundOff::None,
    };
    let totals = compute(&document).unwrap().totals;
    assert_eq!(
        (totals.payable, totals.amounts.tax()),
        (Decimal::ZERO, Decimal::ZERO)
    );
}

#[test]
fn sums_that_are_too_large_are_refused() {
    let most = line("1", "999999999999999.99", Discount::None);
    let reads = refused(&[most, most], Discount::None).to_string();
    assert_eq!(reads, "total is too large");
    assert!(
        matches!(refused(&[most], Discount::None), TaxError::Total(_)),
        "with the tax"
    );
    for extreme in [Decimal::MAX, Decimal::MIN] {
        let bad = Line {
            qty: extreme,
            unit_price: extreme.abs(),
            ..most
        };
        assert!(matches!(
            refused(&[bad], Discount::None),
            TaxError::Line { line: 0, .. }
        ));
    }
}
