//! `/api/v1/rules/try`: what changed rules would have done, by a log.

use std::{io::Cursor, num::NonZeroU32, path::PathBuf};

use anyhow::Context as _;
use axum::{
    Json,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
};
use secbeat_daemon::{api::bad_request, config::HumanDuration, time::rfc3339};
use secbeat_logs::FormatChoice;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{sync::Semaphore, task::spawn_blocking};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure};
use crate::{
    config::{Config, RuleAction, check_threshold},
    replay::{Input, Verdicts, attempt, list_logs, open_log},
};

/// Longest log that is sent and tried, in bytes.
const MAX_LOG: usize = 16 * 1024 * 1024;
/// Largest body with it, in bytes: JSON doubles each quote of a log in JSON.
const MAX_BODY: usize = 2 * MAX_LOG + 64 * 1024;
/// Changes that an answer shows.
const SHOWN: usize = 500;

/// One at a time: it takes all cores.
static TURN: Semaphore = Semaphore::const_new(1);

/// A log, and the rules that are changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TryRequest {
    /// Lines of an access log, up to 16 MiB. Either this or `file`.
    #[serde(default)]
    log: Option<String>,
    /// A log that `GET /api/v1/rules/logs` lists; up to 256 MiB of text, gzip or Zstandard too.
    #[serde(default)]
    file: Option<String>,
    /// Format, as of `replay --format`; detected by default.
    #[serde(default)]
    format: Option<String>,
    /// Rules in force, with what is to be different.
    #[serde(default)]
    rules: Vec<RuleEdit>,
}

/// Changes of one rule.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RuleEdit {
    /// Name of the rule.
    name: String,
    /// Number within the window that triggers the rule.
    #[serde(default)]
    threshold: Option<u32>,
    /// Duration, such as `1m`.
    #[serde(default)]
    window: Option<String>,
    /// Length of a first ban, such as `5m`.
    #[serde(default)]
    ban: Option<String>,
    /// `ban` or `observe`.
    #[serde(default)]
    action: Option<RuleAction>,
}

/// Logs on the daemon's host by which rules can be tried.
#[derive(Debug, Serialize, ToSchema)]
struct RuleLogs {
    /// `logs` under `[api]`; `null` if it is not set.
    folder: Option<String>,
    /// The reason why it cannot be read, if so.
    unreadable: Option<String>,
    /// Its files, the latest first; 1000 at most.
    files: Vec<RuleLog>,
}

/// A log on the host that rules can be tried on.
#[derive(Debug, Serialize, ToSchema)]
struct RuleLog {
    /// Name of the file.
    name: String,
    /// Its size in bytes.
    bytes: u64,
    /// RFC 3339.
    modified_at: String,
}

/// Effects of the change.
#[derive(Debug, Serialize, ToSchema)]
struct Tried {
    /// Lines that were read, and those among them that are not requests.
    read: u64,
    /// Lines that were not understood.
    rejected: u64,
    /// Bans that there would be more, fewer, or otherwise; and those that are the same.
    appear: usize,
    /// Bans that vanish.
    vanish: usize,
    /// Bans that differ.
    differ: usize,
    /// Bans that are the same.
    same: u64,
    /// Result of the rules in force.
    before: TriedTotals,
    /// Effects of the changed rules.
    after: TriedTotals,
    /// The first changes by time: each with `change` (`appears`, `vanishes` or `differs`), `before` and `after`.
    #[schema(value_type = Vec<Object>)]
    changes: Vec<Value>,
}

/// Result of one set of rules on the log.
#[derive(Debug, Serialize, ToSchema)]
struct TriedTotals {
    /// Distinct sources.
    sources: usize,
    /// Findings.
    findings: u64,
    /// Bans that would have been.
    bans: u64,
    /// Findings of rules with `action = "observe"`.
    observed: u64,
    /// Findings that would have led to no ban.
    suppressed: u64,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(logs))
        .routes(routes!(try_rules))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

