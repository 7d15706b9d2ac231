//! Which table of return GSTR-1 a line of an outward document belongs to.

use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::{
    gstin::{Gstin, GstinKind},
    rate::TaxCategory,
};

/// What kind of document it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DocumentKind {
    /// A tax invoice or bill of supply.
    Invoice,
    /// A credit note (CGST Act, s.34(1)).
    CreditNote,
    /// A debit note (s.34(3)).
    DebitNote,
}

/// What kind of supply it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SupplyNature {
    /// In the country, to anybody who is none of the following.
    Domestic,
    /// To a special economic zone, with payment of IGST or under a letter of undertaking.
    Sez {
        /// Whether IGST is paid.
        with_payment: bool,
    },
    /// Out of the country, with payment of IGST or under a letter of undertaking.
    Export {
        /// Whether IGST is paid.
        with_payment: bool,
    },
    /// Deemed an export by notification (CGST Act, s.147).
    DeemedExport,
    /// From a customs bonded warehouse.
    BondedWarehouse,
}

/// What decides the table of one line.
#[derive(Clone, Copy, Debug)]
pub struct OutwardLine<'a> {
    /// Invoice or note.
    pub kind: DocumentKind,
    /// Date of the document itself, also for a note.
    pub date: NaiveDate,
    /// The seller.
    pub supplier: &'a Gstin,
    /// The buyer's GSTIN, if registered.
    pub buyer: Option<&'a Gstin>,
    /// Category of the line.
    pub category: TaxCategory,
    /// Kind of supply.
    pub nature: SupplyNature,
    /// Whether the supply is inter-state.
    pub inter: bool,
    /// What is payable on the document, with tax and rounded.
    pub document_total: Decimal,
    /// For a note: what was payable on its original invoice.
    pub original_total: Option<Decimal>,
}

/// A table of GSTR-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// 4, 6B, 6C: invoices to registered buyers.
    B2b(InvoiceType),
    /// 5: large inter-state invoices to unregistered buyers.
    B2cl,
    /// 7: everything else to unregistered buyers, summed by place and rate; notes are subtracted.
    B2cs,
    /// 8: nil-rated, exempt and non-GST.
    Nil(NilSupply),
    /// 6A: exports.
    Exp {
        /// Whether IGST is paid.
        with_payment: bool,
    },
    /// 9B: notes to registered buyers.
    Cdnr(InvoiceType),
    /// 9B: notes to unregistered buyers that are reported one by one.
    Cdnur(CdnurType),
}

/// `inv_typ` of an invoice or note to a registered buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvoiceType {
    /// Regular.
    Regular,
    /// To a special economic zone with payment of tax.
    SezWithPayment,
    /// To a special economic zone without payment of tax.
    SezWithoutPayment,
    /// Deemed export.
    DeemedExport,
    /// Customs bonded warehouse.
    BondedWarehouse,
}

/// `typ` of a note to an unregistered buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CdnurType {
    /// To a large inter-state invoice.
    B2cl,
    /// To an export with payment of tax.
    ExportWithPayment,
    /// To an export without payment of tax.
    ExportWithoutPayment,
}

/// `sply_ty` of a row of table 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NilSupply {
    /// Inter-state to registered buyers.
    InterB2b,
    /// Intra-state to registered buyers.
    IntraB2b,
    /// Inter-state to unregistered buyers.
    InterB2c,
    /// Intra-state to unregistered buyers.
    IntraB2c,
}

impl Table {
    /// The name of the section in the upload file.
    pub const fn section(self) -> &'static str {
        match self {
            Self::B2b(_) => "b2b",
            Self::B2cl => "b2cl",
            Self::B2cs => "b2cs",
            Self::Nil(_) => "nil",
            Self::Exp { .. } => "exp",
            Self::Cdnr(_) => "cdnr",
            Self::Cdnur(_) => "cdnur",
        }
    }
}

impl InvoiceType {
    /// The value in the upload file.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Regular => "R",
            Self::SezWithPayment => "SEWP",
            Self::SezWithoutPayment => "SEWOP",
            Self::DeemedExport => "DE",
            Self::BondedWarehouse => "CBW",
        }
    }
}

