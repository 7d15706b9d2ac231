//! The whole against the file: what the fleet says must be what the file says, to the paisa.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bahi_types::{Money, Quantity};
use serde_json::Value;

use crate::{
    client::{Client, text},
    events,
    file::{Book, Kind, Sum},
    replay::Outcome,
    setup::Shop,
};

/// One check and what it found.
pub struct Finding {
    /// What was checked.
    pub name: &'static str,
    /// Nothing, or what is wrong.
    pub wrong: Vec<String>,
    /// What was counted.
    pub counted: String,
}

/// Totals of the sales.
#[derive(Default)]
pub struct Totals {
    /// Lines sold.
    pub lines: usize,
    /// Amount with tax.
    pub amount: Money,
    /// Tax.
    pub tax: Money,
    /// Records by topic.
    pub topics: BTreeMap<String, u64>,
}

fn money(value: &Value, name: &str) -> anyhow::Result<Money> {
    text(value, name)?
        .parse()
        .with_context(|| format!("{name} in {value}"))
}
fn quantity(value: &Value, name: &str) -> anyhow::Result<Quantity> {
    text(value, name)?
        .parse()
        .with_context(|| format!("{name} in {value}"))
}

/// What the fleet is compared with.
pub struct Subject<'a> {
    /// Signed in as the tenant.
    pub client: &'a Client,
    /// The file.
    pub book: &'a Book,
    /// What the replay did.
    pub outcome: &'a Outcome,
    /// Product id by SKU.
    pub products: &'a BTreeMap<String, String>,
    /// Tenant id.
    pub tenant: &'a str,
    /// Its location, tills and sessions.
    pub shop: &'a Shop,
    /// Broker.
    pub brokers: &'a str,
}

