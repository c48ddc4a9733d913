//! Access logs of one JSON object a line: which key says what is in [`tables`].
//!
//! Text need not be UTF-8, since a client could otherwise make its own lines unreadable.

pub(crate) mod key_map;
pub(crate) mod keys;
mod scan;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod values;

use self::{
    keys::{Role, Tree},
    scan::{Asked, NotJson, Scan},
};
use super::{LogError, LogLine, time::Zone};

/// A server's JSON.
#[derive(Debug)]
pub(crate) struct Table {
    keys: Tree,
    /// What the message is, where one is logged, if the line is about a request that was answered.
    message: Option<&'static [u8]>,
}

impl Table {
    /// Keys and what they say; of several that say the same, the first one that is there and not empty counts.
    fn new(keys: &[(&str, Role)]) -> Self {
        Self {
            keys: Tree::new(keys.iter().map(|(path, role)| (*role, *path))),
            message: None,
        }
    }
}

/// Parses one line without surrounding space.
pub(super) fn parse<'a>(line: &'a [u8], table: &Table, zone: &Zone) -> Result<LogLine<'a>, LogError> {
    let asked = Asked {
        keys: &table.keys,
        zone,
    };
    let mut scan = Scan::default();
    scan.feed(line, asked)?;
    if !scan.is_whole() {
        return Err(scan.ends_early().into());
    }
    scan.values.finish(table)
}

impl From<NotJson> for LogError {
    fn from(NotJson { at, what }: NotJson) -> Self {
        Self::Json { at, what }
    }
}
