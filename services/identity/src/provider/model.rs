//! What an identity provider is.

use bahi_types::{BranchId, RoleId, Scope, TenantId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use url::{Host, Url};
use uuid::Uuid;

use crate::schema::identity_provider;

/// An identity provider.
#[derive(Clone, Debug, Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = identity_provider, check_for_backend(diesel::pg::Pg))]
pub struct Provider {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: Uuid,
    /// What people see.
    pub name: String,
    /// Its address, exactly as its tokens say it.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// Where it may send people back to.
    pub redirect_uris: Vec<String>,
    /// Domains of e-mail addresses for which it speaks, in lower case.
    pub domains: Vec<String>,
    /// Whether a verified address in a domain finds its user.
    pub link_by_email: bool,
    /// What unknown people become; none: they stay outside.
    pub role_id: Option<RoleId>,
    /// Whether its second factor counts as ours.
    pub trusts_mfa: bool,
    /// Whether it lets anybody in.
    pub active: bool,
    /// Version.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The last change.
    pub updated_at: DateTime<Utc>,
    /// The branches that unknown people work for; none named: all of them.
    pub branch_ids: Option<Vec<BranchId>>,
}

impl Provider {
    /// Where unknown people work.
    pub fn scope(&self) -> Scope {
        Scope::new(self.branch_ids.clone())
    }

    /// Whether it speaks for an address in lower case.
    pub fn speaks_for(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map(|(_, domain)| domain);
        domain.is_some_and(|domain| self.domains.iter().any(|d| d == domain))
    }
}

/// Whose a sealed client secret is.
pub fn owner(tenant: TenantId, id: Uuid) -> Vec<u8> {
    [
        b"provider".as_slice(),
        tenant.uuid().as_bytes(),
        id.as_bytes(),
    ]
    .concat()
}

/// Domains in lower case, in order and once each.
pub fn domain_set(domains: Vec<String>) -> Vec<String> {
    let mut domains: Vec<_> = domains.iter().map(|d| d.to_ascii_lowercase()).collect();
    domains.sort();
    domains.dedup();
    domains
}

/// Whether a text is the domain of e-mail addresses.
pub fn is_domain(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(label)
}

/// Whether a provider may send people back to an address: `https`, this machine (RFC 8252, 7.3), or an app of its own
/// scheme, which holds a dot (7.1). Such an address is compared letter by letter.
pub fn is_redirect(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let plain = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    let here = match url.host() {
        Some(Host::Ipv4(v4)) => v4.is_loopback(),
        Some(Host::Ipv6(v6)) => v6.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let scheme = match url.scheme() {
        "https" => url.host().is_some(),
        "http" => here,
        own => own.contains('.'),
    };
    text.len() <= 500 && plain && scheme
}

/// Whether an issuer is written as OpenID Connect Discovery wants it: without a query. The rest is the business of who
/// calls it.
pub fn is_issuer(url: &Url) -> bool {
    url.query().is_none() && url.as_str().len() <= 300
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_sent_back_to_us_alone() {
        for right in [
            "https://shop.example.in/signed-in",
            "http://127.0.0.1:5173/back",
            "http://localhost:3000/",
            "in.example.till:/back",
        ] {
            assert!(is_redirect(right), "{right}");
        }
        for wrong in [
            "http://shop.example.in/",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://a@b.in/",
            "https://shop.example.in/#x",
            "/back",
            "",
        ] {
            assert!(!is_redirect(wrong), "{wrong}");
        }
    }

    #[test]
    fn speaks_for_whole_domains_and_no_others() {
        assert!(is_domain("example.in") && is_domain("shop.example.co.in"));
        for wrong in [
            "",
            "in",
            "@example.in",
            "example..in",
            "-a.in",
            "a b.in",
            "*.example.in",
        ] {
            assert!(!is_domain(wrong), "{wrong}");
        }
        let now = Utc::now();
        let provider = Provider {
            tenant_id: TenantId::new(),
            id: Uuid::now_v7(),
            name: "Office".into(),
            issuer: "https://id.example.in".into(),
            client_id: "bahi".into(),
            redirect_uris: vec![],
            domains: domain_set(vec!["Example.in".into(), "example.in".into()]),
            link_by_email: true,
            role_id: None,
            branch_ids: None,
            trusts_mfa: false,
            active: true,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        assert_eq!(provider.domains, ["example.in"]);
        assert!(provider.speaks_for("asha@example.in"));
        for other in [
            "asha@evil-example.in",
            "asha@sub.example.in",
            "asha@example.in@evil.in",
            "example.in",
            "",
        ] {
            assert!(!provider.speaks_for(other), "{other}");
        }
    }
}
