//! Words, what a product is found by, and what a query asks for.

use std::collections::{BTreeMap, BTreeSet};

use bahi_types::{BrandId, CategoryId, Price, ProductId, words};
use uuid::Uuid;

use crate::{
    attribute::model::ValueId,
    product::model::{Kind, Product, Status},
};

/// Most words of a query that count.
const WORDS: usize = 10;
/// Most words that take the place of a misspelt one.
const NEAREST: usize = 8;

/// Words that a misspelt one can be put right by.
pub fn dictionary(text: &str) -> impl Iterator<Item = String> {
    words(text).into_iter().filter(|word| can_be_misspelt(word))
}

fn can_be_misspelt(word: &str) -> bool {
    word.chars().count() >= 3 && !word.chars().any(|c| c.is_ascii_digit())
}

/// What a product is found by, and by what it is filtered, counted and put in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The product.
    pub id: ProductId,
    /// Lexemes.
    pub words: BTreeSet<String>,
    /// Its name in lower case.
    pub name: String,
    /// Its state.
    pub status: Status,
    /// Its category.
    pub category: Option<CategoryId>,
    /// Its brand.
    pub brand: Option<BrandId>,
    /// Its price.
    pub price: Price,
    /// Its values of attributes.
    pub options: Vec<ValueId>,
}

impl Row {
    /// Of a product.
    pub fn of(product: &Product) -> Self {
        let mut lexemes: BTreeSet<String> = words(&product.name).into_iter().collect();
        lexemes.extend(words(&product.sku));
        lexemes.insert(product.hsn.clone());
        for code in product.codes() {
            // As it is printed, and as a scanner reads it that leaves zeros in front away.
            lexemes.insert(code.as_str().to_owned());
            lexemes.extend(
                Some(code.as_str().trim_start_matches('0').to_owned()).filter(|c| !c.is_empty()),
            );
        }
        lexemes.extend([
            status(product.status),
            kind(product.kind),
            hsn(&product.hsn),
        ]);
        lexemes.extend(product.brand_id.map(brand));
        lexemes.extend(product.category_id.map(category));
        let options: Vec<ValueId> = product
            .options
            .iter()
            .map(|option| option.value_id)
            .collect();
        lexemes.extend(options.iter().map(|id| value(*id)));
        Self {
            id: product.id,
            words: lexemes,
            name: product.name.to_lowercase(),
            status: product.status,
            category: product.category_id,
            brand: product.brand_id,
            price: product.price,
            options,
        }
    }
}

fn id(mark: char, id: Uuid) -> String {
    format!("#{mark}{}", id.simple())
}
/// The lexeme of a brand.
pub fn brand(brand: BrandId) -> String {
    id('b', brand.uuid())
}
/// The lexeme of a category.
pub fn category(category: CategoryId) -> String {
    id('c', category.uuid())
}
/// The lexeme of a value.
pub fn value(value: ValueId) -> String {
    id('v', value.uuid())
}
/// The lexeme of a state.
pub fn status(status: Status) -> String {
    format!("#s{}", status.word())
}
/// The lexeme of a kind.
pub fn kind(kind: Kind) -> String {
    format!("#k{}", kind.word())
}
/// The lexeme of an HSN.
pub fn hsn(hsn: &str) -> String {
    format!("#h{hsn}")
}

/// What is looked for, as typed and as it may have been meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms(Vec<Term>);

/// A word, and the words that may stand for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// As typed, and corrections.
    pub words: Vec<String>,
}

impl Terms {
    /// The words of a text.
    pub fn read(text: &str) -> Self {
        let mut typed = words(text);
        typed.truncate(WORDS);
        Self(
            typed
                .into_iter()
                .map(|word| Term { words: vec![word] })
                .collect(),
        )
    }

    /// Nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each word with what may stand for it.
    pub fn iter(&self) -> impl Iterator<Item = &Term> {
        self.0.iter()
    }

    /// Words that may be misspelt.
    pub fn doubtful(&self) -> Vec<String> {
        let typed = self.0.iter().filter_map(|term| term.words.first());
        typed
            .filter(|word| can_be_misspelt(word))
            .cloned()
            .collect()
    }

