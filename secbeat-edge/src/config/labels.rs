//! What an operator calls an edge beside its name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};

/// Labels that an edge can have.
const MAX_LABELS: usize = 16;
/// Longest key and longest value, in characters.
const MAX_LEN: usize = 63;

/// Keys with values: `site = "eu"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct Labels(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let labels = BTreeMap::<String, String>::deserialize(deserializer)?;
        if labels.len() > MAX_LABELS {
            return Err(D::Error::custom(format!(
                "{} labels, {MAX_LABELS} at most",
                labels.len()
            )));
        }
        let wrong = labels
            .iter()
            .flat_map(|(key, value)| [key, value])
            .find(|text| !is_word(text));
        match wrong {
            None => Ok(Self(labels)),
            Some(wrong) => Err(D::Error::custom(format!(
                "invalid label `{wrong}`: use 1 to {MAX_LEN} letters, digits, `-`, `_` or `.` for keys and values"
            ))),
        }
    }
}

fn is_word(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=MAX_LEN).contains(&text.len()) && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn labels_are_a_few_plain_words() {
        let labels = |text: &str| toml::from_str::<Labels>(text).map_err(|error| error.message().to_owned());
        let found = labels("site = \"eu-1\"\nrole = \"web\"").unwrap();
        assert_eq!(found.0["site"], "eu-1");
        for wrong in [
            "site = \"\"",
            "site = \"a b\"",
            "\"a=b\" = \"c\"",
            "site = \"\u{e9}\"",
        ] {
            let error = labels(wrong).unwrap_err();
            assert!(error.starts_with("invalid label `"), "{error}");
        }
        let many = (0..17).fold(String::new(), |mut text, n| {
            let _ = writeln!(text, "k{n} = \"v\"");
            text
        });
        assert_eq!(labels(&many).unwrap_err(), "17 labels, 16 at most");
    }
}
