//! The state of everything, and every step that can be taken from it.

use std::fmt;

/// Rules of the protocol that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// At most one decision of an invoice is other than `void` (the partial unique index).
    OneFinalDecision,
    /// An invoice id has no limit of attempts.
    NoLimitOfAttempts,
    /// Before a refusal is answered, the decision is read once more.
    ReadBeforeRefusing,
    /// An abandoned invoice is `closed`.
    AbandonCloses,
    /// An issued invoice answers the request it was issued for and no other.
    SameRequestOnly,
    /// Asked about an undecided attempt, sales writes `void` before it answers.
    VoidBeforeAnswering,
    /// After a grant, `void` is committed before the hold is released.
    VoidBeforeRelease,
    /// An attempt that holds another basket is voided before the next one is taken.
    VoidBeforeNext,
    /// Inventory releases a till's hold only after sales said `void`.
    AskBeforeRelease,
    /// A hold is granted again only to the basket it was made for.
    CompareHash,
    /// A `Reserve` releases the lower attempts of its invoice.
    ReleaseLower,
    /// All of them, not the nearest alone.
    ReleaseAllLower,
    /// It remembers those never seen, too, as released.
    RememberUnseen,
    /// A refusal keeps those releases.
    RefusalKeepsReleases,
    /// Shortages are settled only after this sale has taken its part.
    SettleAfterTake,
    /// A hold of another basket than the event's is freed with the event.
    FreeOtherBasket,
    /// With the event the reservation id ends `committed`, also when there was no hold.
    EndCommitted,
    /// An event moves stock once.
    GuardMovement,
    /// An event is never refused for stock.
    IssueWhenShort,
    /// A till that was away is known by the number it printed: sent again, its sale gets its own document.
    KnownByNumber,
    /// What was sold while the till was away is promised as far as there is something.
    NeverShort,
    /// Without an answer of inventory it is written without a hold.
    WithoutStock,
    /// Given up online and sold all the same, it is issued under an id of its own.
    DerivedWhenClosed,
    /// Only the very sale that was issued online makes the printed number void.
    SameSaleOnly,
    /// What was issued online for something else is undone before the sale is issued under an id of its own.
    UndoneFirst,
    /// The decision alone says whether an invoice was issued; what became of it later does not.
    DecisionAlone,
    /// What is done to an issued invoice is done under its lock.
    UnderLock,
    /// What is done to an invoice is heard of after the invoice.
    InOrder,
    /// What comes back closes the invoice's own shortage first.
    ShortageFirst,
    /// What comes back comes back once, however often it is heard.
    GuardReturn,
    /// Shortages are settled whenever more becomes available.
    SettleWhenFreed,
    /// A count is posted only when inventory has heard all that had happened at the look.
    CountWaits,
    /// Of what is heard after the look, only what had happened by then changes what is expected.
    CountBySnapshot,
    /// What is expected is what lies there less what is owed.
    CountLessOwed,
    /// A sale of before the look that is told after it is put right.
    CorrectLate,
    /// What an earlier look has put right since is in the books of a later one.
    CountAfterCount,
    /// Once a later look is posted, an earlier one finds nothing.
    LatestLook,
}

impl Rule {
    pub const ALL: [Self; 37] = [
        Self::OneFinalDecision,
        Self::NoLimitOfAttempts,
        Self::ReadBeforeRefusing,
        Self::AbandonCloses,
        Self::SameRequestOnly,
        Self::VoidBeforeAnswering,
        Self::VoidBeforeRelease,
        Self::VoidBeforeNext,
        Self::AskBeforeRelease,
        Self::CompareHash,
        Self::ReleaseLower,
        Self::ReleaseAllLower,
        Self::RememberUnseen,
        Self::RefusalKeepsReleases,
        Self::SettleAfterTake,
        Self::FreeOtherBasket,
        Self::EndCommitted,
        Self::GuardMovement,
        Self::IssueWhenShort,
        Self::KnownByNumber,
        Self::NeverShort,
        Self::WithoutStock,
        Self::DerivedWhenClosed,
        Self::SameSaleOnly,
        Self::UndoneFirst,
        Self::DecisionAlone,
        Self::UnderLock,
        Self::InOrder,
        Self::ShortageFirst,
        Self::GuardReturn,
        Self::SettleWhenFreed,
        Self::CountWaits,
        Self::CountBySnapshot,
        Self::CountLessOwed,
        Self::CorrectLate,
        Self::CountAfterCount,
        Self::LatestLook,
    ];
}

/// Which rules hold.
#[derive(Clone, Copy, Debug)]
pub struct Rules(Option<Rule>);

impl Rules {
    pub fn all() -> Self {
        Self(None)
    }
    pub fn without(rule: Rule) -> Self {
        Self(Some(rule))
    }
    fn hold(self, rule: Rule) -> bool {
        self.0 != Some(rule)
    }
}

/// The bounds of a search.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// Invoice and basket of each request.
    pub requests: Vec<(usize, u8)>,
    pub stock: u8,
    /// Requests that may die.
    pub crashes: u8,
    /// Calls to inventory that may run out of time; the call itself may still arrive.
    pub timeouts: u8,
    /// Transactions of step 3 that may be refused (a closed session, a constraint).
    pub errors: u8,
    /// Commits of step 3 whose outcome the request does not learn.
    pub unknowns: u8,
    /// Requests that may be refused after they looked, before they call inventory.
    pub refusals: u8,
    /// Events that may come twice.
    pub twice: u8,
    /// Pieces that may be found gone.
    pub losses: u8,
    /// The till may give invoice 0 up.
    pub abandons: bool,
    /// Invoice 0 was sold without a hold (offline, or restored): its event is on its way.
    pub unheld: bool,
    /// Invoice and basket of each sending of what the till made while it was away, under one number. Invoice 1 is then the
    /// id that is derived from invoice 0 and the number.
    pub sent: Vec<(usize, u8)>,
    /// What is done to invoice 0 when it is issued: a piece comes back, or it is cancelled.
    pub undos: Vec<Undo>,
    /// So many count the shelf, at most two.
    pub counts: usize,
    /// Pieces that lie on the shelf and are in no book.
    pub found: u8,
    /// Deadlines that pass while there is still something going on; those of the rest pass afterwards.
    pub asks: u8,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "",
            requests: Vec::new(),
            stock: 0,
            crashes: 0,
            timeouts: 0,
            errors: 0,
            unknowns: 0,
            refusals: 0,
            twice: 0,
            losses: 0,
            abandons: false,
            unheld: false,
            sent: Vec::new(),
            undos: Vec::new(),
            counts: 0,
            found: 0,
            asks: 1,
        }
    }
}