impl CdnurType {
    /// The value in the upload file.
    pub const fn code(self) -> &'static str {
        match self {
            Self::B2cl => "B2CL",
            Self::ExportWithPayment => "EXPWP",
            Self::ExportWithoutPayment => "EXPWOP",
        }
    }
}

impl NilSupply {
    /// The value in the upload file.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InterB2b => "INTRB2B",
            Self::IntraB2b => "INTRAB2B",
            Self::InterB2c => "INTRB2C",
            Self::IntraB2c => "INTRAB2C",
        }
    }
}

/// The total above which an inter-state invoice to an unregistered buyer is reported one by one:
/// 2,50,000 rupees, from 1-Aug-2024 1,00,000 (Notification 12/2024-Central Tax).
pub fn b2c_large_limit(date: NaiveDate) -> Decimal {
    let lowered = NaiveDate::from_ymd_opt(2024, 8, 1).is_some_and(|from| date >= from);
    Decimal::from(if lowered { 100_000 } else { 250_000 })
}

/// The table of GSTR-1 to which a line belongs; none for a supply to oneself, which is not reported.
pub fn classify(line: &OutwardLine<'_>) -> Option<Table> {
    if line.buyer == Some(line.supplier) {
        return None;
    }
    let invoice = line.kind == DocumentKind::Invoice;
    Some(if line.category != TaxCategory::Taxable {
        Table::Nil(line.nil_supply())
    } else if let SupplyNature::Export { with_payment } = line.nature {
        if invoice {
            Table::Exp { with_payment }
        } else {
            Table::Cdnur(export_note(with_payment))
        }
    } else if line.is_registered() {
        let invoice_type = line.invoice_type();
        if invoice {
            Table::B2b(invoice_type)
        } else {
            Table::Cdnr(invoice_type)
        }
    } else if line.is_large() {
        if invoice {
            Table::B2cl
        } else {
            Table::Cdnur(CdnurType::B2cl)
        }
    } else {
        Table::B2cs
    })
}

const fn export_note(with_payment: bool) -> CdnurType {
    if with_payment {
        CdnurType::ExportWithPayment
    } else {
        CdnurType::ExportWithoutPayment
    }
}

