//! `allowlist list`, `allowlist add` and `allowlist remove`: whom operators of this host let through at run time.

use clap::Subcommand;
use nix::unistd::{User, geteuid};
use secbeat_common::prefix::Prefix;
use secbeat_daemon::{
    allowing::{AllowRequest, AllowView, Disallowed},
    api::CallError,
    cli::{ENTRIES, NewEntry, Output, Records, Target, print_json},
    exit::Coded,
    program,
    time::now_ms,
};
use secbeat_edge_core::LocalRefusal;

use super::{Places, status::unallowed};
use crate::{kernel::AllowedNets, local_allowlist::NotChanged, view::StatsView};

/// Manage the allowlist of this host's operators, which its config need not have.
#[derive(Debug, Subcommand)]
pub enum Allowlist {
    /// List the entries; `allowed` lists all that is never banned on this host, and why.
    #[command(alias = "show")]
    List(Records),
    /// Add a client or a network, on this host only.
    Add(NewEntry),
    /// Remove an entry; what is left of bans of it is enforced again.
    #[command(aliases = ["delete", "del", "rm"])]
    Remove {
        #[command(flatten)]
        target: Target,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
}

/// Scope of an entry.
pub(super) const HERE: &str = "on this host";
/// Returns what people read where there are none.
fn no_entries() -> String {
    let program = program::of_host();
    format!(
        "the operators of this host have allowlisted no client (`{program} allowed` lists all that is never banned here)"
    )
}

impl Allowlist {
    pub(super) fn run(&self, places: &Places) -> anyhow::Result<()> {
        match self {
            Self::List(records) => {
                records.show(&ENTRIES, entries(places)?, &no_entries())?;
                let stats = places.api().get::<StatsView>("/api/v1/stats").ok();
                if let Some(why) = stats.and_then(|stats| stats.enforcer.allowlist_failed) {
                    secbeat_daemon::complain!("{}", unallowed(&why));
                }
                Ok(())
            }
            Self::Add(new) => {
                let entry = add(places, new.request()?)?;
                new.tell(&entry, HERE)
            }
            Self::Remove { target, output } => {
                let network = target.prefix()?;
                remove(places, &network)?;
                if *output == Output::Json {
                    let network = network.to_string();
                    return print_json(&Disallowed { network });
                }
                secbeat_daemon::say!("removed {network} from this host's allowlist");
                Ok(())
            }
        }
    }
}

/// The entries, told by the daemon, or where it does not run, by its file.
pub(super) fn entries(places: &Places) -> anyhow::Result<Vec<AllowView>> {
    match places.api().get("/api/v1/allowlist") {
        Ok(entries) => Ok(entries),
        Err(CallError::Unreachable(_)) => {
            let now = now_ms();
            let list = places.allowlist.read(now)?;
            Ok(list.entries().map(|entry| AllowView::new(entry, now)).collect())
        }
        Err(error) => Err(error.into()),
    }
}

/// Adds an entry through the daemon, or where it does not run, to its file and the kernel's allowlist.
pub(super) fn add(places: &Places, request: AllowRequest) -> anyhow::Result<AllowView> {
    match places.api().post("/api/v1/allowlist", &request) {
        Ok(entry) => Ok(entry),
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            let now = now_ms();
            let entry = request.entry(operator(), now);
            let entry = entry.map_err(|failure| anyhow::anyhow!("{}", failure.detail()))?;
            let mut allowed = AllowedNets::open(&places.pins)?;
            let changed = places.allowlist.change(now, |list| list.add(entry.clone()));
            changed.map_err(coded)?;
            allowed.add_local(&entry.network)?;
            if entry.until_ms.is_some() {
                secbeat_daemon::complain!(
                    "the daemon is not running: {} passes until it runs again, also past the end of the entry",
                    entry.network
                );
            }
            Ok(AllowView::new(&entry, now))
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes the entry of exactly `network`, as [`add`] adds one.
fn remove(places: &Places, network: &Prefix) -> anyhow::Result<()> {
    match places
        .api()
        .delete::<Disallowed>(&format!("/api/v1/allowlist/{network}"))
    {
        Ok(_) => Ok(()),
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            let mut allowed = AllowedNets::open(&places.pins)?;
            let changed = places.allowlist.change(now_ms(), |list| list.remove(network));
            changed.map_err(coded)?;
            allowed.remove_local(network)
        }
        Err(error) => Err(error.into()),
    }
}

fn coded(error: NotChanged) -> anyhow::Error {
    match error {
        NotChanged::Refused(absent @ LocalRefusal::NotThere(_)) => {
            Coded::not_found(absent.to_string()).into()
        }
        NotChanged::Refused(refusal) => refusal.into(),
        NotChanged::File(error) => error,
    }
}

/// As whom this program runs.
fn operator() -> String {
    let user = User::from_uid(geteuid()).ok().flatten();
    user.map_or_else(|| format!("uid-{}", geteuid()), |user| user.name)
}
