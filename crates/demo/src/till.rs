//! A till that goes away: what it takes with it, what it makes meanwhile, and how it sends that when it is back.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use bahi_gst::Series;
use bahi_types::{FiscalYear, Money, business_date};
use chrono::Utc;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    bundle::{Bundle, Frozen, Wanted, unpack},
    client::{Client, Fetched, text},
};

/// How long a till may wait for its catalogue, or send a batch that the fleet cannot take yet.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
/// Most items that this shop's tills send at once; a batch may have 500.
const BATCH: usize = 20;

/// What tills did while they were away.
#[derive(Debug, Default)]
pub struct Away {
    /// Spells that have ended.
    pub spells: usize,
    /// Sales kept.
    pub sales: usize,
    /// Returns kept, with bill and without.
    pub returns: (usize, usize),
    /// Returns of a bill that the till did not know, taken back when it was on line again.
    pub put_off: usize,
    /// Sales that were tried on line first: the answer got lost, or the till hung up.
    pub tried: (usize, usize),
    /// Batches sent, and how many of them twice.
    pub batches: (usize, usize),
    /// Catalogues read: the whole, changes, and that there were none.
    pub bundles: (usize, usize, usize),
    /// Every number printed, with what became of it: `issued`, `replaced`, `issued_online`, `void` or `refused`.
    pub printed: BTreeMap<String, String>,
    /// What was not as it must be.
    pub wrong: Vec<String>,
}

impl Away {
    /// Adds what another till did.
    pub fn add(&mut self, other: Self) {
        let pair = |a: &mut (usize, usize), b: (usize, usize)| *a = (a.0 + b.0, a.1 + b.1);
        self.spells += other.spells;
        self.sales += other.sales;
        self.put_off += other.put_off;
        pair(&mut self.returns, other.returns);
        pair(&mut self.tried, other.tried);
        pair(&mut self.batches, other.batches);
        let (a, b) = (self.bundles, other.bundles);
        self.bundles = (a.0 + b.0, a.1 + b.1, a.2 + b.2);
        self.printed.extend(other.printed);
        self.wrong.extend(other.wrong);
    }

    /// Numbers with an outcome.
    pub fn became(&self, outcome: &str) -> usize {
        self.printed.values().filter(|o| *o == outcome).count()
    }
}

/// What an item of the queue stands for.
#[derive(Clone, Copy, Debug)]
pub enum Kept {
    /// A sale: index of its document, and whether it was tried on line.
    Sale(usize, bool),
    /// A part of a return: index of its document, and whether it has a bill.
    Return(usize, bool),
    /// A number spoilt by the printer.
    Spoilt,
}

/// What became of an item.
#[derive(Debug)]
pub struct Answered {
    /// What it stands for.
    pub kept: Kept,
    /// The id and number of its document, or why it was refused; nothing for a spoilt number.
    pub document: Result<Option<(String, String)>, String>,
}

/// A till of the shop.
pub struct Till {
    /// Its id.
    pub id: String,
    /// Its open session.
    pub session: String,
    /// Who sells there.
    pub cashier: String,
    /// The spell it is in.
    pub spell: Option<Range<usize>>,
    /// The ids that it has given to the sales of its queue, by the index of the document.
    pub claimed: BTreeMap<usize, Uuid>,
    /// Draws what chance would do.
    pub chance: StdRng,
    /// What it did while it was away.
    pub away: Away,
    /// The packing that it knows.
    coding: &'static str,
    bundle: Bundle,
    /// ETag of the last answer, and since which version it was asked.
    seen: Option<(String, String)>,
    /// Prefix and last number of its bills and of its credit notes.
    series: [(String, u32); 2],
    queue: VecDeque<(Value, Kept)>,
}

impl Till {
    /// A till that has never been away.
    pub fn new(seed: u64, number: usize, id: &str, session: &str, cashier: &str) -> Self {
        Self {
            id: id.to_owned(),
            session: session.to_owned(),
            cashier: cashier.to_owned(),
            spell: None,
            claimed: BTreeMap::new(),
            chance: StdRng::seed_from_u64(seed ^ (number as u64 + 1) << 8),
            away: Away::default(),
            coding: if number.is_multiple_of(2) {
                "zstd"
            } else {
                "gzip"
            },
            bundle: Bundle::default(),
            seen: None,
            series: Default::default(),
            queue: VecDeque::new(),
        }
    }

