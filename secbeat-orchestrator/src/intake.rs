//! From the bus to the engine: first what the bus remembers, then telemetry, for ever and through every reconnect.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use async_nats::Message;
use futures::StreamExt as _;
use secbeat_common::{
    daemon::{bus::Bus, config::NatsUrl, garbage::Garbage, time::now_ms},
    subjects,
    wire::{self, LateBatch, WireError},
};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::{
    bus::{StreamId, Streams, TelemetryFrom},
    engine::Input,
};

/// Pause before reading is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// What the intake needs.
pub struct Intake {
    pub bus: Bus,
    pub url: NatsUrl,
    pub inputs: mpsc::Sender<Input>,
    pub garbage: Arc<Garbage>,
    /// The longest window: so much telemetry is read again after a restart.
    pub window: Duration,
    /// How far back the audit matters.
    pub memory: Duration,
}

impl Intake {
    /// Reads for ever.
    ///
    /// # Errors
    ///
    /// Only when the server is too old to work with.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let streams = Streams::new(&self.bus);
        let mut connection = 0;
        let mut progress = Progress::default();
        loop {
            connection = self.bus.connection_after(connection).await;
            self.bus.require_supported(&self.url)?;
            let mut complained = false;
            loop {
                let mut watched = self.bus.clone();
                let outcome = tokio::select! {
                    outcome = self.read(&streams, &mut progress) => outcome,
                    _ = watched.connection_after(connection) => break,
                };
                if self.inputs.is_closed() {
                    return Ok(());
                }
                if let Err(error) = outcome
                    && !std::mem::replace(&mut complained, true)
                {
                    warn!("cannot read the bus yet, retrying: {error:#}");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn read(&self, streams: &Streams, progress: &mut Progress) -> anyhow::Result<()> {
        streams.ensure(self.window).await?;
        let bans = streams.bans().await?;
        let from = if progress.restored {
            let present = bans
                .into_iter()
                .map(|(target, command)| (target, command.id))
                .collect();
            self.send(Input::Recheck { present }).await?;
            let after = |(stream, sequence)| TelemetryFrom::After(stream, sequence);
            progress
                .last_read
                .map_or(TelemetryFrom::Time(progress.started_ms), after)
        } else {
            let now = now_ms();
            let memory = i64::try_from(self.memory.as_millis()).unwrap_or(i64::MAX);
            let audit = streams.audit_since(now.saturating_sub(memory).max(0)).await?;
            self.send(Input::Restore {
                bans: bans.into_values().collect(),
                audit,
            })
            .await?;
            progress.restored = true;
            progress.started_ms = now - i64::try_from(self.window.as_millis()).unwrap_or(i64::MAX);
            TelemetryFrom::Time(progress.started_ms)
        };
        let (stream, mut messages) = streams.telemetry(from).await?;
        info!("reading telemetry");
        while let Some(message) = messages.next().await {
            let message = message.context("reading telemetry")?;
            let info = message
                .info()
                .map_err(|error| anyhow::anyhow!("a message without its place in the stream: {error}"))?;
            let sequence = info.stream_sequence;
            // The consumer may start over by itself when the server was away.
            if progress
                .last_read
                .is_some_and(|(of, last)| of == stream && sequence <= last)
            {
                continue;
            }
            let received_ms =
                i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
            match input(&message, received_ms) {
                Ok(input) => self.send(input).await?,
                Err(error) => self.garbage.report(&message.subject, "telemetry", &error),
            }
            // Only now: this future may be dropped while the engine's queue is full.
            progress.last_read = Some((stream, sequence));
        }
        anyhow::bail!("the telemetry stream ended")
    }

    async fn send(&self, input: Input) -> anyhow::Result<()> {
        self.inputs
            .send(input)
            .await
            .map_err(|_| anyhow::anyhow!("the engine has ended"))
    }
}

/// What a message of the telemetry stream says.
fn input(message: &Message, received_ms: i64) -> Result<Input, WireError> {
    if &*message.subject == subjects::WAF_EVENTS {
        let batch = wire::decode(&message.payload)?;
        return Ok(Input::Waf { batch, received_ms });
    }
    let (batch, age_ms) = if subjects::is_late(&message.subject) {
        let LateBatch { age_ms, batch } = wire::decode(&message.payload)?;
        (batch, Some(age_ms))
    } else {
        (wire::decode(&message.payload)?, None)
    };
    Ok(Input::Batch {
        batch,
        received_ms,
        age_ms,
    })
}

/// How far the intake has come.
#[derive(Debug, Default)]
struct Progress {
    restored: bool,
    /// Where reading began, milliseconds since the Unix epoch.
    started_ms: i64,
    /// The last message that reached the engine.
    last_read: Option<(StreamId, u64)>,
}
