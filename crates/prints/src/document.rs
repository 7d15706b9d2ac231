//! What is printed: a plain description, whichever service makes it.

use std::collections::BTreeMap;

use bahi_gst::StateCode;
use bahi_types::{Money, Price, Quantity, Rate};
use chrono::{NaiveDate, NaiveTime};
use rust_decimal::Decimal;

/// Which document it is; the law names it in its title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rule 46 of the CGST Rules.
    TaxInvoice,
    /// Rule 49: nothing on it is taxed, or the supplier may not charge tax.
    BillOfSupply,
    /// Rule 46A: taxed and exempt goods to somebody who is not registered.
    InvoiceCumBillOfSupply,
    /// Rule 53.
    CreditNote,
}

impl Kind {
    /// Which of the three invoices a sale has.
    pub fn of_sale(registered_supplier: bool, registered_buyer: bool, lines: &[Line]) -> Self {
        let taxed = lines.iter().filter(|line| line.taxed).count();
        if !registered_supplier || taxed == 0 {
            Self::BillOfSupply
        } else if taxed < lines.len() && !registered_buyer {
            Self::InvoiceCumBillOfSupply
        } else {
            Self::TaxInvoice
        }
    }

    /// As it stands on the document.
    pub const fn title(self) -> &'static str {
        match self {
            Self::TaxInvoice => "TAX INVOICE",
            Self::BillOfSupply => "BILL OF SUPPLY",
            Self::InvoiceCumBillOfSupply => "INVOICE-CUM-BILL OF SUPPLY",
            Self::CreditNote => "CREDIT NOTE",
        }
    }
}

/// For whom a copy is (rule 48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copy {
    /// The first.
    #[default]
    Original,
    /// The second.
    Duplicate,
    /// The third.
    Triplicate,
}

impl Copy {
    /// As it stands on the document. Where services are sold there is no transporter, and the second is the supplier's.
    pub const fn title(self, goods: bool) -> &'static str {
        match (self, goods) {
            (Self::Original, _) => "ORIGINAL FOR RECIPIENT",
            (Self::Duplicate, true) => "DUPLICATE FOR TRANSPORTER",
            (Self::Duplicate, false) => "DUPLICATE FOR SUPPLIER",
            (Self::Triplicate, _) => "TRIPLICATE FOR SUPPLIER",
        }
    }
}

/// What a print says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Prints of this form and copy before this one; none leaves it unmarked.
    pub before: u32,
    /// The document was cancelled after it was issued.
    pub cancelled: bool,
}

impl Mark {
    /// `DUPLICATE - REPRINT 1`, from the second print on; `CANCELLED` before that, or alone.
    pub fn text(self) -> Option<String> {
        let reprint = (self.before > 0).then(|| format!("DUPLICATE - REPRINT {}", self.before));
        match (self.cancelled, reprint) {
            (true, Some(reprint)) => Some(format!("CANCELLED - {reprint}")),
            (true, None) => Some("CANCELLED".to_owned()),
            (false, reprint) => reprint,
        }
    }
}

/// Who sells or buys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// Name; nothing where nobody was named.
    pub name: Option<String>,
    /// Name of the branch or over the door.
    pub trade_name: Option<String>,
    /// Address, in lines or in one.
    pub address: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// GSTIN.
    pub gstin: Option<String>,
    /// State.
    pub state: Option<StateCode>,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub description: String,
    /// HSN or SAC.
    pub hsn: String,
    /// Unit quantity code.
    pub uqc: String,
    /// How much.
    pub qty: Quantity,
    /// Price of one, where it is known.
    pub unit_price: Option<Price>,
    /// Of the line and its share of the bill's.
    pub discount: Money,
    /// Tax of a rate, were it 0 %, and not nil-rated, exempt or outside GST.
    pub taxed: bool,
    /// GST in per cent.
    pub rate: Rate,
    /// Cess in per cent.
    pub cess_rate: Rate,
    /// Taxable value.
    pub taxable: Money,
    /// Central tax.
    pub cgst: Money,
    /// State or union-territory tax.
    pub sgst: Money,
    /// Integrated tax.
    pub igst: Money,
    /// Compensation cess.
    pub cess: Money,
    /// With tax.
    pub total: Money,
    /// More to say: serial numbers, batches.
    pub note: Option<String>,
}

/// A payment or refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Means.
    pub method: String,
    /// How much.
    pub amount: Money,
    /// Reference of the means.
    pub reference: Option<String>,
}

