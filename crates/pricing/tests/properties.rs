//! What holds for every basket, and wrong ways to price one that these properties catch.

#![allow(clippy::unwrap_used)] // Tests fail by panicking.

use bahi_gst::{Discount, Document, Levy, Pricing, RoundOff, TaxRate, compute};
use bahi_pricing::{
    Audience, Base, Basket, Coupon, Line, LineFault, Offer, Period, Promotion, Quote, Rule, Rules,
    Scope, Why, resolve,
};
use bahi_types::{
    BranchId, BrandId, CouponId, CustomerGroupId, Fixed, Money, Price, PriceEntryId, PriceListId,
    ProductId, PromotionId, Quantity, UnitId, r2,
};
use chrono::NaiveDate;
use proptest::{prelude::*, sample::Index};
use rust_decimal::Decimal;
use uuid::Uuid;

fn id(n: u64) -> Uuid {
    Uuid::from_u128(n.into())
}
fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}
fn d<const S: u32>(text: &str) -> Fixed<S> {
    text.parse().unwrap()
}
fn product(n: u64) -> ProductId {
    ProductId::from_uuid(id(n))
}
fn pieces() -> UnitId {
    UnitId::from_uuid(id(900))
}
fn tax(percent: i64) -> TaxRate {
    TaxRate::taxable(percent.into(), Decimal::ZERO).unwrap()
}
fn line(n: u64, qty: &str, price: &str) -> Line {
    Line {
        product: product(n),
        unit: pieces(),
        qty: d(qty),
        base: Some(Base {
            price: d(price),
            includes_tax: true,
        }),
        mrp: None,
        tax: tax(18),
        categories: Vec::new(),
        brand: Some(BrandId::from_uuid(id(700 + n % 2))),
    }
}
fn basket(lines: Vec<Line>) -> Basket {
    Basket {
        date: day("2026-11-21"),
        branch: Some(BranchId::from_uuid(id(1))),
        customer_group: None,
        lines,
        coupons: Vec::new(),
    }
}
fn promotion(n: u64, rule: Rule) -> Promotion {
    Promotion {
        id: PromotionId::from_uuid(id(n)),
        priority: 0,
        stackable: false,
        needs_coupon: false,
        audience: Audience::default(),
        period: Period::default(),
        scope: Scope::default(),
        min_qty: None,
        min_amount: None,
        rule,
    }
}
fn offer(list: u64, entry: u64, n: u64, min_qty: &str, price: &str) -> Offer {
    Offer {
        list: PriceListId::from_uuid(id(list)),
        priority: 0,
        audience: Audience::default(),
        list_period: Period::default(),
        entry: PriceEntryId::from_uuid(id(entry)),
        product: product(n),
        unit: pieces(),
        min_qty: d(min_qty),
        price: d(price),
        includes_tax: true,
        period: Period::default(),
    }
}
fn promoted(promotions: Vec<Promotion>) -> Rules {
    Rules {
        promotions,
        ..Rules::default()
    }
}
fn nets(quote: &Quote) -> Vec<String> {
    quote
        .lines
        .iter()
        .map(|line| line.net.to_string())
        .collect()
}
fn total(quote: &Quote) -> Money {
    quote.lines.iter().map(|line| line.net).sum()
}
/// Why a rule lost on a line.
fn why(quote: &Quote, line: usize, rule: u64) -> Option<Why> {
    let considered = &quote.lines[line].considered;
    let of = considered
        .iter()
        .find(|c| c.id == Some(id(rule)) || c.entry_id == Some(id(rule)));
    of.unwrap_or_else(|| panic!("{rule} was not considered: {considered:?}"))
        .why
}

