//! Prints as others see them: PDFs through poppler, receipts through a reader of their commands.

mod escpos;
mod pages;
mod poppler;
mod shaping;

use std::sync::LazyLock;

use bahi_gst::StateCode;
use bahi_types::{Money, Rate};

use crate::{Document, Fonts, Kind, Line, Party, Payment};

static FONTS: LazyLock<Fonts> = LazyLock::new(|| {
    let folder = std::env::var("BAHI_TEST_FONTS").expect("BAHI_TEST_FONTS: scripts/infra test env");
    Fonts::load(folder.as_ref()).expect("the fonts load")
});

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn state(code: u8) -> StateCode {
    StateCode::try_from(code).unwrap()
}

/// A line within a state; `half` is each of its two taxes.
fn line(description: &str, hsn: &str, qty: &str, rate: &str, amounts: [&str; 3]) -> Line {
    let [taxable, half, total] = amounts.map(money);
    Line {
        description: description.into(),
        hsn: hsn.into(),
        uqc: "PCS".into(),
        qty: qty.parse().unwrap(),
        unit_price: None,
        discount: Money::ZERO,
        taxed: true,
        rate: rate.parse().unwrap(),
        cess_rate: Rate::ZERO,
        taxable,
        cgst: half,
        sgst: half,
        igst: Money::ZERO,
        cess: Money::ZERO,
        total,
        note: None,
    }
}

/// A document whose sums are those of its lines.
fn document(lines: Vec<Line>) -> Document {
    let sum = |f: fn(&Line) -> Money| lines.iter().map(f).sum::<Money>();
    Document {
        kind: Kind::TaxInvoice,
        number: "MH/26-27/0001".into(),
        date: "2026-11-05".parse().unwrap(),
        time: "11:30:00".parse().unwrap(),
        supplier: Party {
            name: Some("Kirana Retail Private Limited".into()),
            trade_name: Some("Mumbai".into()),
            address: Some("12 MG Road\nMumbai 400001".into()),
            phone: Some("022 2345 6789".into()),
            gstin: Some("27AAPFU0939F1ZV".into()),
            state: Some(state(27)),
        },
        buyer: Party {
            name: Some("Jain Stores".into()),
            address: Some("Laxmi Road, Pune".into()),
            phone: Some("9820098200".into()),
            gstin: Some("27AAJCS5738D1Z6".into()),
            state: Some(state(27)),
            ..Party::default()
        },
        place_of_supply: state(27),
        inter_state: false,
        reverse_charge: false,
        against: None,
        reason: None,
        till: Some("Till 1".into()),
        goods: true,
        discount: sum(|l| l.discount),
        taxable: sum(|l| l.taxable),
        cgst: sum(|l| l.cgst),
        sgst: sum(|l| l.sgst),
        igst: sum(|l| l.igst),
        cess: sum(|l| l.cess),
        round_off: Money::ZERO,
        total: sum(|l| l.total),
        payments: Vec::new(),
        change: Money::ZERO,
        qr: Some("{\"DocNo\":\"MH/26-27/0001\"}".into()),
        lines,
    }
}

/// Scenario 1 of the worked examples, after discounts.
fn scenario_1() -> Document {
    let mut made = document(vec![
        line(
            "Shampoo 340 ml",
            "330510",
            "12",
            "5",
            ["2096.50", "52.41", "2201.32"],
        ),
        line(
            "Charger 20W",
            "850440",
            "3",
            "18",
            ["974.01", "87.66", "1149.33"],
        ),
        line(
            "Cola 750 ml",
            "220210",
            "24",
            "40",
            ["907.19", "181.44", "1270.07"],
        ),
    ]);
    for (line, price) in made.lines.iter_mut().zip(["199", "349.50", "38.75"]) {
        line.unit_price = Some(price.parse().unwrap());
    }
    made.discount = money("388.80");
    made.round_off = money("0.28");
    made.total = money("4621.00");
    made.payments = vec![Payment {
        method: "credit".into(),
        amount: money("4621.00"),
        reference: None,
    }];
    made
}
