//! How much a query may ask for, judged before anything is done for it.

use std::collections::{BTreeMap, HashMap};

use graphql_tools::parser::query::{
    Definition, Directive, Document, FragmentDefinition, OperationDefinition, Selection,
    SelectionSet, Value,
};
use serde_json::Map;

use super::{
    error::Refused,
    schema::{Field, Schema},
};

type Doc = Document<'static, String>;
type Set = SelectionSet<'static, String>;
type Fragments<'a> = BTreeMap<&'a str, &'a FragmentDefinition<'static, String>>;

/// The limits of a query.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Words and signs.
    pub tokens: usize,
    /// Fields within fields.
    pub depth: usize,
    /// Aliases.
    pub aliases: usize,
    /// Directives.
    pub directives: usize,
    /// Fields at the top.
    pub roots: usize,
    /// Rows that it may come to, see [`Cost`].
    pub cost: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tokens: 4000,
            depth: 10,
            aliases: 30,
            directives: 20,
            roots: 20,
            cost: 5000,
        }
    }
}

/// Brackets within brackets. The parser goes a step down its stack for each.
const NESTING: usize = 64;

/// Lists within lists of the schema, when a client asks for the schema.
const INTROSPECTION: usize = 3;

/// Fields, once the fragments stand where they are spread: fragments of fragments double with each.
const FIELDS: usize = 2000;

/// Rows that a list is taken to have where nothing says how many.
const ROWS: i64 = 10;

fn within(what: &'static str, found: usize, most: usize) -> Result<(), Refused> {
    if found <= most {
        Ok(())
    } else {
        Err(Refused::Limit { what, most, found })
    }
}

/// Looks at the bare text, before it is parsed.
///
/// # Errors
/// [`Refused::Limit`].
pub fn text(query: &str, limits: &Limits) -> Result<(), Refused> {
    let bytes = query.as_bytes();
    let (mut at, mut tokens, mut depth, mut deepest) = (0, 0usize, 0usize, 0usize);
    let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => at += 1,
            b'#' => at += bytes[at..].iter().take_while(|b| **b != b'\n').count(),
            b'"' => {
                tokens += 1;
                at = end_of_text(bytes, at);
            }
            _ if name(byte) => {
                tokens += 1;
                at += bytes[at..].iter().take_while(|b| name(**b)).count();
            }
            _ => {
                tokens += 1;
                at += 1;
                match byte {
                    b'{' | b'[' | b'(' => depth += 1,
                    b'}' | b']' | b')' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                deepest = deepest.max(depth);
            }
        }
    }
    within("tokens", tokens, limits.tokens)?;
    within("nested brackets", deepest, NESTING)
}

fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let block = bytes[start..].starts_with(b"\"\"\"");
    let mut at = start + if block { 3 } else { 1 };
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' if !block => return at + 1,
            b'"' if bytes[at..].starts_with(b"\"\"\"") => return at + 3,
            b'\n' if !block => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Looks at a document, before it is validated: some rules take long where fragments hold fragments.
///
/// # Errors
/// [`Refused::Limit`], and [`Refused::Introspection`] where the schema is not told.
pub fn document(document: &Doc, limits: &Limits, introspection: bool) -> Result<(), Refused> {
    let fragments: Fragments<'_> = fragments(document);
    let mut seen = Seen::default();
    for definition in &document.definitions {
        let (directives, set) = match definition {
            Definition::Operation(operation) => parts(operation),
            Definition::Fragment(fragment) => (&fragment.directives[..], &fragment.selection_set),
        };
        seen.directives += directives.len();
        seen.count(set);
    }
    if seen.disguised {
        let why = "nothing else can be called __typename";
        return Err(Refused::Syntax(why.into()));
    }
    within("aliases", seen.aliases, limits.aliases)?;
    within("directives", seen.directives, limits.directives)?;
    if seen.introspects && !introspection {
        return Err(Refused::Introspection);
    }
    let mut known = HashMap::new();
    for definition in &document.definitions {
        let Definition::Operation(operation) = definition else {
            continue;
        };
        let size = Size::of(parts(operation).1, &fragments, &mut known);
        within("root fields", size.roots, limits.roots)?;
        within("nested fields", size.depth, limits.depth)?;
        within("fields", size.fields, FIELDS)?;
        if seen.introspects {
            within("nested lists of the schema", size.lists, INTROSPECTION)?;
        }
    }
    // Fragments that no operation uses are refused later, but are looked at first.
    for fragment in fragments.values() {
        let size = Size::of(&fragment.selection_set, &fragments, &mut known);
        within("fields", size.fields, FIELDS)?;
    }
    Ok(())
}

/// The fragments of a document.
pub fn fragments(document: &Doc) -> Fragments<'_> {
    let fragments = document.definitions.iter().filter_map(|d| match d {
        Definition::Fragment(fragment) => Some((fragment.name.as_str(), fragment)),
        Definition::Operation(_) => None,
    });
    fragments.collect()
}

