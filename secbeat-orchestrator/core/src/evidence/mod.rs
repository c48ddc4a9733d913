//! Events and findings of this process, kept so that it can say why.
//!
//! * `journal`: the most recent reported events of all sources, in a fixed amount of memory.
//! * `texts`: the journal's texts.
//! * `findings`: the most recent findings and what became of them.

mod findings;
mod journal;
#[cfg(test)]
mod tests;
mod texts;

use secbeat_common::wire::{self, SeenEvent, SeenWhat, ServiceClass};

pub use self::{
    findings::{FindingFilter, Findings, Outcome, PastFinding},
    journal::{DEFAULT_MEMORY, Journal, MIN_MEMORY},
};

use crate::{
    analyzers::{Counted, Finding, Why},
    millis,
};

/// Events and findings.
#[derive(Debug)]
pub struct Witness {
    pub journal: Journal,
    pub findings: Findings,
}

impl Witness {
    /// One whose journal takes `memory` bytes.
    #[must_use]
    pub fn new(memory: usize) -> Self {
        Self {
            journal: Journal::new(memory),
            findings: Findings::default(),
        }
    }

    /// Returns what led to `finding`, as far as it was reported event by event: the latest events of its source within its
    /// window, oldest first, as many as an audit record may hold.
    #[must_use]
    pub fn evidence(&self, finding: &Finding) -> Vec<SeenEvent> {
        let start_ms = finding.at_ms.saturating_sub(millis(finding.window()));
        let Why::Threshold { counted, .. } = finding.why;
        let led_to_it = |event: &SeenEvent| {
            event.at_ms > start_ms && event.at_ms <= finding.at_ms && is_counted(counted, &event.what)
        };
        wire::bounded(self.journal.of(&finding.source).filter(led_to_it))
    }
}

/// Whether `counted` counts what happened.
fn is_counted(counted: Counted, what: &SeenWhat) -> bool {
    let of_class = |wanted| matches!(what, SeenWhat::Service { class, .. } if *class == wanted);
    match counted {
        // Of any kind that its rule counts.
        Counted::Clients => true,
        Counted::WafEvents => matches!(what, SeenWhat::Waf { .. }),
        Counted::AuthFailures => of_class(ServiceClass::AuthFailure),
        Counted::Abuse => of_class(ServiceClass::Abuse),
        Counted::Scans => of_class(ServiceClass::Scan),
        Counted::Errors
        | Counted::Requests
        | Counted::Aborted
        | Counted::ProtocolErrors
        | Counted::Paths
        | Counted::Signatures
        | Counted::DistinctSignatures => {
            matches!(what, SeenWhat::Answer { .. } | SeenWhat::Unreadable { .. })
        }
    }
}
