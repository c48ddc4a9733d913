//! Handle by which others reach the enforcer.

use std::{collections::BTreeMap, time::Duration};

use secbeat_common::{
    digest::Extract,
    prefix::Prefix,
    wire::{AllowEntry, BlockCommand},
};
use secbeat_daemon::api::{Unanswered, ask};
use secbeat_edge_core::{
    BucketUpdate, Enforced, EnforcerStatus, FilterMode, KernelBan, LocalBan, OrderError, Origin,
};
use tokio::sync::{mpsc, oneshot};

use super::drop_events::DropsByReason;
use crate::kernel::{Allowing, Attachment, InterfaceModes, Staged};

/// Messages that may wait for the enforcer.
const QUEUE: usize = 4096;
/// Time that an answer may take; orders are carried out all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time that a table of lists may wait behind bans.
const LISTS_PATIENCE: Duration = Duration::from_secs(60);

pub(crate) type BanReply = oneshot::Sender<Result<Enforced, OrderError>>;
/// Whether the ban is this edge's: the fleet had none for as long.
pub(crate) type StandInReply = oneshot::Sender<Result<bool, OrderError>>;
pub(crate) type UnbanReply = oneshot::Sender<Result<Option<Origin>, OrderError>>;
pub(crate) type ListsReply = oneshot::Sender<Result<(), String>>;
/// Whether the kernel has the allowlist.
pub(crate) type AllowReply = oneshot::Sender<Result<(), OrderError>>;
pub(crate) type ModeReply = oneshot::Sender<Result<(), OrderError>>;
pub(crate) type InterfaceModeReply = oneshot::Sender<Result<(), NotSwitched>>;

/// A message to the enforcer.
pub(crate) enum Message {
    Bucket(BucketUpdate),
    FleetAllowlist(Vec<AllowEntry>),
    LocalAllowlist {
        entries: Vec<AllowEntry>,
        reply: AllowReply,
    },
    Ban {
        ban: LocalBan,
        reply: BanReply,
    },
    Unban {
        target: Prefix,
        reply: UnbanReply,
    },
    StandIn {
        command: Box<BlockCommand>,
        reply: StandInReply,
    },
    SetMode {
        mode: FilterMode,
        reply: ModeReply,
    },
    SetInterfaceMode {
        interface: String,
        mode: FilterMode,
        reply: InterfaceModeReply,
    },
    /// The modes of single interfaces, as the config says now.
    InterfaceModes(InterfaceModes),
    /// The most slots of a map of banned sources, as the config says now.
    BanSlots(u32),
    /// Another table of static lists, or none; and the slots in it that begin to count from zero.
    Lists {
        table: Option<(Box<Staged>, Allowing)>,
        reused: Vec<usize>,
        reply: ListsReply,
    },
    List {
        reply: oneshot::Sender<Vec<ActiveBan>>,
    },
    Report {
        reply: oneshot::Sender<EnforcerReport>,
    },
}

/// A ban in force.
#[derive(Clone, Debug)]
pub(crate) struct ActiveBan {
    pub target: Prefix,
    pub ban: Enforced,
    /// The kernel's ban, with its drop counts, where it holds one.
    pub counts: Option<KernelBan>,
}

/// The state of the enforcer in numbers.
#[derive(Clone, Debug)]
pub(crate) struct EnforcerReport {
    pub status: EnforcerStatus,
    /// The digest of the fleet's bans as received.
    pub fleet: Extract,
    /// The configured interfaces, as of the latest look at them.
    pub attachments: Vec<Attachment>,
    /// The reason why the kernel does not have the allowlist, if so.
    pub allowlist_failed: Option<String>,
    /// Names and patterns of `kernel.interface_modes` that stand for no interface.
    pub modes_without_interface: Vec<String>,
    pub drops: DropsByReason,
    /// Commands that were rejected, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// The reason why an interface keeps its mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotSwitched {
    #[error("bans are not enforced in the kernel here")]
    NoKernel,
    #[error("`{0}` is not a protected interface: `status` lists them")]
    Unknown(String),
    #[error("{0}")]
    Kernel(String),
}

/// The enforcer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the enforcer has ended")]
pub(crate) struct EnforcerEnded;

/// The reason why an operator's order was not carried out, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfulfilled {
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error(transparent)]
    Order(#[from] OrderError),
}

/// Reaches the enforcer. All clones reach the same one.
#[derive(Clone, Debug)]
pub(crate) struct EnforcerHandle(mpsc::Sender<Message>);

/// A handle, and the messages that come by it.
pub(crate) fn channel() -> (EnforcerHandle, mpsc::Receiver<Message>) {
    let (messages, waiting) = mpsc::channel(QUEUE);
    (EnforcerHandle(messages), waiting)
}

