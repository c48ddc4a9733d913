//! Commands of `secbeat` to the edge in it.

use std::net::IpAddr;

use clap::Subcommand;
use secbeat_daemon::{
    cli::{Asked, Output, Records, Targets, ban_each},
    config::HumanDuration,
    program,
    term::{until, with_an_end},
};

use super::{ConfigFile, Status, allowlist, bans, mode, unban, verdict};

/// Bans and exemptions on this host alone, also where it is an edge of a fleet that runs `secbeat`.
#[derive(Debug, Subcommand)]
pub enum OnHost {
    Bans(bans::List),
    /// Ban clients and networks on this host only.
    Ban {
        #[command(flatten)]
        targets: Targets,
        /// Duration, such as 30m, 4h or 7d; a bare number is seconds.
        #[arg(long, short, default_value = "4h", value_parser = with_an_end, allow_hyphen_values = true)]
        duration: HumanDuration,
        /// Expiry, in place of --duration, such as 2026-12-01T10:00 by this host's clock, or 2026-12-01T10:00:00Z.
        #[arg(long, short, value_name = "TIME", conflicts_with = "duration", value_parser = until)]
        until: Option<HumanDuration>,
        /// Reason, shown in listings.
        #[arg(
            long,
            short,
            visible_alias = "reason",
            short_alias = 'R',
            default_value = "",
            hide_default_value = true
        )]
        note: String,
        /// Replace a ban that lasts longer.
        #[arg(long)]
        shorten: bool,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    Unban(unban::Unban),
    /// List, add and remove what operators of this host allowlist at run time, on this host only.
    #[command(subcommand)]
    Allowlist(allowlist::Allowlist),
}

impl OnHost {
    /// Carries it out.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being carried out.
    pub fn execute(&self, file: &ConfigFile<'_>) -> anyhow::Result<()> {
        let places = file.places()?;
        match self {
            Self::Bans(list) => {
                let leak = mode::leak(&places, program::of_host()).ok().flatten();
                list.run(&places, mode::observes(&places), leak)
            }
            Self::Ban {
                targets,
                duration,
                until,
                note,
                shorten,
                output,
            } => ban_each(&targets.prefixes()?, *output, |target| {
                bans::ban(&places, target, until.unwrap_or(*duration), note, *shorten)
            }),
            Self::Unban(unban) => unban.run(&places),
            Self::Allowlist(allowlist) => allowlist.run(&places),
        }
    }
}

/// Looks at interfaces, dropped packets, and the state of the daemon.
///
/// # Errors
///
/// Returns an error if neither a daemon nor the kernel tells.
pub fn status(file: &ConfigFile<'_>) -> anyhow::Result<Status> {
    Status::look(&file.places()?)
}

/// Returns why this host lets packets of banned clients pass, if it does; `program` has the commands that say more.
///
/// # Errors
///
/// Returns an error if neither a daemon nor the kernel tells.
pub fn leak(file: &ConfigFile<'_>, program: &str) -> anyhow::Result<Option<String>> {
    mode::leak(&file.places()?, program)
}

/// Shows what the kernel does with a packet of `address`, and why.
///
/// # Errors
///
/// Returns an error if no program is pinned, or its maps cannot be read.
pub fn test(file: &ConfigFile<'_>, address: IpAddr, output: Output) -> anyhow::Result<()> {
    verdict::Test::of(address, output).run(&file.places()?)
}

/// Returns what the kernel does with a packet of `address`, and why, in lines for people.
///
/// # Errors
///
/// Returns an error if no program is pinned, or its maps cannot be read.
pub fn tested(file: &ConfigFile<'_>, address: IpAddr) -> anyhow::Result<String> {
    verdict::Test::of(address, Output::Table).told(&file.places()?)
}

/// Lists the networks that are never banned on this host.
///
/// # Errors
///
/// Returns an error if neither a daemon nor the kernel tells.
pub fn list_allowed(file: &ConfigFile<'_>, records: &Records) -> anyhow::Result<()> {
    super::allowed::list(&file.places()?, records)
}

/// Asks the running daemon; this is `program`.
///
/// # Errors
///
/// Returns an error if it does not answer.
pub fn ask(file: &ConfigFile<'_>, asked: Asked, program: &str) -> anyhow::Result<()> {
    asked.execute(&file.places()?.api(), program, env!("CARGO_PKG_VERSION"))
}

/// Returns which sources and networks the kernel of this host holds bans of.
///
/// # Errors
///
/// Returns an error if no program is pinned, or its maps cannot be read.
pub fn banned_in_kernel(file: &ConfigFile<'_>) -> anyhow::Result<Vec<String>> {
    let places = file.places()?;
    places.require_pinned()?;
    let bans = bans::in_kernel(&places)?.into_iter();
    Ok(bans.map(|ban| ban.target).collect())
}

/// Networks that are never banned on this host.
///
/// # Errors
///
/// Returns an error if neither a daemon nor the kernel tells.
pub fn allowed(file: &ConfigFile<'_>) -> anyhow::Result<Vec<Allowed>> {
    let allowed = super::allowed::ask(&file.places()?)?.into_iter();
    let allowed = allowed.map(|entry| Allowed {
        network: entry.network,
        reason: entry.reason,
        expires: entry.until.is_some(),
    });
    Ok(allowed.collect())
}

/// A network that is never banned on this host.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// CIDR.
    pub network: String,
    /// Its name for programs, as `ssh-peer`.
    pub reason: String,
    /// Whether it has an end that is known.
    pub expires: bool,
}
