//! Whole numbers as they are read: utoipa says `int32` of a `u32`, which reads twice as far.

use utoipa::openapi::{
    KnownFormat, Object, OpenApi, RefOr, Schema, SchemaFormat, Type,
    path::Parameter,
    schema::{AdditionalProperties, ArrayItems, SchemaType},
};

use super::operations;

/// Corrects the parameters and schemas of `api`.
pub(super) fn correct(api: &mut OpenApi) {
    for item in api.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(Parameter {
                    schema: Some(schema),
                    ..
                }) = parameter
                {
                    visit(schema);
                }
            }
        }
    }
    let components = api.components.iter_mut();
    components
        .flat_map(|c| c.schemas.values_mut())
        .for_each(visit);
}

fn visit(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => {
            unsigned(object);
            object.properties.values_mut().for_each(visit);
            if let Some(more) = &mut object.additional_properties
                && let AdditionalProperties::RefOr(schema) = more.as_mut()
            {
                visit(schema);
            }
        }
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                visit(items);
            }
        }
        Schema::OneOf(several) => several.items.iter_mut().for_each(visit),
        Schema::AllOf(several) => several.items.iter_mut().for_each(visit),
        Schema::AnyOf(several) => several.items.iter_mut().for_each(visit),
        _ => {}
    }
}

fn unsigned(object: &mut Object) {
    let whole = match &object.schema_type {
        SchemaType::Type(one) => *one == Type::Integer,
        SchemaType::Array(several) => several.contains(&Type::Integer),
        SchemaType::AnyValue => false,
    };
    let small = object.format == Some(SchemaFormat::KnownFormat(KnownFormat::Int32));
    let positive = object.minimum.is_some();
    if whole && small && positive && object.maximum.is_none() {
        object.format = Some(SchemaFormat::KnownFormat(KnownFormat::Int64));
        object.maximum = Some(u32::MAX.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_without_a_sign_reads_twice_as_far() {
        let number = json!({ "type": "integer", "format": "int32", "minimum": 0 });
        let maybe = json!({ "type": ["integer", "null"], "format": "int32", "minimum": 0 });
        let signed = json!({ "type": "integer", "format": "int32" });
        let bounded = json!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": 9 });
        let api = json!({
            "openapi": "3.1.0", "info": { "title": "a", "version": "1" },
            "paths": { "/a": { "get": { "responses": {},
                "parameters": [{ "name": "page", "in": "query", "required": false, "schema": maybe }] } } },
            "components": { "schemas": { "A": { "type": "object", "properties": {
                "plain": number, "signed": signed, "bounded": bounded,
                "many": { "type": "array", "items": number } } } } },
        });
        let mut api: OpenApi = serde_json::from_value(api).unwrap();
        correct(&mut api);
        let api = serde_json::to_value(api).unwrap();
        let far = json!(4_294_967_295_u32);
        assert_eq!(
            api["paths"]["/a"]["get"]["parameters"][0]["schema"]["maximum"],
            far
        );
        let known = &api["components"]["schemas"]["A"]["properties"];
        assert_eq!(known["plain"]["maximum"], far);
        assert_eq!(known["many"]["items"]["maximum"], far);
        assert_eq!(known["signed"].get("maximum"), None);
        assert_eq!(known["bounded"]["maximum"], json!(9));
    }
}
