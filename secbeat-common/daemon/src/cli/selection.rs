//! The bans that an `unban` is about, and what became of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{ArgGroup, Args, builder::NonEmptyStringValueParser};
use secbeat_common::{prefix::Prefix, wire::Reason};
use serde::Serialize;

use super::{DecisionOptions, Output, print_json};
use crate::{complain, exit::Coded, say};

/// Targets from one line of progress to the next.
const PROGRESS: usize = 1_000;
/// Targets that are named one by one.
const NAMED: usize = 20;

/// Bans by their targets, or by what they have in common.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true))]
pub struct Selection {
    /// Addresses, which stand for their sources (an IPv4 address, or the /64 of an IPv6 address), and CIDRs.
    #[arg(group = "which")]
    targets: Vec<Prefix>,
    /// Unban this address (IPv6: its /64).
    #[arg(long, short, group = "which")]
    ip: Vec<std::net::IpAddr>,
    /// Unban this network.
    #[arg(
        long,
        short,
        alias = "value",
        short_alias = 'v',
        value_name = "CIDR",
        group = "which"
    )]
    range: Vec<Prefix>,
    /// The targets in this file, one a line, with comments after `#`; `-` for standard input.
    #[arg(long, value_name = "FILE", group = "which")]
    file: Option<PathBuf>,
    /// Every ban.
    #[arg(long, group = "which", conflicts_with_all = ["targets", "ip", "range", "file"])]
    all: bool,
    /// Every ban of this network, and within it.
    #[arg(long, value_name = "CIDR", group = "which", conflicts_with_all = ["targets", "ip", "range", "file"])]
    pub within: Option<Prefix>,
    /// Every ban with this reason: `manual`, or the name of a rule.
    #[arg(long, alias = "rule", group = "which", conflicts_with_all = ["targets", "ip", "range", "file"])]
    pub reason: Option<Reason>,
    /// Every ban with this text in its note.
    #[arg(long, value_name = "TEXT", group = "which", conflicts_with_all = ["targets", "ip", "range", "file"], value_parser = NonEmptyStringValueParser::new())]
    pub note: Option<String>,
    #[command(flatten)]
    _of_cscli: DecisionOptions,
}

impl Selection {
    /// The targets that are named one by one.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or has something else.
    pub fn named(&self) -> anyhow::Result<Vec<Prefix>> {
        let mut named = self.targets.clone();
        named.extend(self.ip.iter().map(|address| Prefix::single(*address)));
        named.extend(&self.range);
        let Some(file) = &self.file else {
            return Ok(named);
        };
        let reading = || format!("reading {}", file.display());
        let text = if file.as_os_str() == "-" {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).with_context(reading)?;
            text
        } else {
            fs::read_to_string(file).with_context(reading)?
        };
        for (line, number) in text.lines().zip(1..) {
            let target = line.split('#').next().unwrap_or_default().trim();
            if !target.is_empty() {
                named.push(
                    target
                        .parse()
                        .with_context(|| format!("{}:{number}", file.display()))?,
                );
            }
        }
        Ok(named)
    }

    /// Whether it goes by what bans have in common.
    #[must_use]
    pub const fn is_selecting(&self) -> bool {
        self.all || self.within.is_some() || self.reason.is_some() || self.note.is_some()
    }

    /// Whether a ban has in common what is asked for.
    #[must_use]
    pub fn takes(&self, target: &Prefix, reason: &str, note: &str) -> bool {
        self.within.is_none_or(|within| within.covers(target))
            && self.reason.is_none_or(|wanted| wanted.name() == reason)
            && self.note.as_ref().is_none_or(|text| note.contains(text))
    }
}

/// What became of them.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    pub unbanned: Vec<String>,
    pub not_banned: Vec<String>,
    /// Targets that bans of networks around them go on to drop, with these networks.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub covered: BTreeMap<String, Vec<String>>,
    /// New entries of the allowlist, where these were asked for instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowlisted: Option<Vec<String>>,
}

impl Outcome {
    /// Lifts the ban of each of `targets` by `lift`, which says whether there was one.
    ///
    /// # Errors
    ///
    /// The first one of `lift`.
    pub fn lift(
        &mut self,
        targets: &BTreeSet<Prefix>,
        mut lift: impl FnMut(&Prefix) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        for (target, done) in targets.iter().zip(1..) {
            let so_far = self.unbanned.len();
            let lifted =
                lift(target).with_context(|| format!("after {so_far} of {} targets", targets.len()))?;
            let among = match lifted {
                true => &mut self.unbanned,
                false => &mut self.not_banned,
            };
            among.push(target.to_string());
            if done % PROGRESS == 0 {
                complain!("{done} of {}", targets.len());
            }
        }
        Ok(())
    }

    /// Notes which of the `banned` networks are wider than `target`, and have all of it.
    pub fn cover(&mut self, target: &Prefix, banned: impl IntoIterator<Item = Prefix>) {
        let around = banned
            .into_iter()
            .filter(|net| net != target && net.covers(target));
        let around: BTreeSet<Prefix> = around.collect();
        if !around.is_empty() {
            let around = around.iter().map(ToString::to_string).collect();
            self.covered.insert(target.to_string(), around);
        }
    }