#[test]
fn the_quantity_break_looks_at_the_whole_basket() {
    let rules = Rules {
        offers: vec![offer(1, 11, 1, "0", "100"), offer(1, 12, 1, "10", "90")],
        ..Rules::default()
    };
    let quote = resolve(
        &basket(vec![line(1, "6", "120"), line(1, "4", "120")]),
        &rules,
    )
    .unwrap();
    assert_eq!(nets(&quote), ["540.00", "360.00"]);
    assert_eq!(why(&quote, 0, 11), Some(Why::SmallerBreak));
    assert_eq!(why(&quote, 1, 12), None);
    let nine = resolve(&basket(vec![line(1, "9", "120")]), &rules).unwrap();
    assert_eq!(nets(&nine), ["900.00"]);
    assert_eq!(why(&nine, 0, 12), Some(Why::QuantityNotReached));
}

#[test]
fn priority_goes_before_a_narrow_audience_and_that_before_everybody() {
    let group = CustomerGroupId::from_uuid(id(5));
    let branch = BranchId::from_uuid(id(1));
    let with = |list, priority, branch, customer_group, price| Offer {
        priority,
        audience: Audience {
            branch,
            customer_group,
        },
        ..offer(list, list * 10, 1, "0", price)
    };
    let all = vec![
        with(1, 0, None, None, "1"),
        with(2, 0, Some(branch), None, "2"),
        with(3, 0, None, Some(group), "3"),
        with(4, 0, Some(branch), Some(group), "4"),
        with(5, 1, None, None, "5"),
        with(6, 9, Some(BranchId::from_uuid(id(2))), None, "6"),
        with(7, 9, None, Some(CustomerGroupId::from_uuid(id(6))), "7"),
    ];
    let mut shopping = basket(vec![line(1, "1", "120")]);
    shopping.customer_group = Some(group);
    let price = |offers: &[Offer]| {
        let rules = Rules {
            offers: offers.to_vec(),
            ..Rules::default()
        };
        resolve(&shopping, &rules).unwrap()
    };
    let quote = price(&all);
    assert_eq!(nets(&quote), ["5.00"]);
    assert_eq!(why(&quote, 0, 4), Some(Why::LowerPriority));
    assert_eq!(why(&quote, 0, 6), Some(Why::OtherBranch));
    assert_eq!(why(&quote, 0, 7), Some(Why::OtherCustomerGroup));
    for (known, expected) in [(4, "4.00"), (3, "3.00"), (2, "2.00"), (1, "1.00")] {
        assert_eq!(nets(&price(&all[..known])), [expected]);
    }
    assert_eq!(why(&price(&all[..4]), 0, 3), Some(Why::WiderAudience));
    let mut late = all[4].clone();
    late.list_period.to = Some(day("2026-11-21"));
    let quote = price(&[late]);
    assert_eq!(nets(&quote), ["120.00"]);
    assert_eq!(why(&quote, 0, 5), Some(Why::NotInDate));
}

#[test]
fn among_promotions_priority_counts_first_and_then_what_saves_more() {
    let percent = |n, percent: i64| {
        promotion(
            n,
            Rule::Percent {
                percent: percent.into(),
            },
        )
    };
    let shopping = basket(vec![line(1, "1", "100")]);
    let quote = resolve(&shopping, &promoted(vec![percent(1, 10), percent(2, 20)])).unwrap();
    assert_eq!(nets(&quote), ["80.00"]);
    assert_eq!(why(&quote, 0, 1), Some(Why::WorseForCustomer));
    let mut first = percent(1, 10);
    first.priority = 1;
    let quote = resolve(&shopping, &promoted(vec![percent(2, 20), first])).unwrap();
    assert_eq!(nets(&quote), ["90.00"]);
    assert_eq!(why(&quote, 0, 2), Some(Why::LowerPriority));
    let stackable = |mut p: Promotion| {
        p.stackable = true;
        p
    };
    let both = vec![stackable(percent(1, 10)), stackable(percent(2, 20))];
    let quote = resolve(&shopping, &promoted(both)).unwrap();
    assert_eq!(nets(&quote), ["72.00"], "10 % of what 20 % leave");
    let bill = promotion(3, Rule::BillAmount { amount: d("7") });
    let quote = resolve(&shopping, &promoted(vec![percent(1, 10), bill])).unwrap();
    assert_eq!(nets(&quote), ["90.00"]);
    assert_eq!(why(&quote, 0, 3), Some(Why::NotStackable));
}

