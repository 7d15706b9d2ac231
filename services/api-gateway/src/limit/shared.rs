//! The buckets in Redis, and what the processes tell it of theirs. Nothing here is on the way of a request that has a token.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use prometheus::{IntCounterVec, register_int_counter_vec};
use redis::{Script, aio::ConnectionManager};
use tokio::{
    runtime::Handle,
    sync::{Notify, OnceCell},
};

use super::{
    Key, Standing,
    bucket::{Ask, Bucket, Rate, Told},
};

/// How often Redis hears of buckets that nobody waits for.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked for while it is away.
const REST: Duration = Duration::from_millis(500);
/// Buckets told of at once.
const BATCH: usize = 100;

/// Token buckets on Redis' own clock: for each of KEYS six arguments (tokens a minute, burst, owed, back, want, lenient) and three
/// answers (granted, left, milliseconds to wait). A clock set back fills nothing and takes nothing.
static BUCKETS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local now = redis.call('TIME'); now = now[1] * 1000 + math.floor(now[2] / 1000)
          local out = {}
          for i, key in ipairs(KEYS) do
            local a = (i - 1) * 6
            local rate, burst = tonumber(ARGV[a + 1]) / 60000, tonumber(ARGV[a + 2])
            local saved = redis.call('HMGET', key, 'tokens', 'at')
            local tokens, passed = tonumber(saved[1]) or burst, now - (tonumber(saved[2]) or now)
            tokens = math.min(burst, tokens + math.max(0, passed) * rate + tonumber(ARGV[a + 4]))
            local after = tokens - tonumber(ARGV[a + 3])
            if ARGV[a + 6] == '1' then after = math.max(after, math.min(tokens, 0)) end
            local granted = math.max(0, math.min(tonumber(ARGV[a + 5]), math.floor(after)))
            tokens = after - granted
            local wait = 0
            if tokens < 1 then wait = math.ceil((1 - tokens) / rate) end
            redis.call('HSET', key, 'tokens', tostring(tokens), 'at', tostring(now))
            redis.call('PEXPIRE', key, math.ceil((burst - tokens) / rate) + 1000)
            out[#out + 1] = granted
            out[#out + 1] = math.floor(tokens)
            out[#out + 1] = wait
          end
          return out",
    )
});

#[allow(clippy::unwrap_used)] // Constant name and label.
static TURNS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "gateway_limit_redis_total",
        "How often Redis was lost, and found again; in between limits are counted locally",
        &["turn"]
    )
    .unwrap()
});

/// A bucket and what it is called.
type Named = (Key, Arc<Mutex<Bucket>>);

/// The way to Redis.
pub(super) struct Shared {
    client: redis::Client,
    connection: OnceCell<ConnectionManager>,
    patience: Duration,
    /// It did not answer; until it does nobody waits for it.
    away: AtomicBool,
    /// Where we work: not on the threads that serve requests.
    runtime: Handle,
    queue: Mutex<Queue>,
    hurry: Notify,
}

#[derive(Default)]
struct Queue {
    buckets: Vec<Named>,
    working: bool,
}

