//! The hub of a process: hears the topics, knows who is connected, asks inventory for levels.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bahi_db::Ctx;
use bahi_kafka::{Follow, Followed, Place};
use bahi_types::{LocationId, ProductId, TenantId};
use parking_lot::Mutex;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::model::{Interest, Meaning, News, TOPICS, Touched, meaning};
use crate::{State, reservation::Inventory};

/// What waits for one client at most; each is one event's worth.
const QUEUE: usize = 256;
/// Most products of one question to inventory.
const MOST: usize = 500;
/// How often levels are asked for.
const GATHER: Duration = Duration::from_millis(100);

/// What a client is handed, in this order.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// Something happened.
    News(Arc<News>),
    /// Everything before this place has been told.
    Upto(Arc<Place>),
}

/// A connected client.
struct Client {
    interest: Interest,
    queue: mpsc::Sender<Told>,
}

#[derive(Default)]
struct Inner {
    /// Up to where it has heard everything; `None` until the topics are followed.
    place: Option<Place>,
    /// Up to where everybody was last told to have been told everything.
    told: Option<Arc<Place>>,
    tenants: HashMap<TenantId, BTreeMap<u64, Client>>,
    touched: HashMap<TenantId, Touched>,
}

/// Who is connected, and what they are to be told. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Hub {
    inner: Arc<Mutex<Inner>>,
    numbers: Arc<AtomicU64>,
}

/// A client's place in the hub, until it is dropped.
pub(super) struct Seat {
    hub: Hub,
    tenant: TenantId,
    number: u64,
    /// What it is told; closed when it did not take it.
    pub told: mpsc::Receiver<Told>,
    /// From where on it is told everything.
    pub place: Place,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.hub.inner.lock();
        if let Some(clients) = inner.tenants.get_mut(&self.tenant) {
            clients.remove(&self.number);
            if clients.is_empty() {
                inner.tenants.remove(&self.tenant);
                inner.touched.remove(&self.tenant);
            }
        }
    }
}

impl Seat {
    /// Wants to be told something else from here on.
    pub(super) fn change(&self, interest: Interest) {
        let mut inner = self.hub.inner.lock();
        let clients = inner.tenants.get_mut(&self.tenant);
        if let Some(client) = clients.and_then(|clients| clients.get_mut(&self.number)) {
            client.interest = interest;
        }
    }

    /// Asks for the levels of goods that were touched before it came.
    pub(super) fn touch(&self, touched: Touched) {
        let mut inner = self.hub.inner.lock();
        inner
            .touched
            .entry(self.tenant)
            .or_default()
            .extend(touched);
    }
}

impl Hub {
    /// Seats a client; `None` while the topics are not followed yet.
    pub(super) fn join(&self, tenant: TenantId, interest: Interest) -> Option<Seat> {
        let (queue, told) = mpsc::channel(QUEUE);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner.lock();
        let place = inner.place.clone()?;
        let clients = inner.tenants.entry(tenant).or_default();
        clients.insert(number, Client { interest, queue });
        Some(Seat {
            hub: self.clone(),
            tenant,
            number,
            told,
            place,
        })
    }

    fn heard(&self, record: &Followed<'_>) {
        let mut inner = self.inner.lock();
        if let Some(place) = &mut inner.place {
            place.insert((record.topic, record.partition), record.offset + 1);
        }
        // Most processes have nobody seated for most of the time, and every sale of the fleet comes by here.
        if inner.tenants.is_empty() {
            return;
        }
        let Some((tenant, meaning)) = meaning(record.value) else {
            return;
        };
        if !inner.tenants.contains_key(&tenant) {
            return;
        }
        let Meaning { news, touched } = meaning;
        for news in news {
            inner.tell(tenant, &Arc::new(news));
        }
        inner.touched.entry(tenant).or_default().extend(touched);
    }

    /// Tells levels until `stop` is cancelled.
    pub(crate) async fn tell(
        self,
        inventory: Inventory,
        service: &'static str,
        stop: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(GATHER);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let telling = async {
            loop {
                ticks.tick().await;
                self.tell_levels(&inventory, service).await;
            }
        };
        stop.run_until_cancelled(telling).await;
    }

    /// Asks inventory for the levels that were touched and are watched, and tells them; then says up to where all is told.
    async fn tell_levels(&self, inventory: &Inventory, service: &'static str) {
        // What is heard from here on belongs to the next question, and to the next place.
        let (touched, place) = {
            let mut inner = self.inner.lock();
            let touched = std::mem::take(&mut inner.touched);
            (touched, inner.place.clone().map(Arc::new))
        };
        let mut failed = HashMap::new();
        for (tenant, touched) in touched {
            let watched: Touched = {
                let inner = self.inner.lock();
                let Some(clients) = inner.tenants.get(&tenant) else {
                    continue;
                };
                let watches = |goods: &(LocationId, ProductId)| {
                    clients
                        .values()
                        .any(|client| client.interest.watches(goods))
                };
                touched.into_iter().filter(watches).collect()
            };
            let mut by_location: BTreeMap<LocationId, Vec<ProductId>> = BTreeMap::new();
            for (location, product) in watched {
                by_location.entry(location).or_default().push(product);
            }
            for (location, products) in by_location {
                for products in products.chunks(MOST) {
                    let ctx = Ctx::service(service, tenant);
                    match inventory.availability(&ctx, location, products).await {
                        Ok(levels) => {
                            let mut inner = self.inner.lock();
                            for (product_id, available) in levels {
                                let news = Arc::new(News::Stock {
                                    location_id: location,
                                    product_id,
                                    available,
                                });
                                inner.tell(tenant, &news);
                            }
                        }
                        Err(error) => {
                            tracing::debug!(%error, "levels are not known; they are asked for again");
                            let again: &mut Touched = failed.entry(tenant).or_default();
                            again.extend(products.iter().map(|p| (location, *p)));
                        }
                    }
                }
            }
        }
        let mut inner = self.inner.lock();
        let all_told = failed.is_empty();
        for (tenant, touched) in failed {
            if inner.tenants.contains_key(&tenant) {
                inner.touched.entry(tenant).or_default().extend(touched);
            }
        }
        if let (Some(place), true) = (place, all_told)
            && inner.told.as_ref() != Some(&place)
        {
            inner.upto(&place);
            inner.told = Some(place);
        }
    }
}

impl Inner {
    fn tell(&mut self, tenant: TenantId, news: &Arc<News>) {
        let Some(clients) = self.tenants.get_mut(&tenant) else {
            return;
        };
        // Who does not take it is let go: dropping the sender closes its queue.
        clients.retain(|_, client| {
            !client.interest.covers(news) || taken(client.queue.try_send(Told::News(news.clone())))
        });
    }

    fn upto(&mut self, place: &Arc<Place>) {
        for clients in self.tenants.values_mut() {
            clients.retain(|_, client| taken(client.queue.try_send(Told::Upto(place.clone()))));
        }
    }
}

fn taken(sent: Result<(), TrySendError<Told>>) -> bool {
    sent.is_ok()
}

/// What every process follows for its hub.
pub(crate) fn follows(state: &State) -> Vec<Follow> {
    let (listening, hearing) = (state.hub.clone(), state.hub.clone());
    vec![
        Follow::records(
            &TOPICS,
            move |place| listening.inner.lock().place = Some(place.clone()),
            move |record| hearing.heard(record),
        )
        .gathered(),
    ]
}
