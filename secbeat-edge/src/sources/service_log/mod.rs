//! Logs of services other than web servers, from their lines to the bus.

mod config;
mod filters;
mod held;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use jiff::tz::TimeZone;
use secbeat_common::{
    subjects,
    wire::{LearnedFrom, MAX_SERVICE_EVENTS, ServiceBatch, ServiceClass, ServiceEvent, cut},
};
use secbeat_daemon::time::{from_wall_ms, wall_ms};
use secbeat_logs::{
    OpenLines, Piece,
    services::{Attempts, Blame, Class, Clock, Filter, Input, Judged, Verdict},
};
use secbeat_orchestrator_core::stand_in::Seen;
use tracing::error;

pub(crate) use self::config::ServiceLogConfig;
pub(crate) use self::filters::Filters;
use self::held::Held;
use super::{
    access_log::{AccessLogConfig, EntryFields, Health, Place, Reading, Source, Taken, keyed_places},
    client_address::TrustedProxies,
    reports::{BatchHead, EventRecorder, Reported},
    waf::WafLogConfig,
};
use crate::telemetry::Closed;

/// Receiver of what the readers of services' logs report.
pub(crate) type ServiceRecorder = EventRecorder<ServiceEvent>;

impl Reported for ServiceEvent {
    type Batch = ServiceBatch;
    const MOST: usize = MAX_SERVICE_EVENTS;

    fn batch(head: BatchHead, events: Vec<Self>) -> ServiceBatch {
        let BatchHead {
            edge_id,
            boot_id,
            sequence,
            sent_at_ms,
            dropped_before,
        } = head;
        ServiceBatch {
            edge_id,
            boot_id,
            sequence,
            sent_at_ms,
            dropped_before,
            events,
        }
    }

    fn shown(batch: ServiceBatch) -> Seen {
        Seen::Service(batch)
    }

    fn subject(edge_id: &str) -> String {
        subjects::service_events(edge_id)
    }
}

/// Lines of a log into which one service writes, or several.
struct ServiceLines {
    filters: Vec<Filter>,
    /// Those that are for one service and read its lines on this host elsewhere: what concerns it is left to them.
    special: Arc<[Filter]>,
    attempts: Attempts,
    held: Held,
    learned_from: LearnedFrom,
    users: bool,
    zone: TimeZone,
    trusted: TrustedProxies,
    recorder: ServiceRecorder,
    /// What the journal knows of the lines that come, if it has them.
    entry: Option<Entry>,
}

#[derive(Default)]
struct Entry {
    identifier: String,
    pid: String,
    at_ms: i64,
}

impl Reading for ServiceLines {
    fn take(
        &mut self,
        piece: Piece<'_>,
        open: &mut OpenLines,
        oldest_ms: Option<i64>,
    ) -> Result<Taken, Closed> {
        let line = match piece {
            Piece::Line(line) => line,
            Piece::Begin(_) => return Ok(Taken::TooLong),
            Piece::More(_) | Piece::End(_) => return Ok(Taken::Incomplete),
        };
        let own = match self.entry {
            None => open.service_line(line),
            Some(_) => Some(line.into()),
        };
        let Some(line) = own.as_deref() else {
            return Ok(Taken::Incomplete);
        };
        if !self.filters.iter().any(|filter| filter.may_blame(line)) {
            return Ok(Taken::Reported { at_ms: None });
        }
        let clock = Clock {
            zone: self.zone.clone(),
            // As its service does.
            now_ms: wall_ms(),
        };
        let input = match &self.entry {
            Some(entry) => Input::Entry {
                identifier: &entry.identifier,
                pid: &entry.pid,
                at_ms: entry.at_ms,
                message: line,
            },
            None => Input::Line(line),
        };
        let Some((filter, judged)) = judge(&self.filters, &input, &clock) else {
            return Ok(Taken::Reported { at_ms: None });
        };
        if let Some(forgiven) = &judged.forgiven {
            self.held.forgive(forgiven);
        }
        let judged = open.after_broken_ones(judged, line);
        let at_ms = judged.at_ms.unwrap_or(clock.now_ms);
        let blame = match judged.verdict {
            Verdict::Foreign | Verdict::Nothing => return Ok(Taken::Reported { at_ms: None }),
            Verdict::NoAddress => return Ok(Taken::Ambiguous("a line names no address of the client")),
            Verdict::Ambiguous => return Ok(Taken::Ambiguous("a line can be read with different clients")),
            Verdict::Doubted => {
                return Ok(Taken::Ambiguous(
                    "a line follows one that a client may have broken, and may be the client's own",
                ));
            }
            Verdict::Blames(blame) => blame,
        };
        if oldest_ms.is_some_and(|oldest_ms| at_ms < oldest_ms) {
            return Ok(Taken::TooOld);
        }
        if filter.is_general() && self.is_of_another(&input, &blame) {
            return Ok(Taken::Reported { at_ms: None });
        }
        if self.trusted.contains(blame.client) {
            return Ok(Taken::Unattributed);
        }
        let attempts = match blame.is_echo {
            true => 0,
            false => self.attempts.count(&blame, clock.now_ms),
        };
        for _ in 0..attempts {
            let event = self.event(&filter.name, &blame, from_wall_ms(at_ms));
            match blame.waits {
                true => self.held.add(&blame, event, Instant::now()),
                false => self.recorder.record_wait(event)?,
            }
        }
        if blame.waits {
            self.release(false)?;
        }
        Ok(Taken::Reported { at_ms: Some(at_ms) })
    }

