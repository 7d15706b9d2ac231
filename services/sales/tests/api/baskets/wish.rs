//! Baskets by chance: lines, discounts, places, buyers, means of payment, and what comes back.

use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::law::{KINDS, Off};

/// Baskets of a seed, besides the one of 200 lines.
const BASKETS: usize = 40;
/// Footwear among the goods, whose rate depends on its price.
const SHOES: usize = 19;
/// Goods with the same cess and another tax.
const ALIKE: [usize; 2] = [15, 16];
const _: () = assert!(KINDS[SHOES].above.is_some());
const _: () = assert!(KINDS[ALIKE[0]].cess == KINDS[ALIKE[1]].cess);

/// A discount that somebody wishes: an amount in thousandths of what it is taken from.
#[derive(Clone, Copy, Debug)]
pub enum Wished {
    Nothing,
    Percent(i128),
    Mille(i128),
}

impl Wished {
    pub fn of(self, value: i128) -> Off {
        match self {
            Self::Nothing => Off::Nothing,
            Self::Percent(percent) => Off::Percent(percent),
            Self::Mille(mille) => Off::Amount(value * mille / 1_000),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Percent(_) => "percent",
            Self::Mille(_) => "amount",
        }
    }
}

/// A line as it is wished: at the catalogue's price, or at its own with or without tax.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub goods: usize,
    pub qty: i128,
    pub own: Option<(i128, bool)>,
    pub off: Wished,
}