/// The directives and fields of an operation.
pub fn parts<'a>(
    operation: &'a OperationDefinition<'static, String>,
) -> (&'a [Directive<'static, String>], &'a Set) {
    use OperationDefinition as Op;
    match operation {
        Op::SelectionSet(set) => (&[], set),
        Op::Query(of) => (&of.directives, &of.selection_set),
        Op::Mutation(of) => (&of.directives, &of.selection_set),
        Op::Subscription(of) => (&of.directives, &of.selection_set),
    }
}

#[derive(Default)]
struct Seen {
    aliases: usize,
    directives: usize,
    introspects: bool,
    /// An alias takes the name by which objects tell their type.
    disguised: bool,
}

impl Seen {
    fn count(&mut self, set: &Set) {
        for selection in &set.items {
            match selection {
                Selection::Field(field) => {
                    self.aliases += usize::from(field.alias.is_some());
                    self.directives += field.directives.len();
                    let alias = field.alias.as_deref();
                    self.disguised |= alias == Some("__typename") && field.name != "__typename";
                    self.introspects |= is_introspection(&field.name);
                    self.count(&field.selection_set);
                }
                Selection::FragmentSpread(spread) => self.directives += spread.directives.len(),
                Selection::InlineFragment(fragment) => {
                    self.directives += fragment.directives.len();
                    self.count(&fragment.selection_set);
                }
            }
        }
    }
}

/// Whether a field asks for the schema.
pub fn is_introspection(name: &str) -> bool {
    name == "__schema" || name == "__type"
}

/// How large a selection is once its fragments stand in it.
#[derive(Clone, Copy, Default)]
struct Size {
    /// Fields at its top.
    roots: usize,
    /// Fields in all.
    fields: usize,
    /// Fields within fields, those about the schema aside.
    depth: usize,
    /// Lists of the schema within each other.
    lists: usize,
}

impl Size {
    /// Each fragment is looked at once; one that holds itself counts nothing there and is refused later.
    fn of<'a>(set: &'a Set, fragments: &Fragments<'a>, known: &mut HashMap<&'a str, Self>) -> Self {
        let mut whole = Self::default();
        for selection in &set.items {
            let part = match selection {
                Selection::Field(field) => {
                    let below = Self::of(&field.selection_set, fragments, known);
                    let list = ["fields", "interfaces", "possibleTypes", "inputFields"]
                        .contains(&field.name.as_str());
                    Self {
                        roots: 1,
                        fields: below.fields.saturating_add(1),
                        depth: match is_introspection(&field.name) {
                            true => 0,
                            false => below.depth + 1,
                        },
                        lists: below.lists + usize::from(list),
                    }
                }
                Selection::InlineFragment(fragment) => {
                    Self::of(&fragment.selection_set, fragments, known)
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.fragment_name.as_str();
                    match (known.get(name), fragments.get(name)) {
                        (Some(size), _) => *size,
                        (None, Some(fragment)) => {
                            known.insert(name, Self::default());
                            let size = Self::of(&fragment.selection_set, fragments, known);
                            known.insert(name, size);
                            size
                        }
                        (None, None) => Self::default(),
                    }
                }
            };
            whole = Self {
                roots: whole.roots.saturating_add(part.roots),
                fields: whole.fields.saturating_add(part.fields),
                depth: whole.depth.max(part.depth),
                lists: whole.lists.max(part.lists),
            };
        }
        whole
    }
}

/// What a query may come to: each object counts one, a list as many as it may have rows.
#[derive(Clone, Debug, Default)]
pub struct Cost(Vec<Node>);

#[derive(Clone, Debug)]
struct Node {
    rows: Rows,
    below: Cost,
}

#[derive(Clone, Debug)]
enum Rows {
    Just(i64),
    /// As a variable says.
    Said(String, i64),
}

impl Cost {
    /// Of the fields of `set`, which is of type `of`.
    pub fn of(set: &Set, of: &str, fragments: &Fragments<'_>, schema: &Schema) -> Self {
        let mut nodes = Vec::new();
        collect(set, of, fragments, schema, &mut nodes, false);
        Self(nodes)
    }

    /// With these variables.
    ///
    /// # Errors
    /// [`Refused::Limit`].
    pub fn check(&self, said: &Map<String, serde_json::Value>, most: usize) -> Result<(), Refused> {
        let found = usize::try_from(self.sum(said)).unwrap_or(usize::MAX);
        within("rows to come to", found, most)
    }

    fn sum(&self, said: &Map<String, serde_json::Value>) -> i64 {
        self.0.iter().fold(0i64, |sum, node| {
            let rows = match &node.rows {
                Rows::Just(rows) => *rows,
                Rows::Said(name, otherwise) => said
                    .get(name)
                    .and_then(serde_json::Value::as_i64)
                    .unwrap_or(*otherwise),
            };
            let one = node.below.sum(said).saturating_add(1);
            sum.saturating_add(rows.max(0).saturating_mul(one))
        })
    }
}