#[test]
fn a_bill_discount_is_spread_by_largest_remainder() {
    // Scenario 1 of the domain's worked examples, without tax.
    let lines = vec![
        line(1, "1", "2149.20"),
        line(2, "1", "998.50"),
        line(3, "1", "930"),
    ];
    let bill = promotion(1, Rule::BillAmount { amount: d("100") });
    let quote = resolve(&basket(lines.clone()), &promoted(vec![bill])).unwrap();
    assert_eq!(nets(&quote), ["2096.50", "974.01", "907.19"]);
    // The wrong way, every share rounded by itself, loses a paisa of 100 over three like lines.
    let lines: Vec<Line> = (1..4).map(|n| line(n, "1", "100")).collect();
    let rounded: Decimal = lines
        .iter()
        .map(|_| r2(Decimal::from(100) / Decimal::from(3)))
        .sum();
    assert_eq!(rounded.to_string(), "99.99");
    let bill = promotion(1, Rule::BillAmount { amount: d("100") });
    let quote = resolve(&basket(lines), &promoted(vec![bill])).unwrap();
    assert_eq!(total(&quote), d("200"));
}

#[test]
fn what_is_bought_and_what_is_got_may_differ() {
    let rule = Rule::BuyGet {
        buy_qty: 2,
        get_qty: 1,
        get: Some(Scope {
            products: vec![product(2)],
            ..Scope::default()
        }),
        percent: d("50"),
        max_times: None,
    };
    let mut deal = promotion(1, rule);
    deal.scope.products = vec![product(1)];
    let lines = vec![line(1, "5", "10"), line(2, "3", "40"), line(3, "1", "999")];
    let quote = resolve(&basket(lines), &promoted(vec![deal.clone()])).unwrap();
    assert_eq!(nets(&quote), ["50.00", "80.00", "999.00"]);
    let alone = resolve(&basket(vec![line(1, "5", "10")]), &promoted(vec![deal])).unwrap();
    assert_eq!(why(&alone, 0, 1), Some(Why::QuantityNotReached));
}

#[test]
fn coupons_open_promotions_until_they_are_used_up() {
    let mut deal = promotion(1, Rule::Percent { percent: d("10") });
    deal.needs_coupon = true;
    let coupon = |code: &str, used: u64| Coupon {
        id: CouponId::from_uuid(id(50 + used)),
        promotion: deal.id,
        code: code.into(),
        enabled: true,
        period: Period::default(),
        limit: Some(2),
        limit_per_customer: Some(1),
        used: u32::try_from(used).unwrap(),
        used_by_customer: 0,
    };
    let rules = Rules {
        promotions: vec![deal.clone()],
        coupons: vec![coupon("A", 0), coupon("B", 1), coupon("USED", 2)],
        ..Rules::default()
    };
    let with = |codes: &[&str]| {
        let mut shopping = basket(vec![line(1, "1", "100")]);
        shopping.coupons = codes.iter().map(|code| (*code).to_owned()).collect();
        resolve(&shopping, &rules).unwrap()
    };
    let none = with(&[]);
    assert_eq!(why(&none, 0, 1), Some(Why::CouponNeeded));
    assert_eq!(nets(&none), ["100.00"]);
    let quote = with(&["B", "USED", "A", "X"]);
    assert_eq!(nets(&quote), ["90.00"]);
    let fates: Vec<_> = quote.coupons.iter().map(|c| (c.applied, c.why)).collect();
    assert_eq!(
        fates,
        [
            (false, Some(Why::AnotherCoupon)),
            (false, Some(Why::CouponUsedUp)),
            (true, None),
            (false, Some(Why::CouponUnknown))
        ]
    );
    assert_eq!(
        quote.promotions[0].coupon_id,
        Some(CouponId::from_uuid(id(50)))
    );
}

