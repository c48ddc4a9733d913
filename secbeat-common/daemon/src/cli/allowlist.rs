//! Parts of both command lines about allowlists: entries to add, their listing, and exemptions from bans of networks.

use clap::Args;
use jiff::Timestamp;
use secbeat_common::{coverage::Coverage, prefix::Prefix};

use super::{Cell, Column, Output, Target, print_json};
use crate::{
    allowing::{AllowRequest, AllowView},
    complain,
    exit::Coded,
    say,
    term::{Term, time},
    time::{ends_in, rfc3339},
};

/// Ends that are a second apart are one end: they were reckoned with two clocks.
const SAME_END_MS: i64 = 1_000;

/// The columns of a listing.
pub const ENTRIES: [Column<AllowView>; 5] = [
    Column("NETWORK", "network", |entry| Cell::Network(entry.network.clone())),
    Column("ENDS IN", "until", |entry| {
        Cell::End(entry.until.clone().unwrap_or_default(), entry.ends_in_ms)
    }),
    Column("ADDED", "added_at", |entry| Cell::Time(entry.added_at.clone())),
    Column("BY", "added_by", |entry| Cell::Text(entry.added_by.clone())),
    Column("COMMENT", "comment", |entry| Cell::Text(entry.comment.clone())),
];

/// An entry to add.
#[derive(Clone, Debug, Args)]
pub struct NewEntry {
    #[command(flatten)]
    target: Target,
    /// Duration, such as 30m, 4h or 7d; a bare number is seconds [default: no expiry].
    #[arg(long, short, allow_hyphen_values = true)]
    duration: Option<Term>,
    /// Expiry, such as 2026-12-01T10:00 by this host's clock, or 2026-12-01T10:00:00Z.
    #[arg(long, short, value_name = "TIME", conflicts_with = "duration", value_parser = in_utc)]
    until: Option<String>,
    /// Reason, shown in listings and in the audit.
    #[arg(
        long,
        visible_alias = "reason",
        alias = "note",
        default_value = "",
        hide_default_value = true
    )]
    comment: String,
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

/// As the API has it.
fn in_utc(text: &str) -> Result<String, String> {
    Ok(time(text)?.to_string())
}

impl NewEntry {
    /// Returns what is asked for.
    ///
    /// # Errors
    ///
    /// Returns an error if nobody says which target is meant.
    pub fn request(&self) -> anyhow::Result<AllowRequest> {
        Ok(AllowRequest {
            network: self.target.prefix()?.to_string(),
            comment: self.comment.clone(),
            duration: self.duration.map(|duration| duration.to_string()),
            until: self.until.clone(),
            list: None,
        })
    }

    /// Says that `entry` is there now, `place`, as "on every edge".
    ///
    /// # Errors
    ///
    /// Returns an error if there is no JSON for it.
    pub fn tell(&self, entry: &AllowView, place: &str) -> anyhow::Result<()> {
        for part in Coverage::of(entry.network.parse())
            .into_iter()
            .filter(|part| part.is_wide())
        {
            let (family, percent) = (part.family, part.percent());
            complain!(
                "{} is {percent} % of the {family} addresses that could be banned: no client there is banned",
                entry.network
            );
        }
        if self.output == Output::Json {
            return print_json(entry);
        }
        match entry.ends_in_ms {
            Some(_) => say!(
                "allowlisted {} for {} {place}",
                entry.network,
                ends_in(entry.ends_in_ms)
            ),
            None => say!("allowlisted {} {place}", entry.network),
        }
        Ok(())
    }
}

/// A target that is to pass until the bans of the networks around it end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemption {
    target: Prefix,
    /// The banned networks.
    around: Vec<String>,
    /// The end of the last of these bans, in milliseconds since the Unix epoch; `None` if one has none.
    until_ms: Option<i64>,
}

impl Exemption {
    /// That of `target` from `bans`: each by its target, with its end if it has one.
    ///
    /// # Errors
    ///
    /// Returns an error if none of them is of a network around it.
    pub fn from_bans(
        target: &Prefix,
        bans: impl IntoIterator<Item = (String, Option<String>)>,
    ) -> anyhow::Result<Self> {
        let is_around = |net: &str| {
            net.parse::<Prefix>()
                .is_ok_and(|net| net.covers(target) && net != *target)
        };
        let (mut around, mut ends) = (Vec::new(), Vec::new());
        for (net, end) in bans.into_iter().filter(|(net, _)| is_around(net)) {
            around.push(net);
            ends.push(end.and_then(|end| ms(&end)));
        }
        if around.is_empty() {
            let message =
                format!("no banned network is around {target}; without --except, its own ban is removed");
            return Err(Coded::not_found(message).into());
        }
        let ends: Option<Vec<_>> = ends.into_iter().collect();
        Ok(Self {
            target: *target,
            around,
            until_ms: ends.and_then(|ends| ends.into_iter().max()),
        })
    }

