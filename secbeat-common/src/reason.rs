//! Reason of a ban: an operator's order, or a rule by its name.

use std::{fmt, str::FromStr};

use arrayvec::ArrayString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::maps;

/// Longest name of a rule, in bytes.
const MAX_RULE_NAME: usize = 32;

/// The name of a rule: 1 to 32 lower-case letters, digits and hyphens, a letter first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleName(ArrayString<MAX_RULE_NAME>);

impl RuleName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that is not a [`RuleName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid rule name `{0}`: expected 1 to {MAX_RULE_NAME} lower-case letters, digits and hyphens, a letter first"
)]
pub struct NoRuleName(String);

impl FromStr for RuleName {
    type Err = NoRuleName;

    fn from_str(text: &str) -> Result<Self, NoRuleName> {
        let is_name = text.starts_with(|first: char| first.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        match ArrayString::from(text) {
            Ok(name) if is_name && text != MANUAL => Ok(Self(name)),
            _ => Err(NoRuleName(text.to_owned())),
        }
    }
}

impl Serialize for RuleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RuleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// What no rule may be called.
const MANUAL: &str = "manual";

/// The reason why a target is banned. Users meet it as a word: `manual`, or the rule's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    Manual,
    ErrorFlood,
    RequestFlood,
    WafFlood,
    PathScan,
    LoginBruteforce,
    ProtocolAbuse,
    Probe,
    Attack,
    Scanner,
    /// A rule of the operator's own.
    Rule(RuleName),
}

/// [`Reason`]s that have a word and a kernel code of their own.
const NAMED: [(Reason, &str, u8); 10] = [
    (Reason::Manual, MANUAL, maps::reason::MANUAL),
    (Reason::ErrorFlood, "error-flood", maps::reason::ERROR_FLOOD),
    (Reason::RequestFlood, "request-flood", maps::reason::REQUEST_FLOOD),
    (Reason::WafFlood, "waf-flood", maps::reason::WAF_FLOOD),
    (Reason::PathScan, "path-scan", maps::reason::PATH_SCAN),
    (
        Reason::LoginBruteforce,
        "login-bruteforce",
        maps::reason::LOGIN_BRUTEFORCE,
    ),
    (
        Reason::ProtocolAbuse,
        "protocol-abuse",
        maps::reason::PROTOCOL_ABUSE,
    ),
    (Reason::Probe, "probe", maps::reason::PROBE),
    (Reason::Attack, "attack", maps::reason::ATTACK),
    (Reason::Scanner, "scanner", maps::reason::SCANNER),
];

impl Reason {
    /// The word that users meet.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Rule(name) => name.as_str(),
            _ => NAMED
                .iter()
                .find(|(reason, ..)| reason == self)
                .map_or("", |(_, name, _)| name),
        }
    }

    /// The code in the kernel's [`Ban`](maps::Ban).
    #[must_use]
    pub fn code(&self) -> u8 {
        NAMED
            .iter()
            .find(|(reason, ..)| reason == self)
            .map_or(maps::reason::OWN_RULE, |(.., code)| *code)
    }

    /// The reason with a [code](Self::code). `None` for [`maps::reason::OWN_RULE`], whose name the kernel does not
    /// know, and for a code of another release.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        NAMED
            .iter()
            .find(|(.., known)| *known == code)
            .map(|(reason, ..)| *reason)
    }

    /// The word for a [code](Self::code), as far as the kernel's map tells.
    #[must_use]
    pub fn name_of_code(code: u8) -> &'static str {
        match NAMED.iter().find(|(.., known)| *known == code) {
            Some((_, name, _)) => name,
            None if code == maps::reason::OWN_RULE => "own-rule",
            None => "unknown",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<RuleName> for Reason {
    fn from(rule: RuleName) -> Self {
        NAMED
            .iter()
            .find(|(_, name, _)| *name == rule.as_str())
            .map_or(Self::Rule(rule), |(reason, ..)| *reason)
    }
}

impl FromStr for Reason {
    type Err = NoRuleName;

    fn from_str(text: &str) -> Result<Self, NoRuleName> {
        match text {
            MANUAL => Ok(Self::Manual),
            rule => rule.parse::<RuleName>().map(Self::from),
        }
    }
}

/// A word, in JSON and on the bus. The name of a rule that only a later release has is read as that of a custom rule.
impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Reason> {
        let own = Reason::from("my-rule-2".parse::<RuleName>().unwrap());
        NAMED.iter().map(|(reason, ..)| *reason).chain([own]).collect()
    }

    #[test]
    fn names_lead_back_to_their_reasons() {
        for reason in all() {
            assert_eq!(reason.name().parse(), Ok(reason));
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("{:?}", reason.name()));
            assert_eq!(serde_json::from_str::<Reason>(&json).unwrap(), reason);
        }
    }

    #[test]
    fn codes_lead_back_but_for_rules_of_ones_own() {
        for reason in all() {
            match reason {
                Reason::Rule(_) => assert_eq!(Reason::from_code(reason.code()), None),
                _ => assert_eq!(Reason::from_code(reason.code()), Some(reason)),
            }
        }
        assert_eq!(Reason::from_code(0), None);
        assert_eq!(
            [0, maps::reason::OWN_RULE, maps::reason::PATH_SCAN].map(Reason::name_of_code),
            ["unknown", "own-rule", "path-scan"]
        );
    }

    #[test]
    fn what_no_rule_can_be_called() {
        let long = "a".repeat(MAX_RULE_NAME + 1);
        for name in ["", "manual", "Errors", "1-rule", "-", "a b", "é", "a_b", &long] {
            assert_eq!(name.parse::<RuleName>(), Err(NoRuleName(name.to_owned())));
        }
        assert!(long[1..].parse::<RuleName>().is_ok());
    }
}