#[test]
fn what_has_no_price_is_refused_by_line() {
    let mut nameless = line(1, "1", "1");
    nameless.base = None;
    let fault = |line: Line| {
        let lines = vec![self::line(2, "1", "1"), line];
        resolve(&basket(lines), &Rules::default()).unwrap_err()
    };
    assert_eq!(fault(nameless).fault, LineFault::NoPrice);
    assert_eq!(fault(line(1, "0", "1")).fault, LineFault::Quantity);
    assert_eq!(fault(line(1, "-1", "1")).fault, LineFault::Quantity);
    let huge = fault(line(1, "999999999999999", "999999999999999"));
    assert_eq!((huge.line, huge.fault), (1, LineFault::TooLarge));
    let near = "999999999999999.99";
    let sum = vec![line(1, "1", near), line(2, "1", near)];
    assert_eq!(
        resolve(&basket(sum), &Rules::default()).unwrap_err().fault,
        LineFault::TooLarge
    );
}

#[test]
fn a_cap_that_only_rounds_would_be_above_the_mrp_on_the_bill() {
    let mut cable = line(1, "1", "253.3897");
    cable.base = Some(Base {
        price: d("253.3897"),
        includes_tax: false,
    });
    cable.mrp = Some(d("299"));
    let on_bill = |price: Price, includes_tax| {
        let taxed = bahi_gst::Line {
            qty: Decimal::ONE,
            unit_price: price.decimal(),
            pricing: if includes_tax {
                Pricing::Inclusive
            } else {
                Pricing::Exclusive
            },
            discount: Discount::None,
            tax: tax(18),
        };
        bill(&[taxed], Levy::Intra)[0]
    };
    let rounded = r2(d::<4>("253.3897").decimal() * Decimal::new(118, 2));
    assert_eq!(rounded.to_string(), "299.00", "which is not above the MRP");
    assert_eq!(on_bill(d("253.3897"), false).to_string(), "299.01");
    let quote = resolve(&basket(vec![cable]), &Rules::default()).unwrap();
    let priced = &quote.lines[0];
    assert_eq!(
        on_bill(priced.unit_price, priced.includes_tax).to_string(),
        "299.00"
    );
}

#[test]
fn pricing_line_by_line_would_depend_on_how_a_basket_is_split() {
    let free = Rule::SetFree {
        qty: 3,
        free: 1,
        max_times: None,
    };
    let rules = promoted(vec![promotion(1, free)]);
    let whole = resolve(&basket(vec![line(1, "3", "100")]), &rules).unwrap();
    let three: Vec<Line> = (0..3).map(|_| line(1, "1", "100")).collect();
    assert_eq!(total(&whole), d("200"));
    assert_eq!(
        total(&resolve(&basket(three.clone()), &rules).unwrap()),
        d("200")
    );
    let mutant: Money = three
        .into_iter()
        .map(|line| total(&resolve(&basket(vec![line]), &rules).unwrap()))
        .sum();
    assert_eq!(mutant, d("300"));
}

/// What each line costs on a bill.
fn bill(lines: &[bahi_gst::Line], levy: Levy) -> Vec<Decimal> {
    let document = Document {
        lines,
        bill_discount: Discount::None,
        levy,
        round_off: RoundOff::None,
    };
    let computed = compute(&document).unwrap();
    computed.lines.iter().map(|line| line.total()).collect()
}

fn any_line() -> impl Strategy<Value = Line> {
    let qty = prop_oneof![
        (1i64..12).prop_map(Quantity::from),
        (1i64..5000).prop_map(|milli| Quantity::try_new(Decimal::new(milli, 3)).unwrap()),
    ];
    let mrp = prop::option::of((1i64..40_000).prop_map(|p| Money::rounded(Decimal::new(p, 2))));
    (1u64..5, qty, mrp).prop_map(|(n, qty, mrp)| {
        // The price belongs to the product; its MRP to the batch.
        let price = Decimal::new([9_999, 2_533_897, 123_456, 500_000][n as usize - 1], 4);
        Line {
            qty,
            mrp,
            base: Some(Base {
                price: Price::rounded(price),
                includes_tax: n % 2 == 0,
            }),
            tax: tax([5, 18, 40, 0][n as usize - 1]),
            ..line(n, "1", "1")
        }
    })
}

