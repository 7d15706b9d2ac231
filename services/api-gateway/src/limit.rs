//! Rate limits. Ordinary classes are counted here, by user; the strict class in Redis, by address, so that
//! several gateways share one bucket. Redis down: a local bucket of the same rate, neither open nor closed.

use std::{collections::BTreeMap, net::IpAddr, sync::LazyLock, time::Duration};

use bahi_register::Class;
use governor::{
    Quota, RateLimiter, clock::DefaultClock, middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use prometheus::{IntCounter, register_int_counter};
use redis::{Script, aio::ConnectionManager};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::config::{ClassLimits, Limit};

type Bucket<K> = RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock, StateInformationMiddleware>;

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

/// The limits of this process.
pub struct Limits {
    users: BTreeMap<Class, (Limit, Bucket<(Uuid, String)>)>,
    strict: Limit,
    local: Bucket<(IpAddr, String)>,
    redis: Option<redis::Client>,
    connection: OnceCell<ConnectionManager>,
}

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
    register_int_counter!("gateway_limit_fallback_total", "Strict limits counted locally because Redis did not answer")
        .unwrap()
});

const PATIENCE: Duration = Duration::from_millis(100);

impl Limits {
    pub(crate) fn new(classes: &BTreeMap<Class, ClassLimits>, redis: Option<&str>) -> anyhow::Result<Self> {
        let strict = classes.get(&Class::Strict).map(|c| c.rate).ok_or_else(|| anyhow::anyhow!("no strict limit"))?;
        let users = classes
            .iter()
            .filter(|(class, _)| **class != Class::Strict)
            .map(|(class, limits)| (*class, (limits.rate, bucket(limits.rate))))
            .collect();
        let redis = redis.map(redis::Client::open).transpose()?;
        Ok(Self { users, strict, local: bucket(strict), redis, connection: OnceCell::new() })
    }

    /// Counts a request of a signed-in user.
    pub fn user(&self, class: Class, tenant: Uuid, user: &str) -> Option<Standing> {
        let (limit, bucket) = self.users.get(&class)?;
        Some(standing(*limit, bucket.check_key(&(tenant, user.to_owned()))))
    }

    /// Counts a request of somebody who is not signed in, by address and path.
    pub async fn address(&self, ip: IpAddr, path: &str) -> Standing {
        let asked = tokio::time::timeout(PATIENCE, self.ask_redis(ip, path)).await;
        if let Ok(Some(standing)) = asked {
            return standing;
        }
        if self.redis.is_some() {
            FALLBACKS.inc();
        }
        standing(self.strict, self.local.check_key(&(ip, path.to_owned())))
    }

    async fn ask_redis(&self, ip: IpAddr, path: &str) -> Option<Standing> {
        let client = self.redis.as_ref()?;
        let connect = || async {
            let config = redis::aio::ConnectionManagerConfig::new()
                .set_number_of_retries(1)
                .set_connection_timeout(Some(PATIENCE))
                .set_response_timeout(Some(PATIENCE));
            client.get_connection_manager_with_config(config).await
        };
        let mut connection = self.connection.get_or_try_init(connect).await.ok()?.clone();
        let answer: Result<(u32, u64), _> = BUCKET
            .key(format!("bahi:limit:{ip}:{path}"))
            .arg(self.strict.rate.get())
            .arg(self.strict.burst.get())
            .invoke_async(&mut connection)
            .await;
        let (remaining, wait) = answer.inspect_err(|error| tracing::warn!(%error, "Redis did not answer")).ok()?;
        let reset = u32::try_from(wait.div_ceil(1000)).unwrap_or(u32::MAX);
        Some(Standing { limit: self.strict.burst.get(), remaining, reset })
    }

    /// Forgets buckets that are full again.
    pub fn sweep(&self) {
        for (_, bucket) in self.users.values() {
            bucket.retain_recent();
        }
        self.local.retain_recent();
    }
}

fn bucket<K: std::hash::Hash + Eq + Clone>(limit: Limit) -> Bucket<K> {
    let quota = Quota::per_second(limit.rate).allow_burst(limit.burst);
    RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>()
}

type Checked = Result<governor::middleware::StateSnapshot, governor::NotUntil<<DefaultClock as governor::clock::Clock>::Instant>>;

fn standing(limit: Limit, checked: Checked) -> Standing {
    let burst = limit.burst.get();
    match checked {
        Ok(snapshot) => Standing { limit: burst, remaining: snapshot.remaining_burst_capacity(), reset: 0 },
        Err(until) => {
            use governor::clock::Clock;
            let wait = until.wait_time_from(DefaultClock::default().now());
            Standing { limit: burst, remaining: 0, reset: u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1) }
        }
    }
}
