//! Rate limits, shared by all gateways. Ordinary requests are counted here, with tokens on lease from Redis; the strict class in
//! Redis, request by request. Redis away: each gateway counts alone at the same rates, neither open nor closed, and tells
//! afterwards.
//!
//! Whatever the gateways do, the requests of a bucket in any span of time are at most its burst, what its rate fills in that
//! span, and two portions (a twentieth of the burst, at least 1) for each gateway: one on lease from before, one that Redis
//! has not heard of yet.

mod bucket;
mod shared;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Arc, LazyLock},
    time::Instant,
};

use anyhow::Context;
use bahi_register::Class;
use parking_lot::Mutex;
use prometheus::{IntCounterVec, register_int_counter_vec};
use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::config::Config;
use bucket::{Bucket, Rate, Taken};
use shared::Shared;

/// What the limiter says, sent as `RateLimit-*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests at once.
    pub limit: u32,
    /// Requests left now.
    pub remaining: u32,
    /// Seconds until one more is allowed; 0 while some are left.
    pub reset: u32,
}

impl Standing {
    /// Whether the request may pass.
    pub fn allowed(self) -> bool {
        self.reset == 0
    }
}

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A signed-in user, or an API key.
    User {
        /// Tenant.
        tenant: Uuid,
        /// User, or API key.
        user: Uuid,
    },
    /// Everybody at an address.
    Address(IpAddr),
}

/// The limit of one API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    key: Uuid,
    /// Requests a minute, and at once.
    rate: NonZeroU32,
}

impl Own {
    /// Nothing for a limit of none.
    pub fn new(key: Uuid, rate: u32) -> Option<Self> {
        let rate = NonZeroU32::new(rate)?;
        Some(Self { key, rate })
    }
}

/// What a bucket counts. Its text is its name in Redis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    User(Class, Uuid, Uuid),
    Tenant(Class, Uuid),
    Address(Class, IpAddr),
    Program(Uuid),
    Strict(IpAddr, Arc<str>),
}

impl Key {
    fn of(class: Class, who: Who) -> Self {
        match who {
            Who::User { tenant, user } => Self::User(class, tenant, user),
            Who::Address(address) => Self::Address(class, network(address)),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(class, tenant, user) => {
                write!(f, "bahi:limit:user:{}:{tenant}:{user}", class.name())
            }
            Self::Tenant(class, tenant) => write!(f, "bahi:limit:tenant:{}:{tenant}", class.name()),
            Self::Address(class, address) => {
                write!(f, "bahi:limit:address:{}:{address}", class.name())
            }
            Self::Program(key) => write!(f, "bahi:limit:key:{key}"),
            Self::Strict(address, route) => write!(f, "bahi:limit:strict:{address}:{route}"),
        }
    }
}

/// Most buckets in memory; those that were not used for longest go first.
const BUCKETS: usize = 100_000;

type Buckets = Cache<Key, Arc<Mutex<Bucket>>>;

/// The limits of this process.
pub struct Limits {
    classes: BTreeMap<Class, Rate>,
    tenant: Rate,
    strict: Rate,
    buckets: Arc<Buckets>,
    shared: Option<Arc<Shared>>,
}

#[allow(clippy::unwrap_used)] // Constant name and label.
static FALLBACKS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "gateway_limit_fallback_total",
        "Requests counted locally because Redis was away",
        &["kind"]
    )
    .unwrap()
});

