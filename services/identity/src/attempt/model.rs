//! How long a failure makes one wait.

use std::net::IpAddr;

use bahi_types::{TenantId, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use crate::{
    schema::attempt,
    secret::{Purpose, Secret},
    user::Credentials,
};

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = attempt, check_for_backend(diesel::pg::Pg))]
pub struct Counter {
    /// What is counted.
    pub key: Vec<u8>,
    /// Failures in a row.
    pub failures: i32,
    /// No attempt before this.
    pub blocked_until: DateTime<Utc>,
    /// The last attempt.
    pub last_at: DateTime<Utc>,
}

/// How patient a counter is.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Failures without a wait.
    pub free: i32,
    /// Longest wait in seconds.
    pub longest: i64,
    /// Seconds without an attempt after which it is forgotten.
    pub memory: i64,
}

const HALF_AN_HOUR: i64 = 30 * 60;

/// Of one e-mail. The bound is low, because a stranger can make its owner wait.
pub const ACCOUNT: Limit = Limit {
    free: 5,
    longest: 120,
    memory: HALF_AN_HOUR,
};
/// Of the second factor of one user. Only who knows the password can make its owner wait, and six digits are not to be
/// guessed by patience: some thirty a day.
pub const SECOND: Limit = Limit {
    free: 5,
    longest: 3600,
    memory: 24 * 3600,
};
/// Of one network address, behind which a whole shop may sign in.
pub const ADDRESS: Limit = Limit {
    free: 20,
    longest: 900,
    memory: HALF_AN_HOUR,
};

/// Of the network around an address, for whoever has many of them. Strangers share it, so the bound is low.
pub const NETWORK: Limit = Limit {
    free: 100,
    longest: 300,
    memory: HALF_AN_HOUR,
};

/// The counters of one attempt.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Of the e-mail, the second factor or the PIN.
    pub account: Vec<u8>,
    /// Whether it is one user's. Users of several tenants may have an e-mail, and know nothing of each other.
    pub own: bool,
    /// How patient that one is.
    pub patience: Limit,
    /// Of the address, where it is known.
    pub address: Option<Vec<u8>>,
    /// Of the network around it.
    pub network: Option<Vec<u8>>,
}

/// An address as it counts, and the network around it: an IPv4 address in its /24. Of IPv6 a /64 counts as one address,
/// as every household has all of it, in a /48.
fn places(address: IpAddr) -> (String, String) {
    match address {
        IpAddr::V4(v4) => (v4.to_string(), format!("{:?}", &v4.octets()[..3])),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => places(IpAddr::V4(v4)),
            None => {
                let segments = v6.segments();
                (
                    format!("{:?}", &segments[..4]),
                    format!("six {:?}", &segments[..3]),
                )
            }
        },
    }
}

impl Counted {
    /// The counters of an e-mail and an address.
    pub fn of(secret: &Secret, email: &str, address: Option<IpAddr>) -> Self {
        Self {
            own: false,
            ..Self::named(secret, email, address)
        }
    }

    /// As they are once a password was right: an e-mail is its user's own who has shown that he reads its mail. That is asked
    /// of him alone; whether others have it too would tell him that they do, and may change in the same moment.
    pub fn shown_by(&self, user: &Credentials) -> Self {
        Self {
            own: self.own || user.email_verified_at.is_some(),
            ..self.clone()
        }
    }

    fn named(secret: &Secret, account: &str, address: Option<IpAddr>) -> Self {
        let key = |text: String| secret.mac(Purpose::Attempt, text.as_bytes()).to_vec();
        let (address, network) = address.map(places).unzip();
        Self {
            account: key(format!("account {account}")),
            own: true,
            patience: ACCOUNT,
            address: address.map(|a| key(format!("address {a}"))),
            network: network.map(|n| key(format!("network {n}"))),
        }
    }

    /// The counters of somebody's second factor and an address. A right password does not reset them.
    pub fn second(
        secret: &Secret,
        (tenant, user): (TenantId, UserId),
        address: Option<IpAddr>,
    ) -> Self {
        Self {
            patience: SECOND,
            ..Self::named(secret, &format!("second factor {tenant} {user}"), address)
        }
    }

    /// The counters of the PIN of whoever is named so in a tenant, and an address.
    pub fn pin(secret: &Secret, tenant: TenantId, whom: &str, address: Option<IpAddr>) -> Self {
        Self::named(secret, &format!("pin {tenant} {whom}"), address)
    }

