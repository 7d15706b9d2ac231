//! What every service answers when the gateway looks through the whole fleet: `GET /internal/v1/search/<kind>`, registered as
//! `search` in the register, with the token of whoever looks.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::Fault;

/// How well a thing fits, alike in every service, so that things of several kinds can be ranked together.
pub mod score {
    /// The text is its code: SKU, barcode, number of a document, telephone number.
    pub const CODE: u8 = 100;
    /// The text is its whole name.
    pub const WHOLE: u8 = 80;
    /// Its name or code begins with the text.
    pub const BEGINS: u8 = 60;
    /// Its words begin with those of the text.
    pub const WORDS: u8 = 40;
    /// Words were taken for misspelt.
    pub const GUESSED: u8 = 20;
}

/// Most things of a kind in one answer.
pub const MOST: u32 = 50;
/// Furthest that one looks.
const FURTHEST: u32 = 1000;

/// What is looked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// 1 to 100 characters.
    q: String,
    /// At most so many, up to 50.
    limit: u32,
    /// So many are left out, up to 1,000.
    #[serde(default)]
    offset: u32,
}

/// What is looked for, checked.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The text, without spaces at its ends.
    pub q: String,
    /// Things to read: one more than wanted, which shows that there are more.
    pub read: i64,
    /// Things to leave out.
    pub offset: i64,
    limit: usize,
}

/// A text that can be looked for, without spaces at its ends.
///
/// # Errors
/// When it is empty, too long, or holds control characters.
pub fn text(q: &str) -> Result<String, Fault> {
    let q = q.trim();
    if (1..=100).contains(&q.chars().count()) && !q.chars().any(char::is_control) {
        Ok(q.to_owned())
    } else {
        Err(Fault::field("q", "must have 1 to 100 characters"))
    }
}

impl Search {
    /// Checks it.
    ///
    /// # Errors
    /// [`Fault::Invalid`] with the parameter that is wrong.
    pub fn wanted(&self) -> Result<Wanted, Fault> {
        if !(1..=MOST).contains(&self.limit) {
            return Err(Fault::field("limit", format!("must be 1 to {MOST}")));
        }
        if self.offset > FURTHEST {
            return Err(Fault::field("offset", format!("must be 0 to {FURTHEST}")));
        }
        Ok(Wanted {
            q: text(&self.q)?,
            read: i64::from(self.limit) + 1,
            offset: i64::from(self.offset),
            limit: self.limit as usize,
        })
    }
}

impl Wanted {
    /// The answer, of the things that were read, the best first.
    pub fn hits(&self, mut items: Vec<Hit>) -> Hits {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        Hits { items, more }
    }
}

/// A thing that was found.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Hit {
    /// What it is, as the register names it.
    #[schema(example = "product")]
    pub kind: String,
    /// Its id.
    pub id: Uuid,
    /// Its name or number.
    #[schema(example = "Classic Basmati 5 kg")]
    pub title: String,
    /// What else tells it from others.
    #[schema(example = "IG-BAS-5")]
    pub subtitle: Option<String>,
    /// How well it fits: 100 its code, 80 its whole name, 60 its beginning, 40 words of it, 20 misspelt words.
    #[schema(maximum = 100)]
    pub score: u8,
    /// Where it is read.
    #[schema(example = "/api/v1/products/01991cc0-0000-7000-8000-000000000000")]
    pub url: String,
}

/// What was found of a kind, the best first.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
pub struct Hits {
    /// The things.
    pub items: Vec<Hit>,
    /// There are more.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_something_in_it_and_nothing_hidden() {
        assert_eq!(text("  rice ").ok().as_deref(), Some("rice"));
        for wrong in ["", "  ", "a\0b", "a\nb", &"x".repeat(101)] {
            assert!(text(wrong).is_err(), "{wrong:?}");
        }
        assert!(text(&"स".repeat(100)).is_ok());
    }
}
