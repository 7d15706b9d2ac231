//! Promotions and coupons, applied one after the other to what is left of the lines.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use bahi_types::{CouponId, Price, PromotionId};

use crate::{
    Base, Basket, Considered, Coupon, CouponOutcome, Promotion, Rule, RuleKind, Rules, Scope,
    Share, Taken, Why,
    paise::{WHOLE, money, mul_div, parts},
    sets::{self, Cut, Run, dearest_first, split},
};

/// Lines that are priced as one, while promotions are applied.
pub(crate) struct Position {
    /// Places of the lines in the basket.
    pub lines: Vec<usize>,
    /// Their quantity in thousandths.
    pub qty: i128,
    /// Price of one unit.
    pub price: Base,
    /// Of each line, in paise.
    pub gross: Vec<i64>,
    /// What is left of each line, in paise.
    pub net: Vec<i128>,
    /// What was taken off each line.
    pub shares: Vec<Vec<Share>>,
    /// The rules that were considered.
    pub considered: Vec<Considered>,
    /// Whole units that count for a set.
    pub used: i128,
    /// The promotions that have touched it, by their place in the rules.
    pub touched: Vec<usize>,
}

impl Position {
    fn left(&self) -> i128 {
        self.net.iter().sum()
    }

    fn run(&self, position: usize) -> Run {
        Run {
            position,
            units: self.qty / 1000 - self.used,
            net: self.left(),
            qty: self.qty,
        }
    }

    /// Takes `off` paise off, shared by what is left of the lines.
    fn take(&mut self, promotion: PromotionId, off: i128, of_bill: bool) {
        let shares = split(off, &self.net);
        self.take_each(promotion, &shares, of_bill);
    }

    fn take_each(&mut self, promotion_id: PromotionId, offs: &[i128], of_bill: bool) {
        for ((net, shares), off) in self.net.iter_mut().zip(&mut self.shares).zip(offs) {
            *net -= off;
            if *off > 0 {
                shares.push(Share {
                    promotion_id,
                    amount: money(i64::try_from(*off).unwrap_or(i64::MAX)),
                    of_bill,
                });
            }
        }
    }
}

/// A promotion that fits the basket.
struct Candidate<'a> {
    /// Its place in the rules.
    at: usize,
    promotion: &'a Promotion,
    /// Positions of its goods.
    goods: Vec<usize>,
    /// Positions of what is got, where that is named.
    gets: Vec<usize>,
    coupon: Option<CouponId>,
}

impl Candidate<'_> {
    fn concerns(&self) -> BTreeSet<usize> {
        self.goods.iter().chain(&self.gets).copied().collect()
    }
}

/// What a promotion would do now.
#[derive(Default)]
struct Effect {
    cuts: Vec<Cut>,
    /// Paise off the bill, to be spread over all of the cuts' positions.
    bill: Option<i128>,
    /// Why it does nothing.
    short: Option<(Why, Option<Price>)>,
}

impl Effect {
    fn short(why: Why, needed: Option<Price>) -> Self {
        Self {
            short: Some((why, needed)),
            ..Self::default()
        }
    }

    fn benefit(&self) -> i128 {
        self.bill
            .unwrap_or_else(|| self.cuts.iter().map(|cut| cut.off).sum())
    }
}

/// Applies the promotions of the rules; answers what became of the coupons, and what was taken.
pub(crate) fn promotions(
    basket: &Basket,
    rules: &Rules,
    positions: &mut [Position],
) -> (Vec<CouponOutcome>, Vec<Taken>) {
    let (mut coupons, chosen) = coupons(basket, rules);
    let mut taken = Vec::new();
    let mut candidates = Vec::new();
    for (at, promotion) in rules.promotions.iter().enumerate() {
        let covered = |scope: &Scope| -> Vec<usize> {
            let covers = |position: &Position| scope.covers(&basket.lines[position.lines[0]]);
            (0..positions.len())
                .filter(|at| covers(&positions[*at]))
                .collect()
        };
        let gets = match &promotion.rule {
            Rule::BuyGet { get: Some(get), .. } => covered(get),
            _ => Vec::new(),
        };
        let coupon = chosen.get(&promotion.id).copied();
        let candidate = Candidate {
            at,
            promotion,
            goods: covered(&promotion.scope),
            gets,
            coupon,
        };
        let undated = !promotion.period.holds(basket.date);
        let closed = promotion.needs_coupon && coupon.is_none();
        let refused = promotion
            .audience
            .refuses(basket)
            .or(undated.then_some(Why::NotInDate))
            .or(closed.then_some(Why::CouponNeeded));
        match refused {
            Some(why) => {
                for at in candidate.concerns() {
                    lose(&mut positions[at], promotion.id, why, None, None);
                }
                settle(&mut coupons, coupon, Some(why));
            }
            None => candidates.push(candidate),
        }
    }
    for of_bill in [false, true] {
        let (now, later): (Vec<_>, Vec<_>) = candidates
            .into_iter()
            .partition(|c| c.promotion.rule.is_of_bill() == of_bill);
        candidates = later;
        phase(now, of_bill, rules, positions, &mut coupons, &mut taken);
    }
    for position in positions.iter_mut() {
        // Rules come in any order; what is said of them does not.
        position.considered.sort();
        position.considered.dedup();
    }
    (coupons, taken)
}