    /// The keys, in the order in which they are locked.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let mut keys: Vec<_> = std::iter::once(&self.account)
            .chain(&self.address)
            .chain(&self.network)
            .cloned()
            .collect();
        keys.sort();
        keys
    }

    /// The patience of one of the keys.
    pub fn limit(&self, key: &[u8]) -> Limit {
        if key == self.account {
            self.patience
        } else if self.network.as_deref() == Some(key) {
            NETWORK
        } else {
            ADDRESS
        }
    }
}

/// The wait after so many failures.
pub fn delay(limit: Limit, failures: i32) -> TimeDelta {
    if failures < limit.free {
        return TimeDelta::zero();
    }
    let doublings = u32::try_from(failures - limit.free)
        .unwrap_or_default()
        .min(30);
    TimeDelta::seconds((1_i64 << doublings).min(limit.longest))
}

/// The counter after one more attempt, or how many seconds it is too early.
pub fn count(counter: &Counter, limit: Limit, now: DateTime<Utc>) -> Result<Counter, u32> {
    if counter.blocked_until > now {
        let wait = (counter.blocked_until - now).num_milliseconds();
        return Err(u32::try_from((wait + 999) / 1000).unwrap_or(u32::MAX));
    }
    let forgotten = now - counter.last_at > TimeDelta::seconds(limit.memory);
    let failures = if forgotten {
        1
    } else {
        counter.failures.saturating_add(1)
    };
    let blocked_until = now + delay(limit, failures);
    Ok(Counter {
        key: counter.key.clone(),
        failures,
        blocked_until,
        last_at: now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let seconds = |failures| delay(ACCOUNT, failures).num_seconds();
        let waits: Vec<_> = (1..=14).map(seconds).collect();
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
        assert_eq!(seconds(i32::MAX), 120);
        assert_eq!(delay(ADDRESS, i32::MAX).num_seconds(), 900);
    }

    #[test]
    fn a_guesser_waits_longer_each_time_and_is_never_locked_out() {
        let mut now: DateTime<Utc> = "2026-11-21T10:00:00Z".parse().unwrap();
        let mut counter = Counter {
            key: vec![],
            failures: 0,
            blocked_until: now,
            last_at: now,
        };
        let mut waited = 0;
        for _ in 0..10 {
            counter = match count(&counter, ACCOUNT, now) {
                Ok(next) => next,
                Err(seconds) => {
                    waited += i64::from(seconds);
                    now += TimeDelta::seconds(i64::from(seconds));
                    count(&counter, ACCOUNT, now).unwrap()
                }
            };
        }
        assert_eq!((counter.failures, waited), (10, 1 + 2 + 4 + 8 + 16));
        // Later it begins anew.
        now += TimeDelta::minutes(31);
        assert_eq!(count(&counter, ACCOUNT, now).unwrap().failures, 1);
    }

    #[test]
    fn six_digits_take_years_to_guess() {
        let mut now: DateTime<Utc> = "2026-11-21T00:00:00Z".parse().unwrap();
        let (end, mut guesses) = (now + TimeDelta::days(365), 0);
        let mut counter = Counter {
            key: vec![],
            failures: 0,
            blocked_until: now,
            last_at: now,
        };
        while now < end {
            match count(&counter, SECOND, now) {
                Ok(next) => (counter, guesses) = (next, guesses + 1),
                Err(seconds) => now += TimeDelta::seconds(i64::from(seconds)),
            }
        }
        // Three codes of a million are right at any time: 0.5 % for each 1,700 guesses.
        assert!(guesses < 24 * 365 + 20, "{guesses}");
    }

    #[test]
    fn neighbours_in_one_network_share_a_counter() {
        let secret = Secret::of_tests();
        let of =
            |address: &str| Counted::of(&secret, "a@b.in", Some(address.parse().unwrap())).address;
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
        let around =
            |address: &str| Counted::of(&secret, "a@b.in", Some(address.parse().unwrap())).network;
        assert_eq!(around("10.0.0.1"), around("::ffff:10.0.0.254"));
        assert_ne!(around("10.0.0.1"), around("10.0.1.1"));
        assert_eq!(around("2001:db8:1:2::3"), around("2001:db8:1:ffff::3"));
        assert_ne!(around("2001:db8:1:2::3"), around("2001:db8:2:2::3"));
    }
}
