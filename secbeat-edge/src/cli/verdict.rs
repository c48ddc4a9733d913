//! `test`: what the kernel would do with a packet of an address, and why.

use std::{fmt, net::IpAddr};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use secbeat_common::{prefix::Prefix, wire::Layer};
use secbeat_daemon::{
    cli::{Output, print_json},
    protect,
};
use secbeat_edge_core::FilterMode;
use serde::Serialize;

use super::{Places, bans, self_test};
use crate::{
    kernel::{self, Attachment, Carries, SettingsMap},
    view::BanView,
};

#[derive(Clone, Debug, Args)]
pub struct Test {
    /// Source address of the packet. Without one, addresses for documentation are banned for a second, to show that the kernel
    /// has the ban and drops their packets.
    address: Option<IpAddr>,
    /// Destination port of the packet.
    #[arg(long, short, default_value_t = 443)]
    port: u16,
    /// Protocol of the packet.
    #[arg(long, value_enum, default_value_t)]
    protocol: Protocol,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
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
    /// Where the program runs.
    enforced_on: Vec<String>,
    /// Those that cover the address, on any layer.
    bans: Vec<BanView>,
    /// The entry of the allowlist that covers the address.
    allowed_by: Option<String>,
    mode: FilterMode,
}

impl Test {
    pub(super) fn run(&self, places: &Places) -> anyhow::Result<()> {
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
        let allowed = kernel::read_allowed(&places.pins)?;
        let allowed = allowed.iter().filter(|(net, _)| net.covers(&host));
        let allowed = allowed.max_by_key(|(net, _)| net.len());
        let allowed_by = allowed.map(|(net, reason)| format!("{net} ({})", protect::reason_name(*reason)));
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
            allowed_by,
            mode,
        };
        verdict.why = verdict.reason();
        Ok(verdict)
    }
}

impl Verdict {
    /// What explains the kernel's answer, from what the maps say.
    fn reason(&self) -> String {
        let in_kernel = self.bans.iter().find(|ban| ban.layer == Layer::Kernel.name());
        match (self.dropped, in_kernel) {
            (true, Some(ban)) => format!("{} is banned: {}", ban.target, ban.reason),
            (true, None) => "no ban of it is listed; it may have ended or been lifted just now".to_owned(),
            (false, None) if self.bans.is_empty() => "it is not banned".to_owned(),
            (false, None) => "its ban is enforced by the HTTP layer alone".to_owned(),
            (false, Some(_)) => match (&self.allowed_by, self.mode) {
                (Some(entry), _) => format!("it is banned, but allowlisted: {entry}"),
                (None, FilterMode::Observe) => "it is banned, but the mode is observe".to_owned(),
                (None, FilterMode::Enforce) => {
                    "it is banned, but bans do not reach this port (kernel.ports), or the ban has just ended"
                        .to_owned()
                }
            },
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let does = if self.dropped { "DROPS" } else { "passes" };
        writeln!(f, "the kernel {does} {} from {}", self.packet, self.address)?;
        writeln!(f, "why        {}", self.why)?;
        for ban in &self.bans {
            let until = ban.expires_at.as_deref().unwrap_or("it is lifted");
            writeln!(
                f,
                "ban        {} until {until} ({}, {}, {})",
                ban.target, ban.reason, ban.origin, ban.layer
            )?;
        }
        match self.enforced_on.is_empty() {
            true => write!(f, "enforced   NOWHERE: no interface runs the program"),
            false => write!(f, "enforced   on {}", self.enforced_on.join(", ")),
        }
    }
}
