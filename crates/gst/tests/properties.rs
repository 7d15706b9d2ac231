//! What holds for every document.

#![allow(clippy::unwrap_used)]

use bahi_gst::{
    Amounts, Discount, Document, Levy, Line, Pricing, RoundOff, TaxRate, compute, prorate,
    prorate_line,
};
use proptest::prelude::*;
use rust_decimal::Decimal;

fn tax() -> impl Strategy<Value = TaxRate> {
    let rates = vec!["0", "0.25", "3", "5", "7.5", "12", "18", "28", "40"];
    let taxable = (
        prop::sample::select(rates),
        prop::sample::select(vec![0, 0, 0, 12]),
    )
        .prop_map(|(rate, cess)| {
            TaxRate::taxable(rate.parse().unwrap(), Decimal::from(cess)).unwrap()
        });
    prop_oneof![8 => taxable, 1 => Just(TaxRate::NIL_RATED), 1 => Just(TaxRate::EXEMPT)]
}

fn discount() -> impl Strategy<Value = Discount> {
    prop_oneof![
        3 => Just(Discount::None),
        1 => (0i64..=100_000).prop_map(|p| Discount::Percent(Decimal::new(p, 3))),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    let pricing = prop_oneof![Just(Pricing::Exclusive), Just(Pricing::Inclusive)];
    (
        1i64..5_000_000,
        0i64..100_000_000,
        pricing,
        discount(),
        tax(),
    )
        .prop_map(|(qty, price, pricing, discount, tax)| Line {
            qty: Decimal::new(qty, 3),
            unit_price: Decimal::new(price, 4),
            pricing,
            discount,
            tax,
        })
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    prop::collection::vec(line(), 1..12)
}

fn levy() -> impl Strategy<Value = Levy> {
    prop_oneof![Just(Levy::Intra), Just(Levy::Inter), Just(Levy::NotCharged)]
}

fn document(lines: &[Line], bill_discount: Discount, levy: Levy) -> Document<'_> {
    Document {
        lines,
        bill_discount,
        levy,
        round_off: RoundOff::NearestRupee,
    }
}

fn add(a: Amounts, b: Amounts) -> Amounts {
    Amounts {
        taxable: a.taxable + b.taxable,
        cgst: a.cgst + b.cgst,
        sgst: a.sgst + b.sgst,
        igst: a.igst + b.igst,
        cess: a.cess + b.cess,
    }
}

fn half_a_paisa() -> Decimal {
    Decimal::new(5, 3)
}

