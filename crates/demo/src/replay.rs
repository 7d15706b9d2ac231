//! The file's documents, sent in its order by the tills of a shop, each of which does one thing at a time. Some of them are
//! away for a while: they sell on, and send it when they are back.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use bahi_types::{Money, Quantity};
use hdrhistogram::Histogram;
use rand::Rng;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    bundle::Wanted,
    client::{Client, Refusal, text},
    file::{Book, Document, Kind, ReturnPart},
    setup::Shop,
    spells::Schedule,
    till::{Away, Kept, Till},
};

/// What became of the file.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Sales made: index of the document, id and number of its invoice.
    pub sales: BTreeMap<usize, (String, String)>,
    /// Credit notes made, with bill and without.
    pub returns: (usize, usize),
    /// Stock corrections made, up and down.
    pub corrections: (usize, usize),
    /// Documents refused: number in the file and reason.
    pub refused: Vec<(String, String)>,
    /// What tills did while they were away.
    pub away: Away,
    /// Milliseconds a sale took on line, in tenths.
    pub latency: Option<Histogram<u64>>,
    /// Seconds the replay took.
    pub seconds: f64,
}

struct Run<'a, P> {
    client: &'a Client,
    shop: &'a Shop,
    book: &'a Book,
    parts: &'a [Vec<ReturnPart>],
    products: &'a BTreeMap<String, String>,
    schedule: &'a Schedule,
    outcome: Mutex<Outcome>,
    /// For each document, false until its answer is there: a return waits for the sale it corrects.
    done: Vec<watch::Sender<bool>>,
    progress: P,
}

/// Sends every document; `progress` is called after each. Chance is drawn from `seed`.
///
/// # Errors
/// When the fleet does not answer. Refusals are part of the outcome.
pub async fn run(
    client: &Client,
    shop: &Shop,
    book: &Book,
    products: &BTreeMap<String, String>,
    (schedule, seed): (&Schedule, u64),
    progress: impl Fn() + Send + Sync,
) -> anyhow::Result<Outcome> {
    let parts = book.returns();
    let started = Instant::now();
    let documents = book.documents.iter();
    let run = Run {
        client,
        shop,
        book,
        parts: &parts,
        products,
        schedule,
        outcome: Mutex::new(Outcome {
            latency: Some(Histogram::new_with_max(600_000, 3)?),
            ..Outcome::default()
        }),
        done: documents.map(|_| watch::Sender::new(false)).collect(),
        progress,
    };
    let tills = (0..shop.tills.len()).map(|number| run.till(number, seed));
    futures::future::try_join_all(tills).await?;
    let mut outcome = run
        .outcome
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    outcome.seconds = started.elapsed().as_secs_f64();
    Ok(outcome)
}

