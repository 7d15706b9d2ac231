//! What a role is, which grants make sense, and who may give them.

use std::{collections::BTreeMap, sync::LazyLock};

use bahi_http::Grants;
use bahi_types::{RoleId, TenantId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, schema::role};

/// A role.
#[derive(
    Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Queryable, Selectable, Insertable,
)]
#[diesel(table_name = role, check_for_backend(diesel::pg::Pg))]
pub struct Role {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id.
    pub id: RoleId,
    /// Name; unique in the tenant, ignoring case.
    pub name: String,
    /// Grants, in order and once each.
    pub permissions: Vec<String>,
    /// The role that can never be lost.
    pub is_owner: bool,
    /// Version.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The last change.
    pub updated_at: DateTime<Utc>,
}

/// The name of the owner role.
pub const OWNER: &str = "owner";

/// The roles that every tenant begins with, by name; each may be changed but the owner's.
#[allow(clippy::unwrap_used)] // The file is compiled in, and a test reads it.
pub static DEFAULTS: LazyLock<BTreeMap<String, Vec<String>>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../../deploy/roles.json")).unwrap());

/// What can be granted, and what each permission opens: said by the services, and written down by their tests.
#[allow(clippy::unwrap_used)]
pub static PERMISSIONS: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../deploy/permissions.json")).unwrap()
});

/// Whether a grant opens anything: it is a permission, the beginning of one, or a number in the place of `<n>`.
pub fn opens(grant: &str) -> bool {
    if let Some(prefix) = grant.strip_suffix('*') {
        return PERMISSIONS.keys().any(|known| known.starts_with(prefix));
    }
    let bounded = || {
        let (stem, number) = grant.rsplit_once("up_to_")?;
        number.parse::<u32>().ok()?;
        Some(PERMISSIONS.contains_key(&format!("{stem}up_to_<n>")))
    };
    PERMISSIONS.contains_key(grant) || bounded() == Some(true)
}

/// Grants in order and once each.
pub fn grant_set(mut grants: Vec<String>) -> Vec<String> {
    grants.sort();
    grants.dedup();
    grants
}

/// Whether a text is a grant: at most three words, the last of which may be a star.
pub fn is_grant(text: &str) -> bool {
    let words: Vec<_> = text.split('.').collect();
    let Some((last, first)) = words.split_last() else {
        return false;
    };
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let whole = words.len() == 3 && is_word(last);
    let open = words.len() <= 3 && *last == "*";
    text.len() <= 100 && (whole || open) && first.iter().all(|word| is_word(word))
}

/// Refuses permissions that the caller does not hold himself. A grant with a star is held by a wider one only.
pub fn within(held: &Grants, permissions: &[String]) -> Result<(), Error> {
    match permissions
        .iter()
        .find(|permission| !held.allow(permission))
    {
        None => Ok(()),
        Some(more) => Err(Error::Escalation(more.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_grant_when_it_sees_one() {
        for right in [
            "*",
            "sales.*",
            "sales.pos.*",
            "sales.pos.use",
            "product.tax_profile.read",
        ] {
            assert!(is_grant(right), "{right}");
        }
        for wrong in [
            "",
            "sales",
            "sales.pos",
            "sales.*.read",
            "**",
            "sales*",
            "a.b.c.d",
            "a.b.c.*",
            "Sales.pos.use",
            "sales..use",
            "1.2.3",
        ] {
            assert!(!is_grant(wrong), "{wrong}");
        }
        assert!(DEFAULTS.contains_key(OWNER));
        for (name, grants) in &*DEFAULTS {
            assert!(grants.iter().all(|g| is_grant(g) && opens(g)), "{name}");
            assert!(grants.is_sorted(), "{name}");
        }
    }

    #[test]
    fn a_grant_opens_something_or_is_a_slip() {
        for right in [
            "*",
            "sales.*",
            "sales.pos.*",
            "sales.pos.use",
            "sales.discount.up_to_10",
        ] {
            assert!(opens(right), "{right}");
        }
        for wrong in [
            "sale.*",
            "sales.pos.sue",
            "sales.poss.*",
            "sales.pos.up_to_10",
            "sales.discount.up_to_",
            "sales.discount.up_to_<n>",
            "sales.discount.up_to_-1",
        ] {
            assert!(!is_grant(wrong) || !opens(wrong), "{wrong}");
        }
    }

    #[test]
    fn nobody_gives_more_than_he_has() {
        let held = Grants::new(vec!["sales.pos.*".into(), "product.product.read".into()]);
        let may = |grant: &str| within(&held, &[grant.to_owned()]).is_ok();
        assert!(may("sales.pos.use") && may("sales.pos.*") && may("product.product.read"));
        assert!(
            !may("sales.*")
                && !may("*")
                && !may("product.product.*")
                && !may("product.product.write")
        );
        assert!(within(&Grants::new(vec!["*".into()]), &["*".into()]).is_ok());
        assert!(within(&Grants::default(), &[]).is_ok());
    }
}