/// An invoice, a credit note or a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Which it is.
    pub kind: Kind,
    /// Consecutive number.
    pub number: String,
    /// Date.
    pub date: NaiveDate,
    /// Time in India, which receipts show.
    pub time: NaiveTime,
    /// Seller.
    pub supplier: Party,
    /// Buyer.
    pub buyer: Party,
    /// Place of supply.
    pub place_of_supply: StateCode,
    /// Integrated tax is due, not central and state tax.
    pub inter_state: bool,
    /// The buyer pays the tax.
    pub reverse_charge: bool,
    /// Number and date of the invoice that a credit note corrects.
    pub against: Option<(String, NaiveDate)>,
    /// Why there is a credit note.
    pub reason: Option<String>,
    /// Till.
    pub till: Option<String>,
    /// Goods are among the lines.
    pub goods: bool,
    /// Lines.
    pub lines: Vec<Line>,
    /// Discounts in all.
    pub discount: Money,
    /// Taxable value.
    pub taxable: Money,
    /// Central tax.
    pub cgst: Money,
    /// State or union-territory tax.
    pub sgst: Money,
    /// Integrated tax.
    pub igst: Money,
    /// Compensation cess.
    pub cess: Money,
    /// Round-off.
    pub round_off: Money,
    /// Payable, or given back.
    pub total: Money,
    /// How it was paid.
    pub payments: Vec<Payment>,
    /// Cash given back.
    pub change: Money,
    /// What the QR code says.
    pub qr: Option<String>,
}

impl Document {
    /// What the second half of an intra-state tax is called at this place.
    pub(crate) fn state_tax(&self) -> &'static str {
        if self.place_of_supply.levies_utgst() {
            "UTGST"
        } else {
            "SGST"
        }
    }

    /// The place of supply with its code: `27 Maharashtra`.
    pub(crate) fn place(&self) -> String {
        format!("{} {}", self.place_of_supply, self.place_of_supply.name())
    }

    /// Sums by HSN and rates, in that order.
    pub fn by_hsn(&self) -> Vec<Sum> {
        self.sums(|line| line.hsn.clone())
    }

    /// Sums by rates alone.
    pub fn by_rate(&self) -> Vec<Sum> {
        self.sums(|_| String::new())
    }

    fn sums(&self, hsn: impl Fn(&Line) -> String) -> Vec<Sum> {
        let mut sums: BTreeMap<(String, Rate, Rate), Sum> = BTreeMap::new();
        for line in &self.lines {
            let key = (hsn(line), line.rate, line.cess_rate);
            let sum = sums.entry(key.clone()).or_insert_with(|| Sum {
                hsn: key.0,
                rate: key.1,
                cess_rate: key.2,
                ..Sum::default()
            });
            sum.taxable += line.taxable;
            sum.cgst += line.cgst;
            sum.sgst += line.sgst;
            sum.igst += line.igst;
            sum.cess += line.cess;
            sum.total += line.total;
        }
        sums.into_values().collect()
    }
}

/// Sums of lines of one rate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// HSN or SAC; empty where it is summed by rate.
    pub hsn: String,
    /// GST in per cent.
    pub rate: Rate,
    /// Cess in per cent.
    pub cess_rate: Rate,
    /// Taxable value.
    pub taxable: Money,
    /// Central tax.
    pub cgst: Money,
    /// State tax.
    pub sgst: Money,
    /// Integrated tax.
    pub igst: Money,
    /// Cess.
    pub cess: Money,
    /// With tax.
    pub total: Money,
}

/// `12,34,567.00`: groups of two before the last of three, as India writes.
pub fn grouped(amount: Money) -> String {
    let text = amount.to_string();
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.as_str()),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "00"));
    let mut grouped = String::with_capacity(text.len() + 8);
    for (at, digit) in whole.chars().enumerate() {
        let left = whole.len() - at;
        if at > 0 && (left == 3 || left > 3 && left % 2 == 1) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}.{fraction}")
}

/// `18`, `2.5`: without zeros that say nothing.
pub(crate) fn percent(rate: Decimal) -> String {
    format!("{}%", rate.normalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_grouped_as_india_does() {
        for (amount, expected) in [
            ("0", "0.00"),
            ("999.5", "999.50"),
            ("1000", "1,000.00"),
            ("99999", "99,999.00"),
            ("100000", "1,00,000.00"),
            ("123456789.01", "12,34,56,789.01"),
            ("-4621", "-4,621.00"),
            ("999999999999999.99", "99,99,99,99,99,99,999.99"),
        ] {
            assert_eq!(grouped(amount.parse().unwrap()), expected);
        }
    }
}
