//! Other rules than before.

use std::{num::NonZeroU32, time::Duration};

use secbeat_common::subjects::PARTITIONS;

use super::Decider;
use crate::{
    analyzers::{Agreement, Analyzer, DetectConfig, Providers, Schedule, ThresholdAnalyzer},
    millis,
};

/// The rules, and what follows from them.
#[derive(Clone, Debug)]
pub struct Rules {
    pub detect: DetectConfig,
    /// Greatest age of what counts.
    pub max_age: Duration,
}

/// What finds clients, and does not change with the rules.
#[derive(Clone, Debug)]
pub(super) struct Method {
    pub(super) agreeing_edges: NonZeroU32,
    pub(super) cleanup_interval: Duration,
    pub(super) providers: Providers,
}

impl Method {
    pub(super) fn analyzer(&self, Rules { detect, max_age }: &Rules) -> (Box<dyn Analyzer>, Schedule) {
        let schedule = Schedule::new(millis(self.cleanup_interval), millis(*max_age));
        let threshold =
            ThresholdAnalyzer::new(detect.clone(), schedule).with_providers(self.providers.clone());
        let analyzer: Box<dyn Analyzer> = match self.agreeing_edges {
            NonZeroU32::MIN => Box::new(threshold),
            agreeing => Box::new(Agreement::new(threshold, detect, agreeing, schedule)),
        };
        (analyzer, schedule)
    }
}

impl Decider {
    /// Other rules hold from now on. All windows begin empty, with nothing but what is known to be paid for, as those of partitions that
    /// were just taken: the one who reads the telemetry reads it again from the beginning of the longest window.
    pub(super) fn rules_changed(&mut self, rules: &Rules) {
        (self.analyzer, self.prune) = self.method.analyzer(rules);
        self.rules.clone_from(&rules.detect.rules);
        self.max_age_ms = millis(rules.max_age);
        self.waf_window_ms = rules.detect.waf_window_ms();
        self.service_window_ms = rules.detect.service_window_ms();
        // What still holds is found again.
        self.partitions.parked.clear();
        self.ledger.forget_held(|_| true);
        for partition in (0..PARTITIONS)
            .filter(|partition| self.watches(*partition))
            .collect::<Vec<_>>()
        {
            self.begin(partition);
            self.partitions.seen_again(partition);
        }
    }
}
