//! The law of a bill and of what is given back of it, plainly: whole numbers, and fractions of them. Nothing here knows the
//! crates that compute bills. Amounts are paise, quantities thousandths, prices ten-thousandths of a rupee, rates thousandths
//! of a per cent; nothing is ever negative.

use std::collections::BTreeMap;

/// How the model computes: by the law, or with one of the errors that are made elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    AsItIs,
    /// Tax on prices without it is rounded line by line.
    TaxPerLine,
    /// A paisa of the tax that is over goes to the last line.
    TaxRestToTheLast,
    /// Lines priced with and without tax are settled together.
    InclusiveByRate,
    /// The value is taken out of a price with tax first, and taxed again.
    TaxOnRoundedValue,
    /// All of the tax is rounded, and the odd paisa is CGST.
    OddPaisaToCgst,
    /// Cess is settled by its own rate, whatever the tax.
    CessByItself,
    /// Each share of the bill's discount is rounded by itself.
    SharesByThemselves,
    /// What is over of the bill's discount goes to the last line.
    SharesRestToTheLast,
    /// The bill's discount is shared by gross values.
    SharesByGross,
    /// The bill's discount is a percentage of the gross value.
    PercentOfGross,
    /// The bill's discount is taken off after tax.
    DiscountAfterTax,
    /// Halves go to the even paisa.
    HalvesToEven,
    /// Fractions of a paisa are dropped.
    Truncated,
    /// Unit prices are rounded to the paisa first.
    PricesInPaise,
    /// Rupees are rounded down.
    RupeesDown,
    /// What a customer pays less for is not looked at for the rate.
    RateOfListPrice,
}

pub const MUTANTS: [Law; 16] = [
    Law::TaxPerLine,
    Law::TaxRestToTheLast,
    Law::InclusiveByRate,
    Law::TaxOnRoundedValue,
    Law::OddPaisaToCgst,
    Law::CessByItself,
    Law::SharesByThemselves,
    Law::SharesRestToTheLast,
    Law::SharesByGross,
    Law::PercentOfGross,
    Law::DiscountAfterTax,
    Law::HalvesToEven,
    Law::Truncated,
    Law::PricesInPaise,
    Law::RupeesDown,
    Law::RateOfListPrice,
];

/// The whole number nearest to a fraction, of two the greater.
pub fn nearest(n: i128, d: i128) -> i128 {
    (2 * n + d) / (2 * d)
}

impl Law {
    pub fn round(self, n: i128, d: i128) -> i128 {
        let halfway = 2 * (n % d) == d;
        match self {
            Self::Truncated => n / d,
            Self::HalvesToEven if halfway => n / d + (n / d) % 2,
            _ => nearest(n, d),
        }
    }
}

/// Deals `whole` out where `n / d` is due to each: everybody gets what is whole of it, and one more who has fewer before
/// him, by the size of the fraction and then by place, than there are left over.
pub fn deal(whole: i128, due: &[i128], d: i128) -> Vec<i128> {
    let over = whole - due.iter().map(|n| n / d).sum::<i128>();
    let before = |i: usize| {
        let larger = |j: usize| due[j] % d > due[i] % d || due[j] % d == due[i] % d && j < i;
        (0..due.len()).filter(|j| larger(*j)).count() as i128
    };
    let share = |i: usize| due[i] / d + i128::from(before(i) < over);
    (0..due.len()).map(share).collect()
}

/// The same with all that is left over for the last who is due anything.
pub fn deal_to_the_last(whole: i128, due: &[i128], d: i128) -> Vec<i128> {
    let mut dealt: Vec<i128> = due.iter().map(|n| n / d).collect();
    if let Some(last) = due.iter().rposition(|n| *n > 0) {
        dealt[last] += whole - dealt.iter().sum::<i128>();
    }
    dealt
}

/// Taxable value, CGST, SGST, IGST and cess.
pub type Amounts = [i128; 5];

pub fn add(a: &mut Amounts, b: &Amounts) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Levy {
    Intra,
    Inter,
    /// The seller has no GSTIN.
    Nothing,
}

/// A discount in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Off {
    Nothing,
    Percent(i128),
    Amount(i128),
}

impl Off {
    pub fn of(self, law: Law, value: i128) -> i128 {
        match self {
            Self::Nothing => 0,
            Self::Percent(percent) => law.round(value * percent, 100_000),
            Self::Amount(amount) => amount,
        }
    }
}

/// What goods are to the tax.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub category: &'static str,
    pub rate: i128,
    pub cess: i128,
    /// Above this price of a unit, in paise without tax, this rate.
    pub above: Option<(i128, i128)>,
}

pub const fn taxed(rate: i128, cess: i128) -> Kind {
    Kind {
        category: "taxable",
        rate,
        cess,
        above: None,
    }
}

pub const fn untaxed(category: &'static str) -> Kind {
    Kind {
        category,
        rate: 0,
        cess: 0,
        above: None,
    }
}