impl Limits {
    /// Needs to be called on a runtime that lives as long as the process.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let shared = config.redis.as_deref().map(|url| {
            let shared = Shared::new(url, config.patience).context("BAHI_REDIS")?;
            anyhow::Ok(Arc::new(shared))
        });
        Self::with(config, Arc::new(Cache::new(BUCKETS)), shared.transpose()?)
    }

    /// Other limits for the same buckets: what is used up stays so.
    pub(crate) fn heir(&self, config: &Config) -> anyhow::Result<Self> {
        Self::with(config, self.buckets.clone(), self.shared.clone())
    }

    fn with(
        config: &Config,
        buckets: Arc<Buckets>,
        shared: Option<Arc<Shared>>,
    ) -> anyhow::Result<Self> {
        let all = config.classes.iter();
        let mut classes: BTreeMap<Class, Rate> = all
            .map(|(class, limits)| (*class, limits.rate.into()))
            .collect();
        let strict = classes.remove(&Class::Strict).context("no strict limit")?;
        Ok(Self {
            classes,
            tenant: config.tenant.into(),
            strict,
            buckets,
            shared,
        })
    }

    /// Counts a request of an ordinary class: of its user or address, of its API key, and of its tenant as a whole. What is
    /// refused to one of them does not count for the wider ones. Tells of the one that has least left.
    pub async fn ordinary(&self, class: Class, who: Who, own: Option<Own>) -> Option<Standing> {
        let rate = *self.classes.get(&class)?;
        let tenant = match who {
            Who::User { tenant, .. } => Some(tenant),
            Who::Address(_) => None,
        };
        let mut told = self.count(Key::of(class, who), rate).await;
        let own = own.map(|own| {
            let rate = Rate {
                per_minute: u64::from(own.rate.get()),
                burst: own.rate.get(),
            };
            (Key::Program(own.key), rate)
        });
        let tenant = tenant.map(|tenant| (Key::Tenant(class, tenant), self.tenant));
        for (key, rate) in [own, tenant].into_iter().flatten() {
            if !told.allowed() {
                break;
            }
            let standing = self.count(key, rate).await;
            if !standing.allowed() || standing.remaining < told.remaining {
                told = standing;
            }
        }
        Some(told)
    }

    /// The refusal of whoever has used up what he may ask of an ordinary class, as far as is known here. Counts nothing.
    pub fn refusal(&self, class: Class, who: Who) -> Option<Standing> {
        let bucket = self.buckets.get(&Key::of(class, who))?;
        let alone = self.shared.as_ref().is_none_or(|shared| shared.is_away());
        bucket.lock().refusal(Instant::now(), alone)
    }

    /// Counts a request of the strict class, by address and route.
    pub async fn strict(&self, ip: IpAddr, route: &Arc<str>) -> Standing {
        let key = Key::Strict(network(ip), route.clone());
        let bucket = self.bucket(&key, self.strict);
        if let Some(shared) = &self.shared {
            if let Some(standing) = shared.exactly(&key, &bucket).await {
                return standing;
            }
            FALLBACKS.with_label_values(&["strict"]).inc();
        }
        bucket.lock().take_alone(Instant::now())
    }

    async fn count(&self, key: Key, rate: Rate) -> Standing {
        let bucket = self.bucket(&key, rate);
        let Some(shared) = &self.shared else {
            return bucket.lock().take_alone(Instant::now());
        };
        let (now, away) = (Instant::now(), shared.is_away());
        if away {
            FALLBACKS.with_label_values(&["ordinary"]).inc();
        }
        let taken = {
            let mut locked = bucket.lock();
            let taken = locked.take(now, away);
            let awaited = locked.is_awaited();
            // Who begins to wait hurries those who are on their way already.
            if !away && (awaited || (!locked.queued && locked.is_due(now))) {
                let queued = std::mem::replace(&mut locked.queued, true);
                match queued {
                    true => shared.hurry(),
                    false => shared.enqueue((key, bucket.clone()), awaited),
                }
            }
            taken
        };
        match taken {
            Taken::Now(standing) => standing,
            Taken::Wait(answer) => match answer.await {
                Ok(standing) => standing,
                Err(_) => bucket.lock().take_alone(Instant::now()),
            },
        }
    }

    fn bucket(&self, key: &Key, rate: Rate) -> Arc<Mutex<Bucket>> {
        let now = Instant::now();
        let fresh = || Arc::new(Mutex::new(Bucket::new(rate, now)));
        let made: Result<_, Infallible> = self.buckets.get_or_insert_with(key, || Ok(fresh()));
        let Ok(bucket) = made;
        // The limit may have been changed.
        bucket.lock().change(rate, now);
        bucket
    }

    /// Forgets buckets that are full again, and gives back what was leased and not needed.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.buckets.retain(|_, bucket| !bucket.lock().is_full(now));
        let Some(shared) = self.shared.as_ref().filter(|shared| !shared.is_away()) else {
            return;
        };
        for (key, bucket) in self.buckets.iter() {
            let mut locked = bucket.lock();
            if !locked.queued && locked.is_due(now) {
                locked.queued = true;
                shared.enqueue((key, bucket.clone()), false);
            }
        }
    }
}

/// Whose an address is: of IPv6 a customer has a whole /64, and could use another address for each request.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        },
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_as_the_network_of_its_customer() {
        let of = |ip: &str| network(ip.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:10.1.2.3"), "10.1.2.3");
        assert_eq!(of("10.1.2.3"), "10.1.2.3");
    }
}
