//! Worked documents, to the paisa.

#![allow(clippy::unwrap_used)]

use bahi_gst::{
    Amounts, Computed, Discount, Document, Levy, Line, Pricing, RoundOff, Series, TaxCategory,
    TaxRate, compute,
};
use rust_decimal::Decimal;

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}
fn taxable(rate: &str) -> TaxRate {
    TaxRate::taxable(d(rate), Decimal::ZERO).unwrap()
}
fn exclusive(qty: &str, unit_price: &str, discount: Discount, tax: TaxRate) -> Line {
    Line {
        qty: d(qty),
        unit_price: d(unit_price),
        pricing: Pricing::Exclusive,
        discount,
        tax,
    }
}
fn inclusive(qty: &str, unit_price: &str, tax: TaxRate) -> Line {
    Line {
        pricing: Pricing::Inclusive,
        ..exclusive(qty, unit_price, Discount::None, tax)
    }
}
fn intra(lines: &[Line]) -> Computed {
    let (bill_discount, round_off) = (Discount::None, RoundOff::None);
    compute(&Document {
        lines,
        bill_discount,
        levy: Levy::Intra,
        round_off,
    })
    .unwrap()
}
fn amounts(taxable: &str, half: &str) -> Amounts {
    Amounts {
        taxable: d(taxable),
        cgst: d(half),
        sgst: d(half),
        ..Amounts::ZERO
    }
}

fn three_line_invoice() -> [Line; 3] {
    [
        exclusive("12", "199.00", Discount::Percent(d("10")), taxable("5")),
        exclusive("3", "349.50", Discount::Amount(d("50")), taxable("18")),
        exclusive("24", "38.75", Discount::None, taxable("40")),
    ]
}
fn with_bill_discount(lines: &[Line], levy: Levy) -> Computed {
    let bill_discount = Discount::Amount(d("100"));
    compute(&Document {
        lines,
        bill_discount,
        levy,
        round_off: RoundOff::NearestRupee,
    })
    .unwrap()
}

/// Three lines within a state, discounts on lines and bill, rounded to the rupee.
#[test]
fn intra_state_invoice_with_line_and_bill_discount() {
    let computed = with_bill_discount(&three_line_invoice(), Levy::Intra);
    let rows = [
        (
            "2388.00",
            "238.80",
            "52.70",
            amounts("2096.50", "52.41"),
            "2201.32",
        ),
        (
            "1048.50",
            "50.00",
            "24.49",
            amounts("974.01", "87.66"),
            "1149.33",
        ),
        (
            "930.00",
            "0.00",
            "22.81",
            amounts("907.19", "181.44"),
            "1270.07",
        ),
    ];
    for (line, (gross, discount, share, expected, total)) in computed.lines.iter().zip(rows) {
        assert_eq!((line.gross, line.discount), (d(gross), d(discount)));
        assert_eq!(line.bill_discount, d(share));
        assert_eq!(line.amounts, expected);
        assert_eq!(line.total(), d(total));
    }
    let totals = computed.totals;
    assert_eq!((totals.gross, totals.discount), (d("4366.50"), d("288.80")));
    assert_eq!(totals.bill_discount, d("100.00"));
    assert_eq!(totals.amounts, amounts("3977.70", "321.51"));
    assert_eq!(totals.amounts.total(), d("4620.72"));
    assert_eq!(
        (totals.round_off, totals.payable),
        (d("0.28"), d("4621.00"))
    );
    let rates: Vec<_> = computed
        .rates
        .iter()
        .map(|total| (total.rate, total.amounts))
        .collect();
    assert_eq!(
        rates,
        [
            (d("5"), amounts("2096.50", "52.41")),
            (d("18"), amounts("974.01", "87.66")),
            (d("40"), amounts("907.19", "181.44")),
        ]
    );
}

/// The credit note over all of it mirrors it, the round-off too.
#[test]
fn a_credit_note_over_the_whole_invoice_mirrors_it() {
    let invoice = with_bill_discount(&three_line_invoice(), Levy::Intra);
    let note = three_line_invoice().map(|line| Line {
        qty: -line.qty,
        ..line
    });
    let note = with_bill_discount(&note, Levy::Intra);
    assert_eq!(note.totals.payable, d("-4621.00"));
    assert_eq!(note.totals.round_off, d("-0.28"));
    assert_eq!(note, invoice.clone().mirrored());
    assert_eq!(
        note.lines[2].discount.to_string(),
        "0.00",
        "zero has no sign"
    );
    assert_eq!(note.mirrored(), invoice);
}

