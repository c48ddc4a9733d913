//! Health of the daemon for `status`, as findings with what to do.

use secbeat_common::wire::ClockOffset;
use secbeat_edge_core::FilterMode;

use super::{
    check::{Finding, State},
    status::{HANGS, Status, refused, unallowed},
};
use crate::view::{AccessLogView, AttachmentView, ListsView, ReconcileView, StatsView};

/// A log that is silent for longer is told, in milliseconds.
const SILENT_MS: i64 = 15 * 60 * 1000;
/// From this share of lines on that are not understood, the format is likely to be wrong.
const TOO_MANY: f64 = 0.5;

impl Status {
    /// Returns what is well and what is not; `program` has the commands that help.
    #[must_use]
    pub fn findings(&self, program: &str) -> Vec<Finding> {
        let mut findings = vec![self.daemon_finding(program)];
        findings.extend(self.attached.iter().map(attachment));
        match self.mode {
            Some(FilterMode::Observe) => findings.push(Finding::new(
                "mode",
                State::Note,
                format!(
                    "observe: banned packets pass; `{program} mode enforce` drops them, and `mode` under [kernel] keeps it so"
                ),
            )),
            Some(FilterMode::Enforce) => findings.push(Finding::new("mode", State::Ok, "enforce")),
            None => {}
        }
        if let Some(daemon) = &self.daemon {
            findings.push(match &self.unreadable {
                Some(why) if self.has_lost_pins => Finding::new("maps", State::Problem, why.clone()),
                Some(why) => Finding::new("maps", State::Note, format!("not checked: {why}")),
                None if self.unwritten() > 0 => {
                    Finding::new("maps", State::Problem, refused(self.unwritten()))
                }
                None => agreement(&daemon.enforcer.reconcile, self.bans_in_kernel),
            });
            let failed = self.allowlist_failed();
            findings.extend(failed.map(|why| Finding::new("allowlist", State::Problem, unallowed(why))));
            findings.extend(daemon.enforcer.modes_without_interface.iter().map(|name| {
                let detail = format!("`{name}` in interface_modes under [kernel] matches no interface, so its mode has no effect");
                Finding::new("mode", State::Problem, detail)
            }));
            findings.extend(room(&daemon.enforcer.reconcile));
            findings.extend(lists(&daemon.lists));
            findings.push(clock(daemon.clock));
            findings.push(telemetry(daemon));
            findings.extend(daemon.access_logs.iter().map(|found| log(found, program)));
        }
        findings
    }

    /// Logs of `service`, of which a filter or a server has the name: a line each. Empty if there is none.
    #[must_use]
    pub fn logs_of(&self, service: &str) -> Vec<String> {
        let line = |log: &AccessLogView| {
            let last = log.silent_ms.map_or_else(
                || "no line since the start".to_owned(),
                |silent| format!("last line {} s ago", silent / 1000),
            );
            let error = log.error.iter().map(|error| format!(", CANNOT BE READ: {error}"));
            format!(
                "{}: {} lines, {} of them blame a client, {last}{}",
                log.name,
                log.lines,
                log.told,
                error.collect::<String>()
            )
        };
        self.are_of(service).map(line).collect()
    }

    /// The name of the filter or the format that the log of `service` is read with, as `sshd` for `ssh`.
    #[must_use]
    pub fn filter_of<'a>(&'a self, service: &'a str) -> &'a str {
        let mut formats = self.are_of(service).map(|log| log.format.as_str());
        match formats.next() {
            Some(first) if formats.all(|format| format == first) => first,
            _ => service,
        }
    }

    fn are_of(&self, service: &str) -> impl Iterator<Item = &AccessLogView> {
        let logs = self.daemon.iter().flat_map(|daemon| &daemon.access_logs);
        logs.filter(move |log| log.format == service || log.name.contains(service))
    }

    fn daemon_finding(&self, program: &str) -> Finding {
        let is_attached = self.attached.iter().any(|attachment| attachment.protected);
        match (self.is_running(), is_attached) {
            (false, _) if self.hangs => Finding::new("daemon", State::Problem, format!("it {HANGS}")),
            (true, _) => Finding::new("daemon", State::Ok, "it answers"),
            (false, true) => Finding::new(
                "daemon",
                State::Problem,
                format!(
                    "it does not run: bans stay in the kernel until they expire, and no new client is banned; `systemctl start {program}`"
                ),
            ),
            (false, false) => Finding::new(
                "daemon",
                State::Problem,
                format!(
                    "it does not run: `systemctl start {program}`, and `journalctl -u {program}` says why it ended"
                ),
            ),
        }
    }
}