    fn release(&mut self, all: bool) -> Result<(), Closed> {
        let now = Instant::now();
        loop {
            let event = match all {
                true => self.held.oldest(),
                false => self.held.due(now),
            };
            match event {
                Some(event) => self.recorder.record_wait(event)?,
                None => return Ok(()),
            }
        }
    }

    fn takes_whole_entries(&self) -> bool {
        true
    }

    fn begin_entry(&mut self, entry: EntryFields<'_>) {
        let kept = self.entry.get_or_insert_default();
        entry.identifier.clone_into(&mut kept.identifier);
        entry.pid.clone_into(&mut kept.pid);
        kept.at_ms = entry.at_ms;
    }
}

/// Returns what the filters make of a line, with the one that has most to say: the first that blames somebody. A line
/// that two blame different clients for blames nobody. General filters have no say where another knows the program.
fn judge<'a>(filters: &'a [Filter], input: &Input<'a>, clock: &Clock) -> Option<(&'a Filter, Judged<'a>)> {
    let (general, special): (Vec<_>, Vec<_>) = filters.iter().partition(|filter| filter.is_general());
    let Some((filter, judged)) = judge_by(&special, input, clock) else {
        return judge_by(&general, input, clock);
    };
    if !matches!(judged.verdict, Verdict::Nothing) || filter.is_named_by(input) {
        return Some((filter, judged));
    }
    // Heads of its own may fit lines of programs that it does not know.
    Some(match judge_by(&general, input, clock) {
        Some((general, other)) => {
            let broken = judged.broken.or(other.broken);
            (general, Judged { broken, ..other })
        }
        None => (filter, judged),
    })
}