/// The promotions on goods, or those on the bill.
fn phase(
    mut candidates: Vec<Candidate>,
    of_bill: bool,
    rules: &Rules,
    positions: &mut [Position],
    coupons: &mut [CouponOutcome],
    taken: &mut Vec<Taken>,
) {
    while let Some(top) = candidates.iter().map(|c| c.promotion.priority).max() {
        let effects = candidates
            .iter()
            .enumerate()
            .filter(|(_, candidate)| candidate.promotion.priority == top)
            .map(|(place, candidate)| (place, effect(candidate, rules, positions)));
        let best = effects.max_by_key(|(place, effect)| {
            (effect.benefit(), Reverse(candidates[*place].promotion.id))
        });
        let Some((place, effect)) = best else { return };
        let candidate = candidates.swap_remove(place);
        let promotion = candidate.promotion;
        let benefit = effect.benefit();
        // What stood in its way stood there before it was applied.
        let blocked: Vec<(usize, Option<usize>)> = candidate
            .concerns()
            .into_iter()
            .map(|at| (at, blocker(promotion, rules, &positions[at])))
            .collect();
        if benefit > 0 {
            take(&candidate, &effect, of_bill, positions);
            taken.push(Taken {
                promotion_id: promotion.id,
                coupon_id: candidate.coupon,
                amount: money(i64::try_from(benefit).unwrap_or(i64::MAX)),
            });
            settle(coupons, candidate.coupon, None);
        } else {
            let why = blocked
                .iter()
                .find_map(|(_, by)| *by)
                .map(|by| reason(promotion, &rules.promotions[by]));
            let why = why.or(effect.short.map(|(why, _)| why));
            settle(coupons, candidate.coupon, why.or(Some(Why::NoBenefit)));
        }
        for (at, by) in blocked {
            let counts = effect.cuts.iter().any(|cut| cut.position == at);
            let position = &mut positions[at];
            if benefit > 0 && counts {
                let won = Considered::won(RuleKind::Promotion, Some(promotion.id.uuid()));
                position.considered.push(won);
            } else if let Some(by) = by {
                let winner = &rules.promotions[by];
                let why = reason(promotion, winner);
                lose(position, promotion.id, why, Some(winner.id), None);
            } else {
                let (why, needed) = effect.short.unwrap_or((Why::NoBenefit, None));
                lose(position, promotion.id, why, None, needed);
            }
        }
    }
}

/// Why a promotion loses a position to one that is there already.
fn reason(mine: &Promotion, winner: &Promotion) -> Why {
    let same_phase = mine.rule.is_of_bill() == winner.rule.is_of_bill();
    if same_phase && mine.priority < winner.priority {
        Why::LowerPriority
    } else if same_phase && !mine.stackable {
        Why::WorseForCustomer
    } else {
        Why::NotStackable
    }
}

fn lose(
    position: &mut Position,
    promotion: PromotionId,
    why: Why,
    than: Option<PromotionId>,
    needed: Option<Price>,
) {
    let lost = Considered::lost(RuleKind::Promotion, Some(promotion.uuid()), why);
    let lost = lost.than(than.map(PromotionId::uuid)).needing(needed);
    position.considered.push(lost);
}

/// The promotion that keeps another off a position.
fn blocker(promotion: &Promotion, rules: &Rules, position: &Position) -> Option<usize> {
    let mut touched = position.touched.iter().copied();
    if promotion.stackable {
        touched.find(|at| !rules.promotions[*at].stackable)
    } else {
        touched.next()
    }
}

