//! One message, as people and programs read it.

use std::{collections::BTreeMap, fmt::Write as _};

use secbeat_common::wire::Reason;
use secbeat_daemon::{
    geo::{Geo, Origin},
    time::{end, left, rfc3339},
};
use secbeat_orchestrator_core::notices::{
    Banned, LeftOut, Notice, Summary, Trouble, TroubleKind, Unbanned, What,
};
use serde::Serialize;

use super::{report::ReportPart, severity::Severity, text::shown};

/// What a receiver is sent as `generic-json`, and what templates and commands are given. No text in it has a control or an
/// invisible character, but for the line breaks of `text`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Message {
    /// Of this form.
    pub(super) version: u8,
    /// Whether it is only a test.
    pub(super) test: bool,
    pub(super) severity: Severity,
    /// Who tells it.
    pub(super) orchestrator: String,
    /// Of the message, and of the first and the last that it tells; RFC 3339.
    pub(super) at: String,
    pub(super) first: String,
    pub(super) last: String,
    /// One line.
    pub(super) title: String,
    /// A line each.
    pub(super) text: String,
    pub(super) bans: BansPart,
    pub(super) unbans: UnbansPart,
    /// Troubles that began or ended.
    pub(super) events: Vec<EventPart>,
    /// Of days and weeks that are over.
    pub(super) reports: Vec<ReportPart>,
    pub(super) left_out: LeftOutPart,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct BansPart {
    pub(super) count: u64,
    automatic: u64,
    manual: u64,
    /// How many by which rule.
    rules: BTreeMap<String, u64>,
    /// The first few.
    named: Vec<BanPart>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct BanPart {
    target: String,
    /// Where it belongs, as far as that is known.
    #[serde(flatten)]
    origin: Origin,
    rule: String,
    /// Whether an operator banned.
    manual: bool,
    actor: String,
    note: String,
    strikes: u32,
    /// RFC 3339; `null` for a ban without end.
    expires_at: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct UnbansPart {
    pub(super) count: u64,
    named: Vec<UnbanPart>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct UnbanPart {
    target: String,
    actor: String,
    note: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct EventPart {
    /// As in `events` of the config.
    pub(super) event: &'static str,
    /// What began or is over: `edge-down`, `edge-unprotected`, `drift`, `brake`, `not-ready` or `feed-not-taken`.
    pub(super) trouble: &'static str,
    /// The edge, or the orchestrator.
    pub(super) subject: String,
    pub(super) over: bool,
    pub(super) severity: Severity,
    /// RFC 3339.
    pub(super) at: String,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LeftOutPart {
    /// Notices that came too fast.
    missed: u64,
    /// Troubles and reports for which a message had no room.
    crowded: u64,
    /// Messages that could not be delivered, and the notices in them.
    messages: u64,
    undelivered: u64,
}

impl Message {
    /// Returns what the orchestrator called `orchestrator` tells at `now_ms`; `geo` knows where addresses belong.
    pub(super) fn new(summary: &Summary, orchestrator: &str, geo: &Geo, now_ms: i64) -> Self {
        let events: Vec<_> = summary.states.iter().filter_map(EventPart::new).collect();
        let mut lines = Vec::new();
        lines.extend(bans_line(summary, geo));
        lines.extend(unbans_line(summary));
        lines.extend(events.iter().map(|event| event.text.clone()));
        let of_reports = summary.reports.iter().flat_map(|report| &report.lines);
        lines.extend(of_reports.map(|line| shown(line)));
        let first_line = lines.first().cloned().unwrap_or_default();
        lines.extend(left_out_line(summary.left_out));
        Self {
            version: 1,
            test: false,
            severity: events
                .iter()
                .map(|event| event.severity)
                .max()
                .unwrap_or_default(),
            orchestrator: shown(orchestrator),
            at: rfc3339(now_ms),
            first: rfc3339(summary.first_ms),
            last: rfc3339(summary.last_ms),
            title: format!("SecBeat: {}", title(summary, first_line)),
            text: lines.join("\n"),
            bans: BansPart {
                count: summary.ban_count(),
                automatic: summary.ban_count() - summary.manual,
                manual: summary.manual,
                rules: summary.bans.clone(),
                named: summary.banned.iter().map(|ban| BanPart::new(ban, geo)).collect(),
            },
            unbans: UnbansPart {
                count: summary.unbans,
                named: summary.unbanned.iter().map(UnbanPart::new).collect(),
            },
            events,
            reports: summary.reports.iter().map(ReportPart::new).collect(),
            left_out: LeftOutPart::new(summary.left_out),
        }
    }

    /// Whether it tells of bans or unbans.
    pub(super) fn has_bans(&self) -> bool {
        self.bans.count + self.unbans.count > 0
    }

    /// A test, marked as one.
    pub(super) fn test(orchestrator: &str, now_ms: i64) -> Self {
        let summary = Summary {
            first_ms: now_ms,
            last_ms: now_ms,
            ..Summary::default()
        };
        Self {
            test: true,
            title: "SecBeat: test message".to_owned(),
            text: "This is a test. Nothing happened; notifications reach you.".to_owned(),
            ..Self::new(&summary, orchestrator, &Geo::default(), now_ms)
        }
    }
}

/// Returns what happened, in a few words.
fn title(summary: &Summary, only_line: String) -> String {
    if summary.notices() == 1 {
        return only_line;
    }
    let mut parts = Vec::new();
    if summary.ban_count() > 0 {
        parts.push(counted(summary.ban_count(), "ban", "bans"));
    }
    if summary.unbans > 0 {
        parts.push(counted(summary.unbans, "unban", "unbans"));
    }
    let states = summary.states.len() as u64;
    let over = |notice: &&Notice| matches!(notice.what, What::Over { .. });
    let over = summary.states.iter().filter(over).count() as u64;
    if states > over {
        parts.push(counted(states - over, "trouble", "troubles"));
    }
    if over > 0 {
        parts.push(counted(over, "trouble over", "troubles over"));
    }
    if !summary.reports.is_empty() {
        parts.push(counted(summary.reports.len() as u64, "report", "reports"));
    }
    parts.join(", ")
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn bans_line(summary: &Summary, geo: &Geo) -> Option<String> {
    let count = summary.ban_count();
    let first = summary.banned.first()?;
    if count == 1 {
        return Some(ban_line(first, geo));
    }
    let mut line = format!(
        "{count} banned within {}: ",
        left(summary.last_ms - summary.first_ms + 1000)
    );
    let rules = summary.bans.iter().map(|(rule, count)| match rule.as_str() {
        manual if manual == Reason::Manual.name() => format!("{count} by operators"),
        rule => format!("{count} by rule {rule}"),
    });
    line.push_str(&rules.collect::<Vec<_>>().join(", "));
    line.push_str(". ");
    let targets: Vec<_> = summary.banned.iter().map(|ban| ban.target.to_string()).collect();
    line.push_str(&and_more(&targets, count));
    Some(line)
}

fn ban_line(ban: &Banned, geo: &Geo) -> String {
    let by = match ban.reason {
        Reason::Manual => format!("operator {}", shown(&ban.actor)),
        rule => format!("rule {}", rule.name()),
    };
    let until = end(ban.expires_at_ms).map_or_else(|| "for ever".to_owned(), |end| format!("until {end}"));
    let origin = geo.of(&ban.target);
    let origin = match origin.is_unknown() {
        true => String::new(),
        false => format!(" ({})", shown(&origin.to_string())),
    };
    with_note(
        format!("{}{origin} banned by {by} {until}", ban.target),
        &ban.note,
    )
}

fn with_note(mut line: String, note: &str) -> String {
    if !note.is_empty() {
        let _ = write!(line, ": {}", shown(note));
    }
    line
}

fn unbans_line(summary: &Summary) -> Option<String> {
    let Unbanned { target, actor, note } = summary.unbanned.first()?;
    if summary.unbans == 1 {
        return Some(with_note(format!("{target} unbanned by {}", shown(actor)), note));
    }
    let targets: Vec<_> = summary
        .unbanned
        .iter()
        .map(|unban| unban.target.to_string())
        .collect();
    let targets = and_more(&targets, summary.unbans);
    Some(format!("{} unbanned: {targets}", summary.unbans))
}

fn and_more(named: &[String], count: u64) -> String {
    let more = count.saturating_sub(named.len() as u64);
    let named = named.join(", ");
    if more == 0 {
        named
    } else {
        format!("{named} and {more} more")
    }
}

fn left_out_line(left_out: LeftOut) -> Option<String> {
    if left_out == LeftOut::default() {
        return None;
    }
    let mut parts = Vec::new();
    if left_out.messages > 0 {
        let messages = counted(left_out.messages, "message", "messages");
        parts.push(format!(
            "{messages} with {} notices could not be delivered",
            left_out.undelivered
        ));
    }
    if left_out.missed > 0 {
        parts.push(format!("{} notices came too fast", left_out.missed));
    }
    if left_out.crowded > 0 {
        parts.push(format!("{} troubles or reports had no room", left_out.crowded));
    }
    Some(format!("Not told: {}", parts.join(", ")))
}

impl BanPart {
    fn new(ban: &Banned, geo: &Geo) -> Self {
        let origin = geo.of(&ban.target);
        Self {
            target: ban.target.to_string(),
            origin: Origin {
                organisation: origin.organisation.map(|name| shown(&name)),
                ..origin
            },
            rule: ban.reason.name().to_owned(),
            manual: ban.reason == Reason::Manual,
            actor: shown(&ban.actor),
            note: shown(&ban.note),
            strikes: ban.strikes,
            expires_at: end(ban.expires_at_ms),
        }
    }
}

impl UnbanPart {
    fn new(unban: &Unbanned) -> Self {
        Self {
            target: unban.target.to_string(),
            actor: shown(&unban.actor),
            note: shown(&unban.note),
        }
    }
}

impl EventPart {
    fn new(notice: &Notice) -> Option<Self> {
        let (trouble, text, over) = match &notice.what {
            What::Begun { trouble, detail } => (trouble, began(trouble, &shown(detail)), false),
            What::Over { trouble, lasted_ms } => (trouble, ended(trouble, *lasted_ms), true),
            What::Banned(_) | What::Unbanned(_) | What::Reported(_) => return None,
        };
        Some(Self {
            event: if over {
                end_of(trouble.kind)
            } else {
                trouble.kind.name()
            },
            trouble: trouble.kind.name(),
            subject: shown(&trouble.subject),
            over,
            severity: if over {
                Severity::Info
            } else {
                severity(trouble.kind)
            },
            at: rfc3339(notice.at_ms),
            text,
        })
    }
}

impl LeftOutPart {
    const fn new(left_out: LeftOut) -> Self {
        let LeftOut {
            missed,
            crowded,
            messages,
            undelivered,
        } = left_out;
        Self {
            missed,
            crowded,
            messages,
            undelivered,
        }
    }
}

/// Returns how much a trouble matters: as its alert in `packaging/prometheus`.
pub(super) const fn severity(kind: TroubleKind) -> Severity {
    match kind {
        TroubleKind::EdgeDown | TroubleKind::FeedNotTaken => Severity::Warning,
        TroubleKind::EdgeUnprotected | TroubleKind::Drift | TroubleKind::Brake | TroubleKind::NotReady => {
            Severity::Critical
        }
    }
}

/// The event of its end.
pub(super) const fn end_of(kind: TroubleKind) -> &'static str {
    match kind {
        TroubleKind::EdgeDown | TroubleKind::EdgeUnprotected | TroubleKind::Drift => "edge-back",
        TroubleKind::Brake => "brake",
        TroubleKind::NotReady => "ready",
        TroubleKind::FeedNotTaken => "feed-back",
    }
}

fn began(trouble: &Trouble, detail: &str) -> String {
    let subject = shown(&trouble.subject);
    match trouble.kind {
        TroubleKind::EdgeDown => format!("Edge {subject} is down: {detail}"),
        TroubleKind::EdgeUnprotected => format!("Edge {subject} does not protect {detail}"),
        TroubleKind::Drift => format!("Edge {subject} enforces other bans than the ledger has: {detail}"),
        TroubleKind::Brake => format!("Automatic bans are held back at {subject}: {detail}"),
        TroubleKind::NotReady => format!("{subject} cannot ban: {detail}"),
        TroubleKind::FeedNotTaken => format!("The list of feed {subject} is not taken: {detail}"),
    }
}

fn ended(trouble: &Trouble, lasted_ms: i64) -> String {
    let (subject, lasted) = (shown(&trouble.subject), left(lasted_ms.max(1000)));
    match trouble.kind {
        TroubleKind::EdgeDown => format!("Edge {subject} is there again after {lasted}"),
        TroubleKind::EdgeUnprotected => {
            format!("Edge {subject} protects all its interfaces again after {lasted}")
        }
        TroubleKind::Drift => format!("Edge {subject} enforces the ledger's bans again after {lasted}"),
        TroubleKind::Brake => format!("Automatic bans at {subject} are no longer held back, after {lasted}"),
        TroubleKind::NotReady => format!("{subject} can ban again after {lasted}"),
        TroubleKind::FeedNotTaken => format!("The list of feed {subject} is taken again after {lasted}"),
    }
}