impl Shared {
    /// Needs to be called on a runtime that lives as long as the process.
    pub(super) fn new(url: &str, patience: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            client: redis::Client::open(url)?,
            connection: OnceCell::new(),
            patience,
            away: AtomicBool::new(false),
            runtime: Handle::try_current()?,
            queue: Mutex::default(),
            hurry: Notify::new(),
        })
    }

    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Sees to it that Redis hears of a bucket, which the caller has marked as queued; at once where somebody waits.
    pub(super) fn enqueue(self: &Arc<Self>, named: Named, hurry: bool) {
        let mut queue = self.queue.lock();
        queue.buckets.push(named);
        if !std::mem::replace(&mut queue.working, true) {
            self.runtime.spawn(self.clone().work());
        }
        drop(queue);
        if hurry {
            self.hurry();
        }
    }

    /// Redis is asked now, not after the pause.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }

    async fn work(self: Arc<Self>) {
        loop {
            let batch: Vec<Named> = {
                let mut queue = self.queue.lock();
                let first = queue.buckets.len().min(BATCH);
                if first == 0 {
                    queue.working = false;
                    return;
                }
                queue.buckets.drain(..first).collect()
            };
            self.settle(batch).await;
            let full = self.queue.lock().buckets.len() >= BATCH;
            if !full {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = self.hurry.notified() => {}
                }
            }
        }
    }

    async fn settle(self: &Arc<Self>, batch: Vec<Named>) {
        let now = Instant::now();
        let asked: Vec<(Ask, Rate)> = batch
            .iter()
            .map(|(_, bucket)| {
                let mut bucket = bucket.lock();
                (bucket.ask(now), bucket.rate())
            })
            .collect();
        let questions = batch.iter().zip(&asked);
        let questions = questions.map(|((key, _), (ask, rate))| (key, *ask, *rate));
        let told = self.invoke(questions).await;
        let now = Instant::now();
        for (at, (key, bucket)) in batch.into_iter().enumerate() {
            let mut locked = bucket.lock();
            match told.as_ref().and_then(|told| told.get(at)) {
                Some(told) => locked.told(asked[at].0, *told, now),
                None => locked.failed(now),
            }
            locked.queued = told.is_some() && locked.is_due(now);
            let (again, hurry) = (locked.queued, locked.is_awaited());
            drop(locked);
            if again {
                self.enqueue((key, bucket), hurry);
            }
        }
    }

    /// Counts a request in Redis itself; nothing when it is away.
    pub(super) async fn exactly(
        self: &Arc<Self>,
        key: &Key,
        bucket: &Mutex<Bucket>,
    ) -> Option<Standing> {
        if self.is_away() {
            return None;
        }
        let (ask, rate) = {
            let mut bucket = bucket.lock();
            let ask = bucket.ask(Instant::now());
            (Ask { want: 1, ..ask }, bucket.rate())
        };
        let told = self.invoke([(key, ask, rate)].into_iter()).await?;
        let told = *told.first()?;
        Some(bucket.lock().told_exactly(ask, told, Instant::now()))
    }

    async fn invoke<'a>(
        self: &Arc<Self>,
        questions: impl Iterator<Item = (&'a Key, Ask, Rate)>,
    ) -> Option<Vec<Told>> {
        if self.is_away() {
            return None;
        }
        let mut call = BUCKETS.prepare_invoke();
        for (key, ask, rate) in questions {
            call.key(key.to_string())
                .arg(rate.per_minute)
                .arg(rate.burst)
                .arg(ask.owed)
                .arg(ask.back)
                .arg(ask.want)
                .arg(u8::from(ask.lenient));
        }
        let exchange = async {
            let mut connection = self.connection().await?;
            let said: Vec<(u32, i64, u64)> = call.invoke_async(&mut connection).await?;
            anyhow::Ok(said)
        };
        match tokio::time::timeout(self.patience, exchange).await {
            Ok(Ok(said)) => {
                let told = said.into_iter().map(|(granted, left, wait)| Told {
                    granted,
                    left,
                    wait,
                });
                return Some(told.collect());
            }
            Ok(Err(error)) => self.lost(&format!("{error:#}")),
            Err(_) => self.lost("it did not answer in time"),
        }
        None
    }

    async fn connection(self: &Arc<Self>) -> anyhow::Result<ConnectionManager> {
        let connect = async || {
            let config = redis::aio::ConnectionManagerConfig::new()
                .set_number_of_retries(1)
                .set_connection_timeout(Some(self.patience))
                .set_response_timeout(Some(self.patience));
            let client = self.client.clone();
            // Its task must not live on a thread that serves requests.
            let made = self
                .runtime
                .spawn(async move { client.get_connection_manager_with_config(config).await });
            anyhow::Ok(made.await??)
        };
        Ok(self.connection.get_or_try_init(connect).await?.clone())
    }

    fn lost(self: &Arc<Self>, why: &str) {
        if self.away.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(why, "Redis is away; limits are local");
        TURNS.with_label_values(&["lost"]).inc();
        let us = Arc::downgrade(self);
        self.runtime.spawn(async move {
            loop {
                tokio::time::sleep(REST).await;
                let Some(us) = us.upgrade() else { return };
                let answers = async {
                    let mut connection = us.connection().await?;
                    redis::cmd("PING")
                        .exec_async(&mut connection)
                        .await
                        .map_err(anyhow::Error::from)
                };
                if let Ok(Ok(())) = tokio::time::timeout(us.patience, answers).await {
                    us.away.store(false, Ordering::Relaxed);
                    tracing::info!("Redis is back; limits are shared");
                    TURNS.with_label_values(&["back"]).inc();
                    return;
                }
            }
        });
    }
}