const INVOICES: usize = 2;
const COUNTS: usize = 2;
/// Attempts of an invoice that the model has room for.
const ATTEMPTS: usize = 5;
/// Attempts that one request takes; five in the code, enough here.
const TRIES: u8 = 3;
/// With a limit of attempts: this one.
const LIMIT: usize = 2;

fn signed(pieces: u8) -> i8 {
    i8::try_from(pieces).unwrap()
}

fn pieces(basket: u8) -> u8 {
    match basket {
        0 => 0,
        2 => 2,
        _ => 1,
    }
}

/// What is done to an issued invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Undo {
    /// One piece comes back.
    Return,
    /// It is cancelled: all comes back, unless something did before.
    Cancel,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Undoing {
    Waiting,
    /// Without the lock: so much had come back when it looked.
    Looked(u8),
    Over,
}

/// An event of goods that come back: so many, how often it came, and whether it has had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Back {
    pieces: u8,
    deliveries: u8,
}

/// A count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Count {
    /// There is none.
    None,
    Open,
    /// Counted so many; the books said so; invoices that were issued and not heard of, and what has been heard since
    /// that sales of before the look moved, and others did; what an earlier look has put right since; a later one is posted.
    Looked {
        shelf: i8,
        book: i8,
        on_their_way: [bool; INVOICES],
        heard: i8,
        heard_of_others: i8,
        corrected: i8,
        outdated: bool,
    },
    Posted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Decision {
    Void,
    Issued(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Hold {
    Unseen,
    Pending {
        basket: u8,
        /// Less than the basket when a loss took from it.
        held: u8,
        /// Sales said `issued`: no more asking.
        known: bool,
    },
    Released,
    Committed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Answer {
    /// With this basket.
    Sold(u8),
    Reused,
    Abandoned,
}

/// Why an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Why {
    /// Look again.
    Again,
    Refuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum At {
    Look,
    Looked(u8),
    Waiting(u8),
    Granted(u8),
    /// Inventory says that the attempt is over.
    Gone(u8),
    /// After a grant, not issued: void is to be written.
    Ended(u8, Why),
    /// Void is written: the hold is to be released.
    Voided(u8, Why),
    Refusing,
    TimedOut,
    /// Answered or dead: what it said was checked when it said it.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Request {
    /// A till that was away sends it.
    sent: bool,
    invoice: u8,
    basket: u8,
    at: At,
    tries: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Invoice {
    decisions: [Option<Decision>; ATTEMPTS],
    closed: bool,
    /// The till was told that it is given up.
    given_up: bool,
    holds: [Hold; ATTEMPTS],
    /// The highest attempt that was refused for stock.
    refused: u8,
    /// The event: attempt, basket, deliveries so far.
    event: Option<(u8, u8, u8)>,
    /// All of it was given back.
    undone: bool,
    /// Pieces that came back.
    returned: u8,
    /// Events of that.
    backs: [Option<Back>; 2],
    /// Its goods have left the shelf.
    left: bool,
    /// They had when the shelf was counted, and nobody had told.
    late: [bool; COUNTS],
    /// Inventory's header row.
    handled: bool,
    moved: u8,
    shortage: u8,
}

/// What is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    Reserve { request: u8, attempt: u8 },
    Granted { request: u8, attempt: u8 },
    Short { request: u8, attempt: u8 },
    Gone { request: u8, attempt: u8 },
    Release { invoice: u8, attempt: u8 },
    Void { invoice: u8, attempt: u8 },
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    requests: Vec<Request>,
    invoices: [Invoice; INVOICES],
    /// In order, none twice.
    wire: Vec<Message>,
    on_hand: u8,
    /// What really lies there.
    shelf: i8,
    /// Of which no book knows.
    found: u8,
    /// In the order of their looks.
    counts: [Count; COUNTS],
    undos: Vec<(Undo, Undoing)>,
    lost: u8,
    /// What the printed number stands for: an invoice, and whether that bears it (else it is printed and void).
    number: Option<(u8, bool)>,
    budget: Budget,
    /// Something happened that must not.
    fault: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    crashes: u8,
    timeouts: u8,
    errors: u8,
    unknowns: u8,
    refusals: u8,
    twice: u8,
    losses: u8,
    asks: u8,
    abandons: bool,
}

/// A step, in few words.
#[derive(Clone, Copy)]
pub enum Step {
    /// Something a request does.
    Request(usize, &'static str),
    /// Something arrives.
    Arrives(Message),
    /// Something happens to an invoice.
    Invoice(usize, &'static str),
    /// Something happens to a hold.
    Hold(usize, u8, &'static str),
    /// A piece is found gone.
    Loss,
    /// Something is done to invoice 0.
    Undo(usize, &'static str),
    /// Something about the count.
    Count(&'static str),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request, what) => write!(f, "request {request} {what}"),
            Self::Arrives(message) => write!(f, "{message:?} arrives"),
            Self::Invoice(invoice, what) => write!(f, "invoice {invoice} {what}"),
            Self::Hold(invoice, attempt, what) => write!(f, "the hold {invoice}/{attempt} {what}"),
            Self::Loss => write!(f, "a piece is found gone"),
            Self::Undo(undo, what) => write!(f, "undo {undo} {what}"),
            Self::Count(what) => write!(f, "the shelf {what}"),
        }
    }
}

type Steps = Vec<(Step, World)>;

impl World {
    pub fn new(scenario: &Scenario, _: Rules) -> Self {
        let request = |sent: bool, (invoice, basket): &(usize, u8)| Request {
            sent,
            invoice: u8::try_from(*invoice).unwrap(),
            basket: *basket,
            at: At::Look,
            tries: 0,
        };
        let invoice = Invoice {
            decisions: [None; ATTEMPTS],
            closed: false,
            given_up: false,
            holds: [Hold::Unseen; ATTEMPTS],
            refused: 0,
            event: None,
            undone: false,
            returned: 0,
            backs: [None; 2],
            left: false,
            late: [false; COUNTS],
            handled: false,
            moved: 0,
            shortage: 0,
        };
        let mut invoices = [invoice; INVOICES];
        let mut shelf = i8::try_from(scenario.stock + scenario.found).unwrap();
        if let (1.., Some((_, basket))) = (scenario.counts, scenario.sent.first()) {
            // It left before anybody counted.
            invoices[0].left = true;
            shelf -= i8::try_from(pieces(*basket)).unwrap();
        }
        if scenario.unheld {
            invoices[0].left = true;
            shelf -= 1;
            invoices[0].decisions[1] = Some(Decision::Issued(1));
            invoices[0].event = Some((1, 1, 0));
        }
        Self {
            requests: scenario
                .requests
                .iter()
                .map(|r| request(false, r))
                .chain(scenario.sent.iter().map(|r| request(true, r)))
                .collect(),
            invoices,
            wire: Vec::new(),
            on_hand: scenario.stock,
            shelf,
            found: scenario.found,
            counts: std::array::from_fn(|n| match n < scenario.counts {
                true => Count::Open,
                false => Count::None,
            }),
            undos: scenario
                .undos
                .iter()
                .map(|undo| (*undo, Undoing::Waiting))
                .collect(),
            // What was sold without a hold may be short, too.
            lost: u8::from(scenario.unheld || !scenario.sent.is_empty()),
            number: None,
            budget: Budget {
                crashes: scenario.crashes,
                timeouts: scenario.timeouts,
                errors: scenario.errors,
                unknowns: scenario.unknowns,
                refusals: scenario.refusals,
                twice: scenario.twice,
                losses: scenario.losses,
                asks: scenario.asks,
                abandons: scenario.abandons,
            },
            fault: None,
        }
    }

    // ---- what must hold

    /// What is wrong with this state.
    pub fn wrong(&self) -> Option<&'static str> {
        if self.fault.is_some() {
            return self.fault;
        }
        if self.reserved() > self.on_hand {
            return Some("more is reserved than there is");
        }
        for invoice in &self.invoices {
            let issued = invoice
                .decisions
                .iter()
                .flatten()
                .filter(|d| matches!(d, Decision::Issued(_)))
                .count();
            if issued > 1 {
                return Some("an invoice is issued twice");
            }
            if issued == 1 && invoice.given_up {
                return Some("an invoice that was given up is issued");
            }
            if invoice
                .holds
                .iter()
                .filter(|h| matches!(h, Hold::Pending { .. }))
                .count()
                > 1
            {
                return Some("a sale holds its goods twice");
            }
            if invoice.shortage > 0 && self.lost == 0 {
                return Some("goods were sold twice");
            }
        }
        let first = &self.invoices[0];
        if self.number == Some((1, true)) && first.issued().is_some() && !first.undone {
            return Some("a sale is issued twice");
        }
        None
    }

    /// What is wrong once nothing can happen any more.
    pub fn wrong_at_rest(&self, rules: Rules) -> Option<&'static str> {
        for invoice in &self.invoices {
            if invoice
                .holds
                .iter()
                .any(|h| matches!(h, Hold::Pending { .. }))
            {
                return Some("a hold stays for ever");
            }
            let sold = invoice.issued().map_or(0, pieces);
            if invoice.moved + invoice.shortage + invoice.returned != sold {
                return Some("what left stock is not what was sold");
            }
            if invoice.shortage > 0 && self.available() > 0 {
                return Some("goods lie there, and a shortage stays");
            }
            if !rules.hold(Rule::NoLimitOfAttempts)
                && invoice.issued().is_none()
                && !invoice.closed
                && usize::from(invoice.next()) > LIMIT
            {
                return Some("an undecided sale can never be made");
            }
        }
        let owed: i8 = self.invoices.iter().map(|i| signed(i.shortage)).sum();
        let unknown = match self.counts[0] {
            Count::Posted => 0,
            _ => signed(self.found),
        };
        if signed(self.on_hand) - owed != self.shelf - unknown {
            return Some("the books are not what lies there");
        }
        None
    }

    fn reserved(&self) -> u8 {
        let held = |h: &Hold| {
            if let Hold::Pending { held, .. } = h {
                *held
            } else {
                0
            }
        };
        self.invoices.iter().flat_map(|i| &i.holds).map(held).sum()
    }

    fn available(&self) -> u8 {
        self.on_hand.saturating_sub(self.reserved())
    }

    // ---- steps

    /// Every step that can be taken.
    pub fn steps(&self, rules: Rules) -> Steps {
        let mut steps = Vec::new();
        if self.fault.is_some() {
            return steps;
        }
        for index in 0..self.requests.len() {
            self.of_request(index, rules, &mut steps);
        }
        for message in &self.wire {
            let mut next = self.clone();
            next.wire.retain(|m| m != message);
            next.deliver(*message, rules);
            steps.push((Step::Arrives(*message), next));
        }
        for index in 0..INVOICES {
            self.of_invoice(index, rules, &mut steps);
        }
        if self.budget.losses > 0 && self.on_hand > 0 {
            let mut next = self.clone();
            next.budget.losses -= 1;
            next.lose();
            steps.push((Step::Loss, next));
        }
        for index in 0..self.undos.len() {
            self.of_undo(index, rules, &mut steps);
        }
        for nth in 0..COUNTS {
            self.of_count(nth, rules, &mut steps);
        }
        for (_, next) in &mut steps {
            next.tidy();
        }
        steps
    }

    /// A return or a cancel of invoice 0: it looks at what came back before, and writes, under the lock of the invoice.
    fn of_undo(&self, index: usize, rules: Rules, steps: &mut Steps) {
        let (undo, at) = self.undos[index];
        let invoice = &self.invoices[0];
        let Some(issued) = invoice.issued() else {
            return;
        };
        let mut step = |what: &'static str, change: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            change(&mut next);
            steps.push((Step::Undo(index, what), next));
        };
        match at {
            Undoing::Waiting if rules.hold(Rule::UnderLock) => {
                step("is done", &|w| {
                    w.undo(index, undo, issued, w.invoices[0].returned)
                });
            }
            Undoing::Waiting => step("looks", &|w| {
                w.undos[index].1 = Undoing::Looked(w.invoices[0].returned);
            }),
            Undoing::Looked(before) => {
                step("is done", &|w| w.undo(index, undo, issued, before));
            }
            Undoing::Over => {}
        }
    }

    fn undo(&mut self, index: usize, undo: Undo, issued: u8, before: u8) {
        self.undos[index].1 = Undoing::Over;
        let pieces = match undo {
            Undo::Return if before < pieces(issued) => 1,
            Undo::Cancel if before == 0 => pieces(issued),
            _ => return,
        };
        self.give_back(0, pieces);
    }

    /// Goods come back to the shelf, and an event is written.
    fn give_back(&mut self, index: usize, back: u8) {
        self.shelf += signed(back);
        let invoice = &mut self.invoices[index];
        invoice.returned += back;
        let sold = invoice.issued().map_or(0, pieces);
        invoice.undone = invoice.returned == sold;
        if invoice.returned > sold {
            self.fault = Some("more comes back than was sold");
            return;
        }
        if let Some(free) = invoice.backs.iter_mut().find(|b| b.is_none()) {
            *free = Some(Back {
                pieces: back,
                deliveries: 0,
            });
        }
    }

    /// Goods that come back, at inventory: they close the invoice's own shortage, and the rest lies there again.
    fn hear_back(&mut self, index: usize, place: usize, rules: Rules) {
        let invoice = &mut self.invoices[index];
        let Some(back) = &mut invoice.backs[place] else {
            return;
        };
        back.deliveries += 1;
        if back.deliveries > 1 && rules.hold(Rule::GuardReturn) {
            return;
        }
        let closed = match rules.hold(Rule::ShortageFirst) {
            true => back.pieces.min(invoice.shortage),
            false => 0,
        };
        let rest = back.pieces - closed;
        invoice.shortage -= closed;
        if rest > invoice.moved {
            self.fault = Some("goods come back that have not left");
            return;
        }
        invoice.moved -= rest;
        self.on_hand += rest;
        self.freed(rules);
    }

    /// The shelf is counted: a look, and later the change of the books.
    fn of_count(&self, nth: usize, rules: Rules, steps: &mut Steps) {
        let mut next = self.clone();
        match self.counts[nth] {
            Count::Open => {
                if nth > 0 && self.counts[nth - 1] == Count::Open {
                    return;
                }
                let owed: i8 = self.invoices.iter().map(|i| signed(i.shortage)).sum();
                let owed = match rules.hold(Rule::CountLessOwed) {
                    true => owed,
                    false => 0,
                };
                for invoice in &mut next.invoices {
                    invoice.late[nth] = invoice.left && invoice.issued().is_none();
                }
                next.counts[nth] = Count::Looked {
                    shelf: self.shelf,
                    book: signed(self.on_hand) - owed,
                    on_their_way: self.invoices.map(|i| i.issued().is_some() && !i.handled),
                    heard: 0,
                    heard_of_others: 0,
                    corrected: 0,
                    outdated: false,
                };
                steps.push((
                    Step::Count(["is looked at", "is looked at again"][nth]),
                    next,
                ));
            }
            Count::Looked {
                shelf,
                book,
                on_their_way,
                heard,
                heard_of_others,
                corrected,
                outdated,
            } => {
                let mut invoices = self.invoices.iter().zip(on_their_way);
                let waits = invoices.any(|(i, on_its_way)| on_its_way && !i.handled);
                if waits && rules.hold(Rule::CountWaits) {
                    return;
                }
                let others = match rules.hold(Rule::CountBySnapshot) {
                    true => 0,
                    false => heard_of_others,
                };
                let corrected = match rules.hold(Rule::CountAfterCount) {
                    true => corrected,
                    false => 0,
                };
                let variance = match outdated && rules.hold(Rule::LatestLook) {
                    true => 0,
                    false => shelf - (book - heard - others + corrected),
                };
                next.counts[nth] = Count::Posted;
                for (other, count) in next.counts.iter_mut().enumerate() {
                    if let Count::Looked {
                        corrected,
                        outdated,
                        ..
                    } = count
                    {
                        match other > nth {
                            true => *corrected += variance,
                            false => *outdated = true,
                        }
                    }
                }
                next.differ(variance, rules);
                steps.push((
                    Step::Count(["is entered as first counted", "is entered as last counted"][nth]),
                    next,
                ));
            }
            Count::None | Count::Posted => {}
        }
    }

    /// Changes the books by what a count found.
    fn differ(&mut self, variance: i8, rules: Rules) {
        if variance > 0 {
            self.on_hand += variance.unsigned_abs();
            self.freed(rules);
        }
        for _ in variance..0 {
            if self.on_hand == 0 {
                self.fault = Some("a count takes what is not there");
                return;
            }
            self.take();
        }
    }

    /// Something became available.
    fn freed(&mut self, rules: Rules) {
        if rules.hold(Rule::SettleWhenFreed) {
            self.settle();
        }
    }

    /// Drops what can have no effect any more, and puts requests that are alike in order, so that states that differ
    /// in nothing that matters are one.
    fn tidy(&mut self) {
        let (requests, invoices) = (&self.requests, &self.invoices);
        self.wire.retain(|message| match *message {
            Message::Reserve { .. } => true,
            Message::Granted { request, attempt }
            | Message::Short { request, attempt }
            | Message::Gone { request, attempt } => {
                requests[usize::from(request)].at == At::Waiting(attempt)
            }
            Message::Release { invoice, attempt } | Message::Void { invoice, attempt } => {
                let hold = invoices[usize::from(invoice)].holds[usize::from(attempt)];
                !matches!(hold, Hold::Released | Hold::Committed)
            }
        });
        let alike = |a: &Request, b: &Request| {
            (a.sent, a.invoice, a.basket) == (b.sent, b.invoice, b.basket)
        };
        if self.requests.len() == 2
            && alike(&self.requests[0], &self.requests[1])
            && self.requests[0] > self.requests[1]
        {
            self.requests.swap(0, 1);
            for message in &mut self.wire {
                if let Message::Reserve { request, .. }
                | Message::Granted { request, .. }
                | Message::Short { request, .. }
                | Message::Gone { request, .. } = message
                {
                    *request = 1 - *request;
                }
            }
            self.wire.sort_unstable();
        }
    }

    fn of_request(&self, index: usize, rules: Rules, steps: &mut Steps) {
        let request = self.requests[index];
        let number = u8::try_from(index).unwrap();
        let mut step = |what: &'static str, change: &mut dyn FnMut(&mut Self)| {
            let mut next = self.clone();
            change(&mut next);
            steps.push((Step::Request(index, what), next));
        };
        if self.budget.crashes > 0 && request.at != At::Over {
            step("dies", &mut |w| {
                w.budget.crashes -= 1;
                w.requests[index].at = At::Over;
            });
        }
        match request.at {
            At::Look if request.sent => step("looks", &mut |w| w.look_as_sent(index, rules)),
            At::Look => step("looks", &mut |w| w.look(index, rules)),
            At::Looked(attempt) => {
                if self.budget.refusals > 0 && !request.sent {
                    step("is refused", &mut |w| {
                        w.budget.refusals -= 1;
                        w.requests[index].at = At::Refusing;
                    });
                }
                if pieces(request.basket) == 0 {
                    step("needs no stock", &mut |w| {
                        w.requests[index].at = At::Granted(attempt)
                    });
                } else {
                    step("calls inventory", &mut |w| {
                        w.send(Message::Reserve {
                            request: number,
                            attempt,
                        });
                        w.requests[index].at = At::Waiting(attempt);
                    });
                }
            }
            At::Waiting(attempt) => {
                if self.budget.timeouts > 0 {
                    step("waits no longer", &mut |w| {
                        w.budget.timeouts -= 1;
                        w.requests[index].at = match (request.sent, rules.hold(Rule::WithoutStock))
                        {
                            (true, true) => At::Granted(attempt),
                            (true, false) => w.refuse_what_happened(),
                            (false, _) => At::TimedOut,
                        };
                    });
                }
            }
            At::Granted(attempt) => {
                step("decides", &mut |w| {
                    let ok = w.issue(index, attempt, rules);
                    w.requests[index].at = if ok {
                        At::Over
                    } else {
                        At::Ended(attempt, Why::Again)
                    };
                });
                if self.budget.errors > 0 {
                    step("fails in step 3", &mut |w| {
                        w.budget.errors -= 1;
                        w.requests[index].at = At::Ended(attempt, Why::Refuse);
                    });
                }
                if self.budget.unknowns > 0 {
                    step("does not learn of its commit", &mut |w| {
                        w.budget.unknowns -= 1;
                        w.issue(index, attempt, rules);
                        w.requests[index].at = At::Ended(attempt, Why::Again);
                    });
                    step("does not learn that it did not commit", &mut |w| {
                        w.budget.unknowns -= 1;
                        w.requests[index].at = At::Ended(attempt, Why::Again);
                    });
                }
            }
            At::Gone(attempt) => step("voids what is over", &mut |w| {
                if rules.hold(Rule::VoidBeforeNext) {
                    w.void(request.invoice, attempt);
                    w.requests[index].at = At::Look;
                } else {
                    let room = usize::from(attempt) + 1 < ATTEMPTS;
                    w.requests[index].at = if room {
                        At::Looked(attempt + 1)
                    } else {
                        At::Over
                    };
                }
            }),
            At::Ended(attempt, why) => step("voids", &mut |w| {
                if rules.hold(Rule::VoidBeforeRelease) && w.void(request.invoice, attempt) {
                    w.requests[index].at = At::Look;
                } else {
                    w.requests[index].at = At::Voided(attempt, why);
                }
            }),
            At::Voided(attempt, why) => step("releases", &mut |w| {
                if pieces(request.basket) > 0 {
                    w.send(Message::Release {
                        invoice: request.invoice,
                        attempt,
                    });
                }
                w.requests[index].at = if why == Why::Again {
                    At::Look
                } else {
                    At::Refusing
                };
            }),
            // Something else went wrong: the till sends it again.
            At::Refusing if request.sent => {
                step("is to be sent again", &mut |w| {
                    w.requests[index].at = At::Over
                });
            }
            At::Refusing => step("refuses", &mut |w| {
                let invoice = w.invoices[usize::from(request.invoice)];
                let late = if rules.hold(Rule::ReadBeforeRefusing) {
                    invoice.answer(request.basket, rules)
                } else {
                    None
                };
                if late.is_none() && invoice.issued().is_some() {
                    w.fault = Some("a sale that happened is refused");
                }
                w.answered(index, late);
            }),
            At::TimedOut => step("answers that it does not know", &mut |w| {
                let late = w.invoices[usize::from(request.invoice)].answer(request.basket, rules);
                w.answered(index, late);
            }),
            At::Over => {}
        }
    }

    /// Step 1.
    fn look(&mut self, index: usize, rules: Rules) {
        let request = self.requests[index];
        let invoice = self.invoices[usize::from(request.invoice)];
        let limit = if rules.hold(Rule::NoLimitOfAttempts) {
            ATTEMPTS - 1
        } else {
            LIMIT
        };
        self.requests[index].tries += 1;
        match invoice.answer(request.basket, rules) {
            Some(answer) => self.answered(index, Some(answer)),
            None if request.tries == TRIES || usize::from(invoice.next()) > limit => {
                self.answered(index, None)
            }
            None => self.requests[index].at = At::Looked(invoice.next()),
        }
    }

    /// Step 1 of what a till made while it was away.
    fn look_as_sent(&mut self, index: usize, rules: Rules) {
        let request = self.requests[index];
        let invoice = self.invoices[usize::from(request.invoice)];
        self.requests[index].tries += 1;
        let at = if self.number.is_some() && rules.hold(Rule::KnownByNumber) {
            At::Over
        } else if let Some(issued) = invoice.issued() {
            let other = issued != request.basket;
            if other && request.invoice == 0 && (invoice.undone || !rules.hold(Rule::UndoneFirst)) {
                self.requests[index].invoice = 1;
                self.requests[index].at = At::Look;
                return;
            }
            if !other || !rules.hold(Rule::SameSaleOnly) {
                self.explain(request.invoice, false);
                if issued != request.basket {
                    self.fault = Some("a printed number stands for other goods than were sold");
                }
            }
            // Issued for something else: a person sees to that invoice first.
            At::Over
        } else if invoice.closed && request.invoice == 0 {
            if rules.hold(Rule::DerivedWhenClosed) {
                self.requests[index].invoice = 1;
                At::Look
            } else {
                self.refuse_what_happened()
            }
        } else if request.tries == TRIES || usize::from(invoice.next()) >= ATTEMPTS {
            At::Over
        } else {
            At::Looked(invoice.next())
        };
        self.requests[index].at = at;
    }

    fn refuse_what_happened(&mut self) -> At {
        self.fault = Some("a sale that happened is refused");
        At::Over
    }

    /// Records what the printed number stands for.
    fn explain(&mut self, invoice: u8, bears: bool) {
        let stands = *self.number.get_or_insert((invoice, bears));
        if stands != (invoice, bears) {
            self.fault = Some("a printed number stands for two things");
        }
    }

    fn answered(&mut self, index: usize, answer: Option<Answer>) {
        if answer.is_some_and(
            |a| matches!(a, Answer::Sold(basket) if basket != self.requests[index].basket),
        ) {
            self.fault = Some("a request is answered with another's basket");
        }
        self.requests[index].at = At::Over;
    }

    /// Step 3: true when it is issued.
    fn issue(&mut self, index: usize, attempt: u8, rules: Rules) -> bool {
        let request = self.requests[index];
        let invoice = &mut self.invoices[usize::from(request.invoice)];
        let taken = invoice.decisions[usize::from(attempt)].is_some();
        let last = invoice.closed || invoice.issued().is_some();
        if taken
            || last && rules.hold(Rule::OneFinalDecision)
            || request.sent && self.number.is_some()
        {
            return false;
        }
        invoice.decisions[usize::from(attempt)] = Some(Decision::Issued(request.basket));
        invoice.event = Some((attempt, request.basket, 0));
        if !invoice.left {
            invoice.left = true;
            self.shelf -= signed(pieces(request.basket));
        }
        if request.sent {
            self.explain(request.invoice, true);
        }
        true
    }

    /// Writes `void` where nothing is decided; true when the invoice is issued.
    fn void(&mut self, invoice: u8, attempt: u8) -> bool {
        let invoice = &mut self.invoices[usize::from(invoice)];
        invoice.decisions[usize::from(attempt)].get_or_insert(Decision::Void);
        invoice.issued().is_some()
    }

    fn of_invoice(&self, index: usize, rules: Rules, steps: &mut Steps) {
        let invoice = &self.invoices[index];
        let number = u8::try_from(index).unwrap();
        if index == 0 && self.budget.abandons {
            let mut next = self.clone();
            next.budget.abandons = false;
            let of = &mut next.invoices[0];
            if of.issued().is_none() {
                of.closed = rules.hold(Rule::AbandonCloses);
                of.given_up = true;
            }
            steps.push((Step::Invoice(index, "is given up by the till"), next));
        }
        let differs = |r: &Request| {
            let issued = invoice.issued().unwrap_or(r.basket);
            r.sent && r.invoice == number && r.basket != issued
        };
        if !invoice.undone && self.requests.iter().any(differs) {
            let mut next = self.clone();
            let rest = invoice.issued().map_or(0, pieces) - invoice.returned;
            next.invoices[index].undone = true;
            if rest > 0 {
                next.give_back(index, rest);
            }
            steps.push((Step::Invoice(index, "is given back by hand"), next));
        }
        if let Some((attempt, basket, deliveries)) = invoice.event
            && (deliveries == 0 || self.budget.twice > 0)
        {
            let mut next = self.clone();
            if deliveries > 0 {
                next.budget.twice -= 1;
            }
            next.invoices[index].event = Some((attempt, basket, 1));
            next.hear(index, attempt, basket, rules);
            steps.push((Step::Invoice(index, "is heard of"), next));
        }
        for (place, back) in invoice.backs.iter().enumerate() {
            let again = back.is_some_and(|b| b.deliveries > 0);
            let early = rules.hold(Rule::InOrder) && !invoice.handled;
            if back.is_none() || early || again && self.budget.twice == 0 {
                continue;
            }
            let mut next = self.clone();
            next.budget.twice -= u8::from(again);
            next.hear_back(index, place, rules);
            steps.push((Step::Invoice(index, "is heard to come back"), next));
        }
        let early = !self.at_rest_but_for_holds();
        if early && self.budget.asks == 0 {
            return;
        }
        for (attempt, hold) in invoice.holds.iter().enumerate() {
            let Hold::Pending { known: false, .. } = hold else {
                continue;
            };
            let attempt = u8::try_from(attempt).unwrap();
            let asked = self.wire.iter().any(|m| {
                matches!(m, Message::Void { invoice: i, attempt: a } if (*i, *a) == (number, attempt))
            });
            if asked {
                continue;
            }
            let mut next = self.clone();
            next.budget.asks -= u8::from(early);
            if !rules.hold(Rule::AskBeforeRelease) {
                next.release(number, attempt);
                next.freed(rules);
                steps.push((Step::Hold(index, attempt, "lapses"), next));
                continue;
            }
            next.ask(number, attempt, rules);
            steps.push((Step::Hold(index, attempt, "is asked about"), next));
        }
    }

    /// In scenarios without deadlines in between, they pass at the end.
    fn at_rest_but_for_holds(&self) -> bool {
        self.wire.is_empty()
            && self.requests.iter().all(|r| r.at == At::Over)
            && self.invoices.iter().all(|i| {
                i.event.is_none_or(|(_, _, deliveries)| deliveries > 0)
                    && i.backs.iter().flatten().all(|b| b.deliveries > 0)
            })
            && self
                .counts
                .iter()
                .all(|c| matches!(c, Count::None | Count::Posted))
            && self.invoices[0]
                .issued()
                .is_none_or(|_| self.undos.iter().all(|(_, at)| *at == Undoing::Over))
    }

    /// `ReservationStates`. The answer `void` may be slow; `issued` changes nothing but that nobody asks again.
    fn ask(&mut self, invoice: u8, attempt: u8, rules: Rules) {
        let of = &mut self.invoices[usize::from(invoice)];
        let counts = rules.hold(Rule::DecisionAlone) || !of.undone;
        if let Some(Decision::Issued(_)) = of.decisions[usize::from(attempt)]
            && counts
        {
            if let Hold::Pending { known, .. } = &mut of.holds[usize::from(attempt)] {
                *known = true;
            }
            return;
        }
        if rules.hold(Rule::VoidBeforeAnswering) {
            of.decisions[usize::from(attempt)].get_or_insert(Decision::Void);
        }
        self.send(Message::Void { invoice, attempt });
    }

    fn deliver(&mut self, message: Message, rules: Rules) {
        match message {
            Message::Reserve { request, attempt } => {
                let answer = self.reserve(request, attempt, rules);
                self.send(answer);
            }
            Message::Granted { request, attempt } => {
                self.reply(request, attempt, At::Granted(attempt))
            }
            Message::Short { request, .. } if self.requests[usize::from(request)].sent => {
                self.refuse_what_happened();
            }
            Message::Short { request, attempt } => self.reply(request, attempt, At::Refusing),
            Message::Gone { request, attempt } => self.reply(request, attempt, At::Gone(attempt)),
            Message::Release { invoice, attempt } | Message::Void { invoice, attempt } => {
                self.release(invoice, attempt);
                self.freed(rules);
            }
        }
    }

    fn send(&mut self, message: Message) {
        if let Err(place) = self.wire.binary_search(&message) {
            self.wire.insert(place, message);
        }
    }

    /// An answer reaches its request if that still waits for it.
    fn reply(&mut self, request: u8, attempt: u8, at: At) {
        let request = &mut self.requests[usize::from(request)];
        if request.at == At::Waiting(attempt) {
            request.at = at;
        }
    }

    /// Step 2, at inventory.
    fn reserve(&mut self, request: u8, attempt: u8, rules: Rules) -> Message {
        let Request {
            invoice,
            basket,
            sent,
            ..
        } = self.requests[usize::from(request)];
        match self.invoices[usize::from(invoice)].holds[usize::from(attempt)] {
            Hold::Pending { basket: of, .. } if of == basket || !rules.hold(Rule::CompareHash) => {
                return Message::Granted { request, attempt };
            }
            Hold::Pending { .. } | Hold::Released | Hold::Committed => {
                return Message::Gone { request, attempt };
            }
            Hold::Unseen => {}
        }
        let before = self.invoices[usize::from(invoice)].holds;
        let freed: u8 = before[..usize::from(attempt)]
            .iter()
            .map(|h| {
                if let Hold::Pending { held, .. } = h {
                    *held
                } else {
                    0
                }
            })
            .sum();
        let lowest = if rules.hold(Rule::ReleaseAllLower) {
            1
        } else {
            attempt.saturating_sub(1).max(1)
        };
        for lower in lowest..attempt {
            let unseen = before[usize::from(lower)] == Hold::Unseen;
            if rules.hold(Rule::ReleaseLower) && (!unseen || rules.hold(Rule::RememberUnseen)) {
                self.release(invoice, lower);
            }
        }
        if !rules.hold(Rule::SettleAfterTake) {
            self.settle();
        }
        let wanted = match sent && rules.hold(Rule::NeverShort) {
            true => pieces(basket).min(self.available()),
            false => pieces(basket),
        };
        if wanted <= self.available() {
            if attempt < self.invoices[usize::from(invoice)].refused {
                self.fault = Some("a late call takes goods for a sale that was refused since");
            }
            self.invoices[usize::from(invoice)].holds[usize::from(attempt)] = Hold::Pending {
                basket,
                held: wanted,
                known: false,
            };
            self.settle();
            return Message::Granted { request, attempt };
        }
        if freed >= wanted {
            self.fault = Some("a sale loses the goods it held to itself");
        }
        if !rules.hold(Rule::RefusalKeepsReleases) {
            self.invoices[usize::from(invoice)].holds = before;
        }
        let of = &mut self.invoices[usize::from(invoice)];
        of.refused = of.refused.max(attempt);
        if of.holds[..usize::from(attempt)]
            .iter()
            .any(|h| matches!(h, Hold::Pending { .. }))
        {
            self.fault = Some("a refused sale keeps goods from others");
        }
        self.settle();
        Message::Short { request, attempt }
    }

    /// Ends a hold that was not committed; one never seen is remembered as released.
    fn release(&mut self, invoice: u8, attempt: u8) {
        let hold = &mut self.invoices[usize::from(invoice)].holds[usize::from(attempt)];
        if *hold != Hold::Committed {
            *hold = Hold::Released;
        }
    }

    /// Gives what is available to open shortages.
    fn settle(&mut self) {
        for index in 0..INVOICES {
            while self.invoices[index].shortage > 0 && self.available() > 0 {
                self.invoices[index].shortage -= 1;
                self.invoices[index].moved += 1;
                self.on_hand -= 1;
            }
        }
    }

    /// Step 5.
    fn hear(&mut self, index: usize, attempt: u8, basket: u8, rules: Rules) {
        if self.invoices[index].handled && rules.hold(Rule::GuardMovement) {
            return;
        }
        let wanted = pieces(basket);
        self.told_of_count(index, wanted, rules);
        let slot = usize::from(attempt);
        let mut from_hold = 0;
        match self.invoices[index].holds[slot] {
            Hold::Pending {
                basket: of, held, ..
            } if of == basket || !rules.hold(Rule::FreeOtherBasket) => {
                from_hold = held;
            }
            Hold::Pending { .. } => self.invoices[index].holds[slot] = Hold::Released,
            Hold::Unseen | Hold::Released | Hold::Committed => {}
        }
        let rest = wanted.saturating_sub(from_hold);
        if rest > self.available() && !rules.hold(Rule::IssueWhenShort) {
            return;
        }
        let had = self.invoices[index].holds[slot];
        if rules.hold(Rule::EndCommitted) || matches!(had, Hold::Pending { .. }) {
            self.invoices[index].holds[slot] = Hold::Committed;
        }
        self.on_hand -= from_hold;
        let more = rest.min(self.available());
        self.on_hand -= more;
        let invoice = &mut self.invoices[index];
        invoice.moved += from_hold + more;
        invoice.shortage += rest - more;
        invoice.handled = true;
        self.settle();
    }

    /// What a count that looked before is to know of a sale that is heard of now.
    fn told_of_count(&mut self, index: usize, wanted: u8, rules: Rules) {
        let late = self.invoices[index]
            .late
            .map(|late| late && rules.hold(Rule::CorrectLate));
        // A count has taken it already; by that it is put back, once.
        let back = self
            .counts
            .iter()
            .zip(late)
            .any(|(count, late)| *count == Count::Posted && late);
        if back {
            self.on_hand += wanted;
        }
        for (count, late) in self.counts.iter_mut().zip(late) {
            if let Count::Looked {
                on_their_way,
                heard,
                heard_of_others,
                ..
            } = count
            {
                let moved = if back { 0 } else { signed(wanted) };
                match on_their_way[index] || late {
                    true => *heard += moved,
                    false => *heard_of_others += moved,
                }
            }
        }
    }

    /// A count finds a piece gone: holds give way, undecided ones first, after `void`; an issued one is shrunk.
    fn lose(&mut self) {
        self.shelf -= 1;
        self.take();
    }

    fn take(&mut self) {
        self.lost += 1;
        let short = self.reserved() > self.on_hand - 1;
        if short {
            'found: for pass in 0..2 {
                for invoice in 0..INVOICES {
                    for attempt in 0..ATTEMPTS {
                        let Hold::Pending { held, .. } = self.invoices[invoice].holds[attempt]
                        else {
                            continue;
                        };
                        let (i, a) = (
                            u8::try_from(invoice).unwrap(),
                            u8::try_from(attempt).unwrap(),
                        );
                        let issued = matches!(
                            self.invoices[invoice].decisions[attempt],
                            Some(Decision::Issued(_))
                        );
                        if pass == 0 && !issued {
                            self.void(i, a);
                            self.release(i, a);
                            break 'found;
                        }
                        if pass == 1 && issued && held > 0 {
                            if let Hold::Pending { held, .. } =
                                &mut self.invoices[invoice].holds[attempt]
                            {
                                *held -= 1;
                            }
                            break 'found;
                        }
                    }
                }
            }
        }
        self.on_hand -= 1;
    }
}

impl Invoice {
    fn issued(&self) -> Option<u8> {
        self.decisions.iter().flatten().find_map(|d| {
            if let Decision::Issued(basket) = d {
                Some(*basket)
            } else {
                None
            }
        })
    }

    /// The attempt to take next.
    fn next(&self) -> u8 {
        let highest = (0..ATTEMPTS)
            .rev()
            .find(|a| self.decisions[*a].is_some())
            .unwrap_or(0);
        u8::try_from(highest + 1).unwrap()
    }

    /// What a request hears of a final decision.
    fn answer(&self, basket: u8, rules: Rules) -> Option<Answer> {
        match self.issued() {
            Some(issued) if issued == basket || !rules.hold(Rule::SameRequestOnly) => {
                Some(Answer::Sold(issued))
            }
            Some(_) => Some(Answer::Reused),
            None => self.closed.then_some(Answer::Abandoned),
        }
    }
}
