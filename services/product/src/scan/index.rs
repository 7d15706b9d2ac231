//! Products by barcode, in memory.
//!
//! A code leads to a product, and the product says itself whether it still has the code: a code that moved to another
//! product leads to one that no longer has it and counts as unknown. So all that must be noticed is that a product
//! changed. Each change has a number; what was read before the number of its product's last change is not believed. The
//! number is taken before the database is asked, so that a product read just before a commit and kept just after it is
//! not believed either.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bahi_db::Changed;
use bahi_events::Topic;
use bahi_kafka::Follow;
use bahi_types::TenantId;
use quick_cache::{Weighter, sync::Cache};
use uuid::Uuid;

use crate::{State, barcode::model::Gtin, barcode_pattern::model::Rule, product::model::Product};

/// Numbers of last changes; products that share one are dropped together.
const STRIPES: usize = 16_384;
/// What a code takes beside its product: key, id, and their share of the table.
const CODE: u64 = 96;
/// Tenants whose patterns are kept.
const TENANTS: usize = 10_000;

/// A tenant's barcode; the fourteen digits are a number.
type Code = (Uuid, u64);

/// Where a change stands among the others: read it before the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

#[derive(Clone)]
struct Kept<T> {
    mark: Mark,
    at: Instant,
    value: T,
}

#[derive(Clone)]
struct Size;

impl Weighter<(Uuid, Uuid), Kept<Arc<Product>>> for Size {
    fn weight(&self, _: &(Uuid, Uuid), kept: &Kept<Arc<Product>>) -> u64 {
        size(&kept.value)
    }
}