    /// Puts it on the allowlist by `add`, unless one of the entries `known` lasts as long already. Returns the new entry's network.
    ///
    /// # Errors
    ///
    /// That of `add`.
    pub fn put(
        &self,
        known: &[AllowView],
        add: impl FnOnce(&AllowRequest) -> anyhow::Result<AllowView>,
        (place, output): (&str, Output),
    ) -> anyhow::Result<Option<String>> {
        let names = self.around.join(", ");
        let lasting = |entry: &&AllowView| match (entry.until.as_deref().map(ms), self.until_ms) {
            (None, _) => true,
            (Some(Some(until)), Some(needed)) => until.saturating_add(SAME_END_MS) > needed,
            (Some(_), _) => false,
        };
        let mut same = known
            .iter()
            .filter(|entry| entry.network == self.target.to_string());
        if let Some(known) = same.find(lasting) {
            complain!("{} is allowlisted for at least as long already", known.network);
            return Ok(None);
        }
        let entry = add(&AllowRequest {
            network: self.target.to_string(),
            comment: format!("exempt from the ban of {}", shortened(&names)),
            duration: None,
            until: self.until_ms.map(rfc3339),
            list: None,
        })?;
        if output == Output::Table {
            let term = match entry.ends_in_ms {
                None => "until it is removed".to_owned(),
                ends => format!("for {}", ends_in(ends)),
            };
            say!(
                "allowlisted {} {place} {term}; {names} stays banned",
                entry.network
            );
        }
        Ok(Some(entry.network))
    }
}

/// Milliseconds since the Unix epoch of a time in RFC 3339.
fn ms(time: &str) -> Option<i64> {
    time.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// As many of the names as a comment holds.
fn shortened(names: &str) -> String {
    /// Leaves room for the words before them.
    const MOST: usize = 200;
    match names.get(..MOST) {
        None => names.to_owned(),
        Some(start) => {
            let whole = start.rsplit_once(", ").map_or(start, |(whole, _)| whole);
            format!("{whole}, …")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T10: &str = "2026-11-20T10:00:00.000Z";
    const T12: &str = "2026-11-20T12:00:00.000Z";

    fn exemption(bans: &[(&str, Option<&str>)]) -> anyhow::Result<Exemption> {
        let target = "192.0.2.77".parse().unwrap();
        let owned = bans
            .iter()
            .map(|(net, end)| ((*net).to_owned(), end.map(str::to_owned)));
        Exemption::from_bans(&target, owned)
    }

    fn entry(network: &str, until: Option<&str>) -> AllowView {
        AllowView {
            network: network.to_owned(),
            comment: String::new(),
            until: until.map(str::to_owned),
            ends_in_ms: None,
            added_by: String::new(),
            added_at: String::new(),
        }
    }

    fn asked(exemption: &Exemption, known: &[AllowView]) -> Option<AllowRequest> {
        let mut asked = None;
        let add = |request: &AllowRequest| {
            asked = Some(request.clone());
            Ok(entry(&request.network, request.until.as_deref()))
        };
        let put = exemption.put(known, add, ("on this host", Output::Json)).unwrap();
        assert_eq!(put.is_some(), asked.is_some());
        asked
    }

    #[test]
    fn an_exemption_lasts_until_the_last_ban_of_a_network_around_it_ends() {
        let bans = [
            ("192.0.2.0/24", Some(T10)),
            ("192.0.2.64/26", Some(T12)),
            ("192.0.2.77/32", None),
            ("198.51.100.0/24", None),
        ];
        let asked_for = asked(&exemption(&bans).unwrap(), &[]).unwrap();
        assert_eq!(asked_for.network, "192.0.2.77/32");
        assert_eq!(asked_for.until.as_deref(), Some(T12));
        assert_eq!(
            asked_for.comment,
            "exempt from the ban of 192.0.2.0/24, 192.0.2.64/26"
        );
        let permanent = [bans[0], ("192.0.0.0/16", None)];
        assert_eq!(asked(&exemption(&permanent).unwrap(), &[]).unwrap().until, None);
        let error = exemption(&bans[2..]).unwrap_err().to_string();
        assert_eq!(
            error,
            "no banned network is around 192.0.2.77/32; without --except, its own ban is removed"
        );
    }

    #[test]
    fn an_entry_that_lasts_as_long_is_left_alone() {
        let exemption = exemption(&[("192.0.2.0/24", Some(T12))]).unwrap();
        for (network, until, is_asked) in [
            ("192.0.2.77/32", Some(T12), false),
            ("192.0.2.77/32", Some("2026-11-20T11:59:59.500Z"), false),
            ("192.0.2.77/32", None, false),
            ("192.0.2.77/32", Some(T10), true),
            ("192.0.2.78/32", None, true),
        ] {
            let asked = asked(&exemption, &[entry(network, until)]);
            assert_eq!(asked.is_some(), is_asked, "{network} {until:?}");
        }
    }

    #[test]
    fn a_comment_names_as_many_networks_as_it_holds() {
        let names = vec!["192.0.2.0/24"; 40].join(", ");
        let short = shortened(&names);
        assert!(short.len() < 220 && short.ends_with("192.0.2.0/24, …"), "{short}");
        assert_eq!(shortened("192.0.2.0/24"), "192.0.2.0/24");
    }
}