/// `paged`: the field above says how many rows there are of the lists here.
fn collect(
    set: &Set,
    of: &str,
    fragments: &Fragments<'_>,
    schema: &Schema,
    nodes: &mut Vec<Node>,
    paged: bool,
) {
    for selection in &set.items {
        match selection {
            Selection::Field(field)
                if !field.selection_set.items.is_empty() && !is_introspection(&field.name) =>
            {
                let Some(known) = schema.field(of, &field.name) else {
                    continue;
                };
                let mut below = Vec::new();
                let pages = known.first.is_some();
                collect(
                    &field.selection_set,
                    known.of.name(),
                    fragments,
                    schema,
                    &mut below,
                    pages,
                );
                let rows = rows(known, &field.arguments, paged);
                nodes.push(Node {
                    rows,
                    below: Cost(below),
                });
            }
            Selection::Field(_) => {}
            Selection::InlineFragment(fragment) => {
                let on = fragment.type_condition.as_ref().map(AsRef::as_ref);
                let on = on.map_or(of, String::as_str);
                collect(&fragment.selection_set, on, fragments, schema, nodes, paged);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = fragments.get(spread.fragment_name.as_str()) {
                    let on = fragment.type_condition.as_ref();
                    collect(&fragment.selection_set, on, fragments, schema, nodes, paged);
                }
            }
        }
    }
}

fn rows(field: &Field, arguments: &[(String, Value<'static, String>)], paged: bool) -> Rows {
    let Some(otherwise) = field.first else {
        return Rows::Just(match (field.of.is_list(), paged) {
            (true, false) => ROWS,
            _ => 1,
        });
    };
    match arguments.iter().find(|(name, _)| name == "first") {
        Some((_, Value::Int(n))) => Rows::Just(n.as_i64().unwrap_or(otherwise)),
        Some((_, Value::Variable(name))) => Rows::Said(name.clone(), otherwise),
        _ => Rows::Just(otherwise),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> Option<&'static str> {
        match text(query, &Limits::default()) {
            Ok(()) => None,
            Err(Refused::Limit { what, .. }) => Some(what),
            Err(_) => Some("something else"),
        }
    }

    #[test]
    fn the_bare_text_tells_how_much_there_is_to_parse() {
        assert_eq!(refused("{ a(b: \"}}}\") # {{{{\n }"), None);
        assert_eq!(refused(&"{a".repeat(65)), Some("nested brackets"));
        assert_eq!(
            refused(&format!("{{ a(b: {}) }}", "[".repeat(70))),
            Some("nested brackets")
        );
        assert_eq!(refused(&"a ".repeat(4001)), Some("tokens"));
        // What is quoted or remarked upon is not nested, whatever it looks like.
        assert_eq!(
            refused(&format!("{{ a(b: \"\"\"{}\"\"\") }}", "{".repeat(100))),
            None
        );
        assert_eq!(refused(&format!("{{ a }} #{}", "{".repeat(100))), None);
        assert_eq!(refused("{ a(b: \"\\\""), None);
    }

    fn beyond(query: &str) -> Option<&'static str> {
        let parsed = graphql_tools::parser::parse_query::<String>(query);
        let parsed = parsed.unwrap().into_static();
        match document(&parsed, &Limits::default(), true) {
            Ok(()) => None,
            Err(Refused::Limit { what, .. }) => Some(what),
            Err(_) => Some("something else"),
        }
    }

    #[test]
    fn fragments_count_wherever_they_are_spread() {
        let bomb = |fragments: usize| {
            let one = |at| format!("fragment F{at} on Q {{ ...F{0} ...F{0} }} ", at + 1);
            let all: String = (0..fragments).map(one).collect();
            format!("{{ ...F0 }} {all} fragment F{fragments} on Q {{ a b }}")
        };
        assert_eq!(beyond(&bomb(2)), None);
        assert_eq!(beyond(&bomb(4)), Some("root fields"));
        assert_eq!(beyond(&bomb(100)), Some("root fields"));
        let below = format!("{{ x {{ ...F0 }} }} {}", &bomb(60)[10..]);
        assert_eq!(beyond(&below), Some("fields"));
        assert_eq!(
            beyond("{ ...A } fragment A on Q { a ...B } fragment B on Q { ...A }"),
            None
        );
        assert_eq!(
            beyond(&format!("{}a{}", "{a".repeat(11), "}".repeat(11))),
            Some("nested fields")
        );
        assert_eq!(
            beyond(&format!("{}a{}", "{ ... {a".repeat(9), "}}".repeat(9))),
            None
        );
        let deep = "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }";
        assert_eq!(beyond(deep), Some("nested lists of the schema"));
        let aliases: String = (0..31).map(|n| format!("a{n}: a ")).collect();
        assert_eq!(beyond(&format!("{{ x {{ {aliases} }} }}")), Some("aliases"));
    }
}
