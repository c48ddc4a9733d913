//! Static lists: prefixes that somebody else collected, by the hundred thousand, with one verdict for each list.
//!
//! One owner puts them in force ([`Lists`]), all in one table of the kernel. It builds on a thread of its own, and the enforcer then
//! brings the table into force with one pointer. The kernel's table is also where the owner reads, at a start and at each change, what is
//! on the lists that do not change: nothing else keeps them, and they stay in force while there is no daemon.

mod config;
mod files;
mod owner;

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use arc_swap::ArcSwap;
use schemars::JsonSchema;
use secbeat_common::{
    lists::{NAME_BYTES, verdict},
    prefix::Prefix,
};
use secbeat_daemon::time;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::config::ListConfig;
pub(crate) use self::{
    config::check,
    files::{Configured, Files},
    owner::Owner,
};

/// Changes that may wait.
const QUEUE: usize = 64;

/// What a list means for packets of the addresses on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ListVerdict {
    /// They are dropped.
    Ban,
    /// They are never dropped, whatever bans them.
    Allow,
    /// They are counted.
    #[default]
    Observe,
}

impl ListVerdict {
    /// A code of [`verdict`].
    pub(crate) const fn code(self) -> u32 {
        match self {
            Self::Ban => verdict::BAN,
            Self::Allow => verdict::ALLOW,
            Self::Observe => verdict::OBSERVE,
        }
    }

    /// Of a code; what this release does not know is observed.
    pub(crate) const fn of(code: u32) -> Self {
        match code {
            verdict::BAN => Self::Ban,
            verdict::ALLOW => Self::Allow,
            _ => Self::Observe,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Allow => "allow",
            Self::Observe => "observe",
        }
    }
}

impl fmt::Display for ListVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who gives a list. It is noted in the kernel, by its number, which never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u32)]
pub(crate) enum Origin {
    /// A `[[list]]` of the config, from a file.
    File = 1,
    /// A feed of the fleet.
    Feed = 2,
    /// A `[[list]]` of the config, from what an MMDB file says of countries or autonomous systems.
    Geo = 3,
}

impl Origin {
    pub(crate) const fn of(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::File),
            2 => Some(Self::Feed),
            3 => Some(Self::Geo),
            _ => None,
        }
    }
}

/// A list's name: 1 to 32 letters, digits, `-`, `_` or `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ListName(String);

impl FromStr for ListName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        match (1..=NAME_BYTES).contains(&text.len()) && text.bytes().all(is_ours) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "invalid name `{text}`: use 1 to {NAME_BYTES} letters, digits, `-`, `_` or `.`"
            )),
        }
    }
}

impl TryFrom<String> for ListName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for ListName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ListName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A prefix on a list, and when it ends, in milliseconds since 1970.
pub(crate) type Listed = (Prefix, Option<u64>);

/// A list that is to be in force.
#[derive(Clone, Debug)]
pub(crate) struct NewList {
    pub name: ListName,
    pub verdict: ListVerdict,
    pub origin: Origin,
    /// In any order; prefixes may be in one another, and there more than once.
    pub entries: Vec<Listed>,
}

/// The reason why a list is not in force as it was given. Nothing has changed then: the one before stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListError {
    #[error("there are {0} lists already, and no more can be in force")]
    TooMany(usize),
    #[error(
        "with it, the lists take {bytes} bytes of kernel memory, more than kernel.list_max_bytes = {most}"
    )]
    TooLarge { bytes: usize, most: usize },
    #[error("the name belongs to a list from elsewhere ({0:?})")]
    Taken(Origin),
    #[error("{0}")]
    Other(String),
}

/// What the owner knows of a list that is not in force as it was to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub since_ms: u64,
    pub text: String,
}

/// A list that the owner put in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InForce {
    /// Of its prefixes and ends.
    pub digest: u64,
    pub prefixes: u32,
}

/// What the owner says of all lists; what is in force is asked of the kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnerState {
    /// The lists that the owner put in force, or took over at its start.
    pub in_force: BTreeMap<String, InForce>,
    /// Problems, by the name of the list; one is gone with the next success.
    pub problems: BTreeMap<String, Problem>,
}

/// Reaches the owner of the lists. All clones reach the same one.
#[derive(Clone, Debug)]
pub(crate) struct Lists {
    messages: mpsc::Sender<Message>,
    state: Arc<ArcSwap<OwnerState>>,
}

/// A change, and who waits for its outcome.
#[derive(Debug)]
enum Message {
    Replace(NewList, oneshot::Sender<Result<(), ListError>>),
    Remove(ListName, oneshot::Sender<Result<(), ListError>>),
    /// Removes every list of an origin that is not among these.
    Keep(Origin, Vec<ListName>, oneshot::Sender<Result<(), ListError>>),
}

/// Milliseconds since 1970.
fn wall_ms() -> u64 {
    u64::try_from(time::wall_ms()).unwrap_or_default()
}

impl Lists {
    /// A way to the owner, and what comes by it.
    fn channel() -> (Self, mpsc::Receiver<Message>) {
        let (messages, waiting) = mpsc::channel(QUEUE);
        let state = Arc::default();
        (Self { messages, state }, waiting)
    }

    /// Puts a list in force, in the place of the one with its name. Returns when the kernel has it.
    ///
    /// # Errors
    ///
    /// Why it has not; see [`ListError`].
    pub(crate) async fn replace(&self, list: NewList) -> Result<(), ListError> {
        self.ask(|reply| Message::Replace(list, reply)).await
    }

    /// Takes a list out of force; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub(crate) async fn remove(&self, name: ListName) -> Result<(), ListError> {
        self.ask(|reply| Message::Remove(name, reply)).await
    }

    /// Takes every list of `origin` out of force that is not among `names`. Lists that an earlier run put in force stay until then.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub(crate) async fn keep_only(&self, origin: Origin, names: Vec<ListName>) -> Result<(), ListError> {
        self.ask(|reply| Message::Keep(origin, names, reply)).await
    }

    /// Notes why a list is not as it should be, for people: its file is gone, say. It stays in force as it is.
    pub(crate) fn note_problem(&self, name: &ListName, text: &str, now_ms: u64) {
        self.change_state(|state| {
            let since_ms = state
                .problems
                .get(name.as_str())
                .map_or(now_ms, |known| known.since_ms);
            let problem = Problem {
                since_ms,
                text: text.to_owned(),
            };
            state.problems.insert(name.as_str().to_owned(), problem);
        });
    }

    /// Returns what the owner says of all lists.
    pub(crate) fn state(&self) -> Arc<OwnerState> {
        self.state.load_full()
    }

    fn change_state(&self, mut change: impl FnMut(&mut OwnerState)) {
        self.state.rcu(|state| {
            let mut state = OwnerState::clone(state);
            change(&mut state);
            state
        });
    }

    async fn ask(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<(), ListError>>) -> Message,
    ) -> Result<(), ListError> {
        let ended = || ListError::Other("the owner of the lists has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        self.messages.send(message(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}
