//! `test`: what the kernel would do with a packet of an address, and why.

use std::{fmt, net::IpAddr};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use secbeat_common::{maps::allow, prefix::Prefix, wire::Layer};
use secbeat_daemon::{
    cli::{Output, print_json},
    exit::{Coded, NOT_ALLOWED},
    program, protect,
    time::{now_ms, rfc3339},
};
use secbeat_edge_core::FilterMode;
use serde::Serialize;

use super::{Places, allowed, bans, self_test};
use crate::{
    kernel::{self, Attachment, BanMaps, Carries, ListTables, Pins, SettingsMap},
    lists::ListVerdict,
    view::BanView,
};

#[derive(Clone, Debug, Args)]
pub struct Test {
    /// Source address of the packet. Without one, addresses for documentation are banned for a second, to show that the kernel
    /// has the ban and drops their packets.
    #[arg(value_parser = source)]
    address: Option<IpAddr>,
    /// Destination port of the packet.
    #[arg(long, short, default_value_t = 443)]
    port: u16,
    /// Protocol of the packet.
    #[arg(long, value_enum, default_value_t)]
    protocol: Protocol,
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

fn source(text: &str) -> Result<IpAddr, String> {
    let why = |_| "expected an address, such as 198.51.100.7".to_owned();
    text.parse().map_err(why)
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Protocol {
    #[default]
    Tcp,
    Udp,
    Icmp,
}

/// What `test` says.
#[derive(Debug, Serialize)]
struct Verdict {
    address: IpAddr,
    packet: String,
    /// Whether the kernel drops such a packet where the program runs.
    dropped: bool,
    why: String,
    /// Hook at which the program runs.
    enforced_on: Vec<String>,
    /// Those that cover the address, on any layer.
    bans: Vec<BanView>,
    /// Static lists that it is on.
    lists: Vec<OnList>,
    /// The entry of the allowlist that covers the address.
    allowed_by: Option<String>,
    /// The entry that should, and that the kernel does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_entry: Option<String>,
    mode: FilterMode,
    /// Whether the kernel does not have one of `bans` that it should have.
    is_missing: bool,
}

/// A static list that an address is on.
#[derive(Debug, Serialize)]
struct OnList {
    name: String,
    verdict: ListVerdict,
    /// The widest one around the address that is on the list as a whole.
    network: String,
}

impl Test {
    /// That of a packet to the usual port of web servers.
    pub(super) fn of(address: IpAddr, output: Output) -> Self {
        Self {
            address: Some(address),
            port: 443,
            protocol: Protocol::default(),
            output,
        }
    }

    pub(super) fn run(&self, places: &Places) -> anyhow::Result<()> {
        if places.pins.are_hidden() {
            let why = "only root may look into the maps of the kernel: use `sudo`";
            return Err(Coded::new(NOT_ALLOWED, why.to_owned()).into());
        }
        let Some(address) = self.address else {
            return self_test::run(places, self.output);
        };
        let verdict = self.ask(address, places)?;
        match self.output {
            Output::Json => print_json(&verdict),
            Output::Table => {
                secbeat_daemon::say!("{verdict}");
                Ok(())
            }
        }
    }

    /// The answer in lines for people; none without an address.
    pub(super) fn told(&self, places: &Places) -> anyhow::Result<String> {
        match self.address {
            Some(address) => Ok(self.ask(address, places)?.to_string()),
            None => Ok(String::new()),
        }
    }

    fn ask(&self, address: IpAddr, places: &Places) -> anyhow::Result<Verdict> {
        places.require_pinned()?;
        let address = address.to_canonical();
        let carries = match self.protocol {
            Protocol::Tcp => Carries::Tcp(self.port),
            Protocol::Udp => Carries::Udp(self.port),
            Protocol::Icmp => Carries::Ping,
        };
        let attachments = kernel::attachments(&places.pins, places.interfaces.as_ref())?;
        let enforced_on: Vec<_> = attachments
            .iter()
            .filter(|it| it.mode.is_ok())
            .map(Attachment::to_string)
            .collect();
        let dropped = kernel::is_dropped(&places.pins, address, carries)?;
        let host = Prefix::host(address);
        let covers = |ban: &BanView| {
            ban.target
                .parse::<Prefix>()
                .is_ok_and(|target| target.covers(&host))
        };
        let mut bans = bans::in_force(places).context("reading the bans in force")?;
        bans.retain(covers);
        let held = BanMaps::open(&places.pins)?;
        let is_missing = |ban: &BanView| {
            let target = ban.target.parse().ok();
            let held = target.and_then(|target| held.get(&target).ok());
            ban.layer == Layer::Kernel.name() && held == Some(None)
        };
        let is_missing = bans.iter().any(is_missing);
        let lists = on_lists(&places.pins, &host).context("reading the lists in force")?;
        let allowed = kernel::read_allowed(&places.pins)?;
        let allowed = allowed.iter().filter(|(net, _)| net.covers(&host));
        let allowed = allowed.max_by_key(|(net, _)| net.len());
        let allowed_by = allowed.map(|(net, reason)| match (*reason, local_entry(places, net)) {
            (allow::LOCAL, Some(entry)) => format!("{net} ({entry})"),
            (reason, _) => format!("{net} ({})", protect::shown_reason(protect::reason_name(reason))),
        });
        let missing_entry = match allowed_by {
            Some(_) => None,
            None => missing_entry(places, &host),
        };
        let mode = SettingsMap::open(&places.pins)?.mode()?;
        let mut verdict = Verdict {
            address,
            packet: match self.protocol {
                Protocol::Tcp => format!("a TCP packet to port {}", self.port),
                Protocol::Udp => format!("a UDP packet to port {}", self.port),
                Protocol::Icmp => "a ping".to_owned(),
            },
            dropped,
            why: String::new(),
            enforced_on,
            bans,
            lists,
            allowed_by,
            missing_entry,
            mode,
            is_missing,
        };
        verdict.why = verdict.reason();
        Ok(verdict)
    }
}

/// Returns what this host's operators said of their entry of `net`: until when, and why. Without the daemon's file it is not
/// known.
fn local_entry(places: &Places, net: &Prefix) -> Option<String> {
    let list = places.allowlist.read(now_ms()).ok()?;
    let entry = list.get(net)?;
    let name = protect::reason_name(allow::LOCAL);
    let until = entry
        .until_ms
        .map(|until_ms| format!(", until {}", rfc3339(until_ms)));
    let comment = Some(&entry.comment).filter(|comment| !comment.is_empty());
    let comment = comment.map(|comment| format!(", {comment}"));
    Some(format!(
        "{name}{}{}",
        until.unwrap_or_default(),
        comment.unwrap_or_default()
    ))
}

/// The entry that allowlists `host` as the daemon says, or this host's file, while the kernel has none that does.
fn missing_entry(places: &Places, host: &Prefix) -> Option<String> {
    let entries = allowed::ask(places).ok()?.into_iter();
    let mut around = entries.filter_map(|entry| Some((entry.network.parse::<Prefix>().ok()?, entry.reason)));
    let of_daemon = around.find(|(net, _)| net.covers(host));
    of_daemon.map(|(net, reason)| format!("{net} ({})", protect::shown_reason(&reason)))
}

/// The lists in force that an address is on.
fn on_lists(pins: &Pins, address: &Prefix) -> anyhow::Result<Vec<OnList>> {
    let tables = kernel::read_lists(pins)?;
    let Some(view) = tables.as_ref().and_then(ListTables::view) else {
        return Ok(Vec::new());
    };
    let now = kernel::boot_now().0;
    let on = view.lists().filter_map(|(slot, described)| {
        let entries = view.entries(slot, now).into_iter();
        let entry = entries.map(|entry| entry.net).find(|net| net.covers(address))?;
        Some(OnList {
            name: described.name,
            verdict: ListVerdict::of(described.verdict),
            network: entry.to_string(),
        })
    });
    Ok(on.collect())
}

impl Verdict {
    fn listed(&self, verdict: ListVerdict) -> Option<String> {
        let list = self.lists.iter().find(|list| list.verdict == verdict)?;
        Some(format!("{} is on the list {}", list.network, list.name))
    }

    /// Returns what explains the kernel's answer, from what the maps say.
    fn reason(&self) -> String {
        let in_kernel = self.bans.iter().find(|ban| ban.layer == Layer::Kernel.name());
        let listed = self.listed(ListVerdict::Ban);
        let (what, is_banned) = match (in_kernel, listed) {
            (Some(ban), _) if self.dropped => return format!("{} is banned: {}", ban.target, ban.reason),
            (None, Some(listed)) if self.dropped => return listed,
            (None, None) if self.dropped => {
                return "no ban of it is listed; it may have ended or been lifted just now".to_owned();
            }
            (Some(_), _) => ("it is banned".to_owned(), true),
            (None, Some(listed)) => (listed, true),
            (None, None) => (String::new(), false),
        };
        if !is_banned {
            return match self.bans.is_empty() {
                true => "it is not banned".to_owned(),
                false => "its ban is enforced by the HTTP layer alone".to_owned(),
            };
        }
        match (&self.allowed_by, self.listed(ListVerdict::Allow), self.mode) {
            (Some(entry), _, _) => format!("{what}, but allowlisted: {entry}"),
            (None, Some(allowed), _) => format!("{what}, but {allowed}, which allows"),
            (None, None, FilterMode::Observe) => format!("{what}, but the mode is observe"),
            (None, None, FilterMode::Enforce) if self.is_missing => {
                format!("{what}, but THE KERNEL DOES NOT HAVE THE BAN: `status` and the daemon's log say why")
            }
            (None, None, FilterMode::Enforce) => {
                format!("{what}, but bans do not reach this port (kernel.ports), or the ban has just ended")
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let does = if self.dropped { "DROPS" } else { "passes" };
        writeln!(f, "the kernel {does} {} from {}", self.packet, self.address)?;
        writeln!(f, "why        {}", self.why)?;
        if let Some(entry) = &self.missing_entry {
            writeln!(
                f,
                "allowlist  {entry}, but THE KERNEL DOES NOT HAVE THE ENTRY: `status` and the daemon's log say why"
            )?;
        }
        for OnList {
            name,
            verdict,
            network,
        } in &self.lists
        {
            writeln!(f, "list       {name} has {network} ({verdict})")?;
        }
        for ban in &self.bans {
            let until = ban.expires_at.as_deref().unwrap_or("it is lifted");
            // On one host, all bans have the same origin.
            let origin = match program::is_one_host() {
                true => String::new(),
                false => format!(", {}", ban.origin),
            };
            writeln!(
                f,
                "ban        {} until {until} ({}{origin}, {})",
                ban.target, ban.reason, ban.layer
            )?;
        }
        let places = self.enforced_on.join(", ");
        match (self.enforced_on.is_empty(), self.mode) {
            (true, _) => write!(f, "enforced   NOWHERE: no interface runs the program"),
            (false, FilterMode::Observe) => {
                write!(
                    f,
                    "enforced   nowhere: the mode is observe; the program runs on {places}"
                )
            }
            (false, FilterMode::Enforce) => write!(f, "enforced   on {places}"),
        }
    }
}