pub const KINDS: [Kind; 24] = [
    taxed(0, 0),
    taxed(100, 0),
    taxed(250, 0),
    taxed(1_000, 0),
    taxed(1_500, 0),
    taxed(3_000, 0),
    taxed(5_000, 0),
    taxed(6_000, 0),
    taxed(7_500, 0),
    taxed(12_000, 0),
    taxed(18_000, 0),
    taxed(28_000, 0),
    taxed(40_000, 0),
    taxed(5_000, 1_000),
    taxed(18_000, 2_000),
    taxed(18_000, 12_000),
    taxed(28_000, 12_000),
    taxed(28_000, 204_000),
    taxed(0, 500),
    // Footwear.
    Kind {
        category: "taxable",
        rate: 5_000,
        cess: 0,
        above: Some((250_000, 18_000)),
    },
    untaxed("nil"),
    untaxed("exempt"),
    untaxed("non_gst"),
    // The service, which has no stock.
    taxed(18_000, 0),
];
pub const SERVICE: usize = KINDS.len() - 1;
/// A line to be computed.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub goods: usize,
    pub qty: i128,
    pub price: i128,
    pub inclusive: bool,
    pub off: Off,
}

impl Line {
    pub fn gross(&self, law: Law) -> i128 {
        let price = match law {
            Law::PricesInPaise => nearest(self.price, 100) * 100,
            _ => self.price,
        };
        law.round(self.qty * price, 100_000)
    }

    /// Rate and cess where `net` is left of the line.
    pub fn rate(&self, law: Law, net: i128, levy: Levy) -> (i128, i128) {
        let kind = KINDS[self.goods];
        let Some((limit, above)) = kind.above else {
            return (kind.rate, kind.cess);
        };
        // Of one unit, as a fraction of paise.
        let (n, d) = match law {
            Law::RateOfListPrice => (self.price, 100),
            _ => (net * 1_000, self.qty),
        };
        let low = if self.inclusive && levy != Levy::Nothing {
            nearest(n * 100_000, d * (100_000 + kind.rate)) <= limit
        } else {
            n <= limit * d
        };
        (if low { kind.rate } else { above }, 0)
    }
}

/// A computed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub gross: i128,
    pub discount: i128,
    pub bill_discount: i128,
    pub rate: (i128, i128),
    pub amounts: Amounts,
    pub total: i128,
}

/// A computed bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    pub rows: Vec<Row>,
    pub gross: i128,
    /// Of lines and bill.
    pub discount: i128,
    pub amounts: Amounts,
    pub round_off: i128,
    pub total: i128,
}

pub fn compute(law: Law, lines: &[Line], off: Off, levy: Levy, to_rupee: bool) -> Bill {
    let gross: Vec<i128> = lines.iter().map(|l| l.gross(law)).collect();
    let discount: Vec<i128> = lines
        .iter()
        .zip(&gross)
        .map(|(l, g)| l.off.of(law, *g))
        .collect();
    let net: Vec<i128> = gross
        .iter()
        .zip(&discount)
        .map(|(g, d)| (g - d).max(0))
        .collect();
    let base = if law == Law::PercentOfGross {
        &gross
    } else {
        &net
    };
    let off = off.of(law, base.iter().sum()).min(net.iter().sum());
    let shares = share(
        law,
        off,
        if law == Law::SharesByGross {
            &gross
        } else {
            &net
        },
    );
    let before_tax = law != Law::DiscountAfterTax;
    let mut rows = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let left = net[at] - if before_tax { shares[at] } else { 0 };
        rows.push(Row {
            gross: gross[at],
            discount: discount[at],
            bill_discount: shares[at],
            rate: line.rate(law, left, levy),
            amounts: [left, 0, 0, 0, 0],
            total: 0,
        });
    }
    if levy != Levy::Nothing {
        tax(law, lines, &mut rows, levy);
    }
    let (mut amounts, mut total) = ([0; 5], 0);
    for row in &mut rows {
        row.total = row.amounts.iter().sum();
        add(&mut amounts, &row.amounts);
        total += row.total;
    }
    if !before_tax {
        total = (total - off).max(0);
    }
    let payable = match law {
        _ if !to_rupee => total,
        Law::RupeesDown => total / 100 * 100,
        _ => nearest(total, 100) * 100,
    };
    Bill {
        gross: gross.iter().sum(),
        discount: discount.iter().sum::<i128>() + off,
        amounts,
        round_off: payable - total,
        total: payable,
        rows,
    }
}

/// The shares of the bill's discount.
pub fn share(law: Law, off: i128, weights: &[i128]) -> Vec<i128> {
    let d = weights.iter().sum::<i128>().max(1);
    let due: Vec<i128> = weights.iter().map(|w| off * w).collect();
    match law {
        Law::SharesByThemselves => due.iter().map(|n| nearest(*n, d)).collect(),
        Law::SharesRestToTheLast => deal_to_the_last(off, &due, d),
        _ => deal(off, &due, d),
    }
}

