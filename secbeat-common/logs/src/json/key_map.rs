//! Meaning of the keys of an own JSON log.

use super::{
    Table,
    keys::{MAX_NAME, MAX_SEGMENTS, Role, Tree},
};

/// Paths that all roles of a key map may have together.
const MAX_PATHS: usize = 48;

/// Keys of a JSON log: for each role the paths of its keys, of which the first that is there and not empty counts.
///
/// Dots divide a path into names: `req.ip` is the key `ip` of the object `req`, or the key `req.ip`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonKeys {
    /// The client's address, with or without a port, or a list of which the last one counts.
    pub client: Vec<String>,
    /// Time of the request.
    pub time: Vec<String>,
    /// The status of the answer.
    pub status: Vec<String>,
    pub method: Vec<String>,
    /// The request target.
    pub path: Vec<String>,
    pub host: Vec<String>,
    pub user_agent: Vec<String>,
    /// A whole request line, for logs without method and path.
    pub request: Vec<String>,
}

/// What is wrong with a key map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("no key for the {0}")]
    Missing(&'static str),
    #[error(
        "invalid path of keys `{0}`: expected names with dots between them, at most {MAX_SEGMENTS} and {MAX_NAME} bytes"
    )]
    Path(String),
    #[error("more than {MAX_PATHS} keys")]
    TooMany,
}

impl JsonKeys {
    fn roles(&self) -> [(Role, &[String]); 8] {
        [
            (Role::Client, &self.client),
            (Role::Time, &self.time),
            (Role::Status, &self.status),
            (Role::Method, &self.method),
            (Role::Path, &self.path),
            (Role::Host, &self.host),
            (Role::UserAgent, &self.user_agent),
            (Role::Request, &self.request),
        ]
    }

    /// Whether there is a key of the request or of a part of it.
    pub(crate) const fn read_request(&self) -> bool {
        !(self.method.is_empty() && self.path.is_empty() && self.request.is_empty())
    }

    /// Returns what a scan looks for.
    pub(crate) fn table(&self) -> Result<Table, KeysError> {
        for (paths, what) in [
            (&self.client, "client"),
            (&self.time, "time"),
            (&self.status, "status"),
        ] {
            if paths.is_empty() {
                return Err(KeysError::Missing(what));
            }
        }
        let mut paths = Vec::new();
        for (role, of_role) in self.roles() {
            paths.extend(of_role.iter().map(|path| (role, path.as_str())));
        }
        if let Some((_, path)) = paths.iter().find(|(_, path)| !is_path(path)) {
            return Err(KeysError::Path((*path).to_owned()));
        }
        if paths.len() > MAX_PATHS {
            return Err(KeysError::TooMany);
        }
        Ok(Table {
            keys: Tree::new(paths),
            message: None,
            after_tabs: false,
            one_client: false,
            needs_mark: false,
            bare_paths: false,
        })
    }
}

fn is_path(path: &str) -> bool {
    let names = path.split('.').count();
    path.len() <= MAX_NAME && names <= MAX_SEGMENTS && path.split('.').all(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(client: &str) -> JsonKeys {
        let one = |path: &str| vec![path.to_owned()];
        JsonKeys {
            client: one(client),
            time: one("time"),
            status: one("status"),
            ..JsonKeys::default()
        }
    }

    #[test]
    fn what_cannot_be_looked_for_is_refused() {
        let error = |keys: &JsonKeys| keys.table().unwrap_err().to_string();
        assert_eq!(error(&JsonKeys::default()), "no key for the client");
        let without_status = JsonKeys {
            status: Vec::new(),
            ..keys("a")
        };
        assert_eq!(error(&without_status), "no key for the status");
        for path in ["", ".", "a.", ".a", "a..b", "a.b.c.d.e.f.g", &"x".repeat(257)] {
            assert_eq!(
                error(&keys(path)),
                format!(
                    "invalid path of keys `{path}`: expected names with dots between them, at most 6 and 256 bytes"
                )
            );
        }
        let many = JsonKeys {
            host: vec!["x".to_owned(); 48],
            ..keys("a")
        };
        assert_eq!(error(&many), "more than 48 keys");
        assert!(keys("a.b.c.d.e.f").table().is_ok());
    }
}
