//! Signatures: which there are, and which a request matches.

mod files;
mod fleet;

use std::{cell::RefCell, path::PathBuf, sync::Arc};

use arc_swap::{ArcSwap, ArcSwapOption};
use hyper::{
    header::{self, HeaderName, HeaderValue},
    http::{request::Parts, uri::PathAndQuery},
};
use parking_lot::Mutex;
use schemars::JsonSchema;
use secbeat_common::wire::{FleetSignatures, MatchedSignature, SignaturesInForce};
use secbeat_daemon::config::schema;
use secbeat_signatures::{Matcher, Problem, Request, Scratch, SignatureFile, shipped};
use serde::Deserialize;
use tracing::{info, warn};

use self::{files::own_files, fleet::fleet_files};
pub(crate) use self::{files::read_file, fleet::FleetFile};

/// Default folder of an operator's own signatures.
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

/// What is looked for: as the config says, and as the fleet does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sought {
    pub(crate) config: SignaturesConfig,
    /// None where nothing was published.
    pub(crate) fleet: Option<FleetSignatures>,
}

impl Sought {
    /// A matcher of the shipped signatures, of those in the folder, and of the fleet's, and what is wrong with them.
    #[must_use]
    pub(crate) fn load(&self) -> (Matcher, Vec<Problem>) {
        let mut problems = Vec::new();
        let own = own_files(&self.config.directory, &mut problems);
        let (matcher, more) = self.build(own, &self.disabled());
        problems.extend(more);
        (matcher, problems)
    }

    /// The same with those that are disabled.
    #[must_use]
    pub(crate) fn load_all(&self) -> (Matcher, Vec<Problem>) {
        let mut problems = Vec::new();
        let own = own_files(&self.config.directory, &mut problems);
        let (matcher, more) = self.build(own, &[]);
        problems.extend(more);
        (matcher, problems)
    }

    /// Ids of those that are not looked for.
    fn disabled(&self) -> Vec<String> {
        let fleet = self.fleet.iter().flat_map(|fleet| &fleet.disabled);
        let fleet = fleet.map(|disabled| disabled.id.clone());
        self.config.disable.iter().cloned().chain(fleet).collect()
    }

    fn build(&self, own: Vec<SignatureFile>, disabled: &[String]) -> (Matcher, Vec<Problem>) {
        let mut files = shipped();
        files.extend(own);
        files.extend(self.fleet.iter().flat_map(fleet_files));
        let (matcher, mut problems) = Matcher::build(&files, disabled);
        // The fleet also disables what only other edges have.
        let is_elsewhere = |problem: &Problem| {
            let id = problem.id.as_ref().filter(|_| problem.line.is_none());
            id.is_some_and(|id| !self.config.disable.contains(id))
        };
        problems.retain(|problem| !is_elsewhere(problem));
        (matcher, problems)
    }
}

/// The signatures that are looked for now. All clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signatures(Arc<Current>);

#[derive(Debug, Default)]
struct Current {
    matcher: ArcSwapOption<Matcher>,
    told: ArcSwap<SignaturesInForce>,
    /// Locked while a matcher is made.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// None before the config was applied.
    config: Option<SignaturesConfig>,
    fleet: Option<FleetSignatures>,
    made_of: Option<Made>,
}

/// What makes a matcher: the operator's files, the ids that are disabled, and the fleet's files.
type Made = (Vec<SignatureFile>, Vec<String>, Vec<SignatureFile>);

/// The reason why what the fleet published is not taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error(
        "the fleet's signatures are older than those in force: they were there before, and stay replaced"
    )]
    Older,
    #[error("the fleet's signatures cannot be used, and those before stay in force: {0}")]
    Unusable(Problem),
}

