//! Lines of a service's log, among those that no format of access logs understands.

use std::borrow::Cow;

use jiff::{Timestamp, tz::TimeZone};
use secbeat_logs::{
    OpenLines,
    services::{Clock, Filter, Input, Verdict, shipped, shipped_names},
};

/// Lines that are looked at: most say nothing of a client.
const LINES: usize = 100;

/// The filters that are shipped, and how many lines they still look at.
pub(super) struct Services {
    filters: Vec<Filter>,
    lines: usize,
}

impl Services {
    pub(super) fn shipped() -> Self {
        let mut names: Vec<_> = shipped_names().collect();
        // PAM writes about the logins of other services.
        names.sort_by_key(|name| *name == "pam");
        let filters = names.into_iter().filter_map(|name| shipped(name)?.ok());
        Self {
            filters: filters.collect(),
            lines: LINES,
        }
    }

    /// Returns what to state, if a line says that a service refused a client.
    pub(super) fn note(&mut self, line: &[u8], zone: &TimeZone) -> Option<Cow<'static, str>> {
        self.lines = self.lines.checked_sub(1)?;
        let own = OpenLines::default().service_line(line)?;
        let clock = Clock {
            zone: zone.clone(),
            now_ms: Timestamp::now().as_millisecond(),
        };
        let is_of = |filter: &&Filter| {
            let judged = filter.judge(&Input::Line(&own), &clock);
            matches!(judged.verdict, Verdict::Blames(_))
        };
        let filter = self.filters.iter().find(is_of)?;
        let note = format!(
            "a line is that of a service, {}: state `--service {}`",
            filter.title, filter.name
        );
        Some(note.into())
    }
}
