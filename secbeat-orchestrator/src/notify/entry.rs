//! `[[notify]]`: who is told, of what, and how.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use secbeat_common::{prefix::Prefix, subjects};
use secbeat_daemon::{
    config::{self, HumanDuration, schema},
    credentials::Secret,
};
use secbeat_orchestrator_core::notices::Every;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use strum::IntoStaticStr;

use super::{secret_file::place, severity::Severity};

/// A receiver of notifications.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotifyEntry {
    /// Name of the receiver: letters, digits, `-` and `_`. Metrics, `status` and `notify test` call it so.
    #[schemars(with = "schema::Name")]
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Way of delivery.
    pub kind: Kind,
    /// Events that it receives. By default all. A receiver that is told that something began is told that it is over.
    #[serde(default = "EventName::all")]
    pub events: Vec<EventName>,
    /// A report of each day, or of each week from Monday to Sunday, in UTC, once it is over. By default none.
    pub report: Option<ReportEvery>,
    /// Origin of the bans that it receives.
    #[serde(default)]
    pub bans: WhoseBans,
    /// Rules whose bans it receives; all if empty.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Networks whose bans and unbans it receives; all if empty.
    #[schemars(with = "Vec<schema::Network>")]
    #[serde(default, deserialize_with = "networks")]
    pub networks: Vec<Prefix>,
    /// Least severity of what it receives.
    #[serde(default)]
    pub min_severity: Severity,
    /// How long bans and unbans are gathered into one message. Everything else waits for two seconds at most.
    #[schemars(with = "schema::Duration")]
    #[serde(
        default = "half_a_minute",
        deserialize_with = "config::duration_or_zero",
        serialize_with = "config::as_duration"
    )]
    pub digest: Duration,
    /// Messages in an hour. Past it, everything is gathered until there may be one more; only the end of what was told is
    /// told at once.
    #[serde(default = "thirty")]
    pub max_per_hour: NonZeroU32,

    /// webhook: the URL to POST to. It is shown nowhere; one that holds a secret belongs in `url_file`.
    #[schemars(with = "Option<String>")]
    pub url: Option<Secret>,
    /// webhook: file with the URL. A name without a folder is looked for in `$CREDENTIALS_DIRECTORY` (systemd), then beside
    /// the config.
    #[schemars(with = "Option<schema::File>")]
    pub url_file: Option<PathBuf>,
    /// webhook: what the receiver understands.
    #[serde(default)]
    pub shape: Shape,
    /// webhook: file with a token: the routing key of PagerDuty, the application's token of Gotify, else shown as
    /// `Authorization: Bearer`. Looked for as `url_file`.
    #[schemars(with = "Option<schema::File>")]
    pub token_file: Option<PathBuf>,
    /// webhook: further headers.
    #[schemars(with = "BTreeMap<String, String>")]
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// webhook: a template of the body (Jinja), instead of a shape. Every `{{ value }}` is JSON, quotes included.
    pub template: Option<String>,
    /// webhook, email: file with the certificates (PEM) to trust instead of the system's.
    #[schemars(with = "Option<schema::File>")]
    pub ca_file: Option<PathBuf>,

    /// email: the mail server's name or address.
    #[schemars(with = "Option<schema::Host>")]
    pub server: Option<String>,
    /// email: its port. Default: 587 for `starttls`, 465 for `tls`, 25 for `none`.
    pub port: Option<u16>,
    /// email: how the connection is encrypted.
    #[serde(default)]
    pub tls: MailTls,
    /// email: the login, if the server wants one.
    pub username: Option<String>,
    /// email: file with its password. Looked for as `url_file`.
    #[schemars(with = "Option<schema::File>")]
    pub password_file: Option<PathBuf>,
    /// email: the sender, such as `SecBeat <secbeat@example.org>`.
    pub from: Option<String>,
    /// email: the recipients.
    #[serde(default)]
    pub to: Vec<String>,

    /// command: a program and its arguments; no shell reads them.
    #[serde(default)]
    pub command: Vec<String>,
    /// command: how long it may run. Default: 10s.
    pub timeout: Option<HumanDuration>,
}

impl NotifyEntry {
    /// Files without a folder are systemd's credentials, or lie in `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        let files = [
            &mut self.url_file,
            &mut self.token_file,
            &mut self.password_file,
            &mut self.ca_file,
        ];
        for file in files.into_iter().flatten() {
            *file = place(file, folder);
        }
    }
}

/// Kind of delivery to a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[strum(const_into_str, serialize_all = "lowercase")]
pub enum Kind {
    Webhook,
    Email,
    Command,
}

impl Kind {
    /// The word that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}

/// What a receiver can be told of.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[strum(const_into_str, serialize_all = "kebab-case")]
pub enum EventName {
    /// A client or a network was banned.
    Ban,
    /// A ban was lifted.
    Unban,
    /// A safety limit holds automatic bans back, and later none does.
    Brake,
    /// An edge is not there.
    EdgeDown,
    /// An edge has an interface without protection.
    EdgeUnprotected,
    /// An edge is there again, protects its interfaces again, or holds the ledger's bans again.
    EdgeBack,
    /// An edge holds other bans than the ledger.
    Drift,
    /// An orchestrator cannot ban.
    NotReady,
    /// The orchestrator can ban again.
    Ready,
    /// The list of a feed is not taken, or could not be fetched several times.
    FeedNotTaken,
    /// It is taken again.
    FeedBack,
}

impl EventName {
    fn all() -> Vec<Self> {
        use EventName::{
            Ban, Brake, Drift, EdgeBack, EdgeDown, EdgeUnprotected, FeedBack, FeedNotTaken, NotReady, Ready,
            Unban,
        };
        vec![
            Ban,
            Unban,
            Brake,
            EdgeDown,
            EdgeUnprotected,
            EdgeBack,
            Drift,
            NotReady,
            Ready,
            FeedNotTaken,
            FeedBack,
        ]
    }

    /// The word that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}

/// Origin of the bans that a receiver gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhoseBans {
    #[default]
    All,
    /// Those of rules.
    Automatic,
    /// Those of operators.
    Manual,
}

/// Interval of a receiver's reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReportEvery {
    Day,
    Week,
}

impl From<ReportEvery> for Every {
    fn from(every: ReportEvery) -> Self {
        match every {
            ReportEvery::Day => Self::Day,
            ReportEvery::Week => Self::Week,
        }
    }
}

/// Format of a webhook's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    #[default]
    GenericJson,
    Slack,
    Discord,
    Teams,
    Ntfy,
    Gotify,
    Pagerduty,
}

/// Encryption of the connection to a mail server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    #[default]
    Starttls,
    Tls,
    None,
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    match subjects::is_token(&name) {
        true => Ok(name),
        false => Err(D::Error::custom(format!(
            "invalid name `{name}`: use up to 64 letters, digits, `-` and `_`"
        ))),
    }
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Prefix>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parse = |text: &String| {
        text.parse()
            .map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
    };
    texts.iter().map(parse).collect()
}

const fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}

const fn thirty() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(29)
}