/// The same goods sent to another state: one tax instead of two.
#[test]
fn inter_state_invoice_carries_integrated_tax() {
    let computed = with_bill_discount(&three_line_invoice(), Levy::Inter);
    let igst: Vec<Decimal> = computed
        .lines
        .iter()
        .map(|line| line.amounts.igst)
        .collect();
    assert_eq!(igst, [d("104.83"), d("175.32"), d("362.88")]);
    assert_eq!(computed.totals.amounts.cgst, Decimal::ZERO);
    assert_eq!(computed.totals.amounts.total(), d("4620.73"));
}

/// An export under a letter of undertaking: the rates stay on the lines, no tax is charged.
#[test]
fn nothing_is_charged_under_a_letter_of_undertaking() {
    let computed = with_bill_discount(&three_line_invoice(), Levy::NotCharged);
    assert_eq!(computed.totals.amounts.total(), d("3977.70"));
    assert_eq!(computed.totals.payable, d("3978.00"));
    assert_eq!(computed.lines[2].tax.rate(), d("40"));
}

/// A basket at the till, priced with tax, of three rates.
#[test]
fn pos_sale_of_shelf_prices() {
    let computed = intra(&[
        inclusive("2", "30", taxable("5")),
        inclusive("1", "299", taxable("18")),
        inclusive("1", "72", TaxRate::NIL_RATED),
    ]);
    let expected = [
        amounts("57.14", "1.43"),
        amounts("253.38", "22.81"),
        amounts("72.00", "0"),
    ];
    let lines: Vec<Amounts> = computed.lines.iter().map(|line| line.amounts).collect();
    assert_eq!(lines, expected);
    assert_eq!(computed.totals.amounts, amounts("382.52", "24.24"));
    assert_eq!(computed.totals.payable, d("431.00"));
    let categories: Vec<_> = computed.rates.iter().map(|total| total.category).collect();
    use TaxCategory::{NilRated, Taxable};
    assert_eq!(categories, [Taxable, Taxable, NilRated]);
}

/// 1.500 kg at 80.00 a kilogram with 5 % inside, off the label of a weighing scale.
#[test]
fn weighed_goods() {
    let line = intra(&[inclusive("1.500", "80.00", taxable("5"))]).lines[0];
    assert_eq!(line.amounts, amounts("114.28", "2.86"));
    assert_eq!(line.total(), d("120.00"));
}

/// 100.00 with 18 % and a cess of 2 % inside.
#[test]
fn an_inclusive_price_with_cess() {
    let tax = TaxRate::taxable(d("18"), d("2")).unwrap();
    let line = intra(&[inclusive("1", "100", tax)]).lines[0];
    assert_eq!(
        line.amounts,
        Amounts {
            cess: d("1.67"),
            ..amounts("83.33", "7.50")
        }
    );
}

/// Two at 7.60 and 12 %: the note of the e-way bill reference.
#[test]
fn a_small_note_rounds_to_seventeen() {
    let lines = [exclusive("-2", "7.60", Discount::None, taxable("12"))];
    let (bill_discount, round_off) = (Discount::None, RoundOff::NearestRupee);
    let note = compute(&Document {
        lines: &lines,
        bill_discount,
        levy: Levy::Intra,
        round_off,
    });
    let totals = note.unwrap().totals;
    assert_eq!(
        (totals.amounts.cgst, totals.amounts.sgst),
        (d("-0.91"), d("-0.91"))
    );
    assert_eq!((totals.payable, totals.round_off), (d("-17.00"), d("0.02")));
}

/// Three lines whose tax is a third of a paisa over: together one paisa, on the first line.
#[test]
fn tax_is_settled_once_per_rate() {
    let line = exclusive("1", "1.85", Discount::None, taxable("18"));
    let computed = intra(&[line, line, line]);
    // 9 % of 1.85 is 0.1665: by itself 0.17 on every line, 0.51 in all; 9 % of 5.55 is 0.4995.
    let cgst: Vec<Decimal> = computed
        .lines
        .iter()
        .map(|line| line.amounts.cgst)
        .collect();
    assert_eq!(cgst, [d("0.17"), d("0.17"), d("0.16")]);
    assert_eq!(computed.totals.amounts.cgst, d("0.50"));
}

