//! `[[feed]]`: which list, where it is, and what becomes of it.

use std::{
    collections::BTreeSet,
    fmt,
    hash::{Hash as _, Hasher as _},
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use secbeat_common::{
    prefix::Prefix,
    subjects,
    wire::{FeedVerdict, MAX_FEEDS},
};
use secbeat_daemon::config::{HumanDuration, schema};
use secbeat_lists::{Format, names};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::presets::Preset;
use crate::millis;

/// Most bytes of a list as it is sent, unless the config says otherwise.
const MAX_BYTES: u64 = 32 * 1024 * 1024;
/// The least time between two looks at a source.
const LEAST: Duration = Duration::from_secs(60);

/// A published list of networks (docs/feeds.md). Orchestrators ask for it, one of them at a time, and edges count, drop or
/// let pass what comes from its networks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedEntry {
    /// Name of the feed: letters, digits, `-` and `_`.
    #[schemars(with = "schema::Name")]
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// A well-known public feed, in place of `url`. Read its terms before: docs/feeds.md names them.
    pub preset: Option<Preset>,
    /// Address of the list: https, or http on this host. A password in it is shown nowhere.
    #[schemars(with = "Option<String>")]
    pub url: Option<FeedUrl>,
    /// File with the list, in place of `url`. Of several orchestrators each needs it.
    #[schemars(with = "Option<schema::File>")]
    pub file: Option<PathBuf>,
    /// Its format. Default: found out, as `import` does (docs/lists.md).
    #[schemars(with = "Option<String>")]
    #[serde(default, deserialize_with = "format")]
    pub format: Option<Format>,
    /// What edges do with packets from its networks: `observe` counts them, `ban` drops them, `allow` lets them pass, whatever else bans
    /// their client. Observe a new feed first.
    #[serde(default)]
    pub mode: FeedMode,
    /// Interval at which the source is asked, at least `1m`; up to a tenth of it later, by chance. Default: `1h`, or that of the
    /// preset.
    pub every: Option<HumanDuration>,
    /// Time for which the last accepted list counts while the source does not answer, or sends an unusable list.
    #[serde(default = "a_week")]
    pub ttl: HumanDuration,
    /// Networks that are left out, whatever the list says.
    #[schemars(with = "Vec<schema::Network>")]
    #[serde(default, deserialize_with = "networks")]
    pub exclude: Vec<Prefix>,
    /// Accept private and other networks that are not public, as of RFC 1918.
    #[serde(default)]
    pub include_private: bool,
    /// Most bytes of the list as it is sent.
    #[serde(default = "max_bytes")]
    pub max_bytes: u64,
    /// A list with fewer entries than this share of the last one is not taken: 0 to 1, 0 takes all.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(default)]
    pub min_share: MinShare,
    /// Timeout of a complete response.
    #[serde(default = "a_minute")]
    pub timeout: HumanDuration,
    /// Allows plain http to other hosts: anyone on the way can then change the list.
    #[serde(default)]
    pub insecure: bool,
    /// File with the certificates (PEM) to trust instead of the system's.
    #[schemars(with = "Option<schema::File>")]
    pub ca_file: Option<PathBuf>,
}

/// Action of edges on packets from the networks of a feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FeedMode {
    #[default]
    Observe,
    Ban,
    Allow,
}

impl From<FeedMode> for FeedVerdict {
    fn from(mode: FeedMode) -> Self {
        match mode {
            FeedMode::Observe => Self::Observe,
            FeedMode::Ban => Self::Ban,
            FeedMode::Allow => Self::Allow,
        }
    }
}

/// The URL of a feed. It is shown without what is before the host and behind the path: both may hold a key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FeedUrl(String);

impl FeedUrl {
    /// The whole URL.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for FeedUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Display for FeedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let (shown, hidden) = match rest.split_once(['?', '#']) {
            Some((shown, _)) => (shown, "?…"),
            None => (rest, ""),
        };
        let (host, path) = shown.split_once('/').unwrap_or((shown, ""));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        write!(f, "{scheme}://{host}/{path}{hidden}")
    }
}

impl fmt::Debug for FeedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for FeedUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let url = String::deserialize(deserializer)?;
        match url.starts_with("https://") || url.starts_with("http://") {
            true => Ok(Self(url)),
            false => Err(D::Error::custom("expected a URL that begins with https://")),
        }
    }
}

/// The share of the last list's entries that the next one has at least, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "f64")]
pub struct MinShare(u16);

impl Default for MinShare {
    fn default() -> Self {
        Self(700)
    }
}

impl MinShare {
    /// Whether `new` entries are too few after `old`.
    pub(super) fn forbids(self, new: usize, old: usize) -> bool {
        (new as u128) * 1000 < (old as u128) * u128::from(self.0)
    }
}

impl Serialize for MinShare {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 1000.0)
    }
}

impl<'de> Deserialize<'de> for MinShare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        match (0.0..=1.0).contains(&share) {
            true => Ok(Self((share * 1000.0).round() as u16)),
            false => Err(D::Error::custom(format!(
                "invalid share {share}: expected 0 to 1"
            ))),
        }
    }
}

