//! The enforcer's shell: turns messages into events of [`secbeat_edge_core::Enforcer`], and carries its effects out.

mod acks;
mod attach;
mod bring;
mod drop_events;
pub(crate) mod handle;
mod kernel_side;
mod listed;
mod losses;
mod modes;
mod report;
mod switch;

use std::{collections::HashMap, sync::Arc, time::Duration};

use secbeat_bus::RefusedCommands;
use secbeat_daemon::{protect::Protected, supervisor, time::now_ms, traces::Traces};
use secbeat_edge_core::{
    BucketUpdate, Effect, Enforcer, EnforcerConfig, Event, FilterMode, Order, Reply, Step, Ticket,
};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tracing::{debug, error};

use self::{acks::Acks, drop_events::DropCounts, handle::Message, losses::Losses};
pub(crate) use self::{
    attach::{KernelConfig, NeverBanned, attach},
    handle::{ActiveBan, EnforcerEnded, EnforcerHandle, EnforcerReport, NotSwitched, Unfulfilled},
    kernel_side::KernelSide,
};
use crate::{
    brought::Brought,
    bus::Publisher,
    host::HostChange,
    kernel::{Attachment, boot_now, moment_now},
    l7::L7Bans,
    protection::Protection,
    stand_in::Tap,
};

/// Interval at which expired bans are swept out of the maps.
const TICK: Duration = Duration::from_secs(1);
/// Interval at which the interfaces are looked at, beside each time that the kernel says something of them.
const LOOK: Duration = Duration::from_secs(2);
/// Interval at which the program's events are read while there are some: its ring buffer has room for thousands. Otherwise it is
/// looked for them with each [`TICK`].
const DROP_EVENTS_INTERVAL: Duration = Duration::from_millis(100);
/// Messages that are taken at once, so that their bans go to the kernel together.
const MESSAGES_AT_ONCE: usize = 1024;

/// The parts that the enforcer works with.
pub(crate) struct Surroundings {
    /// `None` where the HTTP layer alone enforces.
    pub kernel: Option<KernelSide>,
    pub http: Arc<L7Bans>,
    /// The allowlist as the HTTP layer and the API see it.
    pub protected: Arc<Protected>,
    pub protection: Protection,
    pub host_changes: mpsc::Receiver<Vec<HostChange>>,
    pub publisher: Publisher,
    pub traces: Traces,
    /// Counts commands that are not accepted.
    pub refused: RefusedCommands,
    pub stand_in: Tap,
}

/// Runs the enforcer.
pub(crate) struct EnforcerTask {
    core: Enforcer,
    surroundings: Surroundings,
    reconcile_interval: Duration,
    messages: mpsc::Receiver<Message>,
    acks: Acks,
    drops: DropCounts,
    /// Who waits for the answer to an order.
    replies: HashMap<Ticket, ReplyTo>,
    next_ticket: u64,
    /// The step of a reconciliation to take once no message waits.
    step: Option<Step>,
    losses: Losses,
    /// As of the latest look.
    attachments: Vec<Attachment>,
    /// Whether the kill switch was thrown at the latest look.
    was_detached: bool,
    /// State carried over when joining a fleet, as far as the core does not have it.
    brought: Brought,
}

/// Takes the answer to an order.
enum ReplyTo {
    Ban(handle::BanReply),
    StandIn(handle::StandInReply),
    Unban(handle::UnbanReply),
    Mode(handle::ModeReply),
}

impl EnforcerTask {
    /// An enforcer, and how to reach it once it runs.
    #[must_use]
    pub(crate) fn build(
        config: EnforcerConfig,
        reconcile_interval: Duration,
        surroundings: Surroundings,
        brought: Brought,
    ) -> (Self, EnforcerHandle) {
        let (handle, messages) = handle::channel();
        let acks = Acks::new(
            surroundings.publisher.clone(),
            surroundings.traces.clone(),
            config.edge_id.clone(),
        );
        let task = Self {
            core: Enforcer::new(config),
            surroundings,
            reconcile_interval,
            messages,
            acks,
            drops: DropCounts::default(),
            replies: HashMap::new(),
            next_ticket: 0,
            step: None,
            losses: Losses::default(),
            attachments: Vec::new(),
            was_detached: false,
            brought,
        };
        (task, handle)
    }

