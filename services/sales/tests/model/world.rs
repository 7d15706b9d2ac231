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
}

impl Rule {
    pub const ALL: [Self; 19] = [
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
            asks: 1,
        }
    }
}

const INVOICES: usize = 2;
/// Attempts of an invoice that the model has room for.
const ATTEMPTS: usize = 5;
/// Attempts that one request takes; five in the code, enough here.
const TRIES: u8 = 3;
/// With a limit of attempts: this one.
const LIMIT: usize = 2;

fn pieces(basket: u8) -> u8 {
    match basket {
        0 => 0,
        2 => 2,
        _ => 1,
    }
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
    lost: u8,
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
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request, what) => write!(f, "request {request} {what}"),
            Self::Arrives(message) => write!(f, "{message:?} arrives"),
            Self::Invoice(invoice, what) => write!(f, "invoice {invoice} {what}"),
            Self::Hold(invoice, attempt, what) => write!(f, "the hold {invoice}/{attempt} {what}"),
            Self::Loss => write!(f, "a piece is found gone"),
        }
    }
}

type Steps = Vec<(Step, World)>;

impl World {
    pub fn new(scenario: &Scenario, _: Rules) -> Self {
        let request = |(invoice, basket): &(usize, u8)| Request {
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
            handled: false,
            moved: 0,
            shortage: 0,
        };
        let mut invoices = [invoice; INVOICES];
        if scenario.unheld {
            invoices[0].decisions[1] = Some(Decision::Issued(1));
            invoices[0].event = Some((1, 1, 0));
        }
        Self {
            requests: scenario.requests.iter().map(request).collect(),
            invoices,
            wire: Vec::new(),
            on_hand: scenario.stock,
            // What was sold without a hold may be short, too.
            lost: u8::from(scenario.unheld),
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
            if invoice.moved + invoice.shortage != sold {
                return Some("what left stock is not what was sold");
            }
            if !rules.hold(Rule::NoLimitOfAttempts)
                && invoice.issued().is_none()
                && !invoice.closed
                && usize::from(invoice.next()) > LIMIT
            {
                return Some("an undecided sale can never be made");
            }
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
        for (_, next) in &mut steps {
            next.tidy();
        }
        steps
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
        let alike = |a: &Request, b: &Request| (a.invoice, a.basket) == (b.invoice, b.basket);
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
            At::Look => step("looks", &mut |w| w.look(index, rules)),
            At::Looked(attempt) => {
                if self.budget.refusals > 0 {
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
            At::Waiting(_) => {
                if self.budget.timeouts > 0 {
                    step("waits no longer", &mut |w| {
                        w.budget.timeouts -= 1;
                        w.requests[index].at = At::TimedOut;
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
        if taken || last && rules.hold(Rule::OneFinalDecision) {
            return false;
        }
        invoice.decisions[usize::from(attempt)] = Some(Decision::Issued(request.basket));
        invoice.event = Some((attempt, request.basket, 0));
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
                next.settle();
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
            && self
                .invoices
                .iter()
                .all(|i| i.event.is_none_or(|(_, _, deliveries)| deliveries > 0))
    }

    /// `ReservationStates`. The answer `void` may be slow; `issued` changes nothing but that nobody asks again.
    fn ask(&mut self, invoice: u8, attempt: u8, rules: Rules) {
        let of = &mut self.invoices[usize::from(invoice)];
        if let Some(Decision::Issued(_)) = of.decisions[usize::from(attempt)] {
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
            Message::Short { request, attempt } => self.reply(request, attempt, At::Refusing),
            Message::Gone { request, attempt } => self.reply(request, attempt, At::Gone(attempt)),
            Message::Release { invoice, attempt } | Message::Void { invoice, attempt } => {
                self.release(invoice, attempt);
                self.settle();
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
            invoice, basket, ..
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
        let wanted = pieces(basket);
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

    /// A count finds a piece gone: holds give way, undecided ones first, after `void`; an issued one is shrunk.
    fn lose(&mut self) {
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