    /// Takes with it what it needs: the catalogue as it is now, with all `goods` of the shop, and its series.
    ///
    /// # Errors
    /// When the fleet does not give it.
    pub async fn prepare(&mut self, client: &Client, goods: usize) -> anyhow::Result<()> {
        let started = Instant::now();
        // What products were imported may not have come through yet.
        while !self.refresh(client).await? || self.bundle.products() < goods {
            ensure!(
                started.elapsed() < PATIENCE,
                "the catalogue does not come to rest"
            );
            tokio::time::sleep(PAUSE).await;
        }
        let path = format!("/api/v1/pos/offline-series?till_id={}", self.id);
        let answer = client.get(&path).await?;
        let year = FiscalYear::of(business_date(Utc::now())).to_string();
        for (purpose, own) in ["invoice", "credit_note"].iter().zip(&mut self.series) {
            let mut series = answer["items"].as_array().context("items")?.iter();
            let series = series.find(|s| s["purpose"] == *purpose);
            let series = series.with_context(|| format!("no series for {purpose}"))?;
            let mut years = series["years"].as_array().context("years")?.iter();
            let last = years.find(|y| y["fiscal_year"] == *year);
            let last = last.and_then(|y| y["last"].as_u64()).unwrap_or_default();
            let prefix = text(series, "prefix")?.to_owned();
            if (!own.0.is_empty() && u64::from(own.1) != last) || series["missing"] != json!([]) {
                self.away.wrong.push(format!(
                    "{prefix} has come to {}, the books say {series}",
                    own.1
                ));
            }
            *own = (prefix, u32::try_from(last)?);
        }
        Ok(())
    }

    /// Reads what has changed; true when nothing has.
    async fn refresh(&mut self, client: &Client) -> anyhow::Result<bool> {
        let since = self.bundle.version().unwrap_or_default().to_owned();
        let mut path = format!("/api/v1/pos/catalogue?till_id={}", self.id);
        if !since.is_empty() {
            path = format!("{path}&since={since}");
        }
        let tag = self.seen.as_ref().filter(|(of, _)| *of == since);
        let tag = tag.map(|(_, tag)| tag.as_str());
        match client.fetch(&path, self.coding, tag).await? {
            Fetched::Unchanged => {
                self.away.bundles.2 += 1;
                Ok(true)
            }
            Fetched::Document { tag, packed, bytes } => {
                if self.bundle.take(&unpack(packed.as_deref(), &bytes)?)? {
                    self.away.bundles.0 += 1;
                } else {
                    self.away.bundles.1 += 1;
                }
                self.seen = Some((since, tag));
                Ok(false)
            }
        }
    }

    /// Computes and prints a bill.
    ///
    /// # Errors
    /// When something of it is not in the catalogue.
    pub fn freeze(&self, wanted: &[Wanted]) -> anyhow::Result<Frozen> {
        self.bundle.freeze(business_date(Utc::now()), wanted)
    }

    /// Keeps an item under its next number: of the bills, or of the credit notes for a return.
    ///
    /// # Errors
    /// When the series is at its end.
    pub fn keep(&mut self, mut item: Value, kept: Kept) -> anyhow::Result<()> {
        let now = Utc::now();
        let (prefix, last) = &mut self.series[usize::from(matches!(kept, Kept::Return(..)))];
        *last += 1;
        let year = FiscalYear::of(business_date(now));
        let number = Series::try_new(prefix)?.number(year, *last)?;
        item["number"] = json!(number.as_str());
        item["cashier_id"] = json!(self.cashier);
        item["made_at"] = json!(now);
        if !matches!(kept, Kept::Spoilt) {
            item["session_id"] = json!(self.session);
        }
        self.queue.push_back((item, kept));
        Ok(())
    }