    /// Takes messages until `stop`, or until only a new start can enforce bans and systemd is there to make one. It makes system
    /// calls, so it wants a thread of its own.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut tick = interval(TICK);
        let mut reconcile = interval(self.reconcile_interval);
        let mut look = interval(LOOK);
        let mut drop_events = interval(DROP_EVENTS_INTERVAL);
        let mut are_dropped = false;
        let mut waiting = Vec::with_capacity(MESSAGES_AT_ONCE);
        self.look_at_interfaces();
        self.show_lists();
        self.bring();
        loop {
            tokio::select! {
                taken = self.messages.recv_many(&mut waiting, MESSAGES_AT_ONCE) => match taken {
                    0 => return,
                    _ => self.take_all(waiting.drain(..)),
                },
                () = std::future::ready(()), if self.step.is_some() => self.take_step(),
                _ = tick.tick() => {
                    if self.surroundings.protection.is_outdated() {
                        self.look_at_host();
                    }
                    self.handle(Event::Tick);
                    are_dropped |= self.drops.read(self.surroundings.kernel.as_mut());
                }
                _ = look.tick() => {
                    self.look_at_interfaces();
                    let is_outdated = self.surroundings.kernel.as_ref().is_some_and(KernelSide::is_outdated);
                    if is_outdated || self.has_lost_bans() {
                        self.handle(Event::ReconcileDue);
                    }
                }
                _ = drop_events.tick(), if are_dropped => {
                    are_dropped = self.drops.read(self.surroundings.kernel.as_mut());
                }
                Some(changes) = self.surroundings.host_changes.recv() => self.host_changed(changes),
                () = &mut stop => return,
                _ = reconcile.tick() => {
                    self.look_at_host();
                    self.look_at_interfaces();
                    self.handle(Event::ReconcileDue);
                }
            }
            let kernel = self.surroundings.kernel.as_mut();
            if let Some(why) = kernel.and_then(|kernel| kernel.allow_failed.take()) {
                self.handle(Event::AllowlistFailed(why));
            }
            self.acks.send();
            let kernel = self.surroundings.kernel.as_ref();
            if kernel.is_some_and(KernelSide::is_stranded) && supervisor::restarts() {
                return;
            }
        }
    }

    /// Whether something else took bans out of the kernel. What an LRU map evicts is left to the next reconciliation.
    fn has_lost_bans(&mut self) -> bool {
        let Some(kernel) = &self.surroundings.kernel else {
            return false;
        };
        if self.step.is_some() || self.core.is_crowded() {
            return false;
        }
        let held = self.core.held(moment_now().boot);
        self.losses.find(held, |target| kernel.bans.get_known(target))
    }

    /// Takes messages in order, but updates of the bucket that come one after the other as one event. A removal begins a new
    /// one, so that the ban that it lifts is reported first.
    fn take_all(&mut self, messages: impl Iterator<Item = Message>) {
        self.look_at_switch();
        let mut updates = Vec::new();
        let mut has_bans = false;
        for message in messages {
            match message {
                Message::Bucket(update) => {
                    if has_bans && matches!(update, BucketUpdate::Removed { .. }) {
                        self.take_updates(std::mem::take(&mut updates));
                        has_bans = false;
                    }
                    has_bans |= matches!(update, BucketUpdate::Put { .. });
                    updates.push(update);
                }
                other => {
                    self.take_updates(std::mem::take(&mut updates));
                    has_bans = false;
                    self.take(other);
                }
            }
        }
        self.take_updates(updates);
    }

    fn take_updates(&mut self, updates: Vec<BucketUpdate>) {
        if !updates.is_empty() {
            self.handle(Event::Bucket(updates));
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Bucket(update) => self.take_updates(vec![update]),
            Message::FleetAllowlist(entries) => self.handle(Event::FleetAllowlist(entries)),
            Message::LocalAllowlist { entries, reply } => {
                self.handle(Event::LocalAllowlist(entries));
                // The asker may have gone.
                drop(reply.send(self.core.allowlist_written()));
            }
            Message::Ban { ban, reply } => self.order(Order::Ban(ban), ReplyTo::Ban(reply)),
            Message::StandIn { command, reply } => {
                self.order(Order::StandIn(command), ReplyTo::StandIn(reply));
            }
            Message::Unban { target, reply } => self.order(Order::Unban(target), ReplyTo::Unban(reply)),
            Message::SetMode { mode, reply } => self.order(Order::SetMode(mode), ReplyTo::Mode(reply)),
            Message::SetInterfaceMode {
                interface,
                mode,
                reply,
            } => drop(reply.send(self.set_interface_mode(&interface, mode))),
            Message::InterfaceModes(modes) => {
                if let Some(kernel) = &mut self.surroundings.kernel {
                    kernel.configure_modes(modes);
                    self.look_at_interfaces();
                }
            }
            Message::BanSlots(most) => {
                if let Some(kernel) = &mut self.surroundings.kernel {
                    kernel.allow_slots(most);
                }
            }
            Message::Lists { table, reused, reply } => {
                let brought = match &mut self.surroundings.kernel {
                    Some(kernel) => kernel
                        .bring_lists(table, &reused)
                        .map_err(|error| format!("{error:#}")),
                    None => Err("bans are not enforced in the kernel here".to_owned()),
                };
                self.show_lists();
                drop(reply.send(brought));
            }
            // The asker may have gone.
            Message::List { reply } => drop(reply.send(self.list())),
            Message::Report { reply } => drop(reply.send(self.report_status())),
        }
    }

    fn order(&mut self, order: Order, reply: ReplyTo) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.replies.insert(ticket, reply);
        self.handle(Event::Order(ticket, order));
    }

    /// Hands one event in, and carries out all that follows from it.
    fn handle(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.handle(event, moment_now(), &mut effects);
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                if let Some(outcome) = self.carry_out(effect) {
                    self.core.handle(outcome, moment_now(), &mut effects);
                }
            }
        }
    }

    /// Returns the outcome, where the core wants to know it.
    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        let Surroundings {
            kernel,
            http,
            protected,
            ..
        } = &mut self.surroundings;
        match effect {
            Effect::HttpBan { target, ends, layer } => http.put(target, ends, layer),
            Effect::HttpUnban(target) => http.remove(&target),
            Effect::Write(id, entries) => {
                let outcome = kernel.as_mut().map(|kernel| kernel.write(entries));
                return Some(Event::Written(id, outcome.unwrap_or_default()));
            }
            Effect::Allow(nets) => {
                protected.replace((*nets).clone());
                let failed = kernel.as_mut().and_then(|kernel| kernel.allow(&nets).err());
                return failed.map(|error| Event::AllowlistFailed(format!("{error:#}")));
            }
            Effect::SetMode(ticket, mode) => {
                return Some(Event::ModeSet(ticket, mode, self.set_mode(mode)));
            }
            Effect::Next(step) => self.step = Some(step),
            Effect::Acknowledge(ack, received) => self.acks.add(ack, received),
            Effect::Reply(ticket, reply) => self.reply(ticket, reply),
            Effect::Report(fact) => {
                self.surroundings.stand_in.hear(&fact);
                self.settle_by(&fact);
                report::report(fact, &self.surroundings.refused);
            }
        }
        None
    }

    /// Switches the kernel's side and then the HTTP side. Until the next start: then the config holds again.
    fn set_mode(&mut self, mode: FilterMode) -> Result<(), String> {
        let kernel = self.surroundings.kernel.as_mut();
        kernel
            .map_or(Ok(()), |kernel| kernel.set_mode(mode))
            .map_err(|error| format!("{error:#}"))?;
        self.surroundings.http.set_mode(mode);
        Ok(())
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply) {
        // The asker may have gone.
        match (self.replies.remove(&ticket), reply) {
            (Some(ReplyTo::Ban(to)), Reply::Ban(outcome)) => drop(to.send(outcome)),
            (Some(ReplyTo::StandIn(to)), Reply::Ban(outcome)) => drop(to.send(outcome.map(|_| true))),
            (Some(ReplyTo::StandIn(to)), Reply::Covered) => drop(to.send(Ok(false))),
            (Some(ReplyTo::Unban(to)), Reply::Unban(outcome)) => drop(to.send(outcome)),
            (Some(ReplyTo::Mode(to)), Reply::Mode(outcome)) => drop(to.send(outcome)),
            (_, reply) => error!(?reply, "a reply without an order"),
        }
    }

    /// A few milliseconds' worth of a reconciliation.
    fn take_step(&mut self) {
        let (Some(step), Some(kernel)) = (self.step.take(), &mut self.surroundings.kernel) else {
            return;
        };
        let read = match step {
            Step::BeginRead => kernel.begin_read(),
            Step::ReadOn => kernel.read_on(),
            Step::Repair => Ok(Event::Repair),
        };
        self.handle(read.unwrap_or_else(|error| Event::KernelUnreadable(format!("{error:#}"))));
    }

    fn host_changed(&mut self, changes: Vec<HostChange>) {
        debug!(?changes, "the host has changed");
        if changes.iter().any(|change| matches!(change, HostChange::Link(_))) {
            self.look_at_interfaces();
        }
        if self.surroundings.protection.take(changes) {
            self.look_at_host();
        }
    }

    fn look_at_host(&mut self) {
        let nets = self.surroundings.protection.look().clone();
        self.handle(Event::HostAllowlist(nets));
    }

    /// Sees that the program runs where it is to.
    fn look_at_interfaces(&mut self) {
        let Some(kernel) = &mut self.surroundings.kernel else {
            return;
        };
        // Before the look: a switch that is thrown meanwhile is seen with the next message.
        self.was_detached = kernel.setup.is_detached();
        self.attachments = kernel.keep_attached();
        let why = Attachment::unprotected(&self.attachments);
        self.handle(Event::Unprotected(why));
    }

    /// Follows the kill switch, so that no answer and no acknowledgement goes by what was before `detach` or `attach`.
    fn look_at_switch(&mut self) {
        let kernel = self.surroundings.kernel.as_ref();
        if kernel.is_some_and(|kernel| kernel.setup.is_detached() != self.was_detached) {
            self.look_at_interfaces();
        }
    }

    fn list(&self) -> Vec<ActiveBan> {
        let mut bans: Vec<_> = self.core.active(boot_now()).collect();
        bans.sort_by_key(|(target, _)| **target);
        let kernel = self.surroundings.kernel.as_ref();
        let found = bans
            .iter()
            .map(|(target, _)| kernel.and_then(|kernel| kernel.ban(target)));
        let found: Vec<_> = found.collect();
        let held = kernel.map(KernelSide::held_back).unwrap_or_default();
        bans.into_iter()
            .zip(found)
            .map(|((target, ban), found)| ActiveBan {
                target: *target,
                ban: ban.clone(),
                counts: found.map(|found| held.counted(target, found)),
            })
            .collect()
    }

    fn report_status(&self) -> EnforcerReport {
        EnforcerReport {
            status: self.core.status(boot_now()),
            fleet: self.core.digest(now_ms()),
            attachments: self.attachments.clone(),
            allowlist_failed: self.core.allowlist_failed().map(str::to_owned),
            modes_without_interface: {
                let kernel = self.surroundings.kernel.as_ref();
                kernel.map_or_else(Vec::new, KernelSide::modes_without_interface)
            },
            drops: self.drops.by_reason().clone(),
            refused: {
                let counts = self.surroundings.refused.counts();
                counts.map(|(reason, count)| (reason.name(), count)).collect()
            },
        }
    }
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
