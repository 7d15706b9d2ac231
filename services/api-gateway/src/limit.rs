//! Rate limits. Ordinary classes are counted here, by user (by address where nobody signed in); the strict class in
//! Redis, by address, so that several gateways share one bucket. Redis down: a local bucket of the same rate, neither open nor closed.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use anyhow::Context;
use bahi_register::Class;
use governor::{
    Quota, RateLimiter,
    clock::DefaultClock,
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed, keyed::DefaultKeyedStateStore},
};
use parking_lot::Mutex;
use prometheus::{IntCounter, register_int_counter};
use quick_cache::sync::Cache;
use redis::{Script, aio::ConnectionManager};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::config::{Config, Limit};

type Bucket<K> =
    RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock, StateInformationMiddleware>;

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

type OwnBucket = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// The limits of this process.
pub struct Limits {
    classes: BTreeMap<Class, (Limit, Bucket<Who>)>,
    strict: Limit,
    local: Bucket<(IpAddr, Arc<str>)>,
    /// Of API keys, and the rate that each was made for.
    own: Cache<Uuid, (NonZeroU32, Arc<OwnBucket>)>,
    shared: Option<Shared>,
}

/// The buckets in Redis.
struct Shared {
    client: redis::Client,
    connection: OnceCell<ConnectionManager>,
    patience: Duration,
    /// Redis did not answer; until then nobody waits for it.
    resting: Mutex<Option<Instant>>,
}

/// How long Redis is left alone after it did not answer.
const REST: Duration = Duration::from_secs(1);

/// A token bucket on Redis' own clock: KEYS[1], rate, burst -> {tokens left, milliseconds to wait}.
static BUCKET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local now = redis.call('TIME'); now = now[1] * 1000 + math.floor(now[2] / 1000)
          local rate, burst = tonumber(ARGV[1]) / 1000, tonumber(ARGV[2])
          local saved = redis.call('HMGET', KEYS[1], 'tokens', 'at')
          local tokens = tonumber(saved[1]) or burst
          tokens = math.min(burst, tokens + (now - (tonumber(saved[2]) or now)) * rate)
          local wait = 0
          if tokens >= 1 then tokens = tokens - 1 else wait = math.ceil((1 - tokens) / rate) end
          redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', now)
          redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate) + 1000)
          return {math.floor(tokens), wait}",
    )
});

#[allow(clippy::unwrap_used)] // Constant name.
static FALLBACKS: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "gateway_limit_fallback_total",
        "Strict limits counted locally because Redis did not answer"
    )
    .unwrap()
});

impl Limits {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let strict = config
            .classes
            .get(&Class::Strict)
            .context("no strict limit")?
            .rate;
        let ordinary = config
            .classes
            .iter()
            .filter(|(class, _)| **class != Class::Strict);
        let classes = ordinary
            .map(|(class, limits)| (*class, (limits.rate, bucket(limits.rate))))
            .collect();
        let shared = config.redis.as_deref().map(|url| {
            let client = redis::Client::open(url).context("BAHI_REDIS")?;
            anyhow::Ok(Shared {
                client,
                connection: OnceCell::new(),
                patience: config.patience,
                resting: Mutex::default(),
            })
        });
        Ok(Self {
            classes,
            strict,
            local: bucket(strict),
            own: Cache::new(20_000),
            shared: shared.transpose()?,
        })
    }

    /// Counts a request of an ordinary class.
    pub fn ordinary(&self, class: Class, who: Who) -> Option<Standing> {
        let (limit, bucket) = self.classes.get(&class)?;
        Some(standing(*limit, bucket.check_key(&who)))
    }

    /// Counts a request of an API key.
    pub fn own(&self, Own { key, rate }: Own) -> Standing {
        let known = self.own.get(&key).filter(|(known, _)| *known == rate);
        let bucket = known.map_or_else(
            || {
                let fresh = RateLimiter::direct(Quota::per_minute(rate));
                let fresh = Arc::new(fresh.with_middleware());
                self.own.insert(key, (rate, fresh.clone()));
                fresh
            },
            |(_, bucket)| bucket,
        );
        let limit = Limit { rate, burst: rate };
        standing(limit, bucket.check())
    }

    /// Counts a request of the strict class, by address and route.
    pub async fn strict(&self, ip: IpAddr, route: &Arc<str>) -> Standing {
        if let Some(shared) = &self.shared {
            if let Some(standing) = shared.count(self.strict, ip, route).await {
                return standing;
            }
            FALLBACKS.inc();
        }
        standing(self.strict, self.local.check_key(&(ip, route.clone())))
    }

    /// Forgets buckets that are full again.
    pub fn sweep(&self) {
        for (_, bucket) in self.classes.values() {
            bucket.retain_recent();
        }
        self.local.retain_recent();
    }
}

impl Shared {
    async fn count(&self, limit: Limit, ip: IpAddr, route: &str) -> Option<Standing> {
        if self
            .resting
            .lock()
            .is_some_and(|until| Instant::now() < until)
        {
            return None;
        }
        match tokio::time::timeout(self.patience, self.ask(limit, ip, route)).await {
            Ok(Ok(standing)) => return Some(standing),
            Ok(Err(error)) => tracing::warn!(%error, "Redis failed; strict limits are local"),
            Err(_) => tracing::warn!("Redis did not answer in time; strict limits are local"),
        }
        *self.resting.lock() = Some(Instant::now() + REST);
        None
    }

    async fn ask(&self, limit: Limit, ip: IpAddr, route: &str) -> redis::RedisResult<Standing> {
        let connect = || {
            let config = redis::aio::ConnectionManagerConfig::new()
                .set_number_of_retries(1)
                .set_connection_timeout(Some(self.patience))
                .set_response_timeout(Some(self.patience));
            self.client.get_connection_manager_with_config(config)
        };
        let mut connection = self.connection.get_or_try_init(connect).await?.clone();
        let (remaining, wait): (u32, u64) = BUCKET
            .key(format!("bahi:limit:{ip}:{route}"))
            .arg(limit.rate.get())
            .arg(limit.burst.get())
            .invoke_async(&mut connection)
            .await?;
        let reset = u32::try_from(wait.div_ceil(1000)).unwrap_or(u32::MAX);
        Ok(Standing {
            limit: limit.burst.get(),
            remaining,
            reset,
        })
    }
}

fn bucket<K: std::hash::Hash + Eq + Clone>(limit: Limit) -> Bucket<K> {
    let quota = Quota::per_second(limit.rate).allow_burst(limit.burst);
    RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>()
}

type Checked = Result<
    governor::middleware::StateSnapshot,
    governor::NotUntil<<DefaultClock as governor::clock::Clock>::Instant>,
>;

fn standing(limit: Limit, checked: Checked) -> Standing {
    let burst = limit.burst.get();
    match checked {
        Ok(snapshot) => Standing {
            limit: burst,
            remaining: snapshot.remaining_burst_capacity(),
            reset: 0,
        },
        Err(until) => {
            use governor::clock::Clock;
            let wait = until.wait_time_from(DefaultClock::default().now());
            Standing {
                limit: burst,
                remaining: 0,
                reset: u32::try_from(wait.as_secs())
                    .unwrap_or(u32::MAX)
                    .saturating_add(1),
            }
        }
    }
}