/// Writes an effect into the positions.
fn take(candidate: &Candidate, effect: &Effect, of_bill: bool, positions: &mut [Position]) {
    let promotion = candidate.promotion.id;
    if let Some(bill) = effect.bill {
        // Over the lines themselves, not over positions first: each is rounded once.
        let nets: Vec<i128> = effect
            .cuts
            .iter()
            .flat_map(|cut| positions[cut.position].net.iter().copied())
            .collect();
        let mut shares = split(bill, &nets).into_iter();
        for cut in &effect.cuts {
            let position = &mut positions[cut.position];
            let own: Vec<i128> = shares.by_ref().take(position.net.len()).collect();
            position.take_each(promotion, &own, of_bill);
        }
    }
    for cut in &effect.cuts {
        let position = &mut positions[cut.position];
        position.take(promotion, cut.off, of_bill);
        position.used += cut.counted;
        position.touched.push(candidate.at);
    }
}

/// What a promotion would do now.
fn effect(candidate: &Candidate, rules: &Rules, positions: &[Position]) -> Effect {
    let promotion = candidate.promotion;
    let open = |of: &[usize]| -> Vec<usize> {
        of.iter()
            .copied()
            .filter(|at| blocker(promotion, rules, &positions[*at]).is_none())
            .collect()
    };
    let goods = open(&candidate.goods);
    let total: i128 = goods.iter().map(|at| positions[*at].left()).sum();
    let qty: i128 = goods.iter().map(|at| positions[*at].qty).sum();
    if let Some(min) = promotion.min_qty.filter(|min| qty < parts(*min)) {
        let needed = Price::rounded(min.decimal());
        return Effect::short(Why::QuantityNotReached, Some(needed));
    }
    if let Some(min) = promotion.min_amount.filter(|min| total < parts(*min)) {
        let needed = Price::rounded(min.decimal());
        return Effect::short(Why::AmountNotReached, Some(needed));
    }
    let each = |off: &dyn Fn(&Position) -> i128| -> Effect {
        let cut = |at: &usize| Cut {
            position: *at,
            off: off(&positions[*at]).min(positions[*at].left()),
            counted: 0,
        };
        Effect {
            cuts: goods.iter().map(cut).filter(|cut| cut.off > 0).collect(),
            ..Effect::default()
        }
    };
    let runs = |of: &[usize]| dearest_first(of.iter().map(|at| positions[*at].run(*at)).collect());
    let limit = |times: Option<u32>| times.map_or(i128::MAX, i128::from);
    let bill = |off: i128| Effect {
        cuts: goods
            .iter()
            .map(|at| Cut {
                position: *at,
                off: 0,
                counted: 0,
            })
            .collect(),
        bill: Some(off.min(total)),
        short: None,
    };
    match &promotion.rule {
        Rule::Percent { percent } => {
            each(&|position| mul_div(position.left(), parts(*percent), WHOLE))
        }
        Rule::AmountPerUnit { amount } => {
            each(&|position| mul_div(position.qty, parts(*amount), 1000))
        }
        Rule::BillPercent {
            percent,
            max_discount,
        } => {
            let off = mul_div(total, parts(*percent), WHOLE);
            bill(max_discount.map_or(off, |max| off.min(parts(max))))
        }
        Rule::BillAmount { amount } => bill(parts(*amount)),
        Rule::SetPrice {
            qty,
            price,
            max_times,
        } => {
            let (runs, size) = (runs(&goods), i128::from(*qty));
            let made = (sets::units(&runs) / size.max(1)).min(limit(*max_times));
            if made == 0 {
                return Effect::short(Why::QuantityNotReached, Some(Price::from(i64::from(*qty))));
            }
            cut(sets::price(&runs, made, size, parts(*price)))
        }
        Rule::SetFree {
            qty,
            free,
            max_times,
        } => {
            let size = i128::from(*qty);
            reduced(
                &runs(&goods),
                size,
                (*free).into(),
                WHOLE,
                limit(*max_times),
            )
        }
        Rule::BuyGet {
            buy_qty,
            get_qty,
            get: None,
            percent,
            max_times,
        } => {
            let size = i128::from(*buy_qty) + i128::from(*get_qty);
            let percent = parts(*percent);
            reduced(
                &runs(&goods),
                size,
                (*get_qty).into(),
                percent,
                limit(*max_times),
            )
        }
        Rule::BuyGet {
            buy_qty,
            get_qty,
            get: Some(_),
            percent,
            max_times,
        } => {
            let gets: Vec<usize> = open(&candidate.gets)
                .into_iter()
                .filter(|at| !candidate.goods.contains(at))
                .collect();
            let (bought, got) = (runs(&goods), runs(&gets));
            let (buy, get) = (i128::from(*buy_qty), i128::from(*get_qty));
            let times = (sets::units(&bought) / buy.max(1)).min(limit(*max_times));
            if times == 0 {
                let needed = Price::from(i64::from(*buy_qty));
                return Effect::short(Why::QuantityNotReached, Some(needed));
            }
            let times = times.min(sets::units(&got) / get.max(1));
            if times == 0 {
                let needed = Price::from(i64::from(*get_qty));
                return Effect::short(Why::QuantityNotReached, Some(needed));
            }
            let mut cuts = sets::reduce(&bought, times, buy, 0, WHOLE);
            cuts.extend(sets::reduce(&got, times, get, get, parts(*percent)));
            cut(cuts)
        }
    }
}

