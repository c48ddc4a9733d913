//! Values in JSON: what is in an array or an object, and whether that is addresses.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Value, value::RawValue};

use super::{columns::Column, keys::plain, target};

/// The fields of an object.
pub(super) type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

pub(super) fn array(value: &RawValue) -> Option<Vec<&RawValue>> {
    value
        .get()
        .starts_with('[')
        .then(|| serde_json::from_str(value.get()).ok())?
}

pub(super) fn object(value: &RawValue) -> Option<Fields<'_>> {
    value
        .get()
        .starts_with('{')
        .then(|| serde_json::from_str(value.get()).ok())?
}

/// A text, a number or a truth value as a text.
pub(super) fn scalar(value: &RawValue) -> Option<String> {
    if value.get().starts_with(['[', '{']) {
        return None;
    }
    match serde_json::from_str(value.get()).ok()? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The texts, numbers and truth values in an array, or the value if it is one.
pub(super) fn scalars(value: &RawValue) -> Vec<String> {
    match array(value) {
        Some(elements) => elements.into_iter().filter_map(scalar).collect(),
        None => scalar(value).into_iter().collect(),
    }
}

/// Whether an array with addresses is in an object, or in so many objects within it.
pub(super) fn holds_array(fields: &Fields<'_>, nested: usize) -> bool {
    nested > 0
        && fields.values().any(|value| match (array(value), object(value)) {
            (Some(elements), _) => elements.iter().any(|element| holds_network(element)),
            (_, Some(fields)) => holds_array(&fields, nested - 1),
            _ => false,
        })
}

/// The type of an object of STIX, whose id begins with it.
pub(super) fn stix_type(fields: &Fields<'_>) -> Option<String> {
    let text = |key: &str| fields.get(key).and_then(|value| scalar(value));
    let kind = text("type")?;
    let id = text("id")?;
    id.strip_prefix(kind.as_str())?.starts_with("--").then_some(kind)
}

/// Returns what an object with arrays is called.
pub(super) fn title(fields: &Fields<'_>) -> Option<String> {
    let names = ["name", "title", "listname", "list"];
    let named = fields
        .iter()
        .find(|(key, _)| names.contains(&plain(key).as_str()));
    named.and_then(|(_, value)| scalar(value))
}

/// Whether it is an address, or an object with one.
pub(super) fn holds_network(value: &RawValue) -> bool {
    match object(value) {
        Some(fields) => fields
            .keys()
            .any(|key| Column::of(key).is_some_and(Column::is_target)),
        None => scalar(value).is_some_and(|text| target::is_network(&text)),
    }
}