    /// Returns what covers targets, for people.
    fn said_of_covered(&self) -> Option<String> {
        let each = self.covered.iter();
        let each: Vec<_> = each
            .map(|(target, around)| format!("{target} ({})", around.join(", ")))
            .collect();
        (!each.is_empty()).then(|| {
            format!(
                "still dropped, since networks around them are banned: {}; --covering unbans these, and --except lets the targets alone through",
                listed(&each)
            )
        })
    }

    /// Says what was done `place`, as "on this host", or what would be.
    ///
    /// # Errors
    ///
    /// When some targets were not banned, or networks around some of them are.
    pub fn tell(self, place: &str, is_dry_run: bool, output: Output) -> anyhow::Result<()> {
        let (unbanned, missing) = (self.unbanned.len(), self.not_banned.len());
        match output {
            Output::Json => print_json(&self)?,
            Output::Table if self.allowlisted.is_some() => {
                let would = self.allowlisted.iter().flatten().filter(|_| is_dry_run);
                would.for_each(|target| say!("would allowlist {target} {place}"));
            }
            Output::Table => {
                let done = if is_dry_run { "would unban" } else { "unbanned" };
                if unbanned <= NAMED || is_dry_run {
                    self.unbanned
                        .iter()
                        .for_each(|target| say!("{done} {target} {place}"));
                } else {
                    say!("{done} {unbanned} targets {place}");
                }
                if unbanned + missing == 0 {
                    say!("no ban matches");
                }
            }
        }
        let said = match (&self.not_banned[..], unbanned) {
            ([], _) => None,
            ([target], 0) => Some(format!("{target} is not banned")),
            (targets, _) => Some(format!("not banned: {}", listed(targets))),
        };
        match (said, self.said_of_covered()) {
            (None, None) => Ok(()),
            (None, Some(covered)) => Err(anyhow::Error::msg(covered)),
            (Some(said), None) => Err(Coded::not_found(said).into()),
            (Some(said), Some(covered)) => Err(Coded::not_found(format!("{said}; {covered}")).into()),
        }
    }
}

/// The first of them by name, and how many there are beside.
fn listed(targets: &[String]) -> String {
    let named: Vec<_> = targets.iter().take(NAMED).map(String::as_str).collect();
    match targets.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        which: Selection,
    }

    fn parsed(arguments: &[&str]) -> Option<Selection> {
        let all = ["x"].iter().chain(arguments);
        Cli::try_parse_from(all).ok().map(|cli| cli.which)
    }

    #[test]
    fn targets_are_named_or_selected_and_never_both() {
        for good in [
            &["192.0.2.1", "192.0.2.0/24"][..],
            &["-i", "192.0.2.1", "-r", "192.0.2.0/24"],
            &["--type", "ban", "--scope", "range", "--value", "192.0.2.0/24"],
            &["--all"],
            &["--reason", "manual", "--note", "x"],
        ] {
            assert!(parsed(good).is_some(), "{good:?}");
        }
        for wrong in [
            &[][..],
            &["192.0.2.1", "--all"],
            &["--note", ""],
            &["--file", "-", "--within", "::/0"],
        ] {
            assert!(parsed(wrong).is_none(), "{wrong:?}");
        }
        let takes = |arguments: &[&str], target: &str, reason, note| {
            parsed(arguments)
                .unwrap()
                .takes(&target.parse().unwrap(), reason, note)
        };
        assert!(takes(&["--all"], "192.0.2.1", "manual", ""));
        assert!(takes(&["--within", "192.0.2.0/24"], "192.0.2.1", "manual", ""));
        assert!(!takes(
            &["--within", "192.0.2.0/24"],
            "198.51.100.1",
            "manual",
            ""
        ));
        assert!(!takes(&["--reason", "error-flood"], "192.0.2.1", "manual", ""));
        assert!(takes(
            &["--reason", "manual", "--note", "b"],
            "192.0.2.1",
            "manual",
            "abc"
        ));
        assert!(!takes(
            &["--reason", "manual", "--note", "d"],
            "192.0.2.1",
            "manual",
            "abc"
        ));
    }

    #[test]
    fn what_is_missing_is_an_error_after_the_others_were_lifted() {
        let targets: BTreeSet<Prefix> = ["192.0.2.1", "192.0.2.2"]
            .map(|target| target.parse().unwrap())
            .into();
        let mut outcome = Outcome::default();
        outcome
            .lift(&targets, |target| Ok(target.to_string() == "192.0.2.2/32"))
            .unwrap();
        assert_eq!(
            (&outcome.unbanned[..], &outcome.not_banned[..]),
            (&["192.0.2.2/32".to_owned()][..], &["192.0.2.1/32".to_owned()][..])
        );
        let nets = ["192.0.2.1", "192.0.2.0/30", "192.0.2.0/24", "198.51.100.0/24"];
        let nets = nets.map(|net| net.parse().unwrap());
        outcome.cover(&"192.0.2.1".parse().unwrap(), nets);
        let error = outcome.tell("here", false, Output::Json).unwrap_err();
        assert_eq!(
            error.to_string(),
            "not banned: 192.0.2.1/32; still dropped, since networks around them are banned: 192.0.2.1/32 (192.0.2.0/24, 192.0.2.0/30); --covering unbans these, and --except lets the targets alone through"
        );
    }
}