/// `None` if the line is of none of their services.
fn judge_by<'a>(
    filters: &[&'a Filter],
    input: &Input<'a>,
    clock: &Clock,
) -> Option<(&'a Filter, Judged<'a>)> {
    let mut found: Option<(&Filter, Judged<'_>)> = None;
    let (mut broken, mut forgiven) = (None, None);
    for &filter in filters {
        let mut judged = filter.judge(input, clock);
        broken = broken.or(judged.broken);
        forgiven = forgiven.or_else(|| judged.forgiven.take());
        let known = found.as_ref().map(|(_, known)| &known.verdict);
        match (known, &judged.verdict) {
            (_, Verdict::Foreign) => {}
            (Some(Verdict::Blames(one)), Verdict::Blames(other)) if one.client != other.client => {
                let verdict = Verdict::Ambiguous;
                let at_ms = judged.at_ms;
                let judged = Judged {
                    at_ms,
                    verdict,
                    broken,
                    forgiven: None,
                };
                return Some((filter, judged));
            }
            (None | Some(Verdict::Nothing), _)
            | (Some(Verdict::NoAddress | Verdict::Ambiguous), Verdict::Blames(_)) => {
                found = Some((filter, judged));
            }
            _ => {}
        }
    }
    let (filter, judged) = found?;
    let judged = Judged {
        broken,
        forgiven,
        ..judged
    };
    Some((filter, judged))
}

impl ServiceLines {
    /// Whether the line of a general filter concerns a service that has a filter of its own, in this log or another: it counts there.
    fn is_of_another(&self, input: &Input<'_>, blame: &Blame<'_>) -> bool {
        let here = self.filters.iter().filter(|filter| !filter.is_general());
        here.chain(&*self.special).any(|filter| {
            let service = blame.service.as_deref();
            filter.is_named_by(input) || service.is_some_and(|service| filter.is_of_program(service))
        })
    }

    fn event(&self, service: &str, blame: &Blame<'_>, at_ms: i64) -> ServiceEvent {
        let user = blame.user.as_deref().filter(|_| self.users).unwrap_or_default();
        ServiceEvent {
            client: blame.client,
            at_ms,
            learned_from: self.learned_from,
            class: match blame.class {
                Class::AuthFailure => ServiceClass::AuthFailure,
                Class::Abuse => ServiceClass::Abuse,
                Class::Scan => ServiceClass::Scan,
            },
            service: service.to_owned(),
            kind: blame.kind.to_owned(),
            user: cut(user).to_owned(),
        }
    }
}

/// Returns what all entries ask for: one source for each log, and the health of entries that cannot be followed.
pub(crate) fn sources(
    entries: &[ServiceLogConfig],
    filters: &Filters,
    trusted: &TrustedProxies,
    recorder: &ServiceRecorder,
) -> (Vec<Source>, Vec<Health>) {
    let mut logs: Vec<(Place, &ServiceLogConfig, Vec<Filter>)> = Vec::new();
    let mut broken = Vec::new();
    for entry in entries {
        if let Err(what) = add(&mut logs, entry, filters) {
            error!(filter = entry.filter, "a service's log is not followed: {what}");
            let health = Health::new(&entry.filter, "service");
            health.set_error(Some(what));
            broken.push(health);
        }
    }
    let special = special(&logs, entries, filters);
    let source = |(place, entry, filters): (Place, &ServiceLogConfig, Vec<Filter>)| {
        let names: Vec<_> = filters.iter().map(|filter| filter.name.as_str()).collect();
        let names = names.join("+");
        Source {
            name: format!("{names} {place}"),
            place,
            format: names,
            start: entry.start,
            max_age: entry.max_age.0,
            zone: Some(entry.zone()),
            reading: Box::new(ServiceLines {
                filters,
                special: special.clone(),
                attempts: Attempts::default(),
                held: Held::default(),
                learned_from: entry.client.into(),
                users: entry.users,
                zone: entry.zone(),
                trusted: trusted.clone(),
                recorder: recorder.clone(),
                entry: None,
            }),
            progress: recorder.stats(),
        }
    };
    (logs.into_iter().map(source).collect(), broken)
}

/// The filters that are for one service, of all entries that read its lines on this host; none where no log has a general one, which asks
/// for them.
fn special(
    logs: &[(Place, &ServiceLogConfig, Vec<Filter>)],
    entries: &[ServiceLogConfig],
    filters: &Filters,
) -> Arc<[Filter]> {
    let is_asked = logs.iter().any(|(.., of)| of.iter().any(Filter::is_general));
    let entries = entries.iter().filter(|_| is_asked);
    let read = entries.filter_map(|entry| {
        let filter = filters.load(&entry.filter).ok()?;
        entry.reads_this_host(&filter).then_some(filter)
    });
    read.filter(|filter| !filter.is_general()).collect()
}

/// Returns where the lines of `entry` are, on this host now.
///
/// # Errors
///
/// Returns an error if its filter cannot be used, or nothing says where.
pub(crate) fn places(entry: &ServiceLogConfig, filters: &Filters) -> Result<Vec<Place>, String> {
    entry.places(&filters.load(&entry.filter)?)
}

/// Adds the logs of `entry` to `logs`, each of which is read once.
fn add<'e>(
    logs: &mut Vec<(Place, &'e ServiceLogConfig, Vec<Filter>)>,
    entry: &'e ServiceLogConfig,
    filters: &Filters,
) -> Result<(), String> {
    for place in places(entry, filters)? {
        let filter = filters.load(&entry.filter)?;
        match logs.iter_mut().find(|(known, ..)| *known == place) {
            Some((.., of)) if of.iter().any(|known| known.name == filter.name) => {}
            Some((.., of)) => of.push(filter),
            None => logs.push((place, entry, vec![filter])),
        }
    }
    Ok(())
}

/// Finds what is wrong with the entries together and with the files that they name: the key to blame, and what to say.
///
/// # Errors
///
/// The first of them.
pub(crate) fn check(
    entries: &[ServiceLogConfig],
    filters: &Filters,
    access_logs: &[AccessLogConfig],
    waf_logs: &[WafLogConfig],
) -> Result<(), (String, String)> {
    let mut others = keyed_places(access_logs);
    let waf_logs = waf_logs.iter().enumerate();
    others.extend(
        waf_logs.map(|(number, log)| (format!("waf_log[{number}].path"), Place::Files(log.path.clone()))),
    );
    config::check(entries, others, |name| filters.load(name))
}
