//! The log of telemetry.

use std::{collections::BTreeSet, sync::Arc};

use secbeat_common::subjects;

use crate::{
    backend::{Created, Log, Messages, Start, Stored},
    bus::Bus,
    error::Result,
};

/// Where to start reading telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelemetryFrom {
    /// At this time, milliseconds since the Unix epoch.
    Time(i64),
    /// After the message of this sequence of this log.
    After(Created, u64),
}

/// What edges report.
#[derive(Clone, Debug)]
pub struct TelemetryLog(Arc<dyn Log>);

impl TelemetryLog {
    #[must_use]
    pub fn new(bus: &Bus) -> Self {
        Self(bus.log(subjects::TELEMETRY_STREAM))
    }

    /// Returns when the log was made: telemetry is kept, if there is one.
    ///
    /// # Errors
    ///
    /// Returns an error if there is none, or the server does not answer.
    pub async fn created(&self) -> Result<Created> {
        self.0.status().await.map(|status| status.created)
    }

    /// Reads the telemetry of `partitions`, with the events of all web application firewalls, from `from` on, then live.
    /// Returns which log it is with it.
    ///
    /// # Errors
    ///
    /// Returns an error if the log cannot be read.
    pub async fn read(
        &self,
        partitions: &BTreeSet<u16>,
        from: TelemetryFrom,
    ) -> Result<(Created, Messages<Stored>)> {
        let status = self.0.status().await?;
        let start = match from {
            TelemetryFrom::Time(at_ms) => Start::Time(at_ms),
            TelemetryFrom::After(of, sequence) if of == status.created && sequence <= status.last => {
                Start::Sequence(sequence + 1)
            }
            // A server that lost its memory counts from 1 again, and has nothing that was read already.
            TelemetryFrom::After(..) => Start::Beginning,
        };
        let reading = self.0.read(start, filters(partitions)).await?;
        Ok((status.created, reading.records))
    }
}

/// Returns what of the log concerns `partitions`.
fn filters(partitions: &BTreeSet<u16>) -> Vec<String> {
    if partitions.len() == usize::from(subjects::PARTITIONS) {
        return Vec::new();
    }
    let telemetry = partitions.iter().flat_map(|n| subjects::telemetry_of(*n));
    let events = [subjects::WAF_ALL, subjects::SERVICE_ALL].map(str::to_owned);
    telemetry.chain(events).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_all_partitions_reads_without_filters() {
        assert_eq!(filters(&(0..subjects::PARTITIONS).collect()), [""; 0]);
        assert_eq!(
            filters(&[3].into()),
            [
                "secbeat.telemetry.*.3",
                "secbeat.telemetry.*.3.late",
                "secbeat.events.waf.*",
                "secbeat.events.service.*"
            ]
        );
    }
}
