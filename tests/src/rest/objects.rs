//! The page of objects: what requests and responses consist of.

use std::fmt::Write as _;

use serde_json::Value;

use super::{HEAD, members, plain, text};

pub(super) fn page(document: &Value) -> String {
    let mut page = format!(
        "{HEAD}\n# Objects of the REST API\n\nWhat the operations of the [REST API](rest-api.md) take and return, in the order of the \
         alphabet. A field that is not *always* there is left out, or `null`, where it has no value; in a request, *required* fields \
         are those that are always there.\n"
    );
    for (name, schema) in members(&document["components"]["schemas"]) {
        let _ = write!(page, "\n## {name}\n");
        write_paragraph(&text(&schema["description"]), &mut page);
        write_schema(schema, &mut page);
    }
    page
}

fn write_schema(schema: &Value, page: &mut String) {
    if let Some(parts) = schema["allOf"].as_array() {
        let all: Vec<_> = parts.iter().filter(|part| part.get("$ref").is_some()).collect();
        if !all.is_empty() {
            let names: Vec<_> = all.iter().map(|part| kind(part)).collect();
            let _ = write!(page, "\nAll fields of {}", names.join(" and of "));
            page.push_str(if all.len() < parts.len() {
                ", and:\n"
            } else {
                ".\n"
            });
        }
        for part in parts.iter().filter(|part| part.get("$ref").is_none()) {
            write_schema(part, page);
        }
    } else if let Some(variants) = schema["oneOf"].as_array() {
        write_variants(variants, page);
    } else if schema.get("properties").is_some() {
        write_fields(schema, page);
    } else {
        let _ = write!(page, "\n{}\n", kind(schema));
    }
}

fn write_variants(variants: &[Value], page: &mut String) {
    let all_named = variants.iter().all(|variant| variant.get("$ref").is_some());
    if all_named {
        let names: Vec<_> = variants.iter().map(kind).collect();
        let _ = write!(page, "\nOne of {}.\n", names.join(", "));
        return;
    }
    for variant in variants {
        let described = text(&variant["description"]);
        let _ = write!(page, "\nEither: {described}");
        page.truncate(page.trim_end().len());
        page.push('\n');
        write_schema(variant, page);
    }
}

fn write_fields(schema: &Value, page: &mut String) {
    let required = schema["required"].as_array();
    page.push_str("\n| field | always | type | description |\n|---|---|---|---|\n");
    for (name, field) in members(&schema["properties"]) {
        let is_required = required.is_some_and(|names| names.contains(&name.as_str().into()));
        let always = if is_required { "yes" } else { "" };
        // What a choice says of a field is with the choice.
        let described = match field["oneOf"].as_array() {
            Some(either) if field.get("description").is_none() => {
                either.iter().map(|one| text(&one["description"])).collect()
            }
            _ => text(&field["description"]),
        };
        let _ = writeln!(page, "| `{name}` | {always} | {} | {described} |", kind(field));
    }
}

fn write_paragraph(text: &str, page: &mut String) {
    if !text.is_empty() {
        let _ = write!(page, "\n{text}\n");
    }
}

/// What a value looks like.
pub(super) fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("[{name}](rest-objects.md#{})", name.to_lowercase());
    }
    if let Some(either) = schema["oneOf"].as_array() {
        return either.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return parts.iter().map(kind).collect::<Vec<_>>().join(" with ");
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().map(plain).collect(),
        one => vec![plain(one)],
    };
    let each: Vec<_> = types.into_iter().map(|name| of_type(name, schema)).collect();
    each.join(" or ")
}

fn of_type(name: &str, schema: &Value) -> String {
    match (name, plain(&schema["format"])) {
        ("string", "uuid") => "UUID".to_owned(),
        ("string", _) => "text".to_owned(),
        ("integer", _) => "whole number".to_owned(),
        ("number", _) => "number".to_owned(),
        ("boolean", _) => "`true`, `false`".to_owned(),
        ("null", _) => "`null`".to_owned(),
        ("array", _) => format!("list: {}", kind(&schema["items"])),
        ("object", _) => match schema.get("additionalProperties") {
            Some(values) if values.is_object() => format!("object, with values: {}", kind(values)),
            _ => "object".to_owned(),
        },
        _ => panic!("a reader would not know what this is: {schema}"),
    }
}
