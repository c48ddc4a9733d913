//! The story as text for people.

use std::fmt::Write as _;

use secbeat_common::wire::{SeenEvent, SeenWhat, WafOutcome};
use secbeat_daemon::{
    cli::table,
    time::{NEVER, rfc3339},
};

use super::{
    timeline::span,
    view::{End, PastBan, SourceView, Standing},
};

/// Events that are shown, the latest of all.
const MAX_EVENTS: usize = 100;

/// `view` as text of several lines; the last one ends with a newline.
#[must_use]
pub fn render(view: &SourceView) -> String {
    let mut text = String::new();
    for sentence in &view.sentences {
        line(&mut text, sentence);
    }
    line(&mut text, "");
    line(&mut text, &format!("Source:  {}", view.source));
    if !view.origin.is_unknown() {
        line(&mut text, &format!("Origin:  {}", view.origin));
    }
    line(&mut text, &format!("Strikes: {}", view.strikes));
    let windows = view.windows.iter().map(|window| {
        let observes = if window.observe { " (dry run)" } else { "" };
        format!(
            "{} {} of {} in {}{observes}",
            window.rule,
            window.count,
            window.threshold,
            span(window.window_ms)
        )
    });
    line(
        &mut text,
        &format!("Windows: {}", windows.collect::<Vec<_>>().join(", ")),
    );
    if view.standing == Standing::Unknown {
        return text;
    }
    if !view.timeline.is_empty() {
        line(&mut text, "\nTimeline (UTC)");
        for moment in &view.timeline {
            line(&mut text, &format!("  {}  {}", moment.at, moment.text));
        }
    }
    if !view.history.is_empty() {
        line(&mut text, "\nBans");
        line(&mut text, &bans(&view.history));
    }
    if !view.events.is_empty() {
        let shown = &view.events[view.events.len().saturating_sub(MAX_EVENTS)..];
        let of = match view.events.len() {
            all if all > shown.len() => format!(" (the latest {} of {all})", shown.len()),
            _ => String::new(),
        };
        line(&mut text, &format!("\nWhat was seen of it{of}"));
        line(&mut text, &events(shown));
    }
    text
}

/// Adds a line without the spaces that a table leaves at its end.
fn line(text: &mut String, lines: &str) {
    for line in lines.split('\n') {
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn bans(history: &[PastBan]) -> String {
    let mut table = table([
        "DECIDED", "TARGET", "REASON", "BY", "LAYER", "STRIKES", "EXPIRES", "END", "COMMAND",
    ]);
    for ban in history {
        let end = match &ban.end {
            End::InForce => "in force".to_owned(),
            End::Expired => "by itself".to_owned(),
            End::Lifted { at, actor, .. } => format!("lifted by {actor} at {at}"),
            End::Replaced { .. } => "replaced".to_owned(),
        };
        table.add_row([
            ban.decided_at.clone(),
            ban.target.clone(),
            ban.reason.to_string(),
            ban.actor.clone(),
            ban.layer.clone(),
            ban.strikes.to_string(),
            ban.expires_at.clone().unwrap_or_else(|| NEVER.to_owned()),
            end,
            ban.command_id.to_string(),
        ]);
    }
    table.to_string()
}

fn events(events: &[SeenEvent]) -> String {
    let mut table = table([
        "TIME", "EDGE", "WHAT", "METHOD", "HOST", "PATH", "FROM", "LEARNED", "AGENT",
    ]);
    for event in events {
        let (what, method, detail) = match &event.what {
            SeenWhat::Answer {
                status,
                method,
                user_agent,
            } => (status.to_string(), method.as_str(), user_agent),
            SeenWhat::Unreadable { method, user_agent } => {
                ("unreadable".to_owned(), method.as_str(), user_agent)
            }
            SeenWhat::Waf {
                rule,
                outcome,
                message,
            } => {
                let rule = rule.map_or_else(String::new, |rule| format!(" {rule}"));
                let outcome = match outcome {
                    WafOutcome::Blocked => "blocked",
                    WafOutcome::Detected => "detected",
                    WafOutcome::Unknown => "unknown",
                };
                (format!("WAF{rule} {outcome}"), "", message)
            }
            SeenWhat::Service {
                service, kind, user, ..
            } => (format!("{service} {kind}"), "", user),
        };
        table.add_row([
            &rfc3339(event.at_ms),
            &visible(&event.edge),
            &what,
            &visible(method),
            &visible(&event.host),
            &visible(&event.path),
            &event.client.to_string(),
            event.learned_from.name(),
            &visible(detail),
        ]);
    }
    table.to_string()
}

/// Text that a client chose must not move the cursor of its reader.
fn visible(text: &str) -> String {
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}
