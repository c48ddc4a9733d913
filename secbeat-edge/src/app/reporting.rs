//! The ways by which this edge reports: telemetry of responses, and events of firewalls.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;
use tracing::error;

use super::{fleet::Fleet, tasks::Tasks};
use crate::{
    config::Config,
    sources::{proxy::ProxyConfig, reports, service_log::ServiceRecorder, waf::WafRecorder},
    stand_in::Tap,
    telemetry::{self, Recorder},
};

/// Time that the last telemetry may take to leave.
const DRAIN: Duration = Duration::from_secs(3);

/// Where inputs report to.
pub(super) struct Reporting {
    /// Telemetry ends with the last one, and an edge may have no input.
    pub(super) recorder: Recorder,
    pub(super) waf: WafRecorder,
    pub(super) services: ServiceRecorder,
    /// The index of the first access log among the names of upstreams.
    pub(super) first_log: u16,
    /// Ends telemetry once dropped.
    stop: oneshot::Sender<()>,
    /// Ends when all was sent or spooled.
    all_reported: oneshot::Receiver<()>,
}

impl Reporting {
    pub(super) fn start(
        config: &Config,
        fleet: &Fleet,
        stand_in: &Tap,
        tasks: &mut Tasks,
    ) -> anyhow::Result<Self> {
        let mut upstreams = config
            .proxy()
            .map(ProxyConfig::telemetry_names)
            .unwrap_or_default();
        let first_log = u16::try_from(upstreams.len()).context("counting the upstreams")?;
        upstreams.extend(config.access_log.iter().map(|log| log.name.clone()));
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let (recorder, telemetry_task) = telemetry::start(
            &fleet.edge_id,
            upstreams,
            &config.telemetry,
            &config.state_dir,
            fleet.bus.clone(),
            stand_in.clone(),
            stopped,
        )?;
        fleet.restore_signatures(&config.state_dir, recorder.signatures());
        recorder.signatures().apply(&config.signatures);
        let Fleet {
            edge_id,
            bus,
            publisher,
            ..
        } = fleet;
        let (waf, waf_task) = reports::start(edge_id, bus.clone(), publisher.clone(), stand_in.clone());
        tasks.forever(waf_task);
        let (services, services_task) =
            reports::start(edge_id, bus.clone(), publisher.clone(), stand_in.clone());
        tasks.forever(services_task);
        let (reported, all_reported) = oneshot::channel::<()>();
        tasks.forever(async move {
            telemetry_task.await;
            drop(reported);
        });
        Ok(Self {
            recorder,
            waf,
            services,
            first_log,
            stop,
            all_reported,
        })
    }

    /// Waits until all that was recorded is sent or spooled, for [`DRAIN`] at most.
    pub(super) async fn end(self) {
        drop((self.recorder, self.waf, self.services, self.stop));
        if tokio::time::timeout(DRAIN, self.all_reported).await.is_err() {
            error!("telemetry could be neither sent nor spooled in time");
        }
    }
}
