//! The one owner of detector and ledger: telemetry and orders in, bans and audit records out.

mod fleet;
mod input;
mod manual;
mod observed;
mod open;
mod partitions;
mod protection;
mod replica;
mod resets;
mod sources;
mod telemetry;
mod times;
mod traces;
mod waf;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use secbeat_common::{
    fence::Fence,
    prefix::Prefix,
    wire::{Decision as Audited, Scope},
};
use secbeat_daemon::{allowlist::Allowlist, bus::Bus, time::now_ms, traces::Traces};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::MissedTickBehavior,
};
use tracing::{debug, info, warn};
use uuid::Uuid;

pub use self::{
    input::{EngineHandle, Input, Reply},
    manual::{Import, ImportMode},
};
use self::{
    manual::Imports,
    open::{Answer, Open, record},
    partitions::{Found, Partitions},
    protection::Protections,
    resets::Resets,
    traces::BanTraces,
};
use crate::{
    api::{
        edges::Standing,
        propagation::PropagationView,
        view::{BanPage, BanView, Outcomes, Stats},
    },
    auditor::Auditor,
    corroboration::Corroboration,
    detect::{Detector, Finding, Upstreams},
    edges::Edges,
    events::{Change, Events},
    evidence::{self, Outcome, Witness},
    leases::Tenures,
    ledger::{Brakes, Decision, Ledger, Suppression},
    millis,
    presence::Fleet,
    propagation::Propagation,
    protection::ProtectedNet,
    writer::{Urgency, Writer},
};

/// How often ended bans are taken off the ledger.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);
/// Sources remembered as suppressed; past it all are forgotten, and may be audited once more.
const MAX_SUPPRESSED: usize = 10_000;
/// Who signs what the detector decides.
const ACTOR: &str = "secbeat-orchestrator";

/// Detector, ledger, and how to reach the bus.
pub struct Engine {
    detector: Detector,
    /// If one edge's word is not enough.
    corroboration: Option<Corroboration>,
    upstreams: Upstreams,
    edges: Edges,
    fleet: Fleet,
    propagation: Propagation,
    started: Instant,
    /// What is older is ignored.
    max_age_ms: i64,
    unban_grace_ms: i64,
    ledger: Ledger,
    witness: Witness,
    protected: Protections,
    bus: Bus,
    writer: Writer,
    auditor: Auditor,
    cleanup_interval: Duration,
    /// Decisions on their way to the bus, by the ban's id.
    open: HashMap<Uuid, Open>,
    traces: BanTraces,
    imports: Imports,
    /// When each source was last audited as suppressed.
    suppressed: HashMap<Prefix, i64>,
    restored: bool,
    tenures: Tenures,
    partitions: Partitions,
    resets: Resets,
    /// What the bucket has, with the revision of its key, as far as is known.
    present: HashMap<Prefix, (Uuid, u64)>,
    fence: Fence,
    /// Targets whose ban in the bucket edges refuse.
    stale: HashSet<Prefix>,
    /// Targets under whose key something stands that is not to be obeyed, and its revision.
    spoiled: HashMap<Prefix, u64>,
    /// Whoever waits until all that was decided is written.
    draining: Option<oneshot::Sender<()>>,
    counts: Counts,
    events: Events,
}

#[derive(Debug, Default)]
struct Counts {
    batches: u64,
    events: u64,
    waf_events: u64,
    waf_too_old: u64,
    findings: u64,
    suppressed: u64,
    braked: u64,
    by_rule: BTreeMap<String, Outcomes>,
}

impl Engine {
    /// An engine that knows nothing yet.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is one of its parts")]
    pub fn new(
        detector: Detector,
        ledger: Ledger,
        bus: Bus,
        writer: Writer,
        auditor: Auditor,
        tenures: Tenures,
        cleanup_interval: Duration,
        max_age: Duration,
    ) -> Self {
        Self {
            detector,
            corroboration: None,
            upstreams: Upstreams::default(),
            edges: Edges::default(),
            fleet: Fleet::default(),
            propagation: Propagation::default(),
            started: Instant::now(),
            max_age_ms: millis(max_age),
            unban_grace_ms: 0,
            ledger,
            witness: Witness::new(evidence::MIN_MEMORY),
            protected: Protections::new(Vec::new(), watch::channel(None).1),
            bus,
            writer,
            auditor,
            cleanup_interval,
            open: HashMap::new(),
            traces: BanTraces::default(),
            imports: Imports::default(),
            suppressed: HashMap::new(),
            restored: false,
            tenures,
            partitions: Partitions::default(),
            resets: Resets::default(),
            present: HashMap::new(),
            fence: Fence::default(),
            stale: HashSet::new(),
            spoiled: HashMap::new(),
            draining: None,
            counts: Counts::default(),
            events: Events::default(),
        }
    }

