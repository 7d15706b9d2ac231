//! How a service is reached and when it counts as well.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Span;

/// How the addresses of a service are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Discover {
    /// Each URL is one endpoint.
    #[default]
    Static,
    /// Each address behind the name of a URL is one; asked for again every five seconds.
    Dns,
}

/// How a service is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `http://host:port`, one or several; by default this host and the port in the register.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// How the addresses are found.
    pub discover: Discover,
    /// Longest time that connecting may take.
    pub connect: Span,
    /// Requests that may be under way to the service at once; one more is refused.
    #[schemars(range(min = 1))]
    pub max_inflight: u32,
    /// When an endpoint counts as up.
    pub health: HealthSettings,
    /// When an endpoint is left out for a while.
    pub outlier: OutlierSettings,
    /// When an endpoint is given a rest.
    pub breaker: BreakerSettings,
    /// What is asked again.
    pub retry: RetrySettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            discover: Discover::Static,
            connect: Span::millis(500),
            max_inflight: 1024,
            health: HealthSettings::default(),
            outlier: OutlierSettings::default(),
            breaker: BreakerSettings::default(),
            retry: RetrySettings::default(),
        }
    }
}

/// When an endpoint counts as up. Failed connections count as failed checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    /// The path that is asked for; it is well when the answer is 2xx.
    pub path: String,
    /// Time between two checks.
    pub interval: Span,
    /// How long a check may take.
    pub timeout: Span,
    /// Failures in a row after which an endpoint is down.
    #[schemars(range(min = 1))]
    pub unhealthy: u32,
    /// Good checks in a row after which it is up again.
    #[schemars(range(min = 1))]
    pub healthy: u32,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            path: "/readyz".to_owned(),
            interval: Span::secs(2),
            timeout: Span::secs(2),
            unhealthy: 3,
            healthy: 2,
        }
    }
}

/// When an endpoint is left out for a while, because it fails while others do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutlierSettings {
    /// Failures in a row (5xx, broken connections, silence) after which it is left out.
    #[schemars(range(min = 1))]
    pub consecutive: u32,
    /// For how long the first time; twice as long the second time, and so on.
    pub eject: Span,
    /// Never for longer.
    pub longest: Span,
    /// Part of the endpoints that may be left out at once, in percent: at least one, and never the last.
    #[schemars(range(max = 100))]
    pub max_ejected_percent: u32,
}

impl Default for OutlierSettings {
    fn default() -> Self {
        Self {
            consecutive: 5,
            eject: Span::secs(10),
            longest: Span::secs(300),
            max_ejected_percent: 50,
        }
    }
}

/// When an endpoint is given a rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSettings {
    /// How far back requests are looked at.
    pub window: Span,
    /// Fewer than this say nothing.
    #[schemars(range(min = 1))]
    pub min_requests: u32,
    /// Failures among them, in percent, from which on it rests.
    #[schemars(range(min = 1, max = 100))]
    pub error_percent: u32,
    /// For how long.
    pub open: Span,
    /// Requests that are let through afterwards; it works again when all of them succeed.
    #[schemars(range(min = 1))]
    pub half_open: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Span::secs(10),
            min_requests: 20,
            error_percent: 50,
            open: Span::secs(5),
            half_open: 3,
        }
    }
}

/// What is asked again: reads, and what was refused before a byte of it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// How often one request may be asked again.
    #[schemars(range(max = 5))]
    pub max: u32,
    /// Part of the requests of the last ten seconds that may be repetitions, in percent.
    #[schemars(range(max = 100))]
    pub budget_percent: u32,
    /// Repetitions in ten seconds that are allowed however few requests there are.
    pub floor: u32,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            max: 1,
            budget_percent: 10,
            floor: 10,
        }
    }
}

impl Settings {
    /// What is wrong with the settings of `service`.
    pub fn problems(&self, service: &str, found: &mut Vec<String>) {
        let mut wrong = |bad: bool, key: &str, why: &str| {
            if bad {
                found.push(format!("upstreams.{service}.{key} {why}"));
            }
        };
        let none = |span: Span| span.0.is_zero();
        wrong(self.max_inflight == 0, "max_inflight", "is 0");
        wrong(none(self.connect), "connect", "is 0");
        let health = &self.health;
        wrong(
            !health.path.starts_with('/'),
            "health.path",
            "does not begin with /",
        );
        wrong(none(health.interval), "health.interval", "is 0");
        wrong(none(health.timeout), "health.timeout", "is 0");
        wrong(health.unhealthy == 0, "health.unhealthy", "is 0");
        wrong(health.healthy == 0, "health.healthy", "is 0");
        let outlier = &self.outlier;
        wrong(outlier.consecutive == 0, "outlier.consecutive", "is 0");
        wrong(none(outlier.eject), "outlier.eject", "is 0");
        wrong(
            outlier.longest < outlier.eject,
            "outlier.longest",
            "is less than outlier.eject",
        );
        wrong(
            outlier.max_ejected_percent > 100,
            "outlier.max_ejected_percent",
            "is more than 100",
        );
        let breaker = &self.breaker;
        wrong(
            breaker.window < Span::millis(10),
            "breaker.window",
            "is less than 10ms",
        );
        wrong(breaker.min_requests == 0, "breaker.min_requests", "is 0");
        wrong(
            !(1..=100).contains(&breaker.error_percent),
            "breaker.error_percent",
            "is not between 1 and 100",
        );
        wrong(none(breaker.open), "breaker.open", "is 0");
        wrong(breaker.half_open == 0, "breaker.half_open", "is 0");
        wrong(self.retry.max > 5, "retry.max", "is more than 5");
        wrong(
            self.retry.budget_percent > 100,
            "retry.budget_percent",
            "is more than 100",
        );
    }
}
