//! One limit for several gateways, with Redis and without.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use bahi_http::{Claims, token};
use bahi_testkit::eventually;
use bahi_types::{Clock, TenantId};
use chrono::Utc;
use futures::future::join_all;
use serde_json::json;

use crate::{
    limits::{number, until_refused},
    own_redis::OwnRedis,
    support::{Fleet, Gateway, Person, assert_problem, claims, sign},
};

const BRANDS: &str = "/api/v1/brands";

/// A user of a tenant.
fn user_of(gateway: &Gateway, tenant: TenantId) -> Person {
    let claims = Claims {
        tid: tenant,
        ..claims(&["*"])
    };
    let token = sign("identity", token::ACCESS, &claims);
    gateway.stranger().with_token(token)
}

/// How many requests of a kind pass when each of these asks `times` times, all at once.
async fn passed(people: &[Person], times: usize, path: &str) -> u64 {
    let passed = people.iter().map(|person| async move {
        let mut passed = 0;
        for _ in 0..times {
            let reply = match path.contains("login") {
                true => person.post(path, json!({})).await,
                false => person.get(path).await,
            };
            assert!(
                [200, 201, 429].contains(&reply.status),
                "{} {}",
                reply.status,
                reply.text
            );
            passed += u64::from(reply.status != 429);
        }
        passed
    });
    join_all(passed).await.into_iter().sum()
}

