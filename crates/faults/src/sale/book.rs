//! What the tills asked and were answered.

use std::collections::{BTreeMap, HashSet};

use parking_lot::Mutex;
use uuid::Uuid;

/// Kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An invoice.
    Invoice,
    /// A credit note for goods.
    Return,
    /// A cancelled invoice, by the invoice's id.
    Cancellation,
    /// Money that came in.
    Receipt,
    /// An order.
    Order,
    /// Goods that left for an order.
    Delivery,
}

impl Kind {
    /// As it is told.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::Return => "return",
            Self::Cancellation => "cancellation",
            Self::Receipt => "receipt",
            Self::Order => "order",
            Self::Delivery => "delivery",
        }
    }
}

/// A document that a till was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Number.
    pub number: String,
    /// What it comes to, where it has a sum.
    pub total: Option<String>,
}

#[derive(Default)]
struct Pages {
    documents: BTreeMap<(Kind, Uuid), Document>,
    /// Invoice ids that were refused or given up for good.
    refused: HashSet<Uuid>,
    answers: BTreeMap<(&'static str, String), usize>,
    /// Of requests that were refused while an earlier try of them may have been under way: what that may have made, and
    /// what it comes to where that is known.
    unsure: Vec<(Kind, Option<String>)>,
    wrong: Vec<String>,
    waiting: BTreeMap<usize, String>,
}

/// Refusals that may not have been the last word.
pub struct Doubts(Vec<(Kind, Option<String>)>);

impl Doubts {
    /// Whether a document that no till was told of may stand: each of those refusals excuses one that could have come of
    /// it.
    pub fn excuse(&mut self, kind: Kind, document: &Document) -> bool {
        let fits = |(of, total): &(Kind, Option<String>)| {
            *of == kind && (total.is_none() || *total == document.total)
        };
        let found = self.0.iter().position(fits);
        found.map(|at| self.0.swap_remove(at)).is_some()
    }
}

/// All of it, of every till.
#[derive(Default)]
pub struct Book(Mutex<Pages>);

impl Book {
    /// Notes a document; the same one again must be as before.
    pub fn told(&self, kind: Kind, id: Uuid, document: Document) {
        let mut pages = self.0.lock();
        let before = pages.documents.insert((kind, id), document.clone());
        if let Some(before) = before
            && before != document
        {
            let wrong = format!(
                "ANSWERED OTHERWISE: {} {id} was {before:?}, now {document:?}",
                kind.name()
            );
            pages.wrong.push(wrong);
        }
    }

    /// Notes that an invoice id was refused for good.
    pub fn refused(&self, id: Uuid) {
        self.0.lock().refused.insert(id);
    }

    /// Notes that a refusal may not have been the last word.
    pub fn unsure(&self, kind: Kind, total: Option<String>) {
        self.0.lock().unsure.push((kind, total));
    }

    /// The documents that may stand though no till was told of them.
    pub fn doubts(&self) -> Doubts {
        Doubts(self.0.lock().unsure.clone())
    }

    /// Counts an answer.
    pub fn answered(&self, what: &'static str, answer: String) {
        *self.0.lock().answers.entry((what, answer)).or_default() += 1;
    }

    /// Notes something that must not be.
    pub fn wrong(&self, what: String) {
        self.0.lock().wrong.push(what);
    }

    /// What a till waits for.
    pub fn waits(&self, till: usize, what: Option<String>) {
        let mut pages = self.0.lock();
        match what {
            Some(what) => pages.waiting.insert(till, what),
            None => pages.waiting.remove(&till),
        };
    }

    /// Who waits for what.
    pub fn waiting(&self) -> String {
        let pages = self.0.lock();
        let waiting = pages.waiting.iter();
        let waiting: Vec<String> = waiting
            .map(|(till, what)| format!("till {till}: {what}"))
            .collect();
        waiting.join("; ")
    }

    /// Documents so far.
    pub fn len(&self) -> usize {
        self.0.lock().documents.len()
    }

    /// Every document.
    pub fn documents(&self) -> Vec<(Kind, Uuid, Document)> {
        let pages = self.0.lock();
        let all = pages.documents.iter();
        all.map(|((kind, id), document)| (*kind, *id, document.clone()))
            .collect()
    }

    /// Invoice ids that must not have been issued.
    pub fn refusals(&self) -> Vec<Uuid> {
        self.0.lock().refused.iter().copied().collect()
    }

    /// What the tills themselves found wrong.
    pub fn found_wrong(&self) -> Vec<String> {
        self.0.lock().wrong.clone()
    }

    /// Prints the answers, by what was asked.
    pub fn print(&self) {
        let pages = self.0.lock();
        let asked: usize = pages.answers.values().sum();
        println!("\n{asked} requests");
        for ((what, answer), count) in &pages.answers {
            println!("{count:>7}  {what:<14} {answer}");
        }
        let mut kinds = BTreeMap::<Kind, usize>::new();
        for (kind, _) in pages.documents.keys() {
            *kinds.entry(*kind).or_default() += 1;
        }
        println!("\n{} documents were answered", pages.documents.len());
        for (kind, count) in kinds {
            println!("{count:>7}  {}", kind.name());
        }
    }
}