/// Where a sale happens.
#[derive(Clone, Copy, Debug)]
pub enum Outlet {
    Till(usize),
    /// Of a place, payable to the rupee or not.
    Office(usize, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buyer {
    Nobody,
    /// Of whom name and telephone are known.
    Known,
    /// In another state.
    FarAway,
    /// With a GSTIN.
    Business,
    /// With a GSTIN of another state.
    FarBusiness,
    /// With an account and its limit.
    Customer,
}

/// How it is paid.
#[derive(Clone, Copy, Debug)]
pub enum Pay {
    Cash,
    /// More than is due.
    MuchCash,
    Upi,
    Card,
    UpiAndCash,
    /// Card, wallet, voucher, and cash in two parts.
    Everything,
    CreditAndCash,
    Credit,
}

#[derive(Clone, Debug)]
pub struct Basket {
    pub lines: Vec<Wish>,
    pub off: Wished,
    pub outlet: Outlet,
    pub buyer: Buyer,
    /// Where the office sends it, if that is said.
    pub delivery: Option<bool>,
    pub pay: Pay,
    /// Thousandths: of the first means of payment, and of what a receipt pays.
    pub mille: i128,
    /// Somebody first tries to pay too little, and too much without cash.
    pub tries: bool,
    /// What comes back: for each round thousandths of what is left, line by line and from the beginning again. After them
    /// comes the rest; nothing comes back of a sale without rounds.
    pub rounds: Option<Vec<Vec<i128>>>,
}

fn wished() -> impl Strategy<Value = Wished> {
    prop_oneof![
        4 => Just(Wished::Nothing),
        3 => (0..=30_000i128).prop_map(Wished::Percent),
        1 => (0..=100i128).prop_map(|percent| Wished::Percent(percent * 1_000)),
        3 => (0..=300i128).prop_map(Wished::Mille),
        1 => (0..=1_000i128).prop_map(Wished::Mille),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    let qty = prop_oneof![
        5 => (1..=12i128).prop_map(|pieces| pieces * 1_000),
        4 => 1..=5_000i128,
        1 => (20..=900i128).prop_map(|pieces| pieces * 1_000),
    ];
    let price = prop_oneof![
        4 => (1..=200_000i128).prop_map(|paise| paise * 100),
        3 => 1..=9_000_000i128,
        1 => 0..=300i128,
    ];
    // Where the rate of footwear turns.
    let shoes = (2_300..=3_000i128).prop_map(|rupees| rupees * 10_000);
    let own = proptest::option::weighted(0.8, (price, any::<bool>()));
    let goods = prop_oneof![
        8 => (0..KINDS.len(), own.clone()),
        1 => (prop::sample::select(ALIKE.to_vec()), own),
        1 => (Just(SHOES), (shoes, any::<bool>()).prop_map(Some)),
    ];
    (goods, qty, wished()).prop_map(|((goods, own), qty, off)| Wish {
        goods,
        qty,
        own,
        off,
    })
}

fn basket(lines: impl Strategy<Value = Vec<Wish>>) -> impl Strategy<Value = Basket> {
    let outlet = prop_oneof![
        6 => (0..2usize).prop_map(Outlet::Till),
        2 => (2..4usize).prop_map(Outlet::Till),
        4 => any::<bool>().prop_map(|round| Outlet::Office(0, round)),
        1 => any::<bool>().prop_map(|round| Outlet::Office(1, round)),
    ];
    let buyer = prop::sample::select(vec![
        Buyer::Nobody,
        Buyer::Known,
        Buyer::FarAway,
        Buyer::Business,
        Buyer::FarBusiness,
        Buyer::Customer,
        Buyer::Customer,
        Buyer::Customer,
    ]);
    let pay = prop::sample::select(vec![
        Pay::Cash,
        Pay::MuchCash,
        Pay::Upi,
        Pay::Card,
        Pay::UpiAndCash,
        Pay::Everything,
        Pay::CreditAndCash,
        Pay::CreditAndCash,
        Pay::Credit,
    ]);
    let part = prop_oneof![2 => Just(0i128), 3 => 0..=1_000i128, 1 => Just(1_000i128)];
    let rounds = proptest::option::weighted(0.7, vec(vec(part, 1..8), 0..4));
    let delivery = proptest::option::weighted(0.2, any::<bool>());
    (
        lines,
        wished(),
        outlet,
        (buyer, delivery),
        pay,
        1..=999i128,
        prop::bool::weighted(0.15),
        rounds,
    )
        .prop_map(
            |(lines, off, outlet, (buyer, delivery), pay, mille, tries, rounds)| Basket {
                lines,
                off,
                outlet,
                buyer,
                delivery,
                pay,
                mille,
                tries,
                rounds,
            },
        )
}

/// The baskets of a seed.
pub fn baskets(seed: u8) -> Vec<Basket> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let sizes = prop_oneof![
        6 => vec(wish(), 1..=4),
        5 => vec(wish(), 5..=20),
        2 => vec(wish(), 21..=60),
        1 => vec(wish(), 61..=200),
    ];
    let many = vec(basket(sizes), BASKETS).new_tree(&mut runner).unwrap();
    let large = basket(vec(wish(), 200)).new_tree(&mut runner).unwrap();
    many.current()
        .into_iter()
        .chain([large.current()])
        .collect()
}

pub type Tenders = Vec<(&'static str, i128)>;

impl Pay {
    /// What is handed over for a total; only those owe who can.
    pub fn tenders(self, total: i128, mille: i128, can_owe: bool) -> Tenders {
        let part = total * mille / 1_000;
        let up = |amount: i128, to: i128| (amount + to - 1) / to * to;
        let mut tenders = match self {
            Self::Cash => vec![("cash", total)],
            Self::MuchCash => vec![("cash", up(total, 50_000) + 10_000)],
            Self::Card => vec![("card", total)],
            Self::UpiAndCash => vec![("upi", part), ("cash", up(total - part, 5_000))],
            Self::Everything => {
                let [card, wallet, voucher] = [part / 2, part / 4, part / 8];
                let rest = total - card - wallet - voucher;
                vec![
                    ("card", card),
                    ("cash", rest / 3),
                    ("wallet", wallet),
                    ("voucher", voucher),
                    ("cash", rest - rest / 3 + 1_150),
                ]
            }
            Self::CreditAndCash if can_owe => {
                vec![("credit", part), ("cash", up(total - part, 100))]
            }
            Self::Credit if can_owe => vec![("credit", total)],
            Self::Upi | Self::CreditAndCash | Self::Credit => vec![("upi", total)],
        };
        tenders.retain(|(_, amount)| *amount > 0);
        tenders
    }
}

pub fn sum_of(tenders: &[(&'static str, i128)], method: &str) -> i128 {
    tenders
        .iter()
        .filter(|(m, _)| *m == method)
        .map(|(_, amount)| amount)
        .sum()
}
