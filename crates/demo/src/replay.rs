//! The file's documents, sent in its order over several connections.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::Context;
use bahi_types::{Money, Quantity};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    client::{Client, Refusal, text},
    file::{Book, Document, Kind, ReturnPart},
    setup::Shop,
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
    /// Milliseconds a sale took, in tenths.
    pub latency: Option<Histogram<u64>>,
    /// Seconds the replay took.
    pub seconds: f64,
}

struct Run<'a> {
    client: Client,
    shop: &'a Shop,
    book: &'a Book,
    parts: &'a [Vec<ReturnPart>],
    products: &'a BTreeMap<String, String>,
    outcome: Mutex<Outcome>,
    /// For each document, false until its answer is there: a return waits for the sale it corrects.
    done: Vec<watch::Sender<bool>>,
    next: AtomicUsize,
}

/// Sends every document; `progress` is called after each.
///
/// # Errors
/// When the fleet does not answer. Refusals are part of the outcome.
pub async fn run(
    client: &Client,
    shop: &Shop,
    book: &Book,
    products: &BTreeMap<String, String>,
    connections: usize,
    progress: impl Fn() + Send + Sync,
) -> anyhow::Result<Outcome> {
    let parts = book.returns();
    let started = Instant::now();
    let run = Arc::new(Run {
        client: client.clone(),
        shop,
        book,
        parts: &parts,
        products,
        outcome: Mutex::new(Outcome {
            latency: Some(Histogram::new_with_max(600_000, 3)?),
            ..Outcome::default()
        }),
        done: book
            .documents
            .iter()
            .map(|_| watch::Sender::new(false))
            .collect(),
        next: AtomicUsize::new(0),
    });
    let progress = &progress;
    let lanes = (0..connections).map(|_| {
        let run = run.clone();
        async move {
            loop {
                let at = run.next.fetch_add(1, Ordering::Relaxed);
                let Some(document) = run.book.documents.get(at) else {
                    return anyhow::Ok(());
                };
                run.document(at, document)
                    .await
                    .with_context(|| format!("document {}", document.number))?;
                run.done[at].send_replace(true);
                progress();
            }
        }
    });
    futures::future::try_join_all(lanes).await?;
    let mut outcome =
        std::mem::take(&mut *run.outcome.lock().unwrap_or_else(PoisonError::into_inner));
    outcome.seconds = started.elapsed().as_secs_f64();
    Ok(outcome)
}

impl Run<'_> {
    async fn document(&self, at: usize, document: &Document) -> anyhow::Result<()> {
        let sent = match document.kind {
            Kind::Sale => self.sale(at, document).await,
            Kind::Return => self.goods_back(at, document).await,
            Kind::Correction => self.correct(document).await,
        };
        match sent {
            Err(error) => match error.downcast_ref::<Refusal>() {
                Some(refusal) => {
                    let reason = format!("{refusal}");
                    self.note(|o| o.refused.push((document.number.clone(), reason)));
                    Ok(())
                }
                None => Err(error),
            },
            Ok(()) => Ok(()),
        }
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

    fn session(&self, at: usize) -> &str {
        &self.shop.sessions[at % self.shop.sessions.len()]
    }

    async fn sale(&self, at: usize, document: &Document) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        for line in &document.lines {
            lines.push(json!({
                "product_id": self.product(&line.sku)?, "qty": line.qty, "unit_price": line.price,
                "price_includes_tax": true, "reason": "price of the file",
            }));
        }
        let total: Money = document.lines.iter().map(crate::file::Line::amount).sum();
        let body = json!({
            "session_id": self.session(at), "lines": lines,
            "tenders": paid(total), "external_reference": document.number, "external_date": document.date,
        });
        let started = Instant::now();
        let invoice = self
            .client
            .post(
                "/api/v1/pos/invoice",
                &format!("sale-{}", document.number),
                &body,
            )
            .await?;
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

    async fn goods_back(&self, at: usize, document: &Document) -> anyhow::Result<()> {
        for (number, part) in self.parts[at].iter().enumerate() {
            let key = format!("return-{}-{number}", document.number);
            let mut body = json!({
                "session_id": self.session(at), "reason": "cancellation in the file",
                "external_reference": document.number,
            });
            let total: Money = part
                .lines
                .iter()
                .map(|(line, _, back)| Money::rounded(*back * line.price))
                .sum();
            let mut lines = Vec::new();
            if let Some(original) = part.original {
                self.done[original]
                    .subscribe()
                    .wait_for(|done| *done)
                    .await?;
                let invoice = self
                    .outcome
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .sales
                    .get(&original)
                    .cloned();
                let (invoice, _) =
                    invoice.context("the sale that is to be returned was refused")?;
                body["original_invoice_id"] = json!(invoice);
                for (_, line, back) in &part.lines {
                    lines.push(
                        json!({ "original_line": line, "qty": back, "disposition": "restock" }),
                    );
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
            body["refund_tenders"] = paid(total);
            self.client
                .post("/api/v1/sales/returns", &key, &body)
                .await?;
            self.note(|o| match part.original {
                Some(_) => o.returns.0 += 1,
                None => o.returns.1 += 1,
            });
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

/// All of it in cash; what is free of charge is not paid.
fn paid(total: Money) -> Value {
    if total == Money::ZERO {
        return json!([]);
    }
    json!([{ "method": "cash", "amount": total }])
}
