//! Every operation that a supergraph should be able to answer, and whether it can be planned.

use std::collections::BTreeMap;

use anyhow::Context;
use graphql_tools::parser::{
    parse_schema,
    schema::{Definition, Field, Type, TypeDefinition},
};
use hive_router_query_planner::{
    ast::normalization::normalize_operation,
    graph::PlannerOverrideContext,
    planner::{Planner, QueryPlannerOptions},
    utils::{
        cancellation::CancellationToken,
        parsing::{safe_parse_operation, safe_parse_schema},
    },
};

type Fld = Field<'static, String>;
type Types = BTreeMap<String, TypeDefinition<'static, String>>;

/// How deep the operations go.
const DEPTH: usize = 4;

/// One operation for each root field, with all that can be reached from it without arguments that must be said.
///
/// # Errors
/// When it is no schema.
pub fn operations(supergraph: &str) -> anyhow::Result<Vec<String>> {
    let doc = parse_schema::<String>(supergraph)
        .map_err(|error| anyhow::anyhow!("{error}"))?
        .into_static();
    let types: Types = doc
        .definitions
        .into_iter()
        .filter_map(|d| match d {
            Definition::TypeDefinition(def) => Some((crate::merge::name_of(&def).to_owned(), def)),
            _ => None,
        })
        .collect();
    let mut operations = Vec::new();
    for (root, word) in [("Query", "query"), ("Mutation", "mutation")] {
        for field in fields(&types, root) {
            let must = field.arguments.iter().filter(|a| must_be_said(a));
            let (said, meant): (Vec<_>, Vec<_>) = must
                .map(|a| {
                    (
                        format!("${}: {}", a.name, a.value_type),
                        format!("{0}: ${0}", a.name),
                    )
                })
                .unzip();
            let list = |items: Vec<String>| match items.is_empty() {
                true => String::new(),
                false => format!("({})", items.join(", ")),
            };
            let selection = selection(&types, inner(&field.field_type), DEPTH);
            operations.push(format!(
                "{word} {} {{ {}{} {selection} }}",
                list(said),
                field.name,
                list(meant)
            ));
        }
    }
    Ok(operations)
}

fn must_be_said(input: &graphql_tools::parser::schema::InputValue<'static, String>) -> bool {
    matches!(input.value_type, Type::NonNullType(_)) && input.default_value.is_none()
}

fn fields<'a>(types: &'a Types, name: &str) -> &'a [Fld] {
    match types.get(name) {
        Some(TypeDefinition::Object(object)) => &object.fields,
        Some(TypeDefinition::Interface(interface)) => &interface.fields,
        _ => &[],
    }
}

fn inner<'a>(ty: &'a Type<'static, String>) -> &'a str {
    match ty {
        Type::NamedType(name) => name,
        Type::ListType(ty) | Type::NonNullType(ty) => inner(ty),
    }
}

fn selection(types: &Types, name: &str, depth: usize) -> String {
    let composite = |name: &str| {
        matches!(
            types.get(name),
            Some(
                TypeDefinition::Object(_) | TypeDefinition::Interface(_) | TypeDefinition::Union(_)
            )
        )
    };
    if !composite(name) {
        return String::new();
    }
    let mut parts = vec!["__typename".to_owned()];
    for field in fields(types, name) {
        if field.arguments.iter().any(must_be_said) {
            continue;
        }
        let of = inner(&field.field_type);
        if !composite(of) {
            parts.push(field.name.clone());
        } else if depth > 1 {
            parts.push(format!(
                "{} {}",
                field.name,
                selection(types, of, depth - 1)
            ));
        }
    }
    if let Some(TypeDefinition::Union(union)) = types.get(name) {
        for member in &union.types {
            parts.push(format!(
                "... on {member} {}",
                selection(types, member, depth)
            ));
        }
    }
    format!("{{ {} }}", parts.join(" "))
}

/// Plans operations against a supergraph.
///
/// # Errors
/// The first that cannot be planned, and why.
pub fn plan(supergraph: &str, operations: &[String]) -> anyhow::Result<()> {
    let schema = safe_parse_schema(supergraph)?;
    let planner = Planner::new_from_supergraph(&schema, QueryPlannerOptions::default())?;
    for text in operations {
        let one = || -> anyhow::Result<()> {
            let document = safe_parse_operation(text)?;
            let normal = normalize_operation(&planner.supergraph, &document, None)?;
            planner.plan_from_normalized_operation(
                &normal.operation,
                PlannerOverrideContext::default(),
                &CancellationToken::new(),
            )?;
            Ok(())
        };
        one().with_context(|| text.clone())?;
    }
    Ok(())
}
