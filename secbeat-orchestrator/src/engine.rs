//! The one owner of detector and ledger: telemetry and orders in, bans and audit records out.

use std::{sync::Arc, time::Duration};

use secbeat_common::{
    daemon::{bus::Bus, time::now_ms},
    prefix::Prefix,
    wire::{AuditRecord, BlockCommand, Decision as Audited, Evidence, LearnedFrom, TelemetryBatch},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::{
    api::view::{BanView, Stats},
    bus::Streams,
    detect::{Detector, Finding, Sighting, Tally, Upstreams},
    ledger::{Decision, Ledger, Refusal, WriteState},
};

/// How far an event's time may lie before its receipt, and after it: a wrong clock on one edge must not matter.
const OLDEST_MS: i64 = 10_000;
const NEWEST_MS: i64 = 1_000;
/// How often ended bans are taken off the ledger.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);
/// Who signs what the detector decides.
const ACTOR: &str = "secbeat-orchestrator";

/// What comes to the engine.
#[derive(Debug)]
pub enum Input {
    /// Telemetry, with the time at which the server received it.
    Batch { batch: TelemetryBatch, received_ms: i64 },
    /// What the bus remembers from before this process, sent once and first.
    Restore { bans: Vec<BlockCommand>, audit: Vec<AuditRecord> },
    /// What the bucket holds after a reconnect: bans that it lost are written again.
    Recheck { present: Vec<Prefix> },
    /// The server has a ban.
    Acknowledged(Uuid),
    /// Somebody bans by hand.
    Ban { target: Prefix, duration: Duration, note: String, actor: String, reply: oneshot::Sender<Result<BanView, String>> },
    /// Somebody lifts a ban; `Ok(false)` when there was none.
    Unban { target: Prefix, actor: String, reply: oneshot::Sender<Result<bool, String>> },
    /// The bus no longer has the ban: take it off the ledger.
    Revoked { target: Prefix, actor: String },
    List { reply: oneshot::Sender<Vec<BanView>> },
    Stats { reply: oneshot::Sender<Stats> },
}

/// Detector, ledger, and how to reach the bus.
pub struct Engine {
    detector: Detector,
    upstreams: Upstreams,
    ledger: Ledger,
    bus: Bus,
    streams: Streams,
    inputs: mpsc::WeakSender<Input>,
    cleanup_interval: Duration,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    batches: u64,
    events: u64,
    findings: u64,
    suppressed: u64,
}

impl Engine {
    /// An engine that knows nothing yet. `inputs` is the sending side of what [`run`](Self::run) reads.
    #[must_use]
    pub fn new(
        detector: Detector,
        ledger: Ledger,
        bus: Bus,
        inputs: &mpsc::Sender<Input>,
        cleanup_interval: Duration,
    ) -> Self {
        let streams = Streams::new(&bus);
        Self {
            detector,
            upstreams: Upstreams::default(),
            ledger,
            bus,
            streams,
            inputs: inputs.downgrade(),
            cleanup_interval,
            counts: Counts::default(),
        }
    }

    /// Works until nobody can send anything.
    pub async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let mut expire = tokio::time::interval(EXPIRE_INTERVAL);
        let mut cleanup = tokio::time::interval(self.cleanup_interval);
        expire.set_missed_tick_behavior(MissedTickBehavior::Delay);
        cleanup.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                _ = expire.tick() => {
                    for target in self.ledger.expire(now_ms()) {
                        info!(target: "audit", %target, "ban ended");
                    }
                }
                _ = cleanup.tick() => {
                    let forgotten = self.detector.cleanup(now_ms() - OLDEST_MS);
                    debug!(forgotten, tracked = self.detector.tracked(), "forgot quiet sources");
                }
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Batch { batch, received_ms } => self.batch(&batch, received_ms),
            Input::Restore { bans, audit } => self.restore(bans, &audit),
            Input::Recheck { present } => self.recheck(&present),
            Input::Acknowledged(id) => drop(self.ledger.acknowledged(id)),
            Input::Ban { target, duration, note, actor, reply } => {
                let _ = reply.send(self.ban(target, duration, note, actor));
            }
            Input::Unban { target, actor, reply } => self.unban(target, actor, reply),
            Input::Revoked { target, actor } => self.revoked(target, actor),
            Input::List { reply } => {
                let now = now_ms();
                let mut bans: Vec<_> = self.ledger.active().map(|ban| BanView::new(ban, now)).collect();
                bans.sort_by(|a, b| a.target.cmp(&b.target));
                let _ = reply.send(bans);
            }
            Input::Stats { reply } => {
                let _ = reply.send(Stats {
                    active_bans: self.ledger.len(),
                    tracked_sources: self.detector.tracked(),
                    evicted_sources: self.detector.evicted(),
                    batches: self.counts.batches,
                    events: self.counts.events,
                    findings: self.counts.findings,
                    suppressed: self.counts.suppressed,
                });
            }
        }
    }

    /// Events first, then counts: where both rules fire in one batch, the errors are the reason.
    fn batch(&mut self, batch: &TelemetryBatch, received_ms: i64) {
        self.counts.batches += 1;
        self.counts.events += batch.events.len() as u64;
        let clamp = |at_ms: i64| at_ms.clamp(received_ms - OLDEST_MS, received_ms + NEWEST_MS);
        let upstreams: Vec<_> =
            batch.upstreams.iter().map(|name| self.upstreams.intern(&batch.edge_id, name)).collect();
        let upstream = |index: u16| upstreams.get(usize::from(index)).copied();
        for event in &batch.events {
            let Some(upstream) = upstream(event.upstream) else { continue };
            let sighting = Sighting { source: Prefix::of_source(event.client), at_ms: clamp(event.at_ms), upstream };
            if let Some(finding) = self.detector.observe_error(sighting, event.status) {
                self.found(&finding, event.learned_from, received_ms);
            }
        }
        for count in &batch.counts {
            let Some(upstream) = upstream(count.upstream) else { continue };
            let sighting = Sighting { source: count.source, at_ms: clamp(count.at_ms), upstream };
            let tally = Tally { requests: count.requests, server_errors: count.server_errors };
            if let Some(finding) = self.detector.observe_requests(sighting, tally) {
                self.found(&finding, count.learned_from, received_ms);
            }
        }
    }

    fn found(&mut self, finding: &Finding, learned_from: LearnedFrom, received_ms: i64) {
        self.counts.findings += 1;
        match self.ledger.judge(finding, learned_from, received_ms, Uuid::now_v7()) {
            Decision::AlreadyBanned => {}
            Decision::Ban(command) => {
                self.detector.ignore_until(command.target, command.expires_at_ms);
                // A rebuilt window shows findings whose bans have ended since; they shape the state and nothing else.
                if command.expires_at_ms > now_ms() {
                    self.issue(*command, ACTOR.to_owned());
                }
            }
            Decision::Suppressed(suppression) => {
                self.counts.suppressed += 1;
                warn!(target: "audit", target = %finding.source, rule = finding.rule.name(), "finding suppressed: {suppression}");
                let evidence = Evidence {
                    count: finding.count,
                    window_ms: u64::try_from(finding.window.as_millis()).unwrap_or(u64::MAX),
                    at_ms: finding.at_ms,
                };
                let decision =
                    Audited::Suppressed { reason: finding.rule.into(), why: suppression.to_string(), evidence };
                self.audit(finding.source, ACTOR.to_owned(), decision);
            }
        }
    }

    /// Writes a ban to the bus and into the audit.
    fn issue(&self, command: BlockCommand, actor: String) {
        info!(
            target: "audit", target = %command.target, reason = command.reason.name(), note = command.note,
            strikes = command.strikes, seconds = (command.expires_at_ms - command.issued_at_ms) / 1000, "banned"
        );
        let decision = Audited::Ban {
            command_id: command.id,
            reason: command.reason,
            note: command.note.clone(),
            expires_at_ms: command.expires_at_ms,
            strikes: command.strikes,
            evidence: command.evidence,
        };
        let target = command.target;
        self.write(command);
        self.audit(target, actor, decision);
    }

    fn write(&self, command: BlockCommand) {
        let (streams, inputs) = (self.streams.clone(), self.inputs.clone());
        tokio::spawn(async move {
            if streams.put_ban(&command).await
                && let Some(inputs) = inputs.upgrade()
            {
                let _ = inputs.send(Input::Acknowledged(command.id)).await;
            }
        });
    }

    fn audit(&self, target: Prefix, actor: String, decision: Audited) {
        let record = AuditRecord { at_ms: now_ms(), target, actor, decision };
        let streams = self.streams.clone();
        tokio::spawn(async move { streams.put_audit(&record).await });
    }

    /// Takes up what an earlier process left: active bans from the bucket, ended ones and strikes from the audit.
    fn restore(&mut self, bans: Vec<BlockCommand>, audit: &[AuditRecord]) {
        let now = now_ms();
        info!(bans = bans.len(), records = audit.len(), "restored the ledger");
        for record in audit {
            match record.decision {
                Audited::Ban { expires_at_ms, strikes, .. } => {
                    self.detector.ignore_until(record.target, expires_at_ms);
                    if expires_at_ms <= now {
                        self.ledger.restore_history(record.target, expires_at_ms, strikes);
                    }
                }
                Audited::Unban { strikes, .. } => {
                    self.detector.forget(record.target, record.at_ms);
                    self.ledger.restore_history(record.target, record.at_ms, strikes);
                }
                Audited::Suppressed { .. } => {}
            }
        }
        for command in bans.into_iter().filter(|command| command.expires_at_ms > now) {
            self.detector.ignore_until(command.target, command.expires_at_ms);
            self.ledger.restore(command);
        }
    }

    fn recheck(&mut self, present: &[Prefix]) {
        let present: std::collections::HashSet<_> = present.iter().collect();
        let lost: Vec<_> = self
            .ledger
            .active()
            .filter(|ban| ban.write == WriteState::Acknowledged && !present.contains(&ban.command.target))
            .map(|ban| ban.command.clone())
            .collect();
        if !lost.is_empty() {
            warn!(bans = lost.len(), "the bans bucket lost bans: writing them again");
        }
        lost.into_iter().for_each(|command| self.write(command));
    }

    fn ban(&mut self, target: Prefix, duration: Duration, note: String, actor: String) -> Result<BanView, String> {
        if !target.is_source() {
            return Err(format!("{target} is no single source (an IPv4 /32 or an IPv6 /64), which is all that edges enforce"));
        }
        let now = now_ms();
        let command = self
            .ledger
            .ban(target, duration, note, actor.clone(), now, Uuid::now_v7())
            .map_err(|refusal| match refusal {
                Refusal::Unbannable(why) => format!("{target} is never banned: {why}"),
                Refusal::Protected(net) => format!("{target} is protected ({net} is)"),
            })?;
        self.detector.ignore_until(target, command.expires_at_ms);
        self.issue(command, actor);
        self.ledger.get(&target).map(|ban| BanView::new(ban, now)).ok_or_else(|| "the ban has ended already".to_owned())
    }

    /// Lifts a ban: first on the bus, since that is what the edges follow, and only then on the ledger.
    fn unban(&mut self, target: Prefix, actor: String, reply: oneshot::Sender<Result<bool, String>>) {
        if self.ledger.get(&target).is_none() {
            let _ = reply.send(Ok(false));
            return;
        }
        if !self.bus.is_connected() {
            let _ = reply.send(Err("NATS is unreachable: the edges would not hear of it; nothing was changed".to_owned()));
            return;
        }
        let (streams, inputs) = (self.streams.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let answer = match streams.remove_ban(&target).await {
                Ok(()) => {
                    if let Some(inputs) = inputs.upgrade() {
                        let _ = inputs.send(Input::Revoked { target, actor }).await;
                    }
                    Ok(true)
                }
                Err(error) => Err(format!("{error:#}")),
            };
            let _ = reply.send(answer);
        });
    }

    fn revoked(&mut self, target: Prefix, actor: String) {
        let now = now_ms();
        let Some(ban) = self.ledger.revoke(&target, now) else { return };
        self.detector.forget(target, now);
        info!(target: "audit", %target, actor, "ban lifted");
        let decision = Audited::Unban { command_id: ban.command.id, strikes: ban.command.strikes };
        self.audit(target, actor, decision);
    }
}

/// Hands what the engine is asked to it, and its answers back.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    pub inputs: mpsc::Sender<Input>,
    pub garbage: Arc<crate::intake::Garbage>,
}
