//! The shell around the [decider](secbeat_orchestrator_core::decider): inputs become events, effects are carried out.

mod happening;
mod input;
mod tickets;
mod traces;

use std::{collections::HashMap, time::Duration};

use secbeat_bus::{Allowlist, Bus};
use secbeat_daemon::traces::Traces;
use secbeat_orchestrator_core::{
    decider::{self, Decider, Effect, Event, Order, Ticket},
    leases::LeaseTable,
    presence::Edge,
    reports::BOUNDS_MS,
    telemetry::EdgeTelemetry,
    writer,
};
use tokio::{
    sync::{mpsc, watch},
    time::MissedTickBehavior,
};

pub(crate) use self::{
    happening::Happening,
    input::{Bans, Bars, Counted, EngineHandle, Glance, Input, OrderFailure, Reply},
};
use self::{tickets::Tickets, traces::BanTraces};
use crate::{
    auditor::Auditor, clock::moment, crawlers::Suspects, events::Events, reports::tally::Tally,
    signatures::Known, writer::WriterHandle,
};

/// Interval at which the decider is told that time has passed.
const TICK: Duration = Duration::from_secs(1);

/// The decider, and all that carries out its effects.
pub(crate) struct Engine {
    decider: Decider,
    bus: Bus,
    leases: watch::Receiver<LeaseTable>,
    allowlist: watch::Receiver<Option<Allowlist>>,
    signatures: watch::Receiver<Known>,
    hands: Hands,
    /// Empty between two events; kept for its room.
    effects: Vec<Effect>,
}

/// What an engine is made of.
pub(crate) struct Config {
    pub decider: decider::Config,
    pub bus: Bus,
    pub writer: WriterHandle,
    pub auditor: Auditor,
    pub leases: watch::Receiver<LeaseTable>,
    /// `None` until it was read.
    pub allowlist: watch::Receiver<Option<Allowlist>>,
    pub signatures: watch::Receiver<Known>,
    pub suspects: Suspects,
    pub traces: Traces,
    /// Counts decisions, for reports.
    pub tally: Tally,
}

/// What carries out effects.
struct Hands {
    writer: WriterHandle,
    auditor: Auditor,
    events: Events<Happening>,
    suspects: Suspects,
    traces: BanTraces,
    tickets: Tickets,
    tally: Tally,
}

impl Config {
    /// An engine that knows nothing yet.
    #[must_use]
    pub(crate) fn build(self) -> Engine {
        let traces = BanTraces::new(self.traces);
        let decider = decider::Config {
            traced: traces.are_on(),
            ..self.decider
        };
        Engine {
            decider: decider.build(),
            bus: self.bus,
            leases: self.leases,
            allowlist: self.allowlist,
            signatures: self.signatures,
            hands: Hands {
                writer: self.writer,
                auditor: self.auditor,
                events: Events::default(),
                suspects: self.suspects,
                traces,
                tickets: Tickets::default(),
                tally: self.tally,
            },
            effects: Vec::new(),
        }
    }
}

impl Engine {
    /// Returns where it tells what happens.
    #[must_use]
    pub(crate) fn events(&self) -> Events<Happening> {
        self.hands.events.clone()
    }