fn any_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::default()),
        prop::collection::vec(1u64..5, 1..3).prop_map(|of| Scope {
            products: of.into_iter().map(product).collect(),
            ..Scope::default()
        }),
        (700u64..702).prop_map(|brand| Scope {
            brands: vec![BrandId::from_uuid(id(brand))],
            ..Scope::default()
        }),
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let percent = || (1i64..=100_000).prop_map(|p| Fixed::rounded(Decimal::new(p, 3)));
    let amount = || (1i64..30_000).prop_map(|p| Money::rounded(Decimal::new(p, 2)));
    let times = || prop::option::of(1u32..4);
    prop_oneof![
        percent().prop_map(|percent| Rule::Percent { percent }),
        amount().prop_map(|amount| Rule::AmountPerUnit { amount }),
        (
            1u32..4,
            1u32..3,
            prop::option::of(any_scope()),
            percent(),
            times()
        )
            .prop_map(|(buy_qty, get_qty, get, percent, max_times)| Rule::BuyGet {
                buy_qty,
                get_qty,
                get: get.filter(|get| !get.is_all()),
                percent,
                max_times
            }),
        (1u32..5, amount(), times()).prop_map(|(qty, price, max_times)| Rule::SetPrice {
            qty,
            price,
            max_times
        }),
        (2u32..5, times()).prop_map(|(qty, max_times)| Rule::SetFree {
            qty,
            free: qty - 1,
            max_times
        }),
        (percent(), prop::option::of(amount())).prop_map(|(percent, max_discount)| {
            Rule::BillPercent {
                percent,
                max_discount,
            }
        }),
        amount().prop_map(|amount| Rule::BillAmount { amount }),
    ]
}

fn any_promotion() -> impl Strategy<Value = Promotion> {
    let min = prop::option::of(1i64..5);
    (
        1u64..1000,
        0i32..3,
        any::<bool>(),
        any_scope(),
        min,
        any_rule(),
    )
        .prop_map(|(n, priority, stackable, scope, min, rule)| Promotion {
            priority,
            stackable,
            scope,
            min_qty: min.map(Quantity::from),
            min_amount: min.map(Money::from),
            ..promotion(n, rule)
        })
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let offer = (1u64..4, 1u64..1000, 1u64..5, 0i64..6, 1i64..4_000_000).prop_map(
        |(list, entry, n, min_qty, price)| {
            let price = Price::rounded(Decimal::new(price, 4)).to_string();
            Offer {
                includes_tax: list % 2 == 0,
                priority: i32::try_from(list % 2).unwrap(),
                ..offer(list, entry, n, &min_qty.to_string(), &price)
            }
        },
    );
    let offers = prop::collection::vec(offer, 0..6);
    let promotions = prop::collection::vec(any_promotion(), 0..7);
    (offers, promotions).prop_map(|(mut offers, mut promotions)| {
        // Ids are unique.
        offers.sort_by_key(|offer| offer.entry);
        offers.dedup_by_key(|offer| offer.entry);
        promotions.sort_by_key(|promotion| promotion.id);
        promotions.dedup_by_key(|promotion| promotion.id);
        Rules {
            offers,
            promotions,
            coupons: Vec::new(),
        }
    })
}

