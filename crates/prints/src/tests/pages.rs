//! The A4 and the receipt, as poppler and a browser would read them.

use bahi_types::Money;
use proptest::prelude::*;

use super::{FONTS, document, line, money, poppler, scenario_1, state};
use crate::{
    Copy, Kind, Mark, Party,
    document::grouped,
    invoice,
    receipt::{self, Width},
};

const FIRST: Mark = Mark {
    before: 0,
    cancelled: false,
};

/// Words of a text, one space between them.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn assert_says(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn a_tax_invoice_has_what_rule_46_asks_for() {
    let pdf = invoice::pdf(&scenario_1(), Copy::Original, FIRST, &FONTS);
    let text = words(&poppler::text(&pdf, "-layout"));
    assert_says(
        &text,
        &[
            "TAX INVOICE",
            "ORIGINAL FOR RECIPIENT",
            // supplier, buyer
            "Kirana Retail Private Limited",
            "12 MG Road",
            "GSTIN: 27AAPFU0939F1ZV",
            "Jain Stores",
            "Laxmi Road, Pune",
            "GSTIN: 27AAJCS5738D1Z6",
            // number, date, place, reverse charge
            "No.: MH/26-27/0001",
            "Date: 05-11-2026",
            "Place of supply: 27 Maharashtra",
            "Tax payable on reverse charge: No",
            // lines
            "HSN/SAC",
            "1 Shampoo 340 ml 330510 12 199 2,096.50 52.41 52.41 2,201.32",
            "PCS 2.5% 2.5%",
            "2 Charger 20W 850440 3 349.5 974.01 87.66 87.66 1,149.33",
            "3 Cola 750 ml 220210 24 38.75 907.19 181.44 181.44 1,270.07",
            // sums, words, by HSN
            "Total 3,977.70 321.51 321.51 4,620.72",
            "Round off 0.28",
            "Amount payable (Rs) 4,621.00",
            "Rupees Four Thousand Six Hundred Twenty One Only",
            "330510 5% 2,096.50 52.41 52.41 2,201.32",
            "850440 18% 974.01 87.66 87.66 1,149.33",
            "For Kirana Retail Private Limited",
            "Authorised signatory",
            "Page 1 of 1",
        ],
    );
    assert!(!text.contains("REPRINT"));
}

#[test]
fn copies_and_reprints_say_what_they_are() {
    let text = |copy, before| {
        let pdf = invoice::pdf(
            &scenario_1(),
            copy,
            Mark {
                before,
                cancelled: false,
            },
            &FONTS,
        );
        words(&poppler::text(&pdf, "-layout"))
    };
    assert_says(&text(Copy::Duplicate, 0), &["DUPLICATE FOR TRANSPORTER"]);
    let third = text(Copy::Triplicate, 2);
    assert_says(
        &third,
        &["TRIPLICATE FOR SUPPLIER", "DUPLICATE - REPRINT 2"],
    );
}

#[test]
fn between_states_there_is_integrated_tax_and_the_state_is_named() {
    let mut sold = scenario_1();
    sold.inter_state = true;
    sold.place_of_supply = state(29);
    for line in &mut sold.lines {
        line.igst = line.cgst + line.sgst;
        (line.cgst, line.sgst) = (Money::ZERO, Money::ZERO);
    }
    sold.igst = sold.cgst + sold.sgst;
    (sold.cgst, sold.sgst) = (Money::ZERO, Money::ZERO);
    let pdf = invoice::pdf(&sold, Copy::Original, FIRST, &FONTS);
    let text = words(&poppler::text(&pdf, "-layout"));
    assert_says(
        &text,
        &["Place of supply: 29 Karnataka", "IGST 643.02", "104.82"],
    );
    assert!(!text.contains("CGST"), "{text}");
}