/// Logs on the daemon's host by which rules can be tried: the files of one folder, if the config names one.
#[utoipa::path(
    get, path = "/api/v1/rules/logs", operation_id = "list_rule_logs",
    responses((status = OK, body = RuleLogs))
)]
async fn logs(State(api): State<Api>) -> Result<Json<RuleLogs>, Failure> {
    let Some(folder) = api.rules.borrow().config.api.logs.clone() else {
        return Ok(Json(RuleLogs {
            folder: None,
            unreadable: None,
            files: Vec::new(),
        }));
    };
    let shown = folder.display().to_string();
    let listed = spawn_blocking(move || list_logs(&folder)).await;
    let (files, unreadable) = match listed.map_err(anyhow::Error::from)? {
        Ok(files) => (files, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let files = files.into_iter().map(|file| RuleLog {
        name: file.name,
        bytes: file.bytes,
        modified_at: rfc3339(file.modified_ms),
    });
    Ok(Json(RuleLogs {
        folder: Some(shown),
        unreadable,
        files: files.collect(),
    }))
}

/// The log that is asked for.
enum Asked {
    Text(String),
    File { folder: PathBuf, name: String },
}

impl Asked {
    fn new(log: Option<String>, file: Option<String>, config: &Config) -> Result<Self, Failure> {
        match (log, file) {
            (Some(text), None) if text.len() > MAX_LOG => {
                let why = format!("log: {} bytes, {MAX_LOG} at most: cut it", text.len());
                Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, why))
            }
            (Some(text), None) => Ok(Self::Text(text)),
            (None, Some(name)) => match config.api.logs.clone() {
                Some(folder) => Ok(Self::File { folder, name }),
                None => Err(bad_request("file", "`logs` under [api] names no folder of logs")),
            },
            _ => Err(bad_request("log", "say either `log` or `file`")),
        }
    }

    const fn key(&self) -> &'static str {
        match self {
            Self::Text(_) => "log",
            Self::File { .. } => "file",
        }
    }

    /// The log with its name for people.
    fn open(self) -> anyhow::Result<(String, Input)> {
        match self {
            Self::Text(text) => {
                let text = Input::Stream(Box::new(Cursor::new(text.into_bytes())));
                Ok(("the log".to_owned(), text))
            }
            Self::File { folder, name } => {
                let log = open_log(&folder, &name).with_context(|| format!("cannot read `{name}`"))?;
                Ok((name, log))
            }
        }
    }
}

/// Show what changed rules would have done by a log. Nothing is changed.
#[utoipa::path(
    post, path = "/api/v1/rules/try", request_body = TryRequest,
    responses((status = OK, body = Tried))
)]
async fn try_rules(State(api): State<Api>, Json(request): Json<TryRequest>) -> Result<Json<Tried>, Failure> {
    let format = match request.format {
        None => FormatChoice::Auto,
        Some(format) => format
            .parse::<FormatChoice>()
            .map_err(|error| bad_request("format", error))?,
    };
    let before = api.rules.borrow().config.clone();
    let asked = Asked::new(request.log, request.file, &before)?;
    let mut after = Config::clone(&before);
    for (index, edit) in request.rules.into_iter().enumerate() {
        change(&mut after, edit).map_err(|(key, why)| bad_request(&format!("rules[{index}].{key}"), why))?;
    }
    if let Some((key, why)) = after.contradiction_of_rules() {
        return Err(bad_request(key, why));
    }
    let Ok(turn) = TURN.try_acquire() else {
        let why = "another trial of rules is running: try again in a moment";
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, why).with_code("busy"));
    };
    let key = asked.key();
    let tried = spawn_blocking(move || {
        // Until its end, whether or not somebody waits for it.
        let _turn = turn;
        anyhow::Ok(attempt(asked.open()?, format, [&before, &after], SHOWN)?)
    });
    let tried = tried.await.map_err(anyhow::Error::from)?;
    let tried =
        tried.map_err(|error| bad_request(key, format!("{error:#}").replace("--format", "`format`")))?;
    let summary = tried.summary;
    let totals = |of: Verdicts| TriedTotals {
        sources: of.sources,
        findings: of.findings,
        bans: of.bans,
        observed: of.observed,
        suppressed: of.suppressed,
    };
    Ok(Json(Tried {
        read: summary.reading.read,
        rejected: summary.reading.rejected,
        appear: summary.appear,
        vanish: summary.vanish,
        differ: summary.differ,
        same: summary.same,
        before: totals(summary.before),
        after: totals(summary.after),
        changes: tried.changes,
    }))
}

/// Changes a rule of `config`; what cannot be is named by its key.
fn change(config: &mut Config, edit: RuleEdit) -> Result<(), (&'static str, String)> {
    let rules = &mut config.rules.0;
    let Some(rule) = rules.iter_mut().find(|rule| rule.rule.name() == edit.name) else {
        return Err(("name", format!("no rule in force is called `{}`", edit.name)));
    };
    if let Some(threshold) = edit.threshold {
        rule.threshold.count =
            NonZeroU32::new(threshold).ok_or(("threshold", "it is 1 at least".to_owned()))?;
    }
    let duration = |key, text: String| {
        let parsed = text.parse::<HumanDuration>();
        parsed
            .map(|HumanDuration(duration)| duration)
            .map_err(|why| (key, why))
    };
    if let Some(window) = edit.window {
        rule.threshold.window = duration("window", window)?;
    }
    check_threshold(rule.threshold, rule.distinct)?;
    if let Some(ban) = edit.ban {
        rule.ban = Some(duration("ban", ban)?);
    }
    if let Some(action) = edit.action {
        rule.action = action.into();
    }
    Ok(())
}