/// The most that may pass of `rate` a second and `burst` at once, as the README says.
fn most(rate: u64, burst: u64, gateways: u64, since: Instant) -> u64 {
    let portion = (burst / 20).max(1);
    burst + rate * (since.elapsed().as_secs() + 1) + 2 * portion * gateways
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_share_the_limit_of_a_user_and_two_that_count_alone_do_not() {
    let fleet = Fleet::start().await;
    let (burst, times) = (60, 100);
    for (redis, shared) in [(None, true), (Some(""), false)] {
        let mut settings = vec![("BAHI_LIMIT_NORMAL", "1/60")];
        settings.extend(redis.map(|url| ("BAHI_REDIS", url)));
        let one = fleet.gateway(&settings).await;
        let other = fleet.gateway(&settings).await;
        let here = one.user(&["*"]);
        let people = [here.clone(), here.at(&other), here.clone(), here.at(&other)];
        let since = Instant::now();
        let passed = passed(&people, times, BRANDS).await;
        let most = most(1, burst, 2, since);
        if shared {
            assert!(
                (burst..=most).contains(&passed),
                "{passed} passed, at most {most} may"
            );
        } else {
            // The wrong limiter: each gateway for itself.
            assert!(
                passed > most && passed >= 2 * burst,
                "{passed} passed, {most} is the most"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_an_api_key_is_shared_too() {
    let fleet = Fleet::start().await;
    let (one, other) = (fleet.gateway(&[]).await, fleet.gateway(&[]).await);
    let of_key = Claims {
        sub: format!("key:{}", uuid::Uuid::now_v7()),
        sid: None,
        rate: Some(40),
        ..claims(&["*"])
    };
    let here = one
        .stranger()
        .with_token(sign("identity", token::ACCESS, &of_key));
    let since = Instant::now();
    let passed = passed(&[here.clone(), here.at(&other)], 60, BRANDS).await;
    let most = most(1, 40, 2, since);
    assert!(
        (40..=most).contains(&passed),
        "{passed} passed, at most {most} may"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_a_limit_as_a_whole_which_one_noisy_user_does_not_use_up() {
    let fleet = Fleet::start().await;
    let settings = [("BAHI_LIMIT_NORMAL", "1/20"), ("BAHI_LIMIT_TENANT", "1/60")];
    let (one, other) = (
        fleet.gateway(&settings).await,
        fleet.gateway(&settings).await,
    );
    let tenant = TenantId::new();
    let since = Instant::now();
    // What the noisy one is refused does not count for the tenant.
    let noisy = user_of(&one, tenant);
    let loud = passed(std::slice::from_ref(&noisy), 100, BRANDS).await;
    assert!(
        (20..=most(1, 20, 1, since)).contains(&loud),
        "{loud} passed"
    );
    let colleague = user_of(&one, tenant);
    let first = colleague.get(BRANDS).await.expect(201);
    assert_eq!(number(&first, "ratelimit-limit"), 20);
    // Many users, at two gateways, are one tenant.
    let people: Vec<Person> = (0..8)
        .map(|n| user_of(if n % 2 == 0 { &one } else { &other }, tenant))
        .collect();
    let all = loud + 1 + passed(&people, 15, BRANDS).await;
    let most = most(1, 60, 2, since);
    assert!(
        (60..=most).contains(&all),
        "{all} passed, at most {most} may"
    );
    let refused = eventually(|| async {
        let reply = user_of(&one, tenant).get(BRANDS).await;
        (reply.status == 429).then_some(reply)
    })
    .await;
    assert_problem(&refused, 429, "TOO_MANY_REQUESTS");
    assert_eq!(number(&refused, "ratelimit-limit"), 60);
    assert!(number(&refused, "retry-after") >= 1);
    // Others have a limit of their own.
    user_of(&one, TenantId::new()).get(BRANDS).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_not_asked_for_each_request_and_gets_back_what_was_not_needed() {
    let fleet = Fleet::start().await;
    let redis = OwnRedis::start().await;
    let gateway = fleet
        .gateway(&[
            ("BAHI_LIMIT_NORMAL", "1/2000"),
            ("BAHI_REDIS", &redis.url()),
        ])
        .await;
    let user = gateway.user(&["*"]);
    let people = vec![user.clone(); 8];
    let since = Instant::now();
    let passed = passed(&people, 60, BRANDS).await;
    assert_eq!(passed, 480);
    let mut connection = redis.connection().await;
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut connection)
        .await
        .unwrap();
    let calls: u64 = stats
        .split("cmdstat_evalsha:calls=")
        .nth(1)
        .and_then(|rest| rest.split(',').next()?.parse().ok())
        .unwrap();
    assert!(calls * 2 < passed, "{calls} calls for {passed} requests");
    let mut keys: Vec<String> = redis::cmd("KEYS")
        .arg("bahi:limit:user:*")
        .query_async(&mut connection)
        .await
        .unwrap();
    let key = keys.pop().unwrap();
    let tokens = async || -> f64 {
        let mut connection = connection.clone();
        let mut asked = redis::cmd("HGET");
        let asked = asked.arg(&key).arg("tokens");
        asked.query_async(&mut connection).await.unwrap()
    };
    let most = || 1520 + since.elapsed().as_secs() + 1;
    // Redis hears ten times a second of what has passed.
    eventually(|| async { (tokens().await as u64 <= most()).then_some(()) }).await;
    eventually(|| async {
        let tokens = tokens().await;
        // Up to a hundred were on lease.
        assert!(tokens as u64 <= most(), "{tokens}");
        (tokens >= 1520.0).then_some(())
    })
    .await;
}

/// Asks on and on until told to stop; counts what did not pass.
fn load(
    person: Person,
    stop: Arc<AtomicBool>,
) -> (Arc<AtomicUsize>, tokio::task::JoinHandle<Vec<u16>>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let task = tokio::spawn(async move {
        let mut failed = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let reply = person.get(BRANDS).await;
            if reply.status != 201 {
                failed.push(reply.status);
            }
            counted.fetch_add(1, Ordering::Relaxed);
        }
        failed
    });
    (count, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_and_paused_under_load_stops_nobody_and_is_shared_again_by_itself() {
    let fleet = Fleet::start().await;
    let mut redis = OwnRedis::start().await;
    let url = redis.url();
    let settings = [
        ("BAHI_REDIS", url.as_str()),
        ("BAHI_REDIS_PATIENCE_MS", "300"),
        ("BAHI_LIMIT_STRICT", "1/5"),
    ];
    let (one, other) = (
        fleet.gateway(&settings).await,
        fleet.gateway(&settings).await,
    );
    let stop = Arc::new(AtomicBool::new(false));
    let loads: Vec<_> = [&one, &other]
        .map(|gateway| load(gateway.user(&["*"]), stop.clone()))
        .into();
    let more = async || {
        let before: Vec<usize> = loads
            .iter()
            .map(|(n, _)| n.load(Ordering::Relaxed))
            .collect();
        eventually(|| async {
            let all = loads.iter().zip(&before);
            let mut on = all.map(|((n, _), before)| n.load(Ordering::Relaxed) >= before + 50);
            on.all(|on| on).then_some(())
        })
        .await;
    };
    let alone = async || {
        for gateway in [&one, &other] {
            let since = Instant::now();
            let (passed, refused) = until_refused(&gateway.stranger()).await;
            assert_problem(&refused, 429, "TOO_MANY_REQUESTS");
            let most = 5 + since.elapsed().as_secs() as usize + 1;
            assert!((5..=most).contains(&passed), "{passed} passed, {most} may");
        }
    };
    let together = async || {
        // One address, two gateways, one bucket: as soon as both have found Redis.
        eventually(|| async {
            let here = one.stranger();
            let since = Instant::now();
            let people = [here.clone(), here.at(&other)];
            let passed = passed(&people, 8, "/api/v1/auth/login").await;
            assert!(passed >= 5, "{passed}");
            (passed <= 5 + since.elapsed().as_secs() + 1).then_some(())
        })
        .await;
    };
    more().await;
    together().await;
    redis.kill();
    more().await;
    alone().await;
    more().await;
    redis.revive().await;
    together().await;
    redis.pause();
    more().await;
    alone().await;
    more().await;
    redis.resume();
    together().await;
    more().await;
    stop.store(true, Ordering::Relaxed);
    for (_, task) in loads {
        assert_eq!(task.await.unwrap(), Vec::<u16>::new());
    }
    let metrics = one.operator().get("/metrics").await.text;
    for line in [
        "gateway_limit_redis_total{turn=\"lost\"}",
        "gateway_limit_redis_total{turn=\"back\"}",
        "gateway_limit_fallback_total{kind=\"strict\"}",
        "gateway_limit_fallback_total{kind=\"ordinary\"}",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passed_while_redis_was_away_is_told_when_it_is_back() {
    let fleet = Fleet::start().await;
    let redis = OwnRedis::start().await;
    let url = redis.url();
    let settings = [
        ("BAHI_REDIS", url.as_str()),
        ("BAHI_REDIS_PATIENCE_MS", "300"),
        ("BAHI_LIMIT_NORMAL", "1/400"),
        ("BAHI_LIMIT_STRICT", "1/5"),
    ];
    let gateway = fleet.gateway(&settings).await;
    let user = gateway.user(&["*"]);
    user.get(BRANDS).await.expect(201);
    redis.pause();
    // A strict request finds out that it is away.
    until_refused(&gateway.stranger()).await;
    let since = Instant::now();
    assert_eq!(passed(std::slice::from_ref(&user), 150, BRANDS).await, 150);
    redis.resume();
    let connection = redis.connection().await;
    let tokens = eventually(|| async {
        // Whoever asks has it told; the sweep does so too.
        user.get(BRANDS).await;
        let mut connection = connection.clone();
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("bahi:limit:user:*")
            .query_async(&mut connection)
            .await
            .unwrap();
        let tokens: f64 = redis::cmd("HGET")
            .arg(keys.first()?)
            .arg("tokens")
            .query_async(&mut connection)
            .await
            .unwrap();
        (tokens < 300.0).then_some(tokens)
    })
    .await;
    assert!(
        tokens as u64 <= 250 + since.elapsed().as_secs() + 1,
        "{tokens}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_whose_clocks_differ_by_hours_share_a_limit_all_the_same() {
    let fleet = Fleet::start().await;
    let settings = [("BAHI_LIMIT_STRICT", "1/10"), ("BAHI_LIMIT_NORMAL", "1/40")];
    let hours = chrono::Duration::hours(5);
    let early = Clock::fixed(Utc::now() - hours);
    let late = Clock::fixed(Utc::now() + hours);
    let one = fleet.gateway_at(&settings, early).await;
    let other = fleet.gateway_at(&settings, late).await;
    let here = one.stranger();
    let people = [here.clone(), here.at(&other)];
    for (path, burst, gateways) in [
        ("/api/v1/auth/login", 10, 0),
        ("/.well-known/jwks.json", 40, 2),
    ] {
        let since = Instant::now();
        let passed = passed(&people, 60, path).await;
        let most = most(1, burst, gateways, since);
        assert!(
            (burst..=most).contains(&passed),
            "{path}: {passed} passed, at most {most} may"
        );
    }

    // The wrong bucket: it believes the clock of whoever asks. Each time the late one asks after the early one it is full again.
    let redis = OwnRedis::start().await;
    let mut connection = redis.connection().await;
    let bucket = redis::Script::new(
        r"local now, saved = tonumber(ARGV[1]), redis.call('HMGET', KEYS[1], 'tokens', 'at')
          local tokens = (tonumber(saved[1]) or 10) + math.max(0, now - (tonumber(saved[2]) or now)) / 1000
          tokens = math.min(10, tokens)
          local passes = tokens >= 1 and 1 or 0
          redis.call('HSET', KEYS[1], 'tokens', tokens - passes, 'at', now)
          return passes",
    );
    let mut passed = 0;
    for _ in 0..60 {
        for now in [Utc::now() - hours, Utc::now() + hours] {
            let passes: u64 = bucket
                .key("wrong")
                .arg(now.timestamp_millis())
                .invoke_async(&mut connection)
                .await
                .unwrap();
            passed += passes;
        }
    }
    assert!(passed > 100, "{passed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_sign_ins_from_one_address_stops_nobody_else() {
    let fleet = Fleet::start().await;
    let gateway = fleet
        .gateway(&[
            ("BAHI_LIMIT_STRICT", "1/10"),
            ("BAHI_LIMIT_NORMAL", "1000/1000"),
        ])
        .await;
    let since = Instant::now();
    let attacker = gateway.stranger();
    let flood = vec![attacker.clone(); 16];
    let others = async {
        let user = gateway.user(&["*"]);
        for _ in 0..5 {
            gateway
                .stranger()
                .post("/api/v1/auth/login", json!({}))
                .await
                .expect(201);
            user.get(BRANDS).await.expect(201);
        }
    };
    let (passed, ()) = tokio::join!(passed(&flood, 25, "/api/v1/auth/login"), others);
    let most = most(1, 10, 0, since);
    assert!((10..=most).contains(&passed), "{passed} passed, {most} may");
    // Nor did more of them reach the service.
    let logins = fleet
        .seen()
        .into_iter()
        .filter(|s| s.target.contains("login"));
    assert_eq!(logins.count() as u64, passed + 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_tokens_is_counted_by_address_and_users_there_go_on() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[("BAHI_LIMIT_NORMAL", "1/10")]).await;
    let guesser = gateway.stranger().with_token("x.y.z".to_owned());
    let user = guesser.with_token(gateway.user(&["*"]).token.unwrap());
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(guesser.get(BRANDS).await.status);
    }
    assert!(statuses[..10].iter().all(|s| *s == 401), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(fleet.seen().is_empty());
    user.get(BRANDS).await.expect(201);
}
