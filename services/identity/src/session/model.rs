//! What a session is, and what a presented token means.

use bahi_types::{Scope, SessionId, TenantId, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    schema::{refresh_token, session},
    ticket::Ticket,
};

/// Life of a session.
pub const FAMILY_LIFE: TimeDelta = TimeDelta::days(7);
/// Open sessions of a user at most.
pub const MOST_OPEN: i64 = 100;
/// Life of an access token in seconds.
pub const ACCESS_LIFE: i64 = 15 * 60;
/// How long a replaced refresh token still gives its successor.
pub const GRACE: TimeDelta = TimeDelta::seconds(20);

/// A session.
#[derive(Clone, Debug, Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = session, check_for_backend(diesel::pg::Pg))]
pub struct Session {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// When he signed in.
    pub created_at: DateTime<Utc>,
    /// The last refresh.
    pub last_used_at: DateTime<Utc>,
    /// The end, come what may.
    pub expires_at: DateTime<Utc>,
    /// When it was ended before.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Why.
    pub revoked_for: Option<String>,
    /// From where.
    pub ip: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
    /// How its user has shown who he is (RFC 8176).
    pub amr: Vec<String>,
    /// What it is called: as its user says, or after its browser.
    pub device: Option<String>,
}

/// By password alone.
pub const PASSWORD: [&str; 1] = ["pwd"];
/// By password and a code.
pub const TWO_FACTORS: [&str; 3] = ["pwd", "otp", "mfa"];

/// What was shown so far, and a code.
pub fn and_a_code(amr: &[String]) -> Vec<&str> {
    let so_far = amr.iter().map(String::as_str);
    so_far.chain(["otp", "mfa"]).collect()
}

impl Session {
    /// Whether it can still be used.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }

    /// Whether it was opened with two factors.
    pub fn has_two_factors(&self) -> bool {
        self.amr.iter().any(|method| method == "mfa")
    }
}

/// A refresh token as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = refresh_token, check_for_backend(diesel::pg::Pg))]
pub struct Refresh {
    /// When it was replaced.
    pub rotated_at: Option<DateTime<Utc>>,
}

/// What a presented refresh token means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// The current one: replace it.
    Current,
    /// Just replaced: give the same successor again.
    JustReplaced,
    /// Replaced long ago: somebody has a copy.
    Copied,
}

/// Judges a presented token.
pub fn judge(rotated_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Presented {
    match rotated_at {
        None => Presented::Current,
        Some(at) if now - at <= GRACE => Presented::JustReplaced,
        Some(_) => Presented::Copied,
    }
}

/// Why a session ended, as it is stored and audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its user signed out.
    SignedOut,
    /// Ended by its user or an administrator.
    Revoked,
    /// A copied token was presented.
    Copied,
    /// The password changed.
    Password,
    /// The user was disabled.
    Disabled,
    /// A second factor was enrolled, which this session had not.
    SecondFactor,
    /// Its user has signed in too often since.
    TooMany,
}

impl Why {
    /// The stored text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Revoked => "revoked",
            Self::Copied => "copied",
            Self::Password => "password",
            Self::Disabled => "disabled",
            Self::SecondFactor => "second_factor",
            Self::TooMany => "too_many",
        }
    }
}

/// A person signed in: everything the tokens follow from, and nothing secret, so that it may be kept under
/// an idempotency key. Its time is fixed, so a repeated answer brings no fresh token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedIn {
    /// Tenant.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// Name on screens.
    pub name: String,
    /// Session.
    pub session: SessionId,
    /// End of the session.
    pub expires_at: DateTime<Utc>,
    /// Union of the grants of the roles.
    pub permissions: Vec<String>,
    /// The branches that they are good at.
    #[serde(default)]
    pub scope: Scope,
    /// Unix second.
    pub issued_at: i64,
    /// How he has shown who he is.
    #[serde(default)]
    pub amr: Vec<String>,
}

/// What a right password leads to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// A session.
    Open(SignedIn),
    /// A ticket with which to give, or enrol, the second factor.
    Second(Ticket),
}

/// Longest name of a device, in characters.
pub const LONGEST_NAME: usize = 60;

/// What names a browser or an app in its own words, the more special before those that it also claims to be.
const BROWSERS: [(&str, &str); 7] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
];
const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "Mac"),
    ("Linux", "Linux"),
];