    /// The same with the nearest of the words that are alike; none when no word has any.
    pub fn corrected(&self, alike: &BTreeMap<String, Vec<String>>) -> Option<Self> {
        let mut found = false;
        let term = |term: &Term| {
            let typed = term.words.first().cloned().unwrap_or_default();
            let near = nearest(
                &typed,
                alike.get(&typed).map(Vec::as_slice).unwrap_or_default(),
            );
            found |= !near.is_empty();
            Term {
                words: [typed].into_iter().chain(near).collect(),
            }
        };
        let terms = Self(self.0.iter().map(term).collect());
        found.then_some(terms)
    }

    /// As a tsquery. `named` holds, for each word, the lexemes of brands and categories that it names.
    pub fn query(&self, named: &BTreeMap<String, Vec<String>>) -> Vec<Vec<String>> {
        let any = |term: &Term| {
            let mut any = Vec::new();
            for word in &term.words {
                // With one letter half of everything begins.
                let ending = if word.chars().count() > 1 { ":*" } else { "" };
                any.push(format!("{}{ending}", quoted(word)));
                any.extend(
                    named
                        .get(word)
                        .into_iter()
                        .flatten()
                        .map(|lexeme| quoted(lexeme)),
                );
            }
            any
        };
        self.0.iter().map(any).collect()
    }

    /// As a tsquery of whole words.
    pub fn exact(&self) -> Vec<Vec<String>> {
        self.0
            .iter()
            .map(|term| term.words.iter().map(|word| quoted(word)).collect())
            .collect()
    }
}

/// A lexeme in a tsquery.
pub fn quoted(lexeme: &str) -> String {
    format!("'{}'", lexeme.replace('\\', "\\\\").replace('\'', "''"))
}

/// Groups, of each of which something must be found, as the text of a tsquery; none when there is no group.
pub fn all_of(groups: &[Vec<String>]) -> Option<String> {
    let group = |any: &Vec<String>| format!("({})", any.join(" | "));
    (!groups.is_empty()).then(|| groups.iter().map(group).collect::<Vec<_>>().join(" & "))
}

/// Those of `known` that are nearest to what was typed, also as the beginning of a longer word.
fn nearest(typed: &str, known: &[String]) -> Vec<String> {
    let length = typed.chars().count();
    let most = match length {
        0..=3 => 1,
        4..=8 => 2,
        _ => 3,
    };
    let distance = |word: &String| {
        let beginning: String = word.chars().take(length).collect();
        let whole = strsim::damerau_levenshtein(typed, word);
        whole.min(strsim::damerau_levenshtein(typed, &beginning))
    };
    let mut near: Vec<(usize, &String)> = known.iter().map(|word| (distance(word), word)).collect();
    near.retain(|(steps, _)| *steps <= most);
    near.sort_unstable();
    let best = near.first().map(|(steps, _)| *steps);
    near.into_iter()
        .filter(|(steps, _)| Some(*steps) == best)
        .take(NEAREST)
        .map(|(_, word)| word.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_can_be_misspelt_has_letters_enough_and_no_digits() {
        assert_eq!(
            dictionary("Tea 250g of Assam").collect::<Vec<_>>(),
            ["tea", "assam"]
        );
    }

    #[test]
    fn the_nearest_words_take_the_place_of_a_misspelt_one() {
        let known: Vec<String> = [
            "butter", "buttons", "biscuit", "biscuits", "soap", "parle", "dettol", "sop",
        ]
        .map(str::to_owned)
        .to_vec();
        for (typed, meant) in [
            ("buter", vec!["butter"]),
            ("bisciut", vec!["biscuit", "biscuits"]),
            ("parel", vec!["parle"]),
            ("bicsu", vec!["biscuit", "biscuits"]),
            ("detol", vec!["dettol"]),
            ("zzzzqq", vec![]),
            ("xop", vec!["sop"]),
        ] {
            assert_eq!(nearest(typed, &known), meant, "{typed}");
        }
        // What is farther is left out where something is nearer.
        assert_eq!(nearest("sope", &known), ["sop"]);
    }

    #[test]
    fn a_query_is_all_words_by_their_beginnings_or_by_what_they_name() {
        let terms = Terms::read("Amul b");
        let named = BTreeMap::from([("amul".to_owned(), vec!["#b1".to_owned()])]);
        assert_eq!(
            all_of(&terms.query(&named)).unwrap(),
            "('amul':* | '#b1') & ('b')"
        );
        assert_eq!(all_of(&terms.exact()).unwrap(), "('amul') & ('b')");
        assert_eq!(quoted("a'b\\c"), "'a''b\\\\c'");
        assert!(Terms::read(" %% ").is_empty() && all_of(&[]).is_none());
    }
}