/// Bytes that a product takes in memory, about: itself, its texts, its lists and its place in the table.
fn size(product: &Product) -> u64 {
    let codes = product.barcodes.iter().count()
        + product
            .units
            .iter()
            .map(|unit| 4 + unit.barcodes.iter().count())
            .sum::<usize>();
    let texts = product.name.capacity()
        + product.sku.capacity()
        + product.hsn.capacity()
        + product.uqc.capacity();
    let bytes = size_of::<Product>() + texts + 40 * codes + 160;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The index of one process.
pub struct Index {
    codes: Cache<Code, Uuid>,
    products: Cache<(Uuid, Uuid), Kept<Arc<Product>>, Size>,
    rules: Cache<Uuid, Kept<Arc<Vec<Rule>>>>,
    hasher: RandomState,
    number: AtomicU64,
    last: Box<[AtomicU64]>,
    believed: Duration,
    listening: AtomicBool,
}

impl Index {
    /// An index of at most about `memory` bytes, in which nothing is believed for longer than `believed`. It keeps nothing
    /// before it is `listening` to what other processes change.
    pub fn new(memory: u64, believed: Duration, listening: bool) -> Self {
        // Most products have one barcode: an eighth goes to the codes.
        let codes = usize::try_from(memory / 8 / CODE)
            .unwrap_or(usize::MAX)
            .max(16);
        let products = (memory - memory / 8).max(4096);
        Self {
            codes: Cache::new(codes),
            products: Cache::with_weighter(codes, products, Size),
            rules: Cache::new(TENANTS),
            hasher: RandomState::new(),
            number: AtomicU64::new(0),
            last: (0..STRIPES).map(|_| AtomicU64::new(0)).collect(),
            believed,
            listening: AtomicBool::new(listening),
        }
    }

    /// From now on no change of another process is missed.
    pub fn listen(&self) {
        self.listening.store(true, Ordering::SeqCst);
    }

    /// Take it before reading the database for what is to be kept.
    pub fn mark(&self) -> Mark {
        Mark(self.number.load(Ordering::SeqCst))
    }

    /// The product of the tenant that has a barcode, where it is known.
    pub fn find(&self, tenant: TenantId, code: &Gtin) -> Option<Arc<Product>> {
        let key = key(tenant, code)?;
        let product = self.codes.get(&key)?;
        let kept = self.products.get(&(key.0, product))?;
        if !self.believes(&kept, key.0, product) {
            return None;
        }
        kept.value.claimed(code).map(|_| kept.value)
    }

    /// Keeps a product that was read after `mark` was taken.
    pub fn keep(&self, tenant: TenantId, code: &Gtin, product: Arc<Product>, mark: Mark) {
        let Some(key) = key(tenant, code).filter(|_| self.listening.load(Ordering::SeqCst)) else {
            return;
        };
        let id = product.id.uuid();
        let at = Instant::now();
        self.products.insert(
            (key.0, id),
            Kept {
                mark,
                at,
                value: product,
            },
        );
        self.codes.insert(key, id);
    }

    /// The patterns that a tenant reads with, where they are known.
    pub fn rules(&self, tenant: TenantId) -> Option<Arc<Vec<Rule>>> {
        let kept = self.rules.get(&tenant.uuid())?;
        self.believes(&kept, tenant.uuid(), tenant.uuid())
            .then_some(kept.value)
    }

    /// Keeps patterns that were read after `mark` was taken.
    pub fn keep_rules(&self, tenant: TenantId, rules: Arc<Vec<Rule>>, mark: Mark) {
        if self.listening.load(Ordering::SeqCst) {
            let at = Instant::now();
            self.rules.insert(
                tenant.uuid(),
                Kept {
                    mark,
                    at,
                    value: rules,
                },
            );
        }
    }

    /// Something changed: a product, or under the tenant's own id its patterns.
    pub fn changed(&self, tenant: TenantId, id: Uuid) {
        let number = self.number.fetch_add(1, Ordering::SeqCst) + 1;
        self.stripe(tenant.uuid(), id)
            .fetch_max(number, Ordering::SeqCst);
    }

    /// What a commit of this process changed.
    pub fn committed(&self, changed: &[Changed]) {
        for change in changed {
            self.heard(change.tenant, change.aggregate_type, &change.aggregate_id);
        }
    }

    fn heard(&self, tenant: TenantId, aggregate_type: &str, id: &str) {
        match (aggregate_type, Uuid::try_parse(id)) {
            ("product", Ok(id)) => self.changed(tenant, id),
            // The tenant's patterns are read together, so one that changes is a change of them all.
            ("barcode_pattern", _) => self.changed(tenant, tenant.uuid()),
            _ => {}
        }
    }

    fn believes<T>(&self, kept: &Kept<T>, tenant: Uuid, id: Uuid) -> bool {
        self.stripe(tenant, id).load(Ordering::SeqCst) <= kept.mark.0
            && kept.at.elapsed() < self.believed
    }

    fn stripe(&self, tenant: Uuid, id: Uuid) -> &AtomicU64 {
        let hash = self.hasher.hash_one((tenant, id));
        let at = usize::try_from(hash % STRIPES as u64).unwrap_or_default();
        &self.last[at]
    }

    /// Barcodes and products that are kept, and the bytes they take, about.
    pub fn extent(&self) -> (usize, usize, u64) {
        let codes = u64::try_from(self.codes.len()).unwrap_or(u64::MAX);
        (
            self.codes.len(),
            self.products.len(),
            self.products.weight() + codes * CODE,
        )
    }
}

fn key(tenant: TenantId, code: &Gtin) -> Option<Code> {
    Some((tenant.uuid(), code.as_str().parse().ok()?))
}

/// What every process follows to keep its index fresh.
pub fn follows(state: &State) -> Vec<Follow> {
    let (listening, heard) = (state.index.clone(), state.index.clone());
    vec![Follow::new(
        Topic::Products,
        move || listening.listen(),
        move |event| heard.heard(event.tenant_id, &event.aggregate_type, &event.aggregate_id),
    )]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::model::tests::{draft, with_barcodes};

    const DAY: Duration = Duration::from_secs(86_400);
    const CODE: &str = "4006381333931";

    fn id(product: &Product) -> Uuid {
        product.id.uuid()
    }

    fn code() -> Gtin {
        CODE.parse().unwrap()
    }

    fn with(codes: &[&str]) -> Product {
        with_barcodes(draft("1", true, None), codes)
    }

    /// What a process does on a scan, with `table` for the database.
    fn scan(index: &Index, tenant: TenantId, table: &[Product]) -> Option<Uuid> {
        if let Some(found) = index.find(tenant, &code()) {
            return Some(id(&found));
        }
        let mark = index.mark();
        let found = table
            .iter()
            .find(|product| product.claimed(&code()).is_some())?;
        index.keep(tenant, &code(), Arc::new(found.clone()), mark);
        Some(id(found))
    }

    /// A code moves from one product to another; whether the index then leads to the other.
    fn moves(told: bool) -> bool {
        let (index, tenant) = (Index::new(1 << 20, DAY, true), TenantId::new());
        let (mut a, mut b) = (with(&[CODE]), with(&[]));
        assert_eq!(scan(&index, tenant, &[a.clone(), b.clone()]), Some(id(&a)));
        std::mem::swap(&mut a.barcodes, &mut b.barcodes);
        if told {
            index.changed(tenant, id(&a));
            index.changed(tenant, id(&b));
        }
        scan(&index, tenant, &[a, b.clone()]) == Some(id(&b))
    }

    #[test]
    fn a_code_that_moved_leads_to_the_other_product() {
        assert!(moves(true));
        assert!(!moves(false), "an index that nobody tells would pass");
    }

    #[test]
    fn what_was_read_before_a_change_and_kept_after_it_is_not_believed() {
        let (index, tenant, product) = (
            Index::new(1 << 20, DAY, true),
            TenantId::new(),
            with(&[CODE]),
        );
        let mark = index.mark();
        index.changed(tenant, id(&product));
        index.keep(tenant, &code(), Arc::new(product.clone()), mark);
        assert_eq!(index.find(tenant, &code()), None);
        index.keep(tenant, &code(), Arc::new(product), index.mark());
        assert!(index.find(tenant, &code()).is_some());
    }

    #[test]
    fn a_tenant_finds_its_own_only() {
        let (index, tenant) = (Index::new(1 << 20, DAY, true), TenantId::new());
        index.keep(tenant, &code(), Arc::new(with(&[CODE])), index.mark());
        assert!(index.find(tenant, &code()).is_some());
        assert!(index.find(TenantId::new(), &code()).is_none());
        // The same code, however many zeros it is written with.
        assert!(
            index
                .find(tenant, &format!("0{CODE}").parse().unwrap())
                .is_some()
        );
    }

    #[test]
    fn nothing_is_kept_before_it_listens_nor_believed_for_ever() {
        let (index, tenant) = (Index::new(1 << 20, DAY, false), TenantId::new());
        index.keep(tenant, &code(), Arc::new(with(&[CODE])), index.mark());
        assert!(index.find(tenant, &code()).is_none());
        let hasty = Index::new(1 << 20, Duration::ZERO, true);
        hasty.keep(tenant, &code(), Arc::new(with(&[CODE])), hasty.mark());
        assert!(hasty.find(tenant, &code()).is_none());
    }

    #[test]
    fn memory_is_bounded_whatever_is_scanned() {
        let (index, tenant, memory) = (Index::new(1 << 20, DAY, true), TenantId::new(), 1 << 20);
        for number in 0..20_000 {
            let code = Gtin::own(number);
            let product = with(&[code.as_str()]);
            index.keep(tenant, &code, Arc::new(product), index.mark());
        }
        let (codes, products, bytes) = index.extent();
        assert!(codes > 500 && products > 500, "{codes} {products}");
        assert!(bytes <= memory + memory / 8, "{bytes}");
    }

    /// Pages of this process that are in memory, in bytes.
    fn resident() -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
            * 4096
    }

    #[test]
    #[ignore = "measures; run it alone"]
    fn what_a_hundred_thousand_barcodes_take() {
        const COUNT: usize = 100_000;
        let (index, tenant, before) = (
            Index::new(256 << 20, DAY, true),
            TenantId::new(),
            resident(),
        );
        for number in 0..COUNT as u64 {
            let code = Gtin::own(number);
            let mut product = with(&[code.as_str()]);
            product.name = format!("Product of a usual name {number}");
            index.keep(tenant, &code, Arc::new(product), index.mark());
        }
        let (codes, _, said) = index.extent();
        assert_eq!(codes, COUNT);
        let real = (resident() - before) / COUNT;
        let said = usize::try_from(said).unwrap() / COUNT;
        println!("{real} bytes a barcode with its product; counted as {said}");
        assert!(real < 2 * said, "memory would not be bounded");
        let today = "2026-11-21".parse().unwrap();
        let mut times: Vec<Duration> = (0..COUNT as u64)
            .map(|number| {
                let code = Gtin::own(number.wrapping_mul(2_654_435_761) % COUNT as u64).to_string();
                let begun = Instant::now();
                let scan = crate::scan::model::read(&code, &[], today).unwrap();
                let crate::scan::model::Scan::Item(candidates) = scan else {
                    panic!("an item");
                };
                assert!(index.find(tenant, &candidates[0].code).is_some());
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        let p99 = times[COUNT * 99 / 100];
        println!("read and found: p50 {:?} p99 {p99:?}", times[COUNT / 2]);
        assert!(p99 < Duration::from_millis(10), "{p99:?}");
    }
}