/// What a request matches before its response is known.
#[derive(Debug, Default)]
pub(crate) struct HeadMatches {
    /// The most severe first.
    pub(crate) matched: Vec<MatchedSignature>,
    /// Whether it may match more once there is a status.
    pub(crate) waits_for_status: bool,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Signatures {
    /// Looks from now on for what `config` says. What is wrong is logged, and the rest is looked for.
    pub(crate) fn apply(&self, config: &SignaturesConfig) {
        let mut state = self.0.state.lock();
        state.config = Some(config.clone());
        self.make(&mut state);
    }

    /// Looks from now on for what the fleet published, too. Returns whether that is news.
    ///
    /// # Errors
    ///
    /// Returns an error if it was there before, or anything in it is wrong; then nothing changes.
    pub(crate) fn publish(&self, set: FleetSignatures) -> Result<bool, NotTaken> {
        let mut state = self.0.state.lock();
        match &state.fleet {
            Some(known) if *known == set => return Ok(false),
            Some(known) if set.changed_at_ms <= known.changed_at_ms => return Err(NotTaken::Older),
            _ => {}
        }
        // By itself: an id that this edge has already is its own matter.
        let files: Vec<_> = fleet_files(&set).collect();
        if let Some(problem) = Matcher::build(&files, &[]).1.into_iter().next() {
            return Err(NotTaken::Unusable(problem));
        }
        info!(
            digest = set.digest(),
            by = set.changed_by,
            files = set.files.len(),
            disabled = set.disabled.len(),
            "published signatures are in force"
        );
        state.fleet = Some(set);
        self.make(&mut state);
        Ok(true)
    }

    /// Returns which are looked for now.
    pub(crate) fn in_force(&self) -> SignaturesInForce {
        (**self.0.told.load()).clone()
    }

    fn make(&self, state: &mut State) {
        let Some(config) = state.config.clone() else {
            return;
        };
        let fleet = state.fleet.as_ref();
        let mut told = SignaturesInForce {
            fleet: fleet.map(FleetSignatures::digest),
            ..SignaturesInForce::default()
        };
        if !config.enabled {
            state.made_of = None;
            self.0.matcher.store(None);
            return self.0.told.store(Arc::new(told));
        }
        let mut problems = Vec::new();
        let own = own_files(&config.directory, &mut problems);
        let sought = Sought {
            config,
            fleet: state.fleet.clone(),
        };
        let disabled = sought.disabled();
        let made = (
            own.clone(),
            disabled.clone(),
            fleet.into_iter().flat_map(fleet_files).collect(),
        );
        if state.made_of.as_ref() == Some(&made) {
            told = SignaturesInForce {
                fleet: told.fleet,
                ..self.in_force()
            };
            return self.0.told.store(Arc::new(told));
        }
        let (matcher, more) = sought.build(own, &disabled);
        problems.extend(more);
        told.count = matcher.signatures().len() as u64;
        told.problems = problems.len() as u64;
        for problem in problems {
            warn!("{problem}; the other signatures are looked for");
        }
        info!(
            signatures = told.count,
            bytes = matcher.memory(),
            "looking for signatures"
        );
        self.0.matcher.store(Some(Arc::new(matcher)));
        self.0.told.store(Arc::new(told));
        state.made_of = Some(made);
    }

    /// Returns what the head of a request matches, before it is answered.
    pub(crate) fn of_head(&self, head: &Parts) -> HeadMatches {
        let matcher = self.0.matcher.load();
        let Some(matcher) = matcher.as_deref() else {
            return HeadMatches::default();
        };
        let of = |name: HeaderName| head.headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
        let headers = head.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
            .collect();
        let request = Request {
            method: head.method.as_str().as_bytes(),
            target: head
                .uri
                .path_and_query()
                .map_or("", PathAndQuery::as_str)
                .as_bytes(),
            status: 0,
            user_agent: of(header::USER_AGENT),
            referer: of(header::REFERER),
            // Where there is one, the request goes there (RFC 9112 §3.2.2).
            host: head
                .uri
                .authority()
                .map_or_else(|| of(header::HOST), |authority| authority.as_str().as_bytes()),
            content_type: of(header::CONTENT_TYPE),
            headers: &headers,
        };
        look_into(matcher, &request)
    }

    /// Returns what `request` matches, the most severe first.
    pub(crate) fn find(&self, request: &Request<'_>) -> Vec<MatchedSignature> {
        let matcher = self.0.matcher.load();
        let matches = matcher.as_deref().map(|matcher| look_into(matcher, request));
        matches.unwrap_or_default().matched
    }
}

fn look_into(matcher: &Matcher, request: &Request<'_>) -> HeadMatches {
    SCRATCH.with_borrow_mut(|scratch| {
        let hits = matcher.find(request, scratch);
        let signatures = hits.iter().filter_map(|hit| matcher.signature(*hit));
        let matched = signatures.map(|signature| MatchedSignature {
            id: signature.id.clone(),
            class: signature.class.to_string(),
            severity: signature.severity.to_string(),
        });
        HeadMatches {
            matched: matched.collect(),
            waits_for_status: matcher.waits_for_status(scratch),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use secbeat_common::wire::{DisabledSignature, SignatureText};

    use super::*;

    fn config(directory: &Path) -> SignaturesConfig {
        SignaturesConfig {
            directory: directory.to_owned(),
            ..SignaturesConfig::default()
        }
    }

    fn sought(directory: &Path) -> Sought {
        Sought {
            config: config(directory),
            fleet: None,
        }
    }

    fn published(changed_at_ms: i64, texts: &[&str], disabled: &[&str]) -> FleetSignatures {
        let texts = texts.iter().enumerate();
        FleetSignatures {
            changed_at_ms,
            changed_by: "alice".to_owned(),
            files: texts
                .map(|(n, text)| SignatureText {
                    name: format!("{n}.toml"),
                    text: (*text).to_owned(),
                })
                .collect(),
            disabled: disabled
                .iter()
                .map(|id| DisabledSignature {
                    id: (*id).to_owned(),
                    note: "ours".to_owned(),
                    by: "alice".to_owned(),
                    at_ms: 1,
                })
                .collect(),
        }
    }

    fn one(id: &str, path: &str) -> String {
        format!(
            "[[signature]]\nid = \"{id}\"\ntitle = \"t\"\nclass = \"other\"\nseverity = \"low\"\nreference = \"r\"\n\
             any = [{{ in = \"path\", contains = \"{path}\" }}]\n"
        )
    }

    fn found(signatures: &Signatures, target: &str) -> Vec<String> {
        let request = Request {
            target: target.as_bytes(),
            ..Request::default()
        };
        let found = signatures.find(&request).into_iter();
        found.map(|matched| matched.id).collect()
    }

    #[test]
    fn what_the_fleet_publishes_is_looked_for_beside_the_rest_and_what_it_disables_is_not() {
        let signatures = Signatures::default();
        signatures.apply(&config(Path::new("/nonexistent")));
        let before = signatures.in_force();
        assert_eq!(before.fleet, None);
        assert_eq!(found(&signatures, "/.env"), ["env-file"]);
        let set = published(1, &[&one("fleets", "/fleet")], &["env-file", "of-another-edge"]);
        assert_eq!(signatures.publish(set.clone()), Ok(true));
        assert_eq!(signatures.publish(set.clone()), Ok(false));
        assert_eq!(found(&signatures, "/fleet"), ["fleets"]);
        assert_eq!(found(&signatures, "/.env"), [""; 0]);
        let told = signatures.in_force();
        assert_eq!((told.count, told.problems), (before.count, 0));
        assert_eq!(told.fleet, Some(set.digest()));
        let enabled_again = published(2, &[], &[]);
        assert_eq!(signatures.publish(enabled_again.clone()), Ok(true));
        assert_eq!(found(&signatures, "/fleet"), [""; 0]);
        assert_eq!(found(&signatures, "/.env"), ["env-file"]);
        assert_eq!(signatures.in_force().fleet, Some(enabled_again.digest()));
    }

    #[test]
    fn a_set_that_is_wrong_or_old_displaces_nothing() {
        let signatures = Signatures::default();
        signatures.apply(&config(Path::new("/nonexistent")));
        let good = published(5, &[&one("fleets", "/fleet")], &[]);
        assert_eq!(signatures.publish(good), Ok(true));
        let told = signatures.in_force();
        for (set, is_older) in [
            (published(5, &[], &[]), true),
            (published(4, &[&one("other", "/other")], &[]), true),
            (published(6, &[&one("other", "/other"), "no toml"], &[]), false),
            (published(6, &[&one("Other", "/other")], &[]), false),
        ] {
            let refused = signatures.publish(set).unwrap_err();
            assert_eq!(refused == NotTaken::Older, is_older, "{refused}");
            assert_eq!(found(&signatures, "/fleet"), ["fleets"]);
            assert_eq!(signatures.in_force(), told);
        }
    }

    #[test]
    fn an_id_that_this_edge_has_stays_its_own() {
        let signatures = Signatures::default();
        let set = published(1, &[&one("env-file", "/fleet"), &one("fleets", "/fleet")], &[]);
        assert_eq!(signatures.publish(set), Ok(true));
        assert_eq!(found(&signatures, "/fleet"), [""; 0], "no config yet");
        signatures.apply(&config(Path::new("/nonexistent")));
        assert_eq!(found(&signatures, "/fleet"), ["fleets"]);
        assert_eq!(found(&signatures, "/.env"), ["env-file"]);
        assert_eq!(signatures.in_force().problems, 1);
    }

    #[test]
    fn the_shipped_set_is_looked_for_where_there_is_no_folder() {
        let (matcher, problems) = sought(Path::new("/nonexistent")).load();
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
        let (_, problems) = sought(folder.path()).load();
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
