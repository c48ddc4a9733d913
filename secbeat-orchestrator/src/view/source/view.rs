//! The JSON of `GET /api/v1/sources/{ip}`.

use std::net::IpAddr;

use secbeat_common::{
    prefix::Prefix,
    wire::{FeedVerdict, FleetFeed, ListRecord, Reason, SeenEvent},
};
use secbeat_daemon::geo::Origin;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::view::{bans::BanView, findings::FindingView, protection::ProtectedView};

/// All that is known of one address.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SourceView {
    /// The address that was asked about.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// Source prefix that is counted and banned: its /32 or /64.
    pub source: String,
    /// Country and provider of the address, by the files of `[geo]`.
    #[serde(flatten)]
    pub origin: Origin,
    /// Time of this view, RFC 3339.
    pub at: String,
    /// Whether it is banned.
    pub standing: Standing,
    /// Whether its packets pass although it is banned: it is on the allowlist.
    #[serde(default)]
    pub is_exempt: bool,
    /// The answer in words.
    pub sentences: Vec<String>,
    /// Bans in force, the narrowest first.
    pub bans: Vec<BanView>,
    /// Feeds whose lists have the address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<OnFeed>,
    /// Networks that protect the source or a part of it.
    pub protected: Vec<ProtectedView>,
    /// Earlier bans that make the next one longer.
    pub strikes: u32,
    /// Whether it is a crawler, if it was looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crawler: Option<CrawlerView>,
    /// Count under each rule.
    pub windows: Vec<WindowCount>,
    /// The latest first.
    pub findings: Vec<FindingView>,
    /// Oldest first: the latest this process has, and those that bans were decided on.
    pub events: Vec<SeenEvent>,
    /// The lists that bans in force are of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListRecord>,
    /// Bans that the audit remembers, oldest first.
    pub history: Vec<PastBan>,
    /// All that happened, in order.
    pub timeline: Vec<Moment>,
    /// The reason why the audit could not be read, if so: history and timeline lack what it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_missing: Option<String>,
}

/// A feed that has an address on its list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OnFeed {
    /// Name of the feed.
    pub feed: String,
    /// `observe`, `ban` or `allow`.
    pub mode: String,
    /// The network of the list around the address.
    pub network: String,
}

impl OnFeed {
    pub(crate) fn new(feed: &FleetFeed, network: &Prefix) -> Self {
        Self {
            feed: feed.name.clone(),
            mode: feed.verdict.name().to_owned(),
            network: network.to_string(),
        }
    }

    /// Whether edges drop its packets.
    pub(super) fn drops(&self) -> bool {
        self.mode == FeedVerdict::Ban.name()
    }
}

/// Result of looking up a client that may be a crawler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CrawlerView {
    /// Address that was looked up.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// Whether the DNS confirms it.
    pub verified: bool,
    /// The crawler that it is, or says to be.
    pub crawler: Option<String>,
    /// Its name in the DNS, if that proves who it is.
    pub host: Option<String>,
    /// The reason why it is not verified.
    pub why: Option<String>,
    /// RFC 3339.
    pub at: String,
    /// Time until which the answer counts, RFC 3339.
    pub until: String,
}

/// State of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = SourceStanding)]
pub enum Standing {
    Banned,
    /// Never banned.
    Protected,
    /// Neither, though something is known of it.
    Free,
    /// Nothing is known of it.
    Unknown,
}

/// Count of a source under one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WindowCount {
    /// Name of the rule.
    #[schema(value_type = String)]
    pub rule: Reason,
    /// Events within the window.
    pub count: u64,
    /// At so many within the window, the rule finds the client.
    pub threshold: u32,
    /// Length of the window, in milliseconds.
    pub window_ms: i64,
    /// Whether the rule only observes.
    pub observe: bool,
}

/// A ban that the audit remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PastBan {
    /// Id of the ban; its trace has the same.
    pub command_id: Uuid,
    /// Address or CIDR.
    pub target: String,
    /// The user, token or daemon that banned.
    pub actor: String,
    /// `manual`, or the name of the rule.
    #[schema(value_type = String)]
    pub reason: Reason,
    /// Its note; empty if there is none.
    pub note: String,
    /// Layer that enforces it: `kernel` or `l7`.
    pub layer: String,
    /// Earlier bans that count as repeat offences.
    pub strikes: u32,
    /// Time of the decision, RFC 3339.
    pub decided_at: String,
    /// `null` for a ban without end.
    pub expires_at: Option<String>,
    /// Events in the rule's window when it fired.
    pub count: Option<u32>,
    /// The latest of them, oldest first.
    pub events: Vec<SeenEvent>,
    /// Its end, or that it is in force.
    pub end: End,
}

/// End of a ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum End {
    /// It has not.
    InForce,
    /// Its time was over.
    Expired,
    /// An operator lifted it.
    Lifted {
        at: String,
        actor: String,
        /// The reason for it; missing if none was given.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
    /// A later ban of the same target took its place.
    Replaced { by: Uuid },
}

/// One thing that happened, or several of one kind in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Moment {
    /// RFC 3339, to the millisecond.
    pub at: String,
    /// Of several, when the last of them happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// `events`, `finding`, `ban`, `written`, `unban`, `allow`, `disallow`, `observed`, `suppressed` or `ended`.
    pub kind: String,
    /// The event, in a sentence.
    pub text: String,
}