#[test]
fn a_credit_note_names_its_invoice_and_a_bill_of_supply_has_no_tax() {
    let mut note = scenario_1();
    note.kind = Kind::CreditNote;
    note.against = Some(("MH/26-27/0001".into(), note.date));
    note.reason = Some("Damaged".into());
    let text = words(&poppler::text(
        &invoice::pdf(&note, Copy::Original, FIRST, &FONTS),
        "-layout",
    ));
    assert_says(
        &text,
        &[
            "CREDIT NOTE",
            "Against invoice: MH/26-27/0001 of 05-11-2026",
            "Reason: Damaged",
            "Amount credited",
        ],
    );
    let mut milk = line("Milk", "040120", "1", "0", ["72.00", "0.00", "72.00"]);
    milk.taxed = false;
    assert_eq!(
        Kind::of_sale(true, false, &[milk.clone()]),
        Kind::BillOfSupply
    );
    assert_eq!(
        Kind::of_sale(false, true, &scenario_1().lines),
        Kind::BillOfSupply
    );
    let mixed = [milk.clone(), scenario_1().lines[0].clone()];
    assert_eq!(
        Kind::of_sale(true, false, &mixed),
        Kind::InvoiceCumBillOfSupply
    );
    assert_eq!(Kind::of_sale(true, true, &mixed), Kind::TaxInvoice);
    let mut bill = document(vec![milk]);
    bill.kind = Kind::BillOfSupply;
    let pdf = invoice::pdf(&bill, Copy::Original, FIRST, &FONTS);
    let text = poppler::text(&pdf, "-layout");
    assert!(
        text.contains("BILL OF SUPPLY") && !text.contains("CGST"),
        "{text}"
    );
}

#[test]
fn a_long_invoice_carries_its_sums_from_page_to_page() {
    let mut lines = Vec::new();
    for n in 1..=150 {
        lines.push(line(
            &format!("Item {n}"),
            "330510",
            "1",
            "18",
            ["100.00", "9.00", "118.00"],
        ));
    }
    let sold = document(lines);
    let pdf = invoice::pdf(&sold, Copy::Original, FIRST, &FONTS);
    let text = poppler::text(&pdf, "-layout");
    let pages: Vec<String> = text
        .split('\u{c}')
        .map(words)
        .filter(|p| !p.is_empty())
        .collect();
    assert!(pages.len() > 2, "{} pages", pages.len());
    let mut item = 0;
    for (at, page) in pages.iter().enumerate() {
        assert_says(
            page,
            &[
                &format!("Page {} of {}", at + 1, pages.len()),
                "MH/26-27/0001",
            ],
        );
        let before = item;
        while page.contains(&format!(" Item {} 330510", item + 1)) {
            item += 1;
        }
        let sums = |n: i64| {
            let of = |each: i64| grouped(Money::from(each * n));
            format!("{} {} {} {}", of(100), of(9), of(9), of(118))
        };
        if before > 0 && before < 150 {
            assert_says(page, &[&format!("Brought forward {}", sums(before))]);
        }
        if item < 150 {
            assert_says(page, &[&format!("Carried forward {}", sums(item))]);
        }
    }
    assert_eq!(item, 150, "every line is there, in order");
    assert_says(
        &words(&text),
        &["Total 15,000.00 1,350.00 1,350.00 17,700.00"],
    );
}

#[test]
fn indian_names_are_copied_from_the_page_as_they_were_written() {
    let mut sold = scenario_1();
    sold.lines[0].description = "शैम्पू क्षत्रिय".into();
    sold.lines[1].description = "சார்ஜர்".into();
    sold.buyer.name = Some("জৈন স্টোর্স".into());
    for pdf in [
        invoice::pdf(&sold, Copy::Original, FIRST, &FONTS),
        receipt::pdf(&sold, FIRST, Width::Mm80, &FONTS),
    ] {
        let text = words(&poppler::text(&pdf, "-raw"));
        assert_says(&text, &["शैम्पू क्षत्रिय", "சார்ஜர்", "জৈন স্টোর্স"]);
    }
}

