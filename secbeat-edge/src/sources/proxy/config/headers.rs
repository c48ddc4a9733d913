//! `[proxy.headers]`: what servers are told besides what a client said.

use std::{borrow::Cow, collections::BTreeMap};

use hyper::header::{self, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use super::contradiction::Contradiction;

/// Fields of requests to servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// Each in place of what the client or the proxy itself wrote.
    pub set: Vec<(HeaderName, HeaderValue)>,
    pub remove: Vec<HeaderName>,
    /// Whether `Via` names the proxy (RFC 9110 §7.6.3).
    pub via: bool,
}

impl HeaderRules {
    /// Whether they set or remove this field, in any spelling.
    pub fn names(&self, field: &str) -> bool {
        let field = spelling(field);
        let mut names = self.set.iter().map(|(name, _)| name).chain(&self.remove);
        names.any(|name| spelling(name.as_str()) == field)
    }
}

/// A field's name with `-` for whatever is neither a letter nor a digit. CGI makes `_` of `-` (RFC 3875 §4.1.18), lighttpd of every such
/// byte, and PHP of dots. Borrowed if it is spelled so already.
pub(crate) fn spelling(name: &str) -> Cow<'_, str> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    match name.chars().all(is_plain) {
        true => Cow::Borrowed(name),
        false => Cow::Owned(name.replace(|letter: char| !is_plain(letter), "-")),
    }
}

/// The table `[proxy.headers]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HeadersFile {
    /// Fields of each request to a server, with their values. They replace what the client sent, and what the proxy adds.
    set: BTreeMap<String, String>,
    /// Fields that no server gets.
    remove: Vec<String>,
    /// Add `Via` to requests. nginx as a server compresses no answer to such requests unless `gzip_proxied` allows it.
    via: bool,
}

/// Fields that say how a message is framed, whom it is for, or that end at the proxy.
const OF_THE_PROXY: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];

impl HeadersFile {
    /// # Errors
    ///
    /// Returns an error if a name or a value is invalid, or the field is the proxy's own.
    pub(super) fn check(&self) -> Result<HeaderRules, Contradiction> {
        let set = self.set.iter().map(|(name, value)| {
            let key = format!("proxy.headers.set.{name}");
            let value = HeaderValue::from_str(value)
                .map_err(|_| Contradiction::new(&key, "the value has a control character"))?;
            Ok((field(name, &key)?, value))
        });
        let set: Vec<_> = set.collect::<Result<_, _>>()?;
        let names = |until: usize| set[..until].iter().map(|(name, _)| name);
        let twice = names(set.len())
            .enumerate()
            .find(|(index, name)| names(*index).any(|other| other == *name));
        if let Some((_, name)) = twice {
            let message = format!("`{name}` stands there twice, in two spellings");
            return Err(Contradiction::new("proxy.headers.set", message));
        }
        let remove = self.remove.iter().enumerate();
        let remove = remove.map(|(index, name)| field(name, &format!("proxy.headers.remove[{index}]")));
        Ok(HeaderRules {
            set,
            remove: remove.collect::<Result<_, _>>()?,
            via: self.via,
        })
    }
}

fn field(name: &str, key: &str) -> Result<HeaderName, Contradiction> {
    let Ok(field) = HeaderName::try_from(name) else {
        return Err(Contradiction::new(
            key,
            format!("invalid header field `{name}`: expected a name such as x-request-id"),
        ));
    };
    match OF_THE_PROXY.contains(&field) {
        true => Err(Contradiction::new(key, format!("`{field}` is the proxy's own"))),
        false => Ok(field),
    }
}
