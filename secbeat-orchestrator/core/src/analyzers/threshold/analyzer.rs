//! The detector as an analyzer.

use secbeat_common::{prefix::Prefix, wire::Interest};
use tracing::debug;

use super::{DetectConfig, Detector, Excused, Providers, Request, Sighting, WindowCount};
use crate::analyzers::{Analyzer, AnalyzerStats, Finding, Observation, Reset, Seen};

/// Counts in sliding windows, for all of a fleet's edges together.
#[derive(Debug)]
pub struct ThresholdAnalyzer {
    detector: Detector,
    interest: Interest,
    schedule: Schedule,
}

/// Times at which quiet sources are forgotten. Lengths and times are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// How often.
    pub interval_ms: i64,
    /// Greatest age of what is reported.
    pub max_age_ms: i64,
    latest_ms: Option<i64>,
}

impl Schedule {
    /// Every `interval_ms`, where nothing older than `max_age_ms` is reported.
    #[must_use]
    pub const fn new(interval_ms: i64, max_age_ms: i64) -> Self {
        Self {
            interval_ms,
            max_age_ms,
            latest_ms: None,
        }
    }

    /// Before when nothing is reported any more, if it is time to forget at `now_ms`.
    pub fn due(&mut self, now_ms: i64) -> Option<i64> {
        let latest_ms = *self.latest_ms.get_or_insert(now_ms);
        // A clock that was set back must not keep everything for as long.
        let passed_ms = now_ms.abs_diff(latest_ms);
        if passed_ms < self.interval_ms.unsigned_abs() {
            return None;
        }
        self.latest_ms = Some(now_ms);
        Some(now_ms.saturating_sub(self.max_age_ms))
    }
}

impl ThresholdAnalyzer {
    /// An analyzer of the rules in `config` that has seen nothing.
    #[must_use]
    pub fn new(config: DetectConfig, schedule: Schedule) -> Self {
        Self {
            interest: config.interest(),
            detector: Detector::new(config),
            schedule,
        }
    }

    /// See [`Detector::reproducible`].
    #[must_use]
    pub fn reproducible(self) -> Self {
        Self {
            detector: self.detector.reproducible(),
            ..self
        }
    }

    /// See [`Detector::with_providers`].
    #[must_use]
    pub fn with_providers(self, providers: Providers) -> Self {
        Self {
            detector: self.detector.with_providers(providers),
            ..self
        }
    }

    /// Observes what [`Seen::Answer`] is, where there is not an analyzer of another kind.
    #[inline]
    pub fn observe_answer(&mut self, sighting: Sighting, request: &Request<'_>) -> Option<Finding> {
        self.detector.observe_answer(sighting, request)
    }

    /// Sources taken up since the start; one that went and came back was taken up twice.
    #[must_use]
    #[inline]
    pub fn admitted(&self) -> u64 {
        self.detector.admitted()
    }
}

impl Analyzer for ThresholdAnalyzer {
    fn interest(&self) -> Interest {
        self.interest.clone()
    }

    fn expect(&mut self, sources: &mut dyn Iterator<Item = Prefix>) {
        self.detector.expect(sources);
    }

    fn observe(&mut self, seen: &Observation<'_>, findings: &mut Vec<Finding>) {
        findings.extend(self.detector.observe(&seen.seen));
    }

    fn reset(&mut self, target: Prefix, reset: Reset) {
        match reset {
            Reset::Banned { until_ms, layer } => self.detector.ignore_until(target, until_ms, layer),
            Reset::Lifted { until_ms } => self.detector.forget(target, until_ms),
            Reset::Observed { rule, until_ms } => self.detector.observe_until(target, rule, until_ms),
        }
    }

    fn banned_on(&mut self, _: Prefix, _: &[String], _: i64) {}

    fn forget_partition(&mut self, partition: u16) {
        self.detector.forget_partition(partition);
    }

    fn tick(&mut self, now_ms: i64, _: &mut Vec<Finding>) {
        if let Some(before_ms) = self.schedule.due(now_ms) {
            let forgotten = self.detector.cleanup(before_ms);
            debug!(
                forgotten,
                tracked = self.detector.tracked(),
                "forgot quiet sources"
            );
        }
    }

    fn windows(&self, source: &Prefix, now_ms: i64) -> Vec<WindowCount> {
        self.detector.windows(source, now_ms)
    }

    fn excused(&self, source: &Prefix) -> Option<Excused> {
        self.detector.excused(source)
    }

    fn well_behaved(&self, now_ms: i64) -> u64 {
        self.detector.well_behaved(now_ms) as u64
    }

    fn stats(&self) -> AnalyzerStats {
        AnalyzerStats {
            tracked: self.detector.tracked(),
            evicted: self.detector.evicted(),
            excused: self.detector.stats().excused,
        }
    }
}

impl Detector {
    /// One thing that was seen.
    pub(in crate::analyzers) fn observe(&mut self, seen: &Seen<'_>) -> Option<Finding> {
        match seen {
            Seen::Event(sighting, request) => self.observe_event(*sighting, request),
            Seen::Requests(sighting, tally) => self.observe_requests(*sighting, *tally),
            Seen::Answer(sighting, request) => self.observe_answer(*sighting, request),
            Seen::Waf(event, at_ms) => self.observe_waf(event, *at_ms),
            Seen::Service(event, at_ms) => self.observe_service(event, *at_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_sources_are_forgotten_once_an_interval_whatever_the_clock_does() {
        let mut schedule = Schedule::new(300_000, 120_000);
        assert_eq!(schedule.due(1_000_000), None, "nothing is quiet at the start");
        assert_eq!(schedule.due(1_299_999), None);
        assert_eq!(schedule.due(1_300_000), Some(1_180_000));
        assert_eq!(schedule.due(1_300_001), None);
        assert_eq!(schedule.due(900_000), Some(780_000), "the clock was set back");
    }
}