/// A name for what calls itself so: `Firefox on Linux` for a browser, else the first word before its version. It is what
/// the client says, and no more than a help to tell one's own devices apart.
pub fn device_name(user_agent: &str) -> Option<String> {
    let find = |names: &[(&str, &'static str)]| {
        let named = names.iter().find(|(mark, _)| user_agent.contains(mark));
        named.map(|(_, name)| *name)
    };
    let safari = || user_agent.contains("Safari/").then_some("Safari");
    let browser = user_agent
        .starts_with("Mozilla/")
        .then(|| find(&BROWSERS).or_else(safari));
    let name = match (browser, find(&SYSTEMS)) {
        (Some(Some(browser)), Some(system)) => format!("{browser} on {system}"),
        (Some(Some(browser)), None) => browser.to_owned(),
        (Some(None), Some(system)) => system.to_owned(),
        (Some(None), None) => return None,
        (None, _) => {
            let first = user_agent.split(['/', ' ', '(']).next().unwrap_or_default();
            first
                .chars()
                .filter(|c| !c.is_control())
                .take(LONGEST_NAME)
                .collect()
        }
    };
    (!name.is_empty()).then_some(name)
}

/// The first language of an `Accept-Language`, where it is one.
pub fn language(accepted: &str) -> Option<String> {
    let first = accepted.split([',', ';']).next().unwrap_or_default().trim();
    let plain = first.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    ((2..=35).contains(&first.len()) && plain).then(|| first.to_owned())
}

/// The network address and browser of a session, cut to what is kept.
pub fn device(
    ip: Option<std::net::IpAddr>,
    user_agent: Option<&str>,
) -> (Option<String>, Option<String>) {
    let agent = user_agent.map(|agent| {
        agent
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect()
    });
    (ip.map(|ip| ip.to_string()), agent)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Judge = fn(Option<DateTime<Utc>>, DateTime<Utc>) -> Presented;

    /// What a judge gets wrong.
    fn mistakes(judge: Judge) -> Vec<&'static str> {
        let at: DateTime<Utc> = "2026-11-21T10:00:00Z".parse().unwrap();
        let later = |seconds| judge(Some(at), at + TimeDelta::seconds(seconds));
        let cases = [
            ("never replaced", judge(None, at), Presented::Current),
            ("a second tab", later(0), Presented::JustReplaced),
            ("a lost answer", later(20), Presented::JustReplaced),
            // A clock that is a little behind the one that rotated.
            ("a slow clock", later(-1), Presented::JustReplaced),
            ("a copy", later(21), Presented::Copied),
            ("an old copy", later(6 * 86_400), Presented::Copied),
        ];
        let wrong = cases.iter().filter(|(_, is, should)| is != should);
        wrong.map(|(what, ..)| *what).collect()
    }

    #[test]
    fn a_replaced_token_is_good_for_a_moment_and_then_a_theft() {
        assert!(mistakes(judge).is_empty(), "{:?}", mistakes(judge));
        // Those who judge otherwise are found out: without grace each second tab is a theft, without end no theft is one.
        let graceless: Judge = |at, _| at.map_or(Presented::Current, |_| Presented::Copied);
        let endless: Judge = |at, _| at.map_or(Presented::Current, |_| Presented::JustReplaced);
        let blind: Judge = |_, _| Presented::Current;
        assert_eq!(
            mistakes(graceless),
            ["a second tab", "a lost answer", "a slow clock"]
        );
        assert_eq!(mistakes(endless), ["a copy", "an old copy"]);
        assert_eq!(mistakes(blind).len(), 5);
    }

    #[test]
    fn a_device_is_called_after_what_it_says_of_itself() {
        for (agent, name) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                Some("Firefox on Linux"),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36 Edg/139.0.0.0",
                Some("Edge on Windows"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 15; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36",
                Some("Chrome on Android"),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
                Some("Safari on iPhone"),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
                Some("Safari on Mac"),
            ),
            ("BahiTill/3.2 (Android 14)", Some("BahiTill")),
            ("curl/8.14.1", Some("curl")),
            ("Mozilla/5.0", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(device_name(agent).as_deref(), name, "{agent}");
        }
        assert_eq!(device_name(&"x".repeat(200)).unwrap().len(), LONGEST_NAME);
    }

    #[test]
    fn the_first_language_is_taken_where_it_is_one() {
        assert_eq!(
            language("hi-IN,hi;q=0.9, en;q=0.8").as_deref(),
            Some("hi-IN")
        );
        assert_eq!(language("ta;q=1").as_deref(), Some("ta"));
        for wrong in ["", "*", "a", "e n", "<script>", &"x".repeat(36)] {
            assert_eq!(language(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn keeps_no_more_of_a_browser_than_fits() {
        let (ip, agent) = device(Some([10, 0, 0, 1].into()), Some(&"x\n".repeat(300)));
        assert_eq!(ip.as_deref(), Some("10.0.0.1"));
        assert_eq!(agent.unwrap().len(), 200);
    }
}