impl Subject<'_> {
    /// Runs every check.
    ///
    /// # Errors
    /// When the fleet does not answer.
    pub async fn all(&self, progress: impl Fn(&str)) -> anyhow::Result<(Vec<Finding>, Totals)> {
        let mut totals = Totals::default();
        let mut findings = Vec::new();
        progress("invoices against the file");
        let invoices = self.documents("/api/v1/sales/invoices").await?;
        let sold = self.sold(&invoices, &mut totals)?;
        findings.push(compare(
            "sales per product",
            &self.file_sums(Kind::Sale),
            &sold,
        ));
        progress("credit notes against the file");
        let notes = self.documents("/api/v1/sales/returns").await?;
        let returned = self.returned(&notes)?;
        let file: BTreeMap<String, Sum> = self
            .file_sums(Kind::Return)
            .into_iter()
            .map(|(sku, s)| {
                (
                    sku,
                    Sum {
                        qty: -s.qty,
                        amount: -s.amount,
                    },
                )
            })
            .collect();
        findings.push(compare("returns per product", &file, &returned));
        progress("numbers of tills that were away");
        let (offline, void) = self.offline().await?;
        findings.push(offline);
        let mut numbers = numbers_of(&invoices)?;
        numbers.extend(void);
        findings.push(numbers_consecutive("invoice numbers", &numbers));
        let numbers = numbers_of(&notes)?;
        findings.push(numbers_consecutive("credit note numbers", &numbers));
        findings.push(self.sessions(&invoices, &notes).await?);
        progress("consumers to the end of their topics");
        findings.push(self.consumers().await?);
        progress("stock against the file");
        findings.push(self.stock().await?);
        findings.push(integrity(self.client).await?);
        progress("events in Kafka");
        findings.push(self.kafka(&mut totals).await?);
        Ok((findings, totals))
    }

    fn file_sums(&self, kind: Kind) -> BTreeMap<String, Sum> {
        self.book.sums(kind)
    }

    fn sku_of(&self) -> BTreeMap<&str, &str> {
        self.products
            .iter()
            .map(|(sku, id)| (id.as_str(), sku.as_str()))
            .collect()
    }

    async fn documents(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let heads = self.client.walk(path).await?;
        let ids: Vec<String> = heads
            .iter()
            .map(|h| {
                text(h, "invoice_id")
                    .or_else(|_| text(h, "credit_note_id"))
                    .map(str::to_owned)
            })
            .collect::<anyhow::Result<_>>()?;
        let base = path.split('?').next().unwrap_or(path);
        let mut documents = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(16) {
            let fetch = chunk
                .iter()
                .map(|id| async move { self.client.get(&format!("{base}/{id}")).await });
            documents.extend(futures::future::try_join_all(fetch).await?);
        }
        Ok(documents)
    }

    fn sold(
        &self,
        invoices: &[Value],
        totals: &mut Totals,
    ) -> anyhow::Result<BTreeMap<String, Sum>> {
        let skus = self.sku_of();
        let ours: BTreeSet<&str> = self
            .outcome
            .sales
            .values()
            .map(|(id, _)| id.as_str())
            .collect();
        let mut sums = BTreeMap::<String, Sum>::new();
        for invoice in invoices {
            if !ours.contains(text(invoice, "invoice_id")?) {
                continue;
            }
            totals.amount += money(invoice, "total")?;
            for name in ["cgst", "sgst", "igst", "cess"] {
                totals.tax += money(&invoice["tax"], name)?;
            }
            for line in invoice["lines"].as_array().context("lines")? {
                totals.lines += 1;
                let sku = skus
                    .get(text(line, "product_id")?)
                    .context("a product that is not the file's")?;
                let sum = sums.entry((*sku).to_owned()).or_default();
                sum.qty += quantity(line, "qty")?;
                sum.amount += money(line, "total")?;
            }
        }
        Ok(sums)
    }

    fn returned(&self, notes: &[Value]) -> anyhow::Result<BTreeMap<String, Sum>> {
        let skus = self.sku_of();
        let mut sums = BTreeMap::<String, Sum>::new();
        for note in notes {
            if note["external_reference"].is_null() {
                continue;
            }
            for line in note["lines"].as_array().context("lines")? {
                let sku = skus
                    .get(text(line, "product_id")?)
                    .context("a product that is not the file's")?;
                let sum = sums.entry((*sku).to_owned()).or_default();
                sum.qty += quantity(line, "qty")?;
                sum.amount += money(line, "total")?;
            }
        }
        Ok(sums)
    }

    /// Every number that a till printed while it was away is known, with what became of it, and nothing is missing between
    /// them. Returns the numbers of bills that stand for no document.
    async fn offline(&self) -> anyhow::Result<(Finding, Vec<String>)> {
        let mut wrong = self.outcome.away.wrong.clone();
        let (mut known, mut void) = (BTreeMap::new(), Vec::new());
        for till in &self.shop.tills {
            for page in 1.. {
                let path =
                    format!("/api/v1/pos/offline-numbers?till_id={till}&limit=200&page={page}");
                let answer = self.client.get(&path).await?;
                let rows = answer["items"].as_array().context("items")?;
                for row in rows {
                    let (number, outcome) = (text(row, "number")?, text(row, "outcome")?);
                    if known
                        .insert(number.to_owned(), outcome.to_owned())
                        .is_some()
                    {
                        wrong.push(format!("{number} is there twice"));
                    }
                    if matches!(outcome, "void" | "issued_online") {
                        void.push(number.to_owned());
                    }
                }
                if rows.len() < 200 {
                    break;
                }
            }
            let path = format!("/api/v1/pos/offline-series?till_id={till}");
            let series = self.client.get(&path).await?;
            for series in series["items"].as_array().context("items")? {
                if series["missing"]
                    .as_array()
                    .is_none_or(|gaps| !gaps.is_empty())
                {
                    wrong.push(format!("numbers are missing: {series}"));
                }
            }
        }
        let printed = &self.outcome.away.printed;
        for number in printed.keys().chain(known.keys()).collect::<BTreeSet<_>>() {
            let (told, found) = (printed.get(number), known.get(number));
            if told != found {
                wrong.push(format!(
                    "{number}: the till was told {told:?}, the books say {found:?}"
                ));
            }
        }
        let finding = Finding {
            name: "numbers printed while away",
            wrong,
            counted: format!("{} printed, {} of them void", printed.len(), void.len()),
        };
        Ok((finding, void))
    }

    /// The X report of each till is the sum of its documents.
    async fn sessions(&self, invoices: &[Value], notes: &[Value]) -> anyhow::Result<Finding> {
        let mut wrong = Vec::new();
        for session in &self.shop.sessions {
            let path = format!("/api/v1/pos/sessions/{session}/x-report");
            let report = self.client.get(&path).await?;
            for (count, sum, documents) in
                [("sales", "sold", invoices), ("returns", "returned", notes)]
            {
                let own = documents.iter().filter(|d| d["session_id"] == **session);
                let totals: Vec<Money> = own
                    .map(|d| money(d, "total"))
                    .collect::<anyhow::Result<_>>()?;
                let due = (Some(totals.len() as u64), totals.into_iter().sum::<Money>());
                let found = (report[count].as_u64(), money(&report, sum)?);
                if due != found {
                    wrong.push(format!(
                        "{session}: {count} {found:?}, its documents {due:?}"
                    ));
                }
            }
        }
        Ok(Finding {
            name: "totals of the sessions",
            wrong,
            counted: format!("{} sessions", self.shop.sessions.len()),
        })
    }

    /// on_hand = received − sold + returned ± adjusted + open shortage.
    async fn stock(&self) -> anyhow::Result<Finding> {
        let (sold, back, fixed) = (
            self.file_sums(Kind::Sale),
            self.file_sums(Kind::Return),
            self.file_sums(Kind::Correction),
        );
        let of = |sums: &BTreeMap<String, Sum>, sku: &str| {
            sums.get(sku).map_or(Quantity::ZERO, |s| s.qty)
        };
        let mut open: BTreeMap<String, Quantity> = BTreeMap::new();
        for shortage in self.client.walk("/api/v1/inventory/shortages").await? {
            *open
                .entry(text(&shortage, "product_id")?.to_owned())
                .or_default() += quantity(&shortage, "open")?;
        }
        let mut on_hand: BTreeMap<String, Quantity> = BTreeMap::new();
        for item in self
            .client
            .walk(&format!(
                "/api/v1/inventory/stock?location={}",
                self.shop.location
            ))
            .await?
        {
            *on_hand
                .entry(text(&item, "product_id")?.to_owned())
                .or_default() += quantity(&item, "on_hand")?;
        }
        let (mut wrong, mut counted) = (Vec::new(), 0);
        for (sku, product) in self.book.products.iter().filter(|(_, p)| p.goods) {
            let id = self.products.get(sku).context("an imported product")?;
            let expected = product.opening() - of(&sold, sku) - of(&back, sku)
                + of(&fixed, sku)
                + open.get(id).copied().unwrap_or_default();
            let found = on_hand.get(id).copied().unwrap_or_default();
            counted += 1;
            if found != expected {
                wrong.push(format!("{sku}: on hand {found}, the file says {expected}"));
            }
        }
        Ok(Finding {
            name: "stock per product",
            wrong,
            counted: format!("{counted} products"),
        })
    }

    async fn consumers(&self) -> anyhow::Result<Finding> {
        let groups = [
            ("inventory", "billing.events.v1"),
            ("inventory", "products.events.v1"),
            ("inventory", "identity.events.v1"),
            ("sales", "products.events.v1"),
            ("sales", "identity.events.v1"),
            ("identity", "audit.events.v1"),
            ("product", "inventory.events.v1"),
        ];
        let started = Instant::now();
        loop {
            let brokers = self.brokers.to_owned();
            let lags = tokio::task::spawn_blocking(move || -> anyhow::Result<Vec<String>> {
                let mut behind = Vec::new();
                for (group, topic) in groups {
                    let lag = events::lag(&brokers, group, topic)?;
                    if lag != 0 {
                        behind.push(format!("{group} is {lag} events behind in {topic}"));
                    }
                }
                Ok(behind)
            })
            .await??;
            if lags.is_empty() || started.elapsed() > Duration::from_secs(60) {
                return Ok(Finding {
                    name: "consumer lag",
                    wrong: lags,
                    counted: format!("0 in {} topics", groups.len()),
                });
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn kafka(&self, totals: &mut Totals) -> anyhow::Result<Finding> {
        let mut wrong = Vec::new();
        for topic in [
            "billing.events.v1",
            "inventory.events.v1",
            "products.events.v1",
            "identity.events.v1",
            "audit.events.v1",
        ] {
            let (brokers, tenant) = (self.brokers.to_owned(), self.tenant.to_owned());
            let found = tokio::task::spawn_blocking(move || events::read(&brokers, topic, &tenant))
                .await??;
            totals
                .topics
                .insert(topic.to_owned(), found.records.values().sum());
            if topic != "billing.events.v1" {
                continue;
            }
            let issued = found
                .aggregates
                .get("invoice.issued")
                .cloned()
                .unwrap_or_default();
            let distinct: BTreeSet<&String> = issued.iter().collect();
            if distinct.len() != issued.len() {
                wrong.push(format!(
                    "{} invoices were announced under two event ids",
                    issued.len() - distinct.len()
                ));
            }
            for (id, number) in self.outcome.sales.values() {
                if !distinct.contains(id) {
                    wrong.push(format!("invoice {number} is not in {topic}"));
                }
            }
        }
        Ok(Finding {
            name: "one event an invoice",
            wrong,
            counted: format!("{} invoices", self.outcome.sales.len()),
        })
    }
}

fn numbers_of(documents: &[Value]) -> anyhow::Result<Vec<String>> {
    let numbers = documents.iter().map(|d| text(d, "number"));
    numbers.map(|n| Ok(n?.to_owned())).collect()
}

fn compare(
    name: &'static str,
    file: &BTreeMap<String, Sum>,
    fleet: &BTreeMap<String, Sum>,
) -> Finding {
    let skus: BTreeSet<&String> = file.keys().chain(fleet.keys()).collect();
    let of =
        |sums: &BTreeMap<String, Sum>, sku: &String| sums.get(sku).copied().unwrap_or_default();
    let wrong = skus
        .iter()
        .filter(|sku| of(file, sku) != of(fleet, sku))
        .map(|sku| {
            format!(
                "{sku}: file {:?}, fleet {:?}",
                of(file, sku),
                of(fleet, sku)
            )
        })
        .collect();
    Finding {
        name,
        wrong,
        counted: format!("{} products", skus.len()),
    }
}

/// Numbers of each series must be 1, 2, 3, ... without a gap.
fn numbers_consecutive(name: &'static str, numbers: &[String]) -> Finding {
    let mut series: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for number in numbers {
        let place = number
            .rsplit_once('/')
            .and_then(|(prefix, n)| Some((prefix, n.parse().ok()?)));
        match place {
            Some((prefix, n)) if series.entry(prefix).or_default().insert(n) => {}
            _ => wrong.push(format!("{number} is malformed or there twice")),
        }
    }
    for (prefix, numbers) in &series {
        let last = numbers.last().copied().unwrap_or_default();
        if numbers.len() as u64 != last {
            wrong.push(format!(
                "{prefix}: {} numbers, the last is {last}",
                numbers.len()
            ));
        }
    }
    Finding {
        name,
        wrong,
        counted: format!("{} in {} series", numbers.len(), series.len()),
    }
}

/// Whether inventory's books agree with each other, page by page.
///
/// # Errors
/// When inventory does not answer.
pub async fn integrity(client: &Client) -> anyhow::Result<Finding> {
    let (mut wrong, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/inventory/integrity?{cursor}");
        let page = client.get(&path).await?;
        let differences = page["differences"].as_array().context("differences")?;
        wrong.extend(differences.iter().map(Value::to_string));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("cursor={next}"),
            None => break,
        }
    }
    Ok(Finding {
        name: "inventory's integrity",
        wrong,
        counted: "no differences".into(),
    })
}

/// Fails when a check found something.
///
/// # Errors
/// With the number of failed checks.
pub fn verdict(findings: &[Finding]) -> anyhow::Result<()> {
    let failed = findings.iter().filter(|f| !f.wrong.is_empty()).count();
    if failed > 0 {
        bail!("{failed} of {} checks failed", findings.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_the_numbers_is_found() {
        let of = |numbers: &[&str]| {
            let numbers: Vec<String> = numbers.iter().map(|n| (*n).to_owned()).collect();
            numbers_consecutive("numbers", &numbers).wrong.len()
        };
        assert_eq!(of(&["P1/26-27/0001", "P1/26-27/0002", "P2/26-27/0001"]), 0);
        assert_eq!(of(&["P1/26-27/0001", "P1/26-27/0003"]), 1);
        assert_eq!(of(&["P1/26-27/0001", "P1/26-27/0001"]), 1);
    }

    #[test]
    fn a_paisa_is_found() {
        let sum = |amount: &str| {
            BTreeMap::from([(
                "A".to_owned(),
                Sum {
                    qty: Quantity::from(1),
                    amount: amount.parse().unwrap(),
                },
            )])
        };
        assert!(compare("x", &sum("1.00"), &sum("1.00")).wrong.is_empty());
        assert_eq!(compare("x", &sum("1.00"), &sum("1.01")).wrong.len(), 1);
        assert_eq!(compare("x", &sum("1.00"), &BTreeMap::new()).wrong.len(), 1);
    }
}