/// Three lines of 0.333 rupees of tax each: 0.999 together, so a whole rupee.
#[test]
fn thirds_of_a_paisa_add_up_to_the_tax_of_the_group() {
    let line = exclusive("1", "3.70", Discount::None, taxable("18"));
    let computed = intra(&[line, line, line]);
    let sgst: Vec<Decimal> = computed
        .lines
        .iter()
        .map(|line| line.amounts.sgst)
        .collect();
    assert_eq!(sgst, [d("0.34"), d("0.33"), d("0.33")]);
}

/// The two ways that look right and are not: were one of them taken, the tests above would fail.
#[test]
fn the_obvious_ways_lose_a_paisa() {
    let r2 = bahi_types::r2;
    let value = r2(d("299") / d("1.18"));
    assert_eq!(
        value + r2(value * d("0.09")) * d("2"),
        d("299.01"),
        "a dearer cable"
    );
    let by_line = r2(d("1.85") * d("0.09")) * d("3");
    assert_ne!(
        by_line,
        r2(d("5.55") * d("0.09")),
        "line by line is not the tax on the sum"
    );
}

/// Lines with and without tax inside, at one rate: each keeps its own promise.
#[test]
fn both_kinds_of_price_may_share_a_rate() {
    let loose = exclusive("1", "1.85", Discount::None, taxable("18"));
    let computed = intra(&[loose, inclusive("1", "299", taxable("18")), loose]);
    assert_eq!(computed.lines[1].amounts, amounts("253.38", "22.81"));
    let half = |line: usize| computed.lines[line].amounts.cgst;
    assert_eq!(
        (half(0), half(2)),
        (d("0.17"), d("0.16")),
        "9 % of 3.70 is 0.333"
    );
    assert_eq!(computed.rates.len(), 1);
    assert_eq!(computed.rates[0].amounts, computed.totals.amounts);
}

/// A discount on a bill of shelf prices lowers what is paid by exactly the discount.
#[test]
fn a_bill_discount_on_shelf_prices_lowers_what_is_paid() {
    let lines = [
        inclusive("2", "30", taxable("5")),
        inclusive("1", "299", taxable("18")),
    ];
    let (bill_discount, round_off) = (Discount::Percent(d("10")), RoundOff::None);
    let document = Document {
        lines: &lines,
        bill_discount,
        levy: Levy::Intra,
        round_off,
    };
    let computed = compute(&document).unwrap();
    assert_eq!(computed.lines[0].total(), d("54.00"));
    assert_eq!(computed.totals.payable, d("323.10"));
}

/// Cess on a drink before February 2026.
#[test]
fn cess_on_top_of_the_tax() {
    let tax = TaxRate::taxable(d("28"), d("12")).unwrap();
    let computed = intra(&[exclusive("24", "38.75", Discount::None, tax)]);
    let expected = Amounts {
        cess: d("111.60"),
        ..amounts("930.00", "130.20")
    };
    assert_eq!(computed.lines[0].amounts, expected);
}

/// One cess at two rates of tax is settled for each rate, as the return lists it.
#[test]
fn cess_is_settled_per_rate() {
    let line = |rate| {
        let tax = TaxRate::taxable(d(rate), d("2")).unwrap();
        exclusive("1", "0.25", Discount::None, tax)
    };
    let computed = intra(&[line("18"), line("28")]);
    let cess: Vec<Decimal> = computed
        .rates
        .iter()
        .map(|total| total.amounts.cess)
        .collect();
    assert_eq!(cess, [d("0.01"), d("0.01")], "half a paisa each, up");
}

/// The number of the first document of a till in a year.
#[test]
fn the_first_number_of_a_year() {
    let date = "2026-11-05".parse().unwrap();
    let number = Series::try_new("MH")
        .unwrap()
        .number(bahi_gst::FiscalYear::of(date), 1)
        .unwrap();
    assert_eq!(number.to_string(), "MH/26-27/0001");
}