    /// Sends what it has kept, in its order and in batches, some of them twice. Says what became of each item.
    ///
    /// # Errors
    /// When the fleet does not answer.
    pub async fn send(&mut self, client: &Client) -> anyhow::Result<Vec<Answered>> {
        let mut answers = Vec::with_capacity(self.queue.len());
        while !self.queue.is_empty() {
            let size = self.chance.random_range(1..=BATCH).min(self.queue.len());
            let batch: Vec<(Value, Kept)> = self.queue.drain(..size).collect();
            let items: Vec<Value> = batch.iter().map(|(item, _)| item.clone()).collect();
            let first = self.post(client, &items).await?;
            self.away.batches.0 += 1;
            if first["missing"] != json!([]) {
                self.away
                    .wrong
                    .push(format!("numbers are missing: {}", first["missing"]));
            }
            if self.chance.random_bool(0.3) {
                // The answer got lost, so the till sends it again and gets the same documents.
                let again = self.post(client, &items).await?;
                self.away.batches.1 += 1;
                repeated(&first, &again, &mut self.away.wrong);
            }
            let results = first["items"].as_array().context("items")?;
            ensure!(results.len() == batch.len(), "an answer for each item");
            for ((item, kept), result) in batch.into_iter().zip(results) {
                answers.push(answered(&item, kept, result, &mut self.away)?);
            }
        }
        self.claimed.clear();
        Ok(answers)
    }

    /// Sends a batch until every item has its answer: what may be sent again as it is, is.
    async fn post(&self, client: &Client, items: &[Value]) -> anyhow::Result<Value> {
        let started = Instant::now();
        loop {
            let body = json!({ "till_id": self.id, "sent_at": Utc::now(), "catalogue": self.bundle.version(),
                               "items": items });
            let key = Uuid::now_v7().to_string();
            let answer = client.post("/api/v1/pos/sync", &key, &body).await?;
            let later = |item: &Value| {
                let problem = &item["problem"];
                matches!(problem["status"].as_u64(), Some(429 | 503))
                    || problem["code"] == "NOT_YET_KNOWN"
            };
            if !answer["items"]
                .as_array()
                .context("items")?
                .iter()
                .any(later)
            {
                return Ok(answer);
            }
            if started.elapsed() > PATIENCE {
                bail!("a batch cannot be taken in: {answer}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The second answer must tell of the same documents, and that they were there.
fn repeated(first: &Value, again: &Value, wrong: &mut Vec<String>) {
    let empty = Vec::new();
    let of = |answer: &Value| answer["items"].as_array().unwrap_or(&empty).clone();
    for (a, b) in of(first).iter().zip(of(again)) {
        let same = [
            "number",
            "claimed_id",
            "result",
            "document_id",
            "document_number",
        ]
        .iter()
        .all(|name| a[name] == b[name]);
        if a["result"] != "refused" && !(same && b["replayed"] == true) {
            wrong.push(format!("sent again, {a} became {b}"));
        }
    }
}

/// A till with today's catalogue has nothing otherwise than the books, but it does not know what goods cost: some prices of
/// the file are lower, and that is remarked.
fn below_cost(item: &Value, difference: &Value) -> bool {
    let at = difference["line"].as_u64().unwrap_or(0) as usize;
    let amount = |value: &Value| value.as_str().and_then(|v| v.parse::<Money>().ok());
    let sold = at
        .checked_sub(1)
        .and_then(|at| amount(&item["lines"][at]["taxable"]));
    let (told, cost) = (amount(&difference["told"]), amount(&difference["known"]));
    difference["what"] == "below_cost" && sold.is_some() && told == sold && sold < cost
}

fn answered(item: &Value, kept: Kept, result: &Value, away: &mut Away) -> anyhow::Result<Answered> {
    let (number, outcome) = (text(item, "number")?, text(result, "result")?);
    away.printed.insert(number.to_owned(), outcome.to_owned());
    if outcome == "refused" {
        let document = Err(result["problem"].to_string());
        return Ok(Answered { kept, document });
    }
    // Only what was tried on line can have been issued there, or given up.
    let possible = match kept {
        Kept::Sale(_, true) => matches!(outcome, "issued" | "issued_online" | "replaced"),
        Kept::Sale(_, false) | Kept::Return(..) => outcome == "issued",
        Kept::Spoilt => outcome == "void",
    };
    let own =
        outcome == "issued_online" || outcome == "void" || result["document_number"] == *number;
    let differences = result["differences"].as_array().context("differences")?;
    let remarked = differences.iter().all(|d| below_cost(item, d));
    if !possible || !own || !remarked {
        away.wrong.push(format!("{number} became {result}"));
    }
    let document = match kept {
        Kept::Spoilt => None,
        _ => Some((
            text(result, "document_id")?.to_owned(),
            text(result, "document_number")?.to_owned(),
        )),
    };
    Ok(Answered {
        kept,
        document: Ok(document),
    })
}