impl EnforcerHandle {
    /// Hands over an update of the bans bucket.
    ///
    /// # Errors
    ///
    /// [`EnforcerEnded`].
    pub(crate) async fn update(&self, update: BucketUpdate) -> Result<(), EnforcerEnded> {
        self.send(Message::Bucket(update)).await
    }

    /// Hands over the fleet's allowlist.
    ///
    /// # Errors
    ///
    /// [`EnforcerEnded`].
    pub(crate) async fn allow(&self, entries: Vec<AllowEntry>) -> Result<(), EnforcerEnded> {
        self.send(Message::FleetAllowlist(entries)).await
    }

    /// Hands over what this host's operators allowlist.
    ///
    /// # Errors
    ///
    /// See [`Unfulfilled`].
    pub(crate) async fn allow_here(&self, entries: Vec<AllowEntry>) -> Result<(), Unfulfilled> {
        Ok(ask(&self.0, PATIENCE, |reply| Message::LocalAllowlist {
            entries,
            reply,
        })
        .await??)
    }

    async fn send(&self, message: Message) -> Result<(), EnforcerEnded> {
        self.0.send(message).await.map_err(|_| EnforcerEnded)
    }

    /// Waits until the enforcer has ended.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }

    /// Bans on this host.
    ///
    /// # Errors
    ///
    /// See [`Unfulfilled`].
    pub(crate) async fn ban(&self, ban: LocalBan) -> Result<Enforced, Unfulfilled> {
        Ok(ask(&self.0, PATIENCE, |reply| Message::Ban { ban, reply }).await??)
    }

    /// Lifts the ban of `target` on this host, and returns its origin; `None` if there was none.
    ///
    /// # Errors
    ///
    /// See [`Unfulfilled`].
    pub(crate) async fn unban(&self, target: Prefix) -> Result<Option<Origin>, Unfulfilled> {
        Ok(ask(&self.0, PATIENCE, |reply| Message::Unban { target, reply }).await??)
    }

    /// Bans on this host as its own detector says, and returns whether the fleet had not done so.
    ///
    /// # Errors
    ///
    /// See [`Unfulfilled`].
    pub(crate) async fn stand_in(&self, command: Box<BlockCommand>) -> Result<bool, Unfulfilled> {
        Ok(ask(&self.0, PATIENCE, |reply| Message::StandIn { command, reply }).await??)
    }

    /// Makes this host enforce bans, or only observe.
    ///
    /// # Errors
    ///
    /// See [`Unfulfilled`].
    pub(crate) async fn set_mode(&self, mode: FilterMode) -> Result<(), Unfulfilled> {
        Ok(ask(&self.0, PATIENCE, |reply| Message::SetMode { mode, reply }).await??)
    }

    /// Makes one interface enforce bans, or only observe.
    ///
    /// # Errors
    ///
    /// [`Unanswered`].
    pub(crate) async fn set_interface_mode(
        &self,
        interface: String,
        mode: FilterMode,
    ) -> Result<Result<(), NotSwitched>, Unanswered> {
        let message = |reply| Message::SetInterfaceMode {
            interface,
            mode,
            reply,
        };
        ask(&self.0, PATIENCE, message).await
    }

    /// Takes the modes of single interfaces from the config.
    ///
    /// # Errors
    ///
    /// [`EnforcerEnded`].
    pub(crate) async fn configure_modes(&self, modes: InterfaceModes) -> Result<(), EnforcerEnded> {
        self.send(Message::InterfaceModes(modes)).await
    }

    /// Takes the most slots of a map of banned sources from the config.
    ///
    /// # Errors
    ///
    /// [`EnforcerEnded`].
    pub(crate) async fn allow_slots(&self, most: u32) -> Result<(), EnforcerEnded> {
        self.send(Message::BanSlots(most)).await
    }

    /// Brings a table of static lists into force, or none. Fails with the kernel's words.
    ///
    /// # Errors
    ///
    /// [`Unanswered`]; it may come into force all the same.
    pub(crate) async fn bring_lists(
        &self,
        table: Option<(Box<Staged>, Allowing)>,
        reused: Vec<usize>,
    ) -> Result<Result<(), String>, Unanswered> {
        let message = |reply| Message::Lists { table, reused, reply };
        ask(&self.0, LISTS_PATIENCE, message).await
    }

    /// The bans in force, by target.
    ///
    /// # Errors
    ///
    /// [`Unanswered`].
    pub(crate) async fn list(&self) -> Result<Vec<ActiveBan>, Unanswered> {
        ask(&self.0, PATIENCE, |reply| Message::List { reply }).await
    }

    /// The state of the enforcer in numbers.
    ///
    /// # Errors
    ///
    /// [`Unanswered`].
    pub(crate) async fn report(&self) -> Result<EnforcerReport, Unanswered> {
        ask(&self.0, PATIENCE, |reply| Message::Report { reply }).await
    }
}
