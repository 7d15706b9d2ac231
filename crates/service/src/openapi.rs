//! What handlers leave out of the OpenAPI document: an id of its own for each operation, a parameter for each
//! placeholder of a path, what all of them take and answer alike, and where an answer leads.

mod answers;
mod links;
mod numbers;

use std::collections::BTreeMap;

use utoipa::openapi::{
    KnownFormat, Object, ObjectBuilder, OpenApi, RefOr, Required, SchemaFormat, Type,
    path::{HttpMethod, Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
};

/// Completes `api`.
pub(crate) fn complete(api: &mut OpenApi) {
    let mut uses = BTreeMap::<String, usize>::new();
    for item in api.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            let id = operation.operation_id.clone().unwrap_or_default();
            *uses.entry(id).or_default() += 1;
        }
    }
    for (path, item) in &mut api.paths.paths {
        for (_, operation) in operations(item) {
            let id = operation.operation_id.clone().unwrap_or_default();
            if uses.get(&id).is_some_and(|uses| *uses > 1) {
                operation.operation_id = Some(format!("{id}_{}", noun(path)));
            }
            for name in placeholders(path) {
                let mut parameters = operation.parameters.iter().flatten();
                let known = |p: &RefOr<Parameter>| matches!(p, RefOr::T(p) if p.name == name && p.parameter_in == ParameterIn::Path);
                if !parameters.any(known) {
                    let parameters = operation.parameters.get_or_insert_default();
                    parameters.push(RefOr::T(id_in_path(name)));
                }
            }
        }
    }
    numbers::correct(api);
    answers::add(api);
    links::add(api);
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let all = [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Put, &mut item.put),
        (HttpMethod::Patch, &mut item.patch),
        (HttpMethod::Delete, &mut item.delete),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// `/api/v1/inventory/batches/{id}:block` is about `inventory_batches`.
fn noun(path: &str) -> String {
    let path = path.strip_prefix("/api/v1/").unwrap_or(path);
    let words = path.split('/').filter(|word| !word.starts_with('{'));
    let words: Vec<&str> = words.filter_map(|word| word.split(':').next()).collect();
    words.join("_").replace('-', "_")
}

fn placeholders(path: &str) -> impl Iterator<Item = &str> {
    path.split('{')
        .skip(1)
        .filter_map(|rest| rest.split(['}', ':']).next())
}

fn id_in_path(name: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(uuid()))
        .build()
}

fn uuid() -> Object {
    let format = SchemaFormat::KnownFormat(KnownFormat::Uuid);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(format))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_its_noun_and_its_placeholders() {
        let path = "/api/v1/inventory/batches/{id}:block";
        assert_eq!(noun(path), "inventory_batches");
        assert_eq!(placeholders(path).collect::<Vec<_>>(), ["id"]);
        assert_eq!(noun("/api/v1/tax-profiles"), "tax_profiles");
        assert_eq!(placeholders("/api/v1/users").count(), 0);
    }
}