impl OutwardLine<'_> {
    /// Non-residents and OIDAR suppliers hold a GSTIN, but table 4 does not take it.
    fn is_registered(&self) -> bool {
        let abroad = |kind| matches!(kind, GstinKind::NonResident | GstinKind::Oidar);
        self.buyer.is_some_and(|buyer| !abroad(buyer.kind()))
    }

    const fn invoice_type(&self) -> InvoiceType {
        match self.nature {
            SupplyNature::Sez { with_payment: true } => InvoiceType::SezWithPayment,
            SupplyNature::Sez {
                with_payment: false,
            } => InvoiceType::SezWithoutPayment,
            SupplyNature::DeemedExport => InvoiceType::DeemedExport,
            SupplyNature::BondedWarehouse => InvoiceType::BondedWarehouse,
            SupplyNature::Domestic | SupplyNature::Export { .. } => InvoiceType::Regular,
        }
    }

    fn nil_supply(&self) -> NilSupply {
        match (self.inter, self.is_registered()) {
            (true, true) => NilSupply::InterB2b,
            (false, true) => NilSupply::IntraB2b,
            (true, false) => NilSupply::InterB2c,
            (false, false) => NilSupply::IntraB2c,
        }
    }

    /// A note is as large as itself or its original, whichever is more.
    fn is_large(&self) -> bool {
        let original = match self.kind {
            DocumentKind::Invoice => None,
            DocumentKind::CreditNote | DocumentKind::DebitNote => self.original_total,
        };
        let total = self
            .document_total
            .abs()
            .max(original.unwrap_or_default().abs());
        self.inter && total > b2c_large_limit(self.date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUPPLIER: &str = "27AAPFU0939F1ZV";

    /// Classifies a line of 1,00,000.01 rupees, inter-state, of today, after `change`.
    fn table(buyer: Option<&str>, change: impl Fn(&mut OutwardLine<'_>)) -> Option<Table> {
        let supplier: Gstin = SUPPLIER.parse().unwrap();
        let buyer: Option<Gstin> = buyer.map(|text| text.parse().unwrap());
        let mut line = OutwardLine {
            kind: DocumentKind::Invoice,
            date: "2026-11-10".parse().unwrap(),
            supplier: &supplier,
            buyer: buyer.as_ref(),
            category: TaxCategory::Taxable,
            nature: SupplyNature::Domestic,
            inter: true,
            document_total: "100000.01".parse().unwrap(),
            original_total: None,
        };
        change(&mut line);
        classify(&line)
    }
    const BUYER: Option<&str> = Some("29AABCR1718E1ZL");

    #[test]
    fn a_supply_to_oneself_is_not_reported() {
        assert_eq!(table(Some(SUPPLIER), |_| ()), None);
    }

    #[test]
    fn the_category_comes_first() {
        let nil = |buyer, inter| {
            table(buyer, |line| {
                line.category = TaxCategory::Exempt;
                line.inter = inter;
            })
        };
        assert_eq!(nil(BUYER, true), Some(Table::Nil(NilSupply::InterB2b)));
        assert_eq!(nil(BUYER, false), Some(Table::Nil(NilSupply::IntraB2b)));
        assert_eq!(nil(None, true), Some(Table::Nil(NilSupply::InterB2c)));
        assert_eq!(nil(None, false), Some(Table::Nil(NilSupply::IntraB2c)));
    }

    #[test]
    fn exports_have_their_own_table() {
        for with_payment in [true, false] {
            let of = |kind| {
                table(None, |line| {
                    line.kind = kind;
                    line.nature = SupplyNature::Export { with_payment };
                })
            };
            assert_eq!(of(DocumentKind::Invoice), Some(Table::Exp { with_payment }));
            let note = Some(Table::Cdnur(export_note(with_payment)));
            assert_eq!(of(DocumentKind::CreditNote), note);
        }
    }

    #[test]
    fn registered_buyers_are_listed_one_by_one() {
        assert_eq!(table(BUYER, |_| ()), Some(Table::B2b(InvoiceType::Regular)));
        let natures = [
            (SupplyNature::Sez { with_payment: true }, "SEWP"),
            (
                SupplyNature::Sez {
                    with_payment: false,
                },
                "SEWOP",
            ),
            (SupplyNature::DeemedExport, "DE"),
            (SupplyNature::BondedWarehouse, "CBW"),
        ];
        for (nature, code) in natures {
            let note = table(BUYER, |line| {
                line.kind = DocumentKind::DebitNote;
                line.nature = nature;
            });
            let Some(Table::Cdnr(invoice_type)) = note else {
                panic!("{note:?}")
            };
            assert_eq!(invoice_type.code(), code);
        }
    }

    #[test]
    fn a_supplier_of_services_from_abroad_counts_as_unregistered() {
        assert_eq!(table(Some("9917SGP29001OST"), |_| ()), Some(Table::B2cl));
    }

    #[test]
    fn only_large_inter_state_sales_to_unregistered_buyers_are_listed() {
        assert_eq!(table(None, |_| ()), Some(Table::B2cl));
        assert_eq!(table(None, |line| line.inter = false), Some(Table::B2cs));
        let at_the_limit =
            |line: &mut OutwardLine<'_>| line.document_total = Decimal::from(100_000);
        assert_eq!(table(None, at_the_limit), Some(Table::B2cs));
    }

    #[test]
    fn a_small_note_to_a_large_invoice_is_listed() {
        let note = |original: i64| {
            table(None, |line| {
                line.kind = DocumentKind::CreditNote;
                line.document_total = Decimal::from(-500);
                line.original_total = Some(Decimal::from(original));
            })
        };
        assert_eq!(note(150_000), Some(Table::Cdnur(CdnurType::B2cl)));
        assert_eq!(note(100_000), Some(Table::B2cs));
    }
}
