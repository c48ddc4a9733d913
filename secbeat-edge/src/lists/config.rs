//! `[[list]]`: static lists of this host.

use std::path::PathBuf;

use schemars::JsonSchema;
use secbeat_common::lists::MAX_LISTS;
use secbeat_daemon::config::schema;
use serde::Deserialize;

use super::{ListName, ListVerdict};

/// A static list of prefixes, of any length and number up to two million, for which one verdict holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListConfig {
    /// Its name in commands, metrics and the log: 1 to 32 letters, digits, `-`, `_` or `.`.
    #[schemars(with = "String")]
    pub(crate) name: ListName,
    /// The file, in any format that `import` reads. The edge takes it again when it changes.
    #[schemars(with = "schema::File")]
    pub(crate) file: PathBuf,
    /// What becomes of packets of its addresses: `"ban"` drops them, `"allow"` never drops them whatever bans them, `"observe"` only
    /// counts them.
    pub(crate) verdict: ListVerdict,
}

/// Why lists cannot be together.
///
/// # Errors
///
/// In words.
pub(crate) fn check(lists: &[ListConfig]) -> Result<(), String> {
    if lists.len() > MAX_LISTS {
        return Err(format!(
            "{} lists; at most {MAX_LISTS} can be in force",
            lists.len()
        ));
    }
    for (number, list) in lists.iter().enumerate() {
        if lists[..number].iter().any(|other| other.name == list.name) {
            return Err(format!("two lists are called `{}`", list.name));
        }
    }
    Ok(())
}