fn cut(cuts: Vec<Cut>) -> Effect {
    Effect {
        cuts,
        ..Effect::default()
    }
}

fn reduced(runs: &[Run], size: i128, free: i128, percent: i128, limit: i128) -> Effect {
    let sets = (sets::units(runs) / size.max(1)).min(limit);
    if sets == 0 {
        let needed = i64::try_from(size).unwrap_or(i64::MAX);
        return Effect::short(Why::QuantityNotReached, Some(Price::from(needed)));
    }
    cut(sets::reduce(runs, sets, size, free, percent))
}

/// What becomes of the codes, and the coupon that opens each promotion: of several, the first by code.
fn coupons(
    basket: &Basket,
    rules: &Rules,
) -> (Vec<CouponOutcome>, BTreeMap<PromotionId, CouponId>) {
    let mut chosen: BTreeMap<PromotionId, CouponId> = BTreeMap::new();
    let mut codes: Vec<&String> = basket.coupons.iter().collect();
    codes.sort();
    codes.dedup();
    let refused = |coupon: &Coupon| {
        if !coupon.enabled {
            Some(Why::CouponDisabled)
        } else if !coupon.period.holds(basket.date) {
            Some(Why::NotInDate)
        } else if coupon.limit.is_some_and(|limit| coupon.used >= limit) {
            Some(Why::CouponUsedUp)
        } else if coupon
            .limit_per_customer
            .is_some_and(|limit| coupon.used_by_customer >= limit)
        {
            Some(Why::CouponUsedUpByCustomer)
        } else if !rules
            .promotions
            .iter()
            .any(|promotion| promotion.needs_coupon && promotion.id == coupon.promotion)
        {
            Some(Why::PromotionNotActive)
        } else {
            None
        }
    };
    let mut why: BTreeMap<&String, Option<Why>> = BTreeMap::new();
    let known = |code: &String| {
        let those = rules.coupons.iter().filter(|coupon| coupon.code == *code);
        those.min_by_key(|coupon| coupon.id)
    };
    for code in codes {
        let fate = match known(code) {
            None => Some(Why::CouponUnknown),
            Some(coupon) => refused(coupon).or_else(|| {
                let other = chosen.contains_key(&coupon.promotion);
                chosen.entry(coupon.promotion).or_insert(coupon.id);
                other.then_some(Why::AnotherCoupon)
            }),
        };
        why.insert(code, fate);
    }
    let outcome = |code: &String| {
        let coupon = known(code);
        CouponOutcome {
            code: code.clone(),
            coupon_id: coupon.map(|coupon| coupon.id),
            promotion_id: coupon.map(|coupon| coupon.promotion),
            applied: false,
            why: why.get(code).copied().flatten(),
        }
    };
    (basket.coupons.iter().map(outcome).collect(), chosen)
}

/// Writes down what became of the coupon of a promotion: applied when nothing stood in its way.
fn settle(outcomes: &mut [CouponOutcome], coupon: Option<CouponId>, why: Option<Why>) {
    let Some(coupon) = coupon else { return };
    for outcome in outcomes
        .iter_mut()
        .filter(|outcome| outcome.coupon_id == Some(coupon) && outcome.why.is_none())
    {
        outcome.applied = why.is_none();
        outcome.why = why;
    }
}
