//! Words: enumerations that are one word in JSON and in the database, the folding of names, and texts in spreadsheets.

use std::borrow::Cow;

/// The form in which two names are compared: case and the width of gaps do not matter.
pub fn fold(name: &str) -> String {
    name.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}

/// A cell that a spreadsheet shows and does not run: what begins like a formula gets an apostrophe in front, and so does
/// what begins with apostrophes before that, so that [`unguarded`] gives back every text.
pub fn guarded(text: &str) -> Cow<'_, str> {
    if begins_like_a_formula(text) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The text of a cell, without the apostrophe that keeps a spreadsheet from running it.
pub fn unguarded(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(text) if begins_like_a_formula(text) => text,
        _ => cell,
    }
}

fn begins_like_a_formula(text: &str) -> bool {
    text.trim_start_matches('\'')
        .starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// Declares an enumeration whose values are stored, sent and read as one word each. The word is taken as a `tt`: as a `literal`
/// it reaches utoipa wrapped up, which then says the name of the variant in the document.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $value:ident = $word:tt,)+ }) => {
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
            utoipa::ToSchema, async_graphql::Enum, diesel::expression::AsExpression, diesel::deserialize::FromSqlRow,
        )]
        #[diesel(sql_type = diesel::sql_types::Text)]
        $(#[$meta])*
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $value,)+ }

        impl $name {
            /// Every value, in order.
            #[allow(dead_code)]
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// The word.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$value => $word,)+ }
            }
        }
        impl std::str::FromStr for $name {
            type Err = &'static str;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$value),)+
                    _ => Err(concat!("is not one of" $(, " ", $word)+)),
                }
            }
        }
        impl diesel::serialize::ToSql<diesel::sql_types::Text, diesel::pg::Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>) -> diesel::serialize::Result {
                <str as diesel::serialize::ToSql<diesel::sql_types::Text, diesel::pg::Pg>>::to_sql(self.word(), out)
            }
        }
        impl diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::pg::Pg> for $name {
            fn from_sql(value: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                let word = <String as diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::pg::Pg>>::from_sql(value)?;
                Ok(word.parse::<Self>()?)
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::{fold, guarded, unguarded};

    #[test]
    fn a_guarded_text_is_never_a_formula_and_comes_back() {
        assert_eq!(guarded("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(guarded("plain"), "plain");
        for text in [
            "=1", "+1", "-1", "@x", "\t=1", "\r", "'=1", "''-1", "'quoted'", "'", "", "a=1",
        ] {
            let cell = guarded(text);
            assert!(
                !cell.starts_with(['=', '+', '-', '@', '\t', '\r']),
                "{text}"
            );
            assert_eq!(unguarded(&cell), text);
        }
    }

    #[test]
    fn case_and_gaps_do_not_matter() {
        assert_eq!(fold("  Amul   BUTTER "), "amul butter");
        assert_eq!(fold("मक्खन"), "मक्खन");
    }
}