fn attachment(attachment: &AttachmentView) -> Finding {
    let AttachmentView {
        interface,
        mode,
        observes,
        why,
        ..
    } = attachment;
    let what = format!("in the kernel, {interface}");
    match (why, mode.as_str()) {
        (Some(why), _) => Finding::new(what, State::Problem, format!("not protected: {why}")),
        (None, "generic") => Finding::new(
            what,
            State::Note,
            "protected in generic mode, which is slow: the driver has no native XDP",
        ),
        (None, mode) if *observes => Finding::new(
            what,
            State::Note,
            format!(
                "the program is there ({mode}), and only observes: banned packets pass on this interface"
            ),
        ),
        (None, mode) => Finding::new(what, State::Ok, format!("protected ({mode})")),
    }
}

/// One for each list that is not as it should be, or one for all.
fn lists(view: &ListsView) -> Vec<Finding> {
    if view.agrees == Some(false) {
        let what = "the kernel has other lists than the daemon put in force; a restart of the daemon puts them in force again";
        return vec![Finding::new("lists", State::Problem, what)];
    }
    let problems = view.lists.iter().filter_map(|list| {
        let why = list.problem.as_ref()?;
        let what = match list.in_force {
            true => format!("{} is in force as it was before: {why}", list.name),
            false => format!("{} is not in force: {why}", list.name),
        };
        Some(Finding::new("list", State::Problem, what))
    });
    let problems: Vec<_> = problems.collect();
    match (problems.is_empty(), view.lists.len()) {
        (true, 0) => Vec::new(),
        (true, lists) => vec![Finding::new("lists", State::Ok, format!("{lists} in force"))],
        (false, _) => problems,
    }
}

fn agreement(reconcile: &ReconcileView, bans: usize) -> Finding {
    let drift = reconcile.missing + reconcile.differing + reconcile.foreign;
    match (reconcile.completed, drift) {
        (0, _) => Finding::new(
            "maps",
            State::Note,
            "not compared yet; the daemon has just started",
        ),
        (_, 0) => Finding::new(
            "maps",
            State::Ok,
            format!("the kernel has the bans that it should have ({bans})"),
        ),
        (_, drift) => Finding::new(
            "maps",
            State::Note,
            format!(
                "{drift} bans differed from what they should be, and were repaired; if that goes on, something else writes the maps"
            ),
        ),
    }
}

fn room(reconcile: &ReconcileView) -> Option<Finding> {
    let fullest = reconcile
        .maps
        .iter()
        .find(|map| map.entries.saturating_mul(2) > u64::from(map.slots));
    if reconcile.evicted == 0 && fullest.is_none() {
        return None;
    }
    let detail = match fullest {
        Some(map) => format!(
            "{} holds {} bans in {} slots, and {} were lost: raise `ban_slots` under [kernel]",
            map.name, map.entries, map.slots, reconcile.evicted
        ),
        None => format!(
            "{} bans were lost for want of room: raise `ban_slots` under [kernel]",
            reconcile.evicted
        ),
    };
    Some(Finding::new("room for bans", State::Note, detail))
}

fn clock(clock: Option<ClockOffset>) -> Finding {
    match clock {
        Some(offset) if offset.is_wrong() => {
            Finding::new("clock", State::Problem, format!("{offset}: set it right (NTP)"))
        }
        Some(offset) => Finding::new("clock", State::Ok, offset.to_string()),
        None => Finding::new("clock", State::Note, "not measured yet; the host's counts"),
    }
}

fn telemetry(daemon: &StatsView) -> Finding {
    let telemetry = &daemon.telemetry;
    let lost = telemetry.dropped + telemetry.messages_lost;
    if !daemon.bus_connected {
        let detail = "the detector does not take what is seen, which waits on disk";
        return Finding::new("telemetry", State::Problem, detail);
    }
    match lost {
        0 => Finding::new(
            "telemetry",
            State::Ok,
            format!("{} responses, none lost", telemetry.recorded),
        ),
        lost => Finding::new(
            "telemetry",
            State::Note,
            format!(
                "{lost} of {} responses or messages were lost and do not count",
                telemetry.recorded
            ),
        ),
    }
}

fn log(log: &AccessLogView, program: &str) -> Finding {
    let what = format!("log {}", log.name);
    let (state, detail) = if let Some(error) = &log.error {
        (State::Problem, format!("it cannot be read: {error}"))
    } else if log.recent_unparsed_share.is_some_and(|share| share >= TOO_MANY) {
        let why = log.reasons.last().map_or("", String::as_str);
        (
            State::Problem,
            format!(
                "most of its last lines are not understood as {} ({why}): `{program} explain` shows how each is read",
                log.format
            ),
        )
    } else if let Some(doubt) = log.doubts.first() {
        (State::Problem, doubt.clone())
    } else {
        match log.silent_ms {
            None => (
                State::Note,
                "no line since the start; if its service is in use, it writes elsewhere".to_owned(),
            ),
            Some(silent) if silent > SILENT_MS => {
                (State::Note, format!("no line for {} min", silent / 60_000))
            }
            Some(silent) => (
                State::Ok,
                format!("{} lines, the last one {} s ago", log.lines, silent / 1000),
            ),
        }
    };
    Finding::new(what, state, detail)
}
