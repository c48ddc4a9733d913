//! Labels of an edge.

use schemars::JsonSchema;
use secbeat_common::wire;
use serde::{Deserialize, Deserializer, de::Error as _};

/// Keys with values: `site = "eu"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct Labels(pub wire::Labels);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let labels = wire::Labels::deserialize(deserializer)?;
        wire::check_labels(&labels).map_err(D::Error::custom)?;
        Ok(Self(labels))
    }
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