#[test]
fn the_receipt_is_as_wide_as_its_paper_and_says_the_same_in_all_forms() {
    let mut sold = scenario_1();
    sold.buyer = Party::default();
    sold.change = money("1.00");
    let expected = [
        "Kirana Retail Private Limited",
        "GSTIN 27AAPFU0939F1ZV",
        "No. MH/26-27/0001",
        "05-11-2026",
        "11:30",
        "Shampoo 340 ml",
        "12 PCS x 199 HSN 330510 5%",
        "2,201.32",
        "Rs 4,621.00",
        "Change",
        "321.51",
    ];
    for (width, points) in [(Width::Mm58, 164), (Width::Mm80, 227)] {
        let pdf = receipt::pdf(&sold, FIRST, width, &FONTS);
        assert_says(&words(&poppler::text(&pdf, "-layout")), &expected);
        let picture = poppler::picture(&pdf);
        assert!(picture.width.abs_diff(points) <= 1, "{}", picture.width);
        let html = receipt::html(&sold, FIRST, width);
        assert_says(&html, &expected);
        assert_says(&html, &[&format!("size:{}mm auto", width.millimetres())]);
    }
}

#[test]
fn html_is_escaped() {
    let mut sold = scenario_1();
    sold.lines[0].description = "<script>alert(\"1\")</script> & more".into();
    let html = receipt::html(&sold, FIRST, Width::Mm80);
    assert!(!html.contains("<script"));
    assert_says(
        &html,
        &["&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; more"],
    );
}

#[test]
fn the_code_on_paper_says_what_it_was_given() {
    let mut sold = scenario_1();
    sold.lines.truncate(1);
    let pdf = receipt::pdf(&sold, FIRST, Width::Mm80, &FONTS);
    let picture = poppler::picture(&pdf);
    // Each dot three times as large, for the reader's sake.
    let (width, height) = (picture.width * 3, picture.height * 3);
    let at = |n: usize| picture.bytes[n / width / 3 * picture.width + n % width / 3];
    let luma = (0..width * height).map(at).collect();
    let read = rxing::helpers::detect_in_luma(
        luma,
        u32::try_from(width).unwrap(),
        u32::try_from(height).unwrap(),
        Some(rxing::BarcodeFormat::QR_CODE),
    );
    assert_eq!(read.unwrap().getText(), sold.qr.unwrap());
}

#[test]
fn the_same_document_gives_the_same_bytes() {
    let sold = scenario_1();
    let twice = |f: &dyn Fn() -> Vec<u8>| assert_eq!(f(), f());
    twice(&|| invoice::pdf(&sold, Copy::Original, FIRST, &FONTS));
    twice(&|| receipt::pdf(&sold, FIRST, Width::Mm58, &FONTS));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_text_can_be_printed(texts in proptest::collection::vec(any::<String>(), 6), long in 1usize..400) {
        let mut sold = scenario_1();
        sold.number = texts[0].clone();
        sold.lines[0].description = texts[1].repeat(long.min(40));
        sold.lines[1].description = "क्ष".repeat(long);
        sold.lines[2].note = Some(texts[2].clone());
        sold.buyer.name = Some(texts[3].clone());
        sold.supplier.address = Some(texts[4].clone());
        sold.qr = Some(texts[5].clone());
        let pdf = invoice::pdf(&sold, Copy::Original, FIRST, &FONTS);
        prop_assert!(pdf.starts_with(b"%PDF"));
        for width in [Width::Mm58, Width::Mm80] {
            prop_assert!(receipt::pdf(&sold, FIRST, width, &FONTS).starts_with(b"%PDF"));
            receipt::html(&sold, FIRST, width);
            let options = receipt::Options::default();
            prop_assert!(receipt::escpos(&sold, FIRST, width, options, Some(&FONTS)).is_ok());
        }
    }
}