    /// Works until nobody can send anything.
    pub(crate) async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                _ = tick.tick() => {
                    let connected = self.bus.is_connected();
                    self.take(Event::Tick { connected }.into());
                }
            }
        }
    }

    fn take(&mut self, input: Input) {
        self.look_around();
        match input {
            Input::Event(event) => self.handle(event),
            Input::Ban { ban, reply } => {
                self.order(Order::Ban(ban), reply, |tickets| &mut tickets.bans);
            }
            Input::Import { import, reply } => {
                self.order(Order::Import(import), reply, |tickets| &mut tickets.imports);
            }
            Input::Unban { unban, reply } => {
                self.order(Order::Unban(unban), reply, |tickets| &mut tickets.unbans);
            }
            Input::Recorded { reply } => self.hands.auditor.then(move || {
                let _ = reply.send(());
            }),
            Input::Drain { reply } => {
                let ticket = self.hands.tickets.next();
                self.hands.tickets.drains.insert(ticket, reply);
                self.handle(Event::Drain { ticket });
            }
            Input::List { query, reply } => {
                let page = self.decider.bans(&query);
                let _ = reply.send(Bans {
                    bans: page.bans.into_iter().cloned().collect(),
                    next: page.next,
                    total: page.total,
                });
            }
            Input::Explain { address, reply } => {
                let _ = reply.send(self.decider.explain(address, moment()));
            }
            Input::Findings { filter, limit, reply } => {
                let findings = self.decider.findings(filter).take(limit);
                let _ = reply.send(findings.cloned().collect());
            }
            Input::Stats { reply } => {
                let _ = reply.send(Counted {
                    decider: self.decider.stats(moment()),
                    audit_lost: self.hands.auditor.lost(),
                    edges: self.decider.edges().cloned().collect(),
                });
            }
            Input::Glance {
                commands,
                nearest,
                reply,
            } => {
                let ways = self.decider.propagation();
                let answers = commands
                    .into_iter()
                    .filter_map(|id| Some((id, ways.of(&id)?.clone())));
                let _ = reply.send(Glance {
                    answers: answers.collect(),
                    nearest: self.decider.nearest(nearest, moment()),
                    counted: self.decider.counted(),
                });
            }
            Input::Spread { reply } => {
                let edges = self.decider.propagation().edges();
                let spread = edges.map(|(edge, times)| (edge.to_owned(), times.spread(&BOUNDS_MS)));
                let _ = reply.send(spread.collect());
            }
            Input::Edges { reply } => drop(reply.send(self.edges())),
            Input::Tallies { reply } => drop(reply.send(self.decider.tallies().clone())),
            Input::Propagation { reply } => {
                let _ = reply.send(self.decider.propagation().clone());
            }
        }
    }

    /// Takes up what others in this process know by now, before anything is decided.
    fn look_around(&mut self) {
        if self.leases.has_changed().unwrap_or(false) {
            let table = self.leases.borrow_and_update().clone();
            self.handle(Event::Leases(table));
        }
        if self.allowlist.has_changed().unwrap_or(false) {
            let known = self.allowlist.borrow_and_update().clone();
            if let Some(list) = known {
                self.handle(Event::Allowlist(list.entries.into_values().collect()));
            }
        }
        if self.signatures.has_changed().unwrap_or(false) {
            let set = self.signatures.borrow_and_update().set.clone();
            let disabled = set.into_iter().flat_map(|set| set.disabled);
            let ids = disabled.map(|disabled| disabled.id).collect();
            self.handle(Event::SignaturesDisabled(ids));
        }
    }

    fn handle(&mut self, event: Event) {
        self.decider.handle(event, moment(), &mut self.effects);
        for effect in self.effects.drain(..) {
            self.hands.carry_out(effect);
        }
    }

    fn order<T>(
        &mut self,
        order: Order,
        reply: Reply<T>,
        waiting: impl Fn(&mut Tickets) -> &mut HashMap<Ticket, Reply<T>>,
    ) {
        if !self.bus.is_connected() {
            let _ = reply.send(Err(OrderFailure::Unreachable));
            return;
        }
        let ticket = self.hands.tickets.next();
        waiting(&mut self.hands.tickets).insert(ticket, reply);
        self.handle(Event::Order { ticket, order });
    }

    /// The edges that were heard of, each with its telemetry.
    fn edges(&self) -> Vec<(Edge, Option<EdgeTelemetry>)> {
        let mut telemetry: HashMap<_, _> = self.decider.telemetry().into_iter().collect();
        let edges = self.decider.edges();
        edges
            .map(|edge| (edge.clone(), telemetry.remove(&edge.record.edge_id)))
            .collect()
    }
}

impl Hands {
    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Write(request) => self.writer.tell(writer::Event::Request(request)),
            Effect::Settle { target, id, fate } => {
                self.writer.tell(writer::Event::Settled { target, id, fate });
            }
            Effect::Audit { record, urgency } => self.auditor.record(record, urgency),
            Effect::Conclude { record, urgency } => {
                self.tally.decided(&record);
                self.events
                    .tell(Happening::Decided(Box::new(record.clone().without_events())));
                self.auditor.record(record, urgency);
            }
            Effect::Announce(announcement) => self.events.tell(Happening::Announced(announcement)),
            Effect::LookUp(suspect) => self.suspects.tell(suspect),
            Effect::Reply { ticket, reply } => self.tickets.answer(ticket, reply),
            Effect::TraceBegun(decided) => self.traces.decided(*decided),
            Effect::TraceEnded { id, failure } => {
                let failure = failure.map(|failure| failure.to_string());
                self.traces.closed(id, failure.as_deref());
            }
        }
    }
}
