//! `feed`: lists that others publish, and what edges have of them.

use std::time::Duration;

use clap::Subcommand;
use secbeat_daemon::{
    api::ApiClient,
    cli::{Cell, Column, Output, Records, print_json, table},
    say,
};

use crate::{
    api::feeds::UpdateRequest,
    feeds::{self, PUBLIC_FEEDS},
    view::{FeedTestView, FeedView},
};

const NO_FEED: &str = "the config has no [[feed]]";
/// Time that a source may take, and the list on its way.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the feeds, how old their lists are, and how many packets met them.
    List(Records),
    /// Show a feed, with what other feeds have of its networks.
    Show {
        /// Name of a feed.
        name: String,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// Ask the source of a feed now, and give edges what it has.
    Update {
        /// Names of feeds [default: all].
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Take the list even if it is much smaller than the last one.
        #[arg(long)]
        force: bool,
    },
    /// Show what would be taken of a list, and change nothing.
    Test {
        /// Name of a feed, which the daemon asks; or a file or URL, which is read from here, with the defaults of a feed.
        #[arg(value_name = "NAME|FILE|URL")]
        of: String,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// Show what an update of a feed would change now.
    Diff {
        /// Name of a feed.
        name: String,
        /// Output format; JSON names at most 1000 networks each way.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// List well-known public feeds, for `preset`, with their terms. None is used unless the config names it.
    Presets,
}

const FEEDS: [Column<FeedView>; 10] = [
    Column("NAME", "name", |feed| Cell::Text(feed.name.clone())),
    Column("MODE", "mode", |feed| Cell::Text(feed.mode.clone())),
    Column("STATE", "state", |feed| Cell::Text(feed.state.name().to_owned())),
    Column("ENTRIES", "entries", |feed| Cell::number(feed.entries)),
    Column("NETWORKS", "networks", |feed| Cell::number(feed.networks)),
    Column("FRESH", "fresh_at", |feed| Cell::time(feed.fresh_at.clone())),
    Column("EDGES", "edges", |feed| Cell::number(feed.edges as u64)),
    Column("PACKETS", "packets", |feed| Cell::number(feed.packets)),
    Column("SOURCE", "source", |feed| Cell::Text(feed.source.clone())),
    Column("TROUBLE", "trouble", |feed| {
        Cell::Text(
            feed.trouble
                .as_ref()
                .map_or_else(String::new, |trouble| trouble.why.clone()),
        )
    }),
];

impl Command {
    pub(super) fn execute(&self, api: impl FnOnce() -> anyhow::Result<ApiClient>) -> anyhow::Result<()> {
        match self {
            Self::List(records) => {
                let feeds: Vec<FeedView> = api()?.get("/api/v1/feeds")?;
                records.show(&FEEDS, feeds, NO_FEED)
            }
            Self::Show { name, output } => {
                let feed: FeedView = api()?.patient(PATIENCE).get(&path(name, ""))?;
                if *output == Output::Json {
                    return print_json(&feed);
                }
                show(&feed);
                Ok(())
            }
            Self::Update { names, force } => update(&api()?.patient(PATIENCE), names, *force),
            Self::Test { of, output } if is_place(of) => {
                let sifted = feeds::try_here(of).map_err(anyhow::Error::msg)?;
                let view = FeedTestView {
                    taken: true,
                    ..sifted.into()
                };
                test(&view, *output)
            }
            Self::Test { of, output } => {
                let view = api()?.patient(PATIENCE).post(&path(of, "/test"), &())?;
                test(&view, *output)
            }
            Self::Diff { name, output } => {
                let view = api()?.patient(PATIENCE).post(&path(name, "/test"), &())?;
                diff(&view, *output)
            }
            Self::Presets => {
                let mut presets = table(["PRESET", "HOLDS", "TERMS"]);
                presets.add_rows(PUBLIC_FEEDS.iter().map(|feed| [feed.name, feed.what, feed.terms]));
                say!("{presets}");
                Ok(())
            }
        }
    }
}

fn path(name: &str, action: &str) -> String {
    format!("/api/v1/feeds/{name}{action}")
}

/// Whether `of` is not a name of a feed.
fn is_place(of: &str) -> bool {
    !secbeat_common::subjects::is_token(of)
}

fn update(api: &ApiClient, names: &[String], force: bool) -> anyhow::Result<()> {
    let mut names = names.to_vec();
    if names.is_empty() {
        let feeds: Vec<FeedView> = api.get("/api/v1/feeds")?;
        names.extend(feeds.into_iter().map(|feed| feed.name));
        if names.is_empty() {
            say!("{NO_FEED}");
        }
    }
    let mut not_taken = 0;
    for name in &names {
        let feed: FeedView = api.post(&path(name, "/update"), &UpdateRequest { force })?;
        match &feed.trouble {
            None => say!(
                "{name}: {} networks, {} added, {} removed",
                feed.networks,
                feed.added,
                feed.removed
            ),
            Some(trouble) => {
                not_taken += 1;
                say!(
                    "{name}: NOT TAKEN: {}; edges keep {} networks",
                    trouble.why,
                    feed.networks
                );
            }
        }
    }
    match not_taken {
        0 => Ok(()),
        _ => anyhow::bail!("{not_taken} of {} feeds were not taken", names.len()),
    }
}

fn show(feed: &FeedView) {
    let (name, mode, state) = (&feed.name, &feed.mode, feed.state.name());
    say!("feed      {name}, {mode}, {state}");
    say!("source    {}", feed.source);
    if let Some(trouble) = &feed.trouble {
        say!(
            "TROUBLE   {} (since {}, {} attempts)",
            trouble.why,
            trouble.since,
            trouble.attempts
        );
    }
    if let (Some(taken), Some(fresh), Some(ends)) = (&feed.taken_at, &feed.fresh_at, &feed.ends_at) {
        let (entries, networks, bytes) = (feed.entries, feed.networks, feed.bytes);
        say!(
            "list      {entries} entries ({}), {networks} networks in {bytes} bytes",
            feed.format
        );
        say!(
            "left out  {} invalid lines, {} entries not to be banned",
            feed.invalid,
            feed.unusable
        );
        say!("taken     {taken}; the source had it {fresh}; it counts until {ends}");
    }
    if let Some(next) = &feed.next_at {
        say!("next      {next}");
    }
    say!(
        "edges     {} have it in force, {} do not",
        feed.edges,
        feed.other_edges
    );
    say!("met by    {} packets, {} bytes", feed.packets, feed.packet_bytes);
    for (other, networks) in feed.overlaps.iter().flatten() {
        say!("overlap   {networks} of its networks are in {other}, too");
    }
}

fn test(view: &FeedTestView, output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        print_json(view)?;
    } else if view.taken {
        let (format, entries, networks) = (&view.format, view.entries, view.networks);
        say!("would be taken: {format}, {entries} entries, {networks} networks");
        say!(
            "left out: {} invalid lines, {} entries not to be banned",
            view.invalid,
            view.unusable
        );
        if let Some(first) = &view.first_invalid {
            say!("first invalid line: {first}");
        }
        if view.added + view.removed > 0 {
            say!("{} networks would be added, {} removed", view.added, view.removed);
        }
    }
    refused(view)
}

fn diff(view: &FeedTestView, output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        print_json(view)?;
    } else if view.taken {
        for (sign, networks) in [('-', &view.removed_networks), ('+', &view.added_networks)] {
            networks.iter().for_each(|network| say!("{sign} {network}"));
        }
        say!(
            "{} networks would be added, {} removed, of {}",
            view.added,
            view.removed,
            view.networks
        );
    }
    refused(view)
}

fn refused(view: &FeedTestView) -> anyhow::Result<()> {
    match &view.why {
        None => Ok(()),
        Some(why) => anyhow::bail!("{why}"),
    }
}
