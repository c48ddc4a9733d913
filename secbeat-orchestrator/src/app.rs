//! Puts the daemon together, runs it, and takes it down in order.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use anyhow::Context;
use secbeat_common::daemon::{bus::Bus, garbage::Garbage};
use tokio::{net::TcpListener, sync::mpsc};
use tracing::{info, warn};

use crate::{
    api::{self, Api},
    bus::{Streams, TELEMETRY_AGE},
    config::Config,
    detect::Detector,
    engine::{Engine, EngineHandle},
    fleet_watch::FleetWatch,
    intake::Intake,
    ledger::Ledger,
    presence::Fleet,
    protection::Protection,
    writer::{Auditor, Writer},
};

/// Inputs that may wait for the engine; past it reading the bus waits, and the bus keeps what is not read.
const INPUTS: usize = 4096;
/// How long a graceful end may take.
const DRAIN: Duration = Duration::from_secs(2);

/// A daemon that is ready to run.
pub struct App {
    config: Config,
    engine: Engine,
    writers: Pin<Box<dyn Future<Output = ()> + Send>>,
    inputs: mpsc::Receiver<crate::engine::Input>,
    intake: Intake,
    fleet_watch: FleetWatch,
    protection: Protection,
    listener: TcpListener,
    api: Api,
}

impl App {
    /// Binds the API and starts to connect to NATS.
    ///
    /// # Errors
    ///
    /// When the API cannot be bound.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(config.api_listen)
            .await
            .with_context(|| format!("api_listen: listening on {}", config.api_listen))?;
        let protection = Protection::find(config.known()).await?;
        let bus = Bus::connect(&config.nats.url, "secbeat-orchestrator").await?;
        let (sender, inputs) = mpsc::channel(INPUTS);
        let garbage = Arc::new(Garbage::default());
        let streams = Streams::new(&bus);
        let (writer, writing) = Writer::new(streams.clone(), sender.downgrade());
        let (auditor, auditing) = Auditor::new(streams);
        let engine = Engine::new(
            Detector::new(config.detector()),
            Ledger::new(config.ledger(protection.networks())),
            bus.clone(),
            writer,
            auditor,
            config.cleanup_interval.0,
            config.longest_window() * TELEMETRY_AGE,
        )
        .watching(Fleet::new(config.edges.drift_grace.0));
        let fleet_watch = FleetWatch {
            bus: bus.clone(),
            inputs: sender.clone(),
            garbage: garbage.clone(),
        };
        let intake = Intake {
            bus: bus.clone(),
            url: config.nats.url.clone(),
            inputs: sender.clone(),
            garbage: garbage.clone(),
            window: config.longest_window(),
            // A ban is recorded when it starts, and is remembered for strike_memory after its end, or longer by a strike.
            memory: config.ban.max_duration.0 + config.ban.strike_memory.0 * 2,
        };
        let api = Api {
            engine: EngineHandle {
                inputs: sender,
                garbage,
            },
            bus,
            events: engine.events(),
        };
        let writers = Box::pin(async move {
            tokio::join!(writing, auditing);
        });
        Ok(Self {
            config,
            engine,
            writers,
            inputs,
            intake,
            fleet_watch,
            protection,
            listener,
            api,
        })
    }

    /// Runs until `shutdown`. Bans stay on the bus and in the kernels.
    ///
    /// # Errors
    ///
    /// When something that must run has ended: a NATS server too old, or the API's listener.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        info!(api = %self.config.api_listen, nats = %self.config.nats.url, "running");
        let (stop, mut stopped) = tokio::sync::watch::channel(false);
        let engine = tokio::spawn(self.engine.run(self.inputs));
        let protecting = tokio::spawn(self.protection.run(self.intake.inputs.clone()));
        let writers = tokio::spawn(self.writers);
        let watching = tokio::spawn(self.fleet_watch.run());
        let intake = tokio::spawn(self.intake.run());
        let events = self.api.events.clone();
        let serve = axum::serve(self.listener, api::router(self.api)).with_graceful_shutdown(async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        });
        let serve = tokio::spawn(async move { serve.await.context("serving the API") });
        let outcome = tokio::select! {
            () = shutdown => {
                info!("stopping; bans stay in force");
                Ok(())
            }
            ended = intake => ended.context("reading the bus died").and_then(|ended| ended),
        };
        let _ = stop.send(true);
        events.end();
        let _ = tokio::time::timeout(DRAIN, serve).await;
        protecting.abort();
        watching.abort();
        engine.abort();
        // The engine has dropped its ends: what it decided is still written, if NATS takes it soon.
        if tokio::time::timeout(DRAIN, writers).await.is_err() {
            warn!("NATS did not take all that was decided");
        }
        outcome
    }
}
