//! Destination of records, and the time at which they count as written.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    file::LineFile,
    position::Positions,
    record::OutRecord,
    settings::{AuditSyslog, Format},
    syslog::Connection,
};

/// Time that a connection has to last after a record for it to count as written: syslog acknowledges nothing, and what waits in a
/// host that has gone is lost.
const CONFIRMED: Duration = Duration::from_secs(3);

pub(super) enum Sink {
    File {
        file: LineFile,
        format: Format,
    },
    Syslog {
        settings: AuditSyslog,
        host: String,
        connection: Option<Connection>,
        /// How far those had come that were sent together, and when.
        unconfirmed: VecDeque<(Instant, Positions)>,
    },
}

impl Sink {
    /// Writes `records`, of which there is at least one. If it fails, some may have been.
    pub(super) async fn write(&mut self, records: &[OutRecord], reached: &Positions) -> anyhow::Result<()> {
        match self {
            Self::File { file, format } => {
                let lines: String = records.iter().map(|record| record.json(*format) + "\n").collect();
                tokio::task::block_in_place(|| file.append(&lines))
            }
            Self::Syslog {
                settings,
                host,
                connection,
                unconfirmed,
            } => {
                let connection = match connection {
                    Some(connection) => connection,
                    None => connection.insert(Connection::open(settings).await?),
                };
                connection.look()?;
                connection.send(records, settings.format, host).await?;
                unconfirmed.push_back((Instant::now(), reached.clone()));
                Ok(())
            }
        }
    }

    /// Returns how far everything is written for certain, of what has `reached` the sink.
    pub(super) fn confirmed(&mut self, reached: &Positions) -> anyhow::Result<Option<Positions>> {
        let Self::Syslog {
            connection: Some(connection),
            unconfirmed,
            ..
        } = self
        else {
            return Ok(Some(reached.clone()));
        };
        connection.look()?;
        let is_old = |sent: &Instant| !connection.can_break() || sent.elapsed() >= CONFIRMED;
        let mut confirmed = None;
        while let Some((_, positions)) = unconfirmed.pop_front_if(|(sent, _)| is_old(sent)) {
            confirmed = Some(positions);
        }
        Ok(confirmed)
    }

    /// Starts again: what is not confirmed is sent again.
    pub(super) fn reset(&mut self) {
        match self {
            Self::File { .. } => {}
            Self::Syslog {
                connection,
                unconfirmed,
                ..
            } => {
                *connection = None;
                unconfirmed.clear();
            }
        }
    }
}
