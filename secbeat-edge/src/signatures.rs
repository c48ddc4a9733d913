//! Signatures: which there are, and which a request matches.

use std::{
    cell::RefCell,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwapOption;
use hyper::{
    header::{self, HeaderName, HeaderValue},
    http::{request::Parts, uri::PathAndQuery},
};
use parking_lot::Mutex;
use schemars::JsonSchema;
use secbeat_common::wire::MatchedSignature;
use secbeat_daemon::config::schema;
use secbeat_signatures::{MAX_FILE, Matcher, Problem, Request, Scratch, SignatureFile, shipped};
use serde::Deserialize;
use tracing::{info, warn};

/// Where an operator's own signatures lie unless the config says otherwise.
const DEFAULT_DIRECTORY: &str = "/etc/secbeat/signatures.d";

/// What single requests give away: `/.env`, `?id=1 union select`, a scanner's user agent (docs/signatures.md). SIGHUP reads this table
/// and the files again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignaturesConfig {
    /// Disable to look for none.
    pub enabled: bool,
    /// Ids of signatures that are not looked for, such as `["wp-user-list"]`.
    pub disable: Vec<String>,
    /// Folder with files of your own, `*.toml`, beside those that SecBeat ships.
    #[schemars(with = "schema::Folder")]
    pub directory: PathBuf,
}

impl Default for SignaturesConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            disable: Vec::new(),
            directory: DEFAULT_DIRECTORY.into(),
        }
    }
}

impl SignaturesConfig {
    /// A matcher of the shipped signatures and of those in the folder, and what is wrong with them.
    #[must_use]
    pub fn load(&self) -> (Matcher, Vec<Problem>) {
        let mut problems = Vec::new();
        let own = own_files(&self.directory, &mut problems);
        let (matcher, more) = self.build(own);
        problems.extend(more);
        (matcher, problems)
    }

    fn build(&self, own: Vec<SignatureFile>) -> (Matcher, Vec<Problem>) {
        let mut files = shipped();
        files.extend(own);
        Matcher::build(&files, &self.disable)
    }
}

/// The files in `directory`, by name. There need not be such a folder.
fn own_files(directory: &Path, problems: &mut Vec<Problem>) -> Vec<SignatureFile> {
    let mut paths = match toml_files(directory) {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(unreadable(directory, &error));
            return Vec::new();
        }
    };
    paths.sort();
    let mut read = |path: &PathBuf| match read_file(path) {
        Ok(file) => Some(file),
        Err(error) => {
            problems.push(unreadable(path, &error));
            None
        }
    };
    paths.iter().filter_map(&mut read).collect()
}

fn toml_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let is_toml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    paths.filter(|path| path.as_ref().map_or(true, is_toml)).collect()
}

/// The file at `path`, whose name is the whole path.
///
/// # Errors
///
/// When it cannot be read as text, or is larger than a file of signatures may be.
pub(crate) fn read_file(path: &Path) -> io::Result<SignatureFile> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > MAX_FILE as u64 {
        return Err(io::Error::other(format!(
            "{bytes} bytes; a file has at most {MAX_FILE}"
        )));
    }
    Ok(SignatureFile {
        name: path.display().to_string(),
        text: std::fs::read_to_string(path)?,
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem {
        file: path.display().to_string(),
        line: None,
        id: None,
        message: error.to_string(),
    }
}

/// The signatures that are looked for now. All clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signatures(Arc<Current>);

#[derive(Debug, Default)]
struct Current {
    matcher: ArcSwapOption<Matcher>,
    /// What it was made of.
    made_of: Mutex<Option<Made>>,
}

/// What makes a matcher: the operator's files, and the ids that are disabled.
type Made = (Vec<SignatureFile>, Vec<String>);

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Signatures {
    /// Looks from now on for what `config` says. What is wrong is logged, and the rest is looked for.
    pub(crate) fn apply(&self, config: &SignaturesConfig) {
        let mut made_of = self.0.made_of.lock();
        if !config.enabled {
            *made_of = None;
            return self.0.matcher.store(None);
        }
        let mut problems = Vec::new();
        let own = own_files(&config.directory, &mut problems);
        let made = (own.clone(), config.disable.clone());
        if *made_of == Some(made.clone()) {
            return;
        }
        let (matcher, more) = config.build(own);
        problems.extend(more);
        for problem in problems {
            warn!("{problem}; the other signatures are looked for");
        }
        info!(
            signatures = matcher.signatures().len(),
            bytes = matcher.memory(),
            "looking for signatures"
        );
        self.0.matcher.store(Some(Arc::new(matcher)));
        *made_of = Some(made);
    }

    /// What the head of a request matches, before it is answered.
    pub(crate) fn of_head(&self, head: &Parts) -> Vec<MatchedSignature> {
        if self.0.matcher.load().is_none() {
            return Vec::new();
        }
        let of = |name: HeaderName| head.headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
        let headers = head.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
            .collect();
        self.find(&Request {
            method: head.method.as_str().as_bytes(),
            target: head
                .uri
                .path_and_query()
                .map_or("", PathAndQuery::as_str)
                .as_bytes(),
            status: 0,
            user_agent: of(header::USER_AGENT),
            referer: of(header::REFERER),
            host: of(header::HOST),
            content_type: of(header::CONTENT_TYPE),
            headers: &headers,
        })
    }

    /// What `request` matches, the most severe first.
    pub(crate) fn find(&self, request: &Request<'_>) -> Vec<MatchedSignature> {
        let matcher = self.0.matcher.load();
        let Some(matcher) = matcher.as_deref() else {
            return Vec::new();
        };
        SCRATCH.with_borrow_mut(|scratch| {
            let hits = matcher.find(request, scratch);
            let signatures = hits.iter().filter_map(|hit| matcher.signature(*hit));
            signatures
                .map(|signature| MatchedSignature {
                    id: signature.id.clone(),
                    class: signature.class.to_string(),
                    severity: signature.severity.to_string(),
                })
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(directory: &Path) -> SignaturesConfig {
        SignaturesConfig {
            directory: directory.to_owned(),
            ..SignaturesConfig::default()
        }
    }

    #[test]
    fn the_shipped_set_is_looked_for_where_there_is_no_folder() {
        let (matcher, problems) = config(Path::new("/nonexistent")).load();
        assert!(matcher.signatures().len() > 300);
        assert_eq!(problems, []);
    }

    #[test]
    fn one_bad_file_is_one_problem_and_the_others_are_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let own = "[[signature]]\nid = \"mine\"\ntitle = \"t\"\nclass = \"other\"\nseverity = \"low\"\nreference = \"r\"\n\
                   any = [{ in = \"path\", contains = \"/mine\" }]\n";
        std::fs::write(folder.path().join("a.toml"), "no toml").unwrap();
        std::fs::write(folder.path().join("b.toml"), own).unwrap();
        std::fs::write(folder.path().join("c.txt"), "no toml either").unwrap();
        let (_, problems) = config(folder.path()).load();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].file.ends_with("a.toml"));
        let signatures = Signatures::default();
        let request = Request {
            target: b"/mine",
            ..Request::default()
        };
        assert_eq!(signatures.find(&request), []);
        signatures.apply(&config(folder.path()));
        let found = signatures.find(&request);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&*found[0].id, &*found[0].class, &*found[0].severity),
            ("mine", "other", "low")
        );
        signatures.apply(&SignaturesConfig {
            enabled: false,
            ..config(folder.path())
        });
        assert_eq!(signatures.find(&request), []);
    }
}
