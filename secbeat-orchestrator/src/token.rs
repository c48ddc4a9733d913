//! Tokens: who may do what. A token is 256 random bits, so nobody guesses one, and one round of SHA-256 keeps it as safe
//! at rest as any slow hash would: those are for passwords that people choose.

use std::{fmt, str::FromStr};

use clap::ValueEnum;
use ring::{
    digest::{SHA256, SHA256_OUTPUT_LEN, digest},
    rand::{SecureRandom, SystemRandom},
};
use schemars::JsonSchema;
use secbeat_daemon::config::schema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use strum::IntoStaticStr;
use subtle::ConstantTimeEq as _;

/// What every token begins with, so that people and scanners know one when they see it.
const PREFIX: &str = "secbeat_";
/// Random bytes in a token.
const RANDOM: usize = 32;
/// What a hash begins with.
const SCHEME: &str = "sha256:";
/// Longest name of a token, in bytes.
const MAX_NAME: usize = 64;

/// What a token allows; each role may do what those before it may.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    IntoStaticStr,
    Serialize,
    Deserialize,
    JsonSchema,
    ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[strum(const_into_str, serialize_all = "lowercase")]
pub enum Role {
    /// See everything.
    Read,
    /// Also ban and unban, disable and enable signatures, update feeds, and try rules on a log.
    Operate,
    /// Also change the allowlist, publish signatures, and see and end sessions.
    Admin,
}

impl Role {
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}

/// One `[[api.token]]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Name of the token, recorded in the audit.
    #[schemars(with = "schema::Name")]
    pub name: TokenName,
    /// What it allows.
    pub role: Role,
    /// The token's hash.
    #[schemars(with = "schema::TokenHash")]
    pub hash: TokenHash,
}

/// A token's name: 1 to 64 letters, digits and `-_.@`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenName(String);

impl TokenName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(good) {
            return Err(format!(
                "invalid token name `{text}`: expected 1 to {MAX_NAME} letters, digits and -_.@"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for TokenName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The SHA-256 of a token; as text `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash([u8; SHA256_OUTPUT_LEN]);

impl TokenHash {
    /// The hash of the token `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self(hash)
    }
}

impl TokenHash {
    /// Whether both are the same. How long it takes tells nothing of either.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        write_hex(f, &self.0)
    }
}

fn write_hex(to: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(to, "{byte:02x}"))
}

impl FromStr for TokenHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let digits = text.strip_prefix(SCHEME)?.as_bytes();
            if digits.len() != 2 * SHA256_OUTPUT_LEN || !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            let mut hash = [0; SHA256_OUTPUT_LEN];
            for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
                *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
            }
            Some(Self(hash))
        };
        parse().ok_or_else(|| {
            "invalid hash: expected `sha256:` and 64 hexadecimal digits, as `token create` prints".to_owned()
        })
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A new token, as it is shown.
///
/// # Errors
///
/// Returns an error if the kernel gives no random bytes.
pub(crate) fn create() -> anyhow::Result<String> {
    Ok(format!("{PREFIX}{}", secret()?))
}

/// 256 random bits, as 64 hexadecimal digits.
///
/// # Errors
///
/// Returns an error if the kernel gives no random bytes.
pub(crate) fn secret() -> anyhow::Result<String> {
    let mut random = [0; RANDOM];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| anyhow::anyhow!("the kernel gives no random bytes"))?;
    let mut text = String::new();
    write_hex(&mut text, &random)?;
    Ok(text)
}

/// The token among `tokens` that `shown` is. How long it takes tells nothing of any of them.
#[must_use]
pub(crate) fn find<'a>(tokens: &'a [Token], shown: &str) -> Option<&'a Token> {
    let shown = TokenHash::of(shown);
    let is_shown = |token: &Token| token.hash.is(&shown);
    tokens.iter().fold(
        None,
        |found, token| if is_shown(token) { Some(token) } else { found },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, text: &str) -> Token {
        Token {
            name: name.parse().unwrap(),
            role: Role::Read,
            hash: TokenHash::of(text),
        }
    }

    #[test]
    fn roles_have_the_names_of_the_config() {
        let roles = [Role::Read, Role::Operate, Role::Admin];
        assert_eq!(roles.map(Role::name), ["read", "operate", "admin"]);
    }

    #[test]
    fn a_token_is_found_by_what_is_shown() {
        let tokens = [token("a", "secbeat_1"), token("b", "secbeat_2")];
        let find = |shown| find(&tokens, shown).map(|token| token.name.as_str().to_owned());
        assert_eq!(find("secbeat_2").as_deref(), Some("b"));
        for wrong in ["", "secbeat_", "secbeat_3", "secbeat_1 ", "SECBEAT_1"] {
            assert_eq!(find(wrong), None, "{wrong}");
        }
        assert_eq!(super::find(&[], "secbeat_1").map(|token| token.role), None);
    }

    #[test]
    fn created_tokens_are_256_bits_and_differ() {
        let (one, other) = (create().unwrap(), create().unwrap());
        assert_eq!(one.len(), "secbeat_".len() + 64);
        assert_ne!(one, other);
    }

    #[test]
    fn a_hash_is_that_of_fips_180_and_reads_back() {
        // FIPS 180-2, appendix B.1.
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(TokenHash::of("abc").to_string(), text);
        assert_eq!(text.parse(), Ok(TokenHash::of("abc")));
        for wrong in [&text[7..], &text[..70], "sha256:+a", "md5:00"] {
            assert!(wrong.parse::<TokenHash>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_for_audit_logs() {
        assert!("ops@example.org".parse::<TokenName>().is_ok());
        for wrong in ["", "a b", "a\nb", &"x".repeat(65)] {
            assert!(wrong.parse::<TokenName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn roles_are_ordered() {
        assert!(Role::Read < Role::Operate && Role::Operate < Role::Admin);
    }
}