/// Place of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Url(FeedUrl),
    File(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl FeedEntry {
    /// A feed at `place` with defaults, to try it.
    pub(crate) fn trial(place: &str) -> Self {
        let is_url = place.starts_with("https://") || place.starts_with("http://");
        Self {
            name: "trial".to_owned(),
            preset: None,
            url: is_url.then(|| FeedUrl(place.to_owned())),
            file: (!is_url).then(|| place.into()),
            format: None,
            mode: FeedMode::default(),
            every: None,
            ttl: a_week(),
            exclude: Vec::new(),
            include_private: false,
            max_bytes: max_bytes(),
            min_share: MinShare::default(),
            timeout: a_minute(),
            insecure: false,
            ca_file: None,
        }
    }

    /// Returns where the list is.
    pub(crate) fn place(&self) -> Place {
        let preset = self.preset.map(|preset| FeedUrl(preset.feed().url.to_owned()));
        match (&self.file, self.url.clone().or(preset)) {
            (Some(file), _) => Place::File(file.clone()),
            (None, Some(url)) => Place::Url(url),
            // A checked entry has one.
            (None, None) => Place::File(PathBuf::new()),
        }
    }

    /// Returns how often the source is asked, in milliseconds.
    pub(super) fn every_ms(&self) -> i64 {
        let usual = self
            .preset
            .map_or(Duration::from_secs(3600), |preset| preset.feed().every);
        millis(self.every.map_or(usual, |every| every.0))
    }

    /// Returns how long a list counts, in milliseconds.
    pub(super) fn ttl_ms(&self) -> i64 {
        millis(self.ttl.0)
    }

    /// Tells apart what would make another list of the same source, or takes another source.
    pub(super) fn settings(&self) -> u64 {
        let secret = match self.place() {
            Place::Url(url) => url.reveal().to_owned(),
            Place::File(path) => path.display().to_string(),
        };
        let shown = format!("{:?} {:?} {}", self.format, self.exclude, self.include_private);
        let mut hasher = std::hash::DefaultHasher::new();
        (secret, shown, self.mode == FeedMode::Allow).hash(&mut hasher);
        hasher.finish()
    }

    /// Tells apart what makes the source be asked at once.
    pub(super) fn asked(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        let mode = FeedVerdict::from(self.mode).name();
        (self.settings(), mode, self.every_ms(), self.ttl_ms()).hash(&mut hasher);
        hasher.finish()
    }
}

/// Files without a folder lie in `folder`.
pub(crate) fn resolve(feeds: &mut [FeedEntry], folder: &Path) {
    let files = feeds
        .iter_mut()
        .flat_map(|feed| [&mut feed.file, &mut feed.ca_file]);
    for file in files.flatten() {
        *file = folder.join(&*file);
    }
}

/// The key of what is wrong with `feeds`, and why.
///
/// # Errors
///
/// Returns an error if they contradict themselves or each other.
pub(crate) fn check(feeds: &[FeedEntry]) -> Result<(), (String, String)> {
    if feeds.len() > MAX_FEEDS {
        let why = format!("{} feeds; there are at most {MAX_FEEDS}", feeds.len());
        return Err(("feed".to_owned(), why));
    }
    let mut names = BTreeSet::new();
    for (index, feed) in feeds.iter().enumerate() {
        let at = |key: &str| format!("feed[{index}].{key}");
        if !names.insert(&feed.name) {
            return Err((at("name"), format!("two feeds are called `{}`", feed.name)));
        }
        let places = [feed.preset.is_some(), feed.url.is_some(), feed.file.is_some()];
        if places.into_iter().filter(|is_given| *is_given).count() != 1 {
            let why = "missing: set exactly one of `url`, `file` and `preset`".to_owned();
            return Err((at("url"), why));
        }
        if let Some(url) = &feed.url {
            url.check(feed.insecure).map_err(|why| (at("url"), why))?;
        }
        if feed.every.is_some_and(|every| every.0 < LEAST) {
            return Err((at("every"), format!("the least is {}", HumanDuration(LEAST))));
        }
        if feed.ttl_ms() < feed.every_ms() {
            let why = format!(
                "{} is shorter than the time between two looks at the source",
                feed.ttl
            );
            return Err((at("ttl"), why));
        }
    }
    Ok(())
}

impl FeedUrl {
    fn check(&self, is_insecure: bool) -> Result<(), String> {
        let plain = self.0.strip_prefix("http://");
        let host = plain.map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
        let is_here = |host: &str| {
            let name = host.rsplit_once('@').map_or(host, |(_, host)| host);
            let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
            let name = name.trim_start_matches('[').trim_end_matches(']');
            let is_loopback = |address: std::net::IpAddr| address.is_loopback();
            name == "localhost" || name.parse().is_ok_and(is_loopback)
        };
        match host {
            Some(host) if !is_insecure && !is_here(host) => Err(format!(
                "{self} is not encrypted, and anyone on the way could change it: use https, or insecure = true"
            )),
            _ => Ok(()),
        }
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    /// Longest name, in letters: that of a list in the kernel.
    const MAX_NAME: usize = 32;
    let name = String::deserialize(deserializer)?;
    match subjects::is_token(&name) && name.len() <= MAX_NAME {
        true => Ok(name),
        false => Err(D::Error::custom(format!(
            "invalid name `{name}`: use up to {MAX_NAME} letters, digits, `-` and `_`"
        ))),
    }
}

fn format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Format>, D::Error> {
    let name = String::deserialize(deserializer)?;
    let format = <Format as clap::ValueEnum>::from_str(&name, false);
    let unknown = |_| D::Error::custom(format!("there is no format `{name}`: use one of {}", names()));
    format.map(Some).map_err(unknown)
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Prefix>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parse = |text: &String| {
        text.parse()
            .map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
    };
    texts.iter().map(parse).collect()
}

const fn a_week() -> HumanDuration {
    HumanDuration(Duration::from_secs(7 * 24 * 3600))
}

const fn a_minute() -> HumanDuration {
    HumanDuration(Duration::from_secs(60))
}

const fn max_bytes() -> u64 {
    MAX_BYTES
}