impl<P: Fn()> Run<'_, P> {
    /// Everything that one till does. No till waits while it is away, and one that is back waits for earlier documents only:
    /// there is always one that goes on.
    async fn till(&self, number: usize, seed: u64) -> anyhow::Result<()> {
        let (id, session) = (&self.shop.tills[number], &self.shop.sessions[number]);
        let mut till = Till::new(seed, number, id, session, &self.shop.cashier);
        let mut put_off = Vec::new();
        let own = (number..self.book.documents.len()).step_by(self.shop.tills.len());
        for at in own {
            let spell = self.schedule.at(number, at);
            if till.spell.as_ref() != spell {
                self.come_back(&mut till, &mut put_off).await?;
            }
            if let (Some(spell), None) = (spell, &till.spell) {
                let goods = self.book.products.len();
                till.prepare(self.client, goods).await?;
                till.spell = Some(spell.clone());
            }
            let document = &self.book.documents[at];
            self.document(&mut till, at, document, &mut put_off)
                .await
                .with_context(|| format!("document {}", document.number))?;
        }
        self.come_back(&mut till, &mut put_off).await?;
        self.note(|o| o.away.add(till.away));
        Ok(())
    }

    async fn document(
        &self,
        till: &mut Till,
        at: usize,
        document: &Document,
        put_off: &mut Vec<(usize, usize)>,
    ) -> anyhow::Result<()> {
        let sent = match (document.kind, &till.spell) {
            (Kind::Sale, None) => self.sale(&till.session, at, document).await,
            // Done when it is sent.
            (Kind::Sale, Some(_)) => return self.keep_sale(till, at, document).await,
            (Kind::Return, None) => self.goods_back(&till.session, at, document).await,
            (Kind::Return, Some(spell)) => {
                let spell = spell.clone();
                self.keep_return(till, (at, document), &spell, put_off)
            }
            // Made in the office, which is never away.
            (Kind::Correction, _) => self.correct(document).await,
        };
        self.accept(document, sent)?;
        self.finish(at);
        Ok(())
    }

    /// A refusal is part of the outcome.
    fn accept(&self, document: &Document, sent: anyhow::Result<()>) -> anyhow::Result<()> {
        let Err(error) = sent else { return Ok(()) };
        let reason = match error.downcast_ref::<Refusal>() {
            Some(refusal) => refusal.to_string(),
            None => return Err(error),
        };
        self.note(|o| o.refused.push((document.number.clone(), reason)));
        Ok(())
    }

    fn finish(&self, at: usize) {
        self.done[at].send_replace(true);
        (self.progress)();
    }

    fn note(&self, f: impl FnOnce(&mut Outcome)) {
        f(&mut self.outcome.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn product(&self, sku: &str) -> anyhow::Result<&str> {
        self.products
            .get(sku)
            .map(String::as_str)
            .with_context(|| format!("{sku} is not in the catalogue"))
    }

    fn sale_body(&self, session: &str, document: &Document) -> anyhow::Result<Value> {
        let mut lines = Vec::new();
        for line in &document.lines {
            lines.push(json!({
                "product_id": self.product(&line.sku)?, "qty": line.qty, "unit_price": line.price,
                "price_includes_tax": true, "reason": "price of the file",
            }));
        }
        let total: Money = document.lines.iter().map(crate::file::Line::amount).sum();
        Ok(json!({
            "session_id": session, "lines": lines,
            "tenders": paid(total), "external_reference": document.number, "external_date": document.date,
        }))
    }

    async fn sale(&self, session: &str, at: usize, document: &Document) -> anyhow::Result<()> {
        let body = self.sale_body(session, document)?;
        let key = format!("sale-{}", document.number);
        let started = Instant::now();
        let invoice = self.client.post("/api/v1/pos/invoice", &key, &body).await?;
        let took = u64::try_from(started.elapsed().as_micros() / 100).unwrap_or(u64::MAX);
        let id = text(&invoice, "invoice_id")?.to_owned();
        let number = text(&invoice, "number")?.to_owned();
        self.note(|o| {
            o.sales.insert(at, (id, number));
            if let Some(latency) = &mut o.latency {
                latency.saturating_record(took);
            }
        });
        Ok(())
    }

    async fn goods_back(
        &self,
        session: &str,
        at: usize,
        document: &Document,
    ) -> anyhow::Result<()> {
        for part in 0..self.parts[at].len() {
            self.part_back(session, at, part, document).await?;
        }
        Ok(())
    }

    async fn part_back(
        &self,
        session: &str,
        at: usize,
        number: usize,
        document: &Document,
    ) -> anyhow::Result<()> {
        let part = &self.parts[at][number];
        let key = format!("return-{}-{number}", document.number);
        let mut body = json!({
            "session_id": session, "reason": "cancellation in the file",
            "external_reference": document.number,
        });
        let mut lines = Vec::new();
        if let Some(original) = part.original {
            self.done[original]
                .subscribe()
                .wait_for(|done| *done)
                .await?;
            let invoice = self.invoice_of(original);
            body["original_invoice_id"] =
                json!(invoice.context("the sale that is to be returned was refused")?);
            for (_, line, back) in &part.lines {
                lines.push(json!({ "original_line": line, "qty": back, "disposition": "restock" }));
            }
        } else {
            for (line, _, back) in &part.lines {
                lines.push(json!({
                    "product_id": self.product(&line.sku)?, "qty": back, "unit_price": line.price,
                    "reason": "price of the file", "disposition": "restock",
                }));
            }
        }
        body["lines"] = Value::Array(lines);
        body["refund_tenders"] = paid(refund(part));
        self.client
            .post("/api/v1/sales/returns", &key, &body)
            .await?;
        self.note(|o| match part.original {
            Some(_) => o.returns.0 += 1,
            None => o.returns.1 += 1,
        });
        Ok(())
    }

    fn invoice_of(&self, sale: usize) -> Option<String> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.sales.get(&sale).map(|(id, _)| id.clone())
    }

    // ---- away

    /// Sells without the network. The first sale of a spell may be the one during which the network went.
    async fn keep_sale(
        &self,
        till: &mut Till,
        at: usize,
        document: &Document,
    ) -> anyhow::Result<()> {
        let id = Uuid::now_v7();
        let first = till.claimed.is_empty();
        let tried = first && self.try_on_line(till, id, document).await?;
        let wanted: Vec<Wanted> = document
            .lines
            .iter()
            .map(|line| self.wanted(&line.sku, line.qty, line.price))
            .collect::<anyhow::Result<_>>()?;
        let frozen = till.freeze(&wanted)?;
        let item = json!({
            "kind": "sale", "invoice_id": id, "lines": frozen.lines, "round_off": frozen.round_off,
            "total": frozen.total, "tenders": paid(frozen.total),
            "external_reference": document.number, "external_date": document.date,
        });
        if till.chance.random_bool(0.02) {
            let spoilt = json!({ "kind": "void", "reason": "paper jam" });
            till.keep(spoilt, Kept::Spoilt)?;
        }
        till.keep(item, Kept::Sale(at, tried))?;
        till.claimed.insert(at, id);
        till.away.sales += 1;
        Ok(())
    }

    /// Whether the sale was tried on line. Its answer gets lost, or the till hangs up on it; what the fleet makes of it the
    /// till does not know.
    async fn try_on_line(
        &self,
        till: &mut Till,
        id: Uuid,
        document: &Document,
    ) -> anyhow::Result<bool> {
        let mut body = self.sale_body(&till.session, document)?;
        body["invoice_id"] = json!(id);
        let key = id.to_string();
        let sent = self.client.post("/api/v1/pos/invoice", &key, &body);
        match till.chance.random_range(0..3) {
            0 => {
                sent.await?;
                till.away.tried.0 += 1;
            }
            1 => {
                let patience = Duration::from_millis(till.chance.random_range(1..=8));
                drop(tokio::time::timeout(patience, sent).await);
                till.away.tried.1 += 1;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn wanted(&self, sku: &str, qty: Quantity, price: bahi_types::Price) -> anyhow::Result<Wanted> {
        Ok(Wanted {
            product: self.product(sku)?.to_owned(),
            qty,
            price,
        })
    }

    /// Takes goods back without the network: against a bill that the till knows, which is its own or older than its spell,
    /// or without one. A bill that it does not know is put off until it is back.
    fn keep_return(
        &self,
        till: &mut Till,
        (at, document): (usize, &Document),
        spell: &Range<usize>,
        put_off: &mut Vec<(usize, usize)>,
    ) -> anyhow::Result<()> {
        for (number, part) in self.parts[at].iter().enumerate() {
            let mut item = json!({ "kind": "return", "credit_note_id": Uuid::now_v7(),
                                   "reason": "cancellation in the file", "external_reference": document.number });
            match part.original {
                Some(original) => {
                    let own = till.claimed.get(&original).map(Uuid::to_string);
                    let older = || self.invoice_of(original).filter(|_| original < spell.start);
                    let Some(known) = own.or_else(older) else {
                        put_off.push((at, number));
                        continue;
                    };
                    let lines = part.lines.iter();
                    let lines =
                        lines.map(|(_, line, back)| json!({ "original_line": line, "qty": back }));
                    item["original_invoice_id"] = json!(known);
                    item["lines"] = lines.collect();
                    item["total"] = json!(refund(part));
                    item["refund_tenders"] = paid(refund(part));
                    till.away.returns.0 += 1;
                }
                None => {
                    let lines = part.lines.iter();
                    let wanted: Vec<Wanted> = lines
                        .map(|(line, _, back)| self.wanted(&line.sku, *back, line.price))
                        .collect::<anyhow::Result<_>>()?;
                    let frozen = till.freeze(&wanted)?;
                    item["goods"] = Value::Array(frozen.lines);
                    item["round_off"] = json!(frozen.round_off);
                    item["total"] = json!(frozen.total);
                    item["refund_tenders"] = paid(frozen.total);
                    till.away.returns.1 += 1;
                }
            }
            till.keep(item, Kept::Return(at, part.original.is_some()))?;
        }
        Ok(())
    }

    /// Sends what the till has kept; then it takes back what it had put off.
    async fn come_back(
        &self,
        till: &mut Till,
        put_off: &mut Vec<(usize, usize)>,
    ) -> anyhow::Result<()> {
        if till.spell.take().is_none() {
            return Ok(());
        }
        till.away.spells += 1;
        for answered in till.send(self.client).await? {
            let at = match answered.kept {
                Kept::Sale(at, _) | Kept::Return(at, _) => Some(at),
                Kept::Spoilt => None,
            };
            let of = at.and_then(|at| self.book.documents.get(at));
            let name = of.map_or_else(|| "a spoilt number".to_owned(), |d| d.number.clone());
            self.note(|o| match (answered.document, answered.kept) {
                (Err(reason), _) => o.refused.push((name, reason)),
                (Ok(Some(document)), Kept::Sale(at, _)) => {
                    o.sales.insert(at, document);
                }
                (Ok(_), Kept::Return(_, true)) => o.returns.0 += 1,
                (Ok(_), Kept::Return(_, false)) => o.returns.1 += 1,
                (Ok(_), _) => {}
            });
            if let Kept::Sale(at, _) = answered.kept {
                self.finish(at);
            }
        }
        for (at, number) in put_off.drain(..) {
            let document = &self.book.documents[at];
            let sent = self.part_back(&till.session, at, number, document).await;
            self.accept(document, sent)?;
            till.away.put_off += 1;
        }
        Ok(())
    }

    async fn correct(&self, document: &Document) -> anyhow::Result<()> {
        for (number, line) in document.lines.iter().enumerate() {
            let reason = if line.text.is_empty() {
                "stock correction"
            } else {
                &line.text
            };
            let mut change =
                json!({ "product_id": self.product(&line.sku)?, "qty_delta": line.qty });
            if line.qty > Quantity::ZERO {
                change["unit_cost"] = json!("1.00");
            }
            let body = json!({
                "location_id": self.shop.location, "reason": format!("{reason} ({})", document.number), "lines": [change],
            });
            self.client
                .post(
                    "/api/v1/inventory/adjust",
                    &format!("adjust-{}-{number}", document.number),
                    &body,
                )
                .await?;
            self.note(|o| {
                if line.qty > Quantity::ZERO {
                    o.corrections.0 += 1
                } else {
                    o.corrections.1 += 1
                }
            });
        }
        Ok(())
    }
}

/// What is given back for a part of a return.
fn refund(part: &ReturnPart) -> Money {
    let amounts = part.lines.iter();
    amounts
        .map(|(line, _, back)| Money::rounded(*back * line.price))
        .sum()
}

/// All of it in cash; what is free of charge is not paid.
fn paid(total: Money) -> Value {
    if total == Money::ZERO {
        return json!([]);
    }
    json!([{ "method": "cash", "amount": total }])
}
