//! What a tenant is called.

use bahi_types::TenantId;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::schema::tenant;

/// A tenant.
#[derive(Clone, Debug, Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = tenant, check_for_backend(diesel::pg::Pg))]
pub struct Tenant {
    /// Id.
    pub tenant_id: TenantId,
    /// Short name.
    pub slug: String,
    /// Name of the business.
    pub name: String,
    /// Version.
    pub version: i64,
    /// When it registered.
    pub created_at: DateTime<Utc>,
    /// When it was suspended, while it is.
    pub suspended_at: Option<DateTime<Utc>>,
    /// Why.
    pub suspended_for: Option<String>,
}

/// Longest short name.
const LONGEST: usize = 40;

/// Whether a text can be a short name: letters, digits and inner hyphens.
pub fn is_slug(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=LONGEST).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A short name made of a business's name; `suffix` tells namesakes apart.
pub fn slug_of(name: &str, suffix: Option<u32>) -> String {
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(LONGEST - 9);
    let slug = slug.trim_end_matches('-');
    let slug = if slug.is_empty() { "shop" } else { slug };
    suffix.map_or_else(|| slug.to_owned(), |n| format!("{slug}-{n:08x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_a_short_name_of_any_name() {
        for (name, slug) in [
            ("Sharma & Sons", "sharma-sons"),
            ("  --  ", "shop"),
            ("किराना", "shop"),
            ("A", "a"),
            (
                "The Very Long Name Of A Business That Sells Everything",
                "the-very-long-name-of-a-busines",
            ),
        ] {
            assert_eq!(slug_of(name, None), slug);
            assert!(is_slug(&slug_of(name, Some(u32::MAX))), "{name}");
        }
        assert_eq!(slug_of("A", Some(255)), "a-000000ff");
    }

    #[test]
    fn knows_a_short_name_when_it_sees_one() {
        assert!(is_slug("a") && is_slug("sharma-2") && is_slug(&"x".repeat(40)));
        for wrong in ["", "-a", "a-", "A", "a b", "ä", &"x".repeat(41)] {
            assert!(!is_slug(wrong), "{wrong}");
        }
    }
}