proptest! {
    #[test]
    fn lines_rates_and_totals_agree(lines in lines(), bill in discount(), levy in levy()) {
        let computed = compute(&document(&lines, bill, levy)).unwrap();
        let by_line = computed.lines.iter().map(|line| line.amounts).fold(Amounts::ZERO, add);
        let by_rate = computed.rates.iter().map(|rate| rate.amounts).fold(Amounts::ZERO, add);
        let totals = computed.totals;
        prop_assert_eq!(by_line, totals.amounts);
        prop_assert_eq!(by_rate, totals.amounts);
        let shares: Decimal = computed.lines.iter().map(|line| line.bill_discount).sum();
        prop_assert_eq!(shares, totals.bill_discount);
        prop_assert_eq!(totals.amounts.total() + totals.round_off, totals.payable);
        prop_assert!(totals.round_off.abs() <= Decimal::new(50, 2));
        prop_assert_eq!(totals.payable, totals.payable.trunc());
    }

    #[test]
    fn central_and_state_tax_are_equal_everywhere(lines in lines(), bill in discount()) {
        let computed = compute(&document(&lines, bill, Levy::Intra)).unwrap();
        for line in &computed.lines {
            prop_assert_eq!(line.amounts.cgst, line.amounts.sgst);
            prop_assert_eq!(line.amounts.igst, Decimal::ZERO);
        }
    }

    #[test]
    fn nothing_on_a_line_is_negative(lines in lines(), bill in discount(), levy in levy()) {
        for line in compute(&document(&lines, bill, levy)).unwrap().lines {
            let Amounts { taxable, cgst, igst, cess, .. } = line.amounts;
            for amount in [line.gross, line.discount, line.bill_discount, taxable, cgst, igst, cess] {
                prop_assert!(amount >= Decimal::ZERO);
            }
        }
    }

    #[test]
    fn a_line_priced_with_tax_costs_exactly_its_price(
        lines in lines(), bill in discount(), levy in levy(),
    ) {
        let computed = compute(&document(&lines, bill, levy)).unwrap();
        for (given, line) in lines.iter().zip(&computed.lines) {
            let net = line.gross - line.discount - line.bill_discount;
            match given.pricing {
                Pricing::Inclusive => prop_assert_eq!(line.total(), net),
                Pricing::Exclusive => prop_assert_eq!(line.amounts.taxable, net),
            }
        }
    }

    #[test]
    fn tax_on_a_rate_is_rounded_once(lines in lines()) {
        let lines: Vec<Line> =
            lines.into_iter().map(|line| Line { pricing: Pricing::Exclusive, ..line }).collect();
        for total in compute(&document(&lines, Discount::None, Levy::Intra)).unwrap().rates {
            let exact = total.amounts.taxable * total.rate / Decimal::from(200);
            prop_assert!((total.amounts.cgst - exact).abs() <= half_a_paisa());
        }
    }

    #[test]
    fn a_settled_line_is_within_a_paisa_of_its_own_tax(lines in lines()) {
        let computed = compute(&document(&lines, Discount::None, Levy::Inter)).unwrap();
        for line in computed.lines {
            let exact = line.amounts.taxable * line.tax.rate() / Decimal::ONE_HUNDRED;
            let bound = Decimal::new(2, 2);
            prop_assert!((line.amounts.igst - exact).abs() < bound, "{line:?}");
        }
    }

    #[test]
    fn the_order_of_lines_does_not_change_the_sums(
        (lines, shuffled) in lines().prop_flat_map(|lines| {
            (Just(lines.clone()), Just(lines).prop_shuffle())
        }),
        levy in levy(),
    ) {
        let sums = |lines| {
            let computed = compute(&document(lines, Discount::None, levy)).unwrap();
            (computed.rates, computed.totals)
        };
        prop_assert_eq!(sums(&lines), sums(&shuffled));
    }

    #[test]
    fn a_negative_document_is_the_mirror(lines in lines(), bill in discount(), levy in levy()) {
        let invoice = compute(&document(&lines, bill, levy)).unwrap();
        let back: Vec<Line> =
            lines.iter().map(|line| Line { qty: -line.qty, ..*line }).collect();
        let note = compute(&document(&back, bill, levy)).unwrap();
        prop_assert_eq!(&note, &invoice.clone().mirrored());
        prop_assert_eq!(note.mirrored(), invoice);
    }

    #[test]
    fn returns_in_any_steps_give_back_the_whole(
        total in -10_000_000i64..10_000_000, steps in prop::collection::vec(1i64..50_000, 1..15),
    ) {
        let total = Decimal::new(total, 2);
        let sold = Decimal::new(steps.iter().sum(), 3);
        let (mut returned, mut given) = (Decimal::ZERO, Decimal::ZERO);
        for step in steps {
            returned += Decimal::new(step, 3);
            let share = prorate(total, sold, returned, given).unwrap();
            given += share;
            let exact = total * returned / sold;
            prop_assert!((given - exact).abs() <= half_a_paisa() + Decimal::new(1, 12));
        }
        prop_assert_eq!(given, total);
    }

    #[test]
    fn a_returned_line_gives_back_every_amount(
        line in line(), cuts in prop::collection::vec(0i64..=1000, 0..6), levy in levy(),
    ) {
        let sold = compute(&document(&[line], Discount::None, levy)).unwrap().lines[0].amounts;
        let mut cuts: Vec<Decimal> =
            cuts.iter().map(|cut| (line.qty * Decimal::new(*cut, 3)).trunc_with_scale(3)).collect();
        cuts.sort_unstable();
        cuts.push(line.qty);
        let mut given = Amounts::ZERO;
        for cumulative in cuts {
            let share = prorate_line(&sold, line.pricing, line.qty, cumulative, &given).unwrap();
            prop_assert_eq!(share.cgst, share.sgst);
            given = add(given, share);
            if line.pricing == Pricing::Inclusive {
                let exact = sold.total() * cumulative / line.qty;
                prop_assert!((given.total() - exact).abs() <= half_a_paisa() + Decimal::new(1, 12));
            }
        }
        prop_assert_eq!(given, sold);
    }

    #[test]
    fn no_input_makes_it_panic(
        parts in prop::collection::vec((any::<[u32; 3]>(), any::<bool>(), 0u32..=28), 4),
        levy in levy(), pricing in prop_oneof![Just(Pricing::Exclusive), Just(Pricing::Inclusive)],
    ) {
        let number = |i: usize| {
            let ([lo, mid, hi], negative, scale) = parts[i];
            Decimal::from_parts(lo, mid, hi, negative, scale)
        };
        let line = Line {
            qty: number(0),
            unit_price: number(1),
            pricing,
            discount: Discount::Percent(number(2)),
            tax: TaxRate::taxable(number(2), number(3)).unwrap_or(TaxRate::NIL_RATED),
        };
        let lines = [line, Line { discount: Discount::Amount(number(3)), ..line }];
        let _ = compute(&document(&lines, Discount::Amount(number(1)), levy));
        let _ = prorate(number(0), number(1), number(2), number(3));
        let _ = bahi_gst::apportion(number(0), &[number(1), number(2)]);
    }
}