    /// Where it tells what happens.
    #[must_use]
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// The same, for which bans reach as far as edges agree.
    #[must_use]
    pub fn corroborated(self, corroboration: Option<Corroboration>) -> Self {
        Self {
            corroboration,
            ..self
        }
    }

    /// The same, which traces the ways of bans.
    #[must_use]
    pub fn traced(self, traces: Traces) -> Self {
        Self {
            traces: BanTraces::new(traces),
            ..self
        }
    }

    /// The same with room for what is reported.
    #[must_use]
    pub fn with_witness(self, witness: Witness) -> Self {
        Self { witness, ..self }
    }

    /// The same, for which nothing counts against a target until so long after its unban.
    #[must_use]
    pub fn forgiving(self, unban_grace: Duration) -> Self {
        Self {
            unban_grace_ms: millis(unban_grace),
            ..self
        }
    }

    /// The same with the networks that its ledger protects: those of this host, and the fleet's allowlist once it was read.
    #[must_use]
    pub fn protecting(self, here: Vec<ProtectedNet>, allowlist: watch::Receiver<Option<Allowlist>>) -> Self {
        Self {
            protected: Protections::new(here, allowlist),
            ..self
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
                    self.expire();
                    self.expire_allowlist();
                    self.write_spoiled();
                    self.look_for_edges();
                }
                _ = cleanup.tick() => {
                    self.prune_resets();
                    let forgotten = self.detector.cleanup(now_ms() - self.max_age_ms);
                    if let Some(corroboration) = &mut self.corroboration {
                        corroboration.cleanup(now_ms() - self.max_age_ms);
                    }
                    debug!(forgotten, tracked = self.detector.tracked(), "forgot quiet sources");
                }
            }
        }
    }

    /// Ends the bans that are over.
    fn expire(&mut self) {
        let over = self.ledger.expire(now_ms());
        if over.is_empty() {
            return;
        }
        for target in &over {
            info!(target: "audit", %target, "ban ended");
        }
        // One walk over the commands, however many bans of a raid end at once.
        let over: HashSet<_> = over.into_iter().collect();
        self.propagation.over(|target| over.contains(target));
    }

    fn take(&mut self, input: Input) {
        self.hear_allowlist();
        match input {
            Input::Batch {
                partition,
                batch,
                received_ms,
                age_ms,
            } => {
                if self.watches(partition) {
                    self.batch(partition, &batch, received_ms, age_ms);
                }
            }
            Input::Waf { batch, received_ms } => self.waf(&batch, received_ms),
            Input::Restore {
                bans,
                audit,
                since_ms,
            } => self.restore(bans, &audit, since_ms),
            Input::Recheck { bans, lifted, audit } => self.recheck(bans, lifted, &audit),
            Input::Banned(written) => self.banned(*written),
            Input::Lifted(gone) => self.lifted(gone),
            Input::Spoiled { target, revision } => {
                self.spoiled.insert(target, revision);
            }
            Input::Observed(record) => self.remember([&*record], now_ms()),
            Input::Owned(ownership) => self.owned(ownership),
            Input::EdgeHeard(record) => self.edge_heard(*record),
            Input::EdgeLeft(edge_id) => self.edge_left(&edge_id),
            Input::Acks { batch, received_ms } => self.acks(&batch, received_ms),
            Input::Edges { reply } => drop(reply.send(self.edge_views())),
            Input::Propagation { reply } => drop(reply.send(PropagationView::new(&self.propagation))),
            Input::Protected(networks) => self.protect_here(networks),
            Input::Decided(record) => self.tell_and_audit(record, Urgency::Now),
            Input::Done { id, fate } => {
                self.done(id, fate);
                self.drained();
            }
            Input::Drain { reply } => {
                self.draining = Some(reply);
                self.drained();
            }
            Input::Ban { ban, reply } => self.ban(ban, reply),
            Input::Import { import, reply } => self.import(import, reply),
            Input::Unban { target, actor, reply } => self.unban(target, actor, reply),
            Input::List { query, reply } => {
                let (now, page) = (now_ms(), self.ledger.page(&query));
                let bans = page.bans.into_iter().map(|ban| BanView::new(ban, now));
                let _ = reply.send(BanPage {
                    bans: bans.collect(),
                    next: page.next.map(|target| target.to_string()),
                });
            }
            Input::Explain { address, reply } => drop(reply.send(self.explain(address))),
            Input::Findings { filter, limit, reply } => {
                let _ = reply.send(self.witness.findings.list(filter, limit));
            }
            Input::Stats { reply } => {
                let _ = reply.send(Stats {
                    active_bans: self.ledger.len(),
                    tracked_sources: self.detector.tracked(),
                    evicted_sources: self.detector.evicted(),
                    batches: self.counts.batches,
                    events: self.counts.events,
                    waf_events: self.counts.waf_events,
                    waf_too_old: self.counts.waf_too_old,
                    findings: self.counts.findings,
                    suppressed: self.counts.suppressed,
                    braked: self.counts.braked,
                    rules: self.counts.by_rule.clone(),
                    brake: self.brake(),
                    restored: self.is_restored(),
                    unwritten: self.open.len(),
                    audit_lost: self.auditor.lost(),
                    edges: self.edges.views(),
                    fleet: self.fleet.edges().map(Standing::new).collect(),
                });
            }
        }
    }

    /// Whether all that decisions go by has been read from the bus since the start.
    fn is_restored(&self) -> bool {
        self.restored && self.protected.is_complete()
    }

    /// What the brakes go by.
    fn brakes<'a>(&self, edge: Option<&'a str>) -> Brakes<'a> {
        Brakes {
            well_behaved: Some(self.detector.well_behaved(now_ms()) as u64),
            edge,
        }
    }

    /// The brake that holds right now.
    fn brake(&mut self) -> Option<String> {
        let brake = self.ledger.braking(self.brakes(None), now_ms())?;
        Some(brake.name().to_owned())
    }

    /// What follows from a finding.
    fn judge(&mut self, found: &Found) {
        let Found {
            finding,
            edge,
            received_ms,
        } = found;
        self.counts.findings += 1;
        let brakes = self.brakes(Some(edge));
        let scope = match &self.corroboration {
            None => Scope::Fleet,
            Some(corroboration) => corroboration.reach(finding, edge),
        };
        let decision = self
            .ledger
            .judge(finding, scope, brakes, *received_ms, Uuid::now_v7());
        self.count(finding, &decision);
        match decision {
            Decision::AlreadyBanned => self.witness.findings.note(finding, Outcome::AlreadyBanned),
            Decision::Ban(command) => {
                let command_id = command.id;
                self.witness
                    .findings
                    .note(finding, Outcome::Banned { command_id });
                self.pay_for(&command);
                // A rebuilt window shows findings whose bans have ended since; they shape the state and nothing else.
                if command.expires_at_ms > now_ms() {
                    self.events.tell(Change::finding(finding, None));
                    let events = self.witness.evidence(finding);
                    self.traces.decided(&command, Some(found));
                    self.issue(*command, events, ACTOR.to_owned(), Answer::Nobody);
                }
            }
            Decision::Observed(command) => {
                self.witness.findings.note(finding, Outcome::Observed);
                self.observed(finding, *command);
            }
            Decision::Suppressed(suppression) => {
                self.counts.suppressed += 1;
                let why = suppression.to_string();
                let outcome = Outcome::Suppressed { why: why.clone() };
                self.witness.findings.note(finding, outcome);
                self.counts.braked += u64::from(matches!(suppression, Suppression::Brake(_)));
                if !self.is_news(finding) {
                    return;
                }
                warn!(target: "audit", target = %finding.source, rule = finding.rule.name(), "finding suppressed: {why}");
                self.events.tell(Change::finding(finding, Some(why.clone())));
                let decision = Audited::Suppressed {
                    reason: finding.rule.into(),
                    why,
                    evidence: finding.evidence(),
                    events: self.witness.evidence(finding),
                };
                self.auditor
                    .record(record(finding.source, ACTOR.to_owned(), decision), Urgency::Now);
            }
        }
    }

    fn count(&mut self, finding: &Finding, decision: &Decision) {
        let rule = finding.rule.name();
        let of_rule = match self.counts.by_rule.get_mut(rule) {
            Some(of_rule) => of_rule,
            None => self.counts.by_rule.entry(rule.to_owned()).or_default(),
        };
        let Outcomes {
            banned,
            observed,
            already_banned,
            suppressed,
        } = of_rule;
        *match decision {
            Decision::Ban(_) => banned,
            Decision::Observed(_) => observed,
            Decision::AlreadyBanned => already_banned,
            Decision::Suppressed(_) => suppressed,
        } += 1;
    }

    /// Whether `finding`'s source has not been audited as suppressed within its window: it may go on for ever, and must
    /// not fill the audit.
    fn is_news(&mut self, finding: &Finding) -> bool {
        if self.suppressed.len() >= MAX_SUPPRESSED {
            self.suppressed.clear();
        }
        let window_ms = millis(finding.window);
        let news = self
            .suppressed
            .get(&finding.source)
            .is_none_or(|before| finding.at_ms.saturating_sub(*before) > window_ms);
        if news {
            self.suppressed.insert(finding.source, finding.at_ms);
        }
        news
    }
}