fn shuffled<T: Clone>(of: &[T], by: &[Index]) -> Vec<T> {
    let mut left = of.to_vec();
    let mut by = by.iter().cycle();
    let mut out = Vec::new();
    while !left.is_empty() {
        out.push(left.remove(by.next().unwrap().index(left.len())));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_order_of_lines_and_rules_does_not_matter(
        lines in prop::collection::vec(any_line(), 1..8),
        rules in any_rules(),
        by in prop::collection::vec(any::<Index>(), 8),
    ) {
        let shopping = basket(lines);
        let other = Basket { lines: shuffled(&shopping.lines, &by), ..shopping.clone() };
        let shuffled_rules = Rules {
            offers: shuffled(&rules.offers, &by),
            promotions: shuffled(&rules.promotions, &by),
            coupons: Vec::new(),
        };
        let told = |basket: &Basket, rules: &Rules| {
            let quote = resolve(basket, rules).unwrap();
            let mut lines: Vec<String> = basket
                .lines
                .iter()
                .zip(&quote.lines)
                .map(|(line, priced)| format!("{line:?} {priced:?}"))
                .collect();
            lines.sort();
            (lines, quote.promotions)
        };
        prop_assert_eq!(told(&shopping, &rules), told(&other, &shuffled_rules));
    }

    #[test]
    fn shares_are_exact_and_nothing_falls_below_zero(
        lines in prop::collection::vec(any_line(), 1..8),
        rules in any_rules(),
    ) {
        let quote = resolve(&basket(lines), &rules).unwrap();
        for line in &quote.lines {
            prop_assert!(!line.net.is_negative(), "{:?}", line);
            let shares: Money = line.shares.iter().map(|share| share.amount).sum();
            prop_assert_eq!(line.gross - shares, line.net);
            prop_assert_eq!(line.discount + line.bill_discount, shares);
            prop_assert!(line.shares.iter().all(|share| share.amount.is_positive()));
        }
        for taken in &quote.promotions {
            let shares: Money = quote
                .lines
                .iter()
                .flat_map(|line| &line.shares)
                .filter(|share| share.promotion_id == taken.promotion_id)
                .map(|share| share.amount)
                .sum();
            prop_assert_eq!(shares, taken.amount);
        }
    }

    #[test]
    fn no_line_costs_more_than_the_mrp(
        lines in prop::collection::vec(any_line(), 1..8),
        rules in any_rules(),
    ) {
        let shopping = basket(lines);
        let quote = resolve(&shopping, &rules).unwrap();
        let taxed: Vec<bahi_gst::Line> = shopping
            .lines
            .iter()
            .zip(&quote.lines)
            .map(|(line, priced)| bahi_gst::Line {
                qty: line.qty.decimal(),
                unit_price: priced.unit_price.decimal(),
                pricing: if priced.includes_tax { Pricing::Inclusive } else { Pricing::Exclusive },
                discount: Discount::Amount((priced.discount + priced.bill_discount).decimal()),
                tax: line.tax,
            })
            .collect();
        for levy in [Levy::Intra, Levy::Inter] {
            for ((line, priced), costs) in shopping.lines.iter().zip(&quote.lines).zip(bill(&taxed, levy)) {
                if let Some(mrp) = line.mrp {
                    prop_assert!(costs <= r2(line.qty.decimal() * mrp.decimal()), "{costs}: {line:?} {priced:?}");
                }
            }
        }
    }

    #[test]
    fn a_basket_costs_the_same_however_its_pieces_are_split(
        pieces in prop::collection::vec((1u64..5, 1i64..7), 1..5),
        rules in any_rules(),
    ) {
        // Prices in whole paise, and no discount on the bill, which is rounded on the lines themselves.
        let mut rules = rules;
        rules.promotions.retain(|promotion| !promotion.rule.is_of_bill());
        for offer in &mut rules.offers {
            offer.price = Price::rounded(r2(offer.price.decimal()));
        }
        let priced = |n: u64, qty: i64| line(n, &qty.to_string(), ["99.99", "299", "12.50", "50"][n as usize - 1]);
        let whole: Vec<Line> = pieces.iter().map(|(n, qty)| priced(*n, *qty)).collect();
        let single: Vec<Line> = pieces
            .iter()
            .flat_map(|(n, qty)| (0..*qty).map(|_| priced(*n, 1)))
            .collect();
        let (whole, single) = (
            resolve(&basket(whole), &rules).unwrap(),
            resolve(&basket(single), &rules).unwrap(),
        );
        prop_assert_eq!(total(&whole), total(&single));
        prop_assert_eq!(whole.promotions, single.promotions);
    }
}