/// Puts the taxes on the lines: inside of what they cost or on top of it.
pub fn tax(law: Law, lines: &[Line], rows: &mut [Row], levy: Levy) {
    // CGST and SGST are half of the rate each, and always alike.
    let (halves, of_tax) = if levy == Levy::Intra { (2, 1) } else { (1, 3) };
    let mut groups: BTreeMap<(i128, i128, bool), Vec<usize>> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        let (rate, cess) = rows[at].rate;
        let whole = 100_000 + rate + cess;
        let row = &mut rows[at].amounts;
        if !line.inclusive {
            groups.entry((rate, 0, true)).or_default().push(at);
            let of_cess = if law == Law::CessByItself { 0 } else { rate };
            groups.entry((cess, of_cess, false)).or_default().push(at);
            continue;
        }
        let price = row[0];
        if law == Law::InclusiveByRate {
            // As if its value were known exactly, which is taxed with the others.
            row[0] = nearest(price * 100_000, whole);
            groups.entry((rate, 0, true)).or_default().push(at);
            groups.entry((cess, rate, false)).or_default().push(at);
            continue;
        }
        if law == Law::TaxOnRoundedValue {
            row[0] = nearest(price * 100_000, whole);
            row[of_tax] = nearest(row[0] * rate, 100_000 * halves);
            row[4] = nearest(row[0] * cess, 100_000);
        } else {
            row[of_tax] = law.round(price * rate, whole * halves);
            row[4] = law.round(price * cess, whole);
            row[0] = price - row[of_tax] * halves - row[4];
        }
        if levy == Levy::Intra {
            row[2] = row[1];
            if law == Law::OddPaisaToCgst {
                let both = nearest(price * rate, whole);
                (row[1], row[2]) = (both - both / 2, both / 2);
                row[0] = price - both - row[4];
            }
        }
    }
    for ((rate, _, is_tax), group) in groups {
        let d = 100_000 * if is_tax { halves } else { 1 };
        let due: Vec<i128> = group.iter().map(|at| rows[*at].amounts[0] * rate).collect();
        let whole = law.round(due.iter().sum(), d);
        let dealt = match law {
            Law::TaxPerLine => due.iter().map(|n| nearest(*n, d)).collect(),
            Law::TaxRestToTheLast => deal_to_the_last(whole, &due, d),
            _ => deal(whole, &due, d),
        };
        for ((at, tax), due) in group.into_iter().zip(dealt).zip(due) {
            let row = &mut rows[at].amounts;
            row[if is_tax { of_tax } else { 4 }] = tax;
            if is_tax && levy == Levy::Intra {
                row[2] = tax;
                if law == Law::OddPaisaToCgst {
                    let both = nearest(due, 100_000);
                    (row[1], row[2]) = (both - both / 2, both / 2);
                }
            }
        }
    }
}

/// How the model gives back: by the law, or with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Giving {
    AsItIs,
    /// The share of each part is rounded by itself.
    PartByItself,
    /// The share is that of what is left.
    OfWhatIsLeft,
    /// Taxable value and taxes of a price with tax are rounded each, and the money is what they make.
    MoneyOfItsParts,
    /// Each refund is rounded to the rupee by itself.
    RupeesByThemselves,
}

pub const GIVING_MUTANTS: [Giving; 4] = [
    Giving::PartByItself,
    Giving::OfWhatIsLeft,
    Giving::MoneyOfItsParts,
    Giving::RupeesByThemselves,
];

impl Giving {
    /// What has to be back in all when `back` of a line is.
    pub fn in_all(self, sold: &Amounts, inclusive: bool, back: i128, qty: i128) -> Amounts {
        let mut due = sold.map(|amount| nearest(amount * back, qty));
        if inclusive && self != Self::MoneyOfItsParts {
            // Half of two biscuits at 30.00 is 30.00: the money is exact, and the value is what the taxes leave of it.
            let money = nearest(sold.iter().sum::<i128>() * back, qty);
            due[0] = money - due[1..].iter().sum::<i128>();
        }
        due
    }

    /// What goes back with `now` of a line of which `back` came back before, worth `before`.
    pub fn part(self, of: &Part<'_>, back: i128, now: i128, before: &Amounts) -> Amounts {
        let Part {
            sold,
            inclusive,
            qty,
        } = *of;
        match self {
            Self::PartByItself => self.in_all(sold, inclusive, now, qty),
            Self::OfWhatIsLeft => {
                let mut left = *sold;
                for (left, before) in left.iter_mut().zip(before) {
                    *left -= before;
                }
                self.in_all(&left, inclusive, now, qty - back)
            }
            _ => {
                let mut due = self.in_all(sold, inclusive, back + now, qty);
                for (due, before) in due.iter_mut().zip(before) {
                    *due -= before;
                }
                due
            }
        }
    }
}

/// A line of which something comes back.
pub struct Part<'a> {
    pub sold: &'a Amounts,
    pub inclusive: bool,
    pub qty: i128,
}
