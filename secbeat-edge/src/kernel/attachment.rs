//! Attachments that enforce bans, as the kernel says and not as pins are called.

use std::{collections::BTreeSet, fmt, io};

use anyhow::Context as _;
use aya::programs::{ProgramInfo, loaded_programs};
use nix::{errno::Errno, net::if_::if_nametoindex};
use secbeat_common::maps;

use super::{
    clsact,
    interface::{Interface, Link, Running, name_of},
    pins::{LinkPin, Pins},
    raw::link_facts,
    selection::Selection,
    settings::SettingsMap,
};

/// One interface that is to be protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub interface: String,
    /// How the program runs there, `native`, `generic` or `tc`; or why it does not.
    pub mode: Result<&'static str, String>,
    /// Whether banned packets pass there, while the host enforces.
    pub observes: bool,
    /// Whether the program is there, maybe in vain.
    pub(super) runs: bool,
}

impl Attachment {
    /// Returns how the program runs there, in a word; `none` where it does not.
    #[must_use]
    pub fn mode_name(&self) -> &'static str {
        self.mode.as_ref().copied().unwrap_or("none")
    }

    /// Those of `attachments` that are not protected, with the reasons; `None` if all are.
    #[must_use]
    pub fn unprotected(attachments: &[Self]) -> Option<String> {
        let unprotected = attachments.iter().filter(|attachment| attachment.mode.is_err());
        let unprotected: Vec<_> = unprotected.map(Self::to_string).collect();
        (!unprotected.is_empty()).then(|| unprotected.join("; "))
    }

    /// Returns what is to be protected, while it is not known or there is none.
    pub(super) fn unknown(selection: &Selection, why: String) -> Self {
        Self {
            interface: selection.to_string(),
            mode: Err(why),
            observes: false,
            runs: false,
        }
    }

    /// The same interface, not protected for another reason.
    pub(crate) fn failed(self, why: &str) -> Self {
        Self {
            mode: Err(why.to_owned()),
            ..self
        }
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mode {
            Ok(mode) if self.observes => write!(f, "{} ({mode}, only observes)", self.interface),
            Ok(mode) => write!(f, "{} ({mode})", self.interface),
            Err(why) => write!(f, "{}: {why}", self.interface),
        }
    }
}

/// Asks the kernel what runs on each of `interfaces`, in this network namespace. Programs with one of the numbers `ours` protect.
pub(super) fn examine(interfaces: &[String], ours: &[u32]) -> Vec<Attachment> {
    let examine = |interface: &String| {
        let found = look(interface);
        let own = |running: &&Running| ours.contains(&running.program);
        let own = found
            .as_ref()
            .ok()
            .and_then(|found| found.running.iter().find(own));
        Attachment {
            interface: interface.clone(),
            observes: false,
            runs: own.is_some(),
            mode: found
                .as_ref()
                .map_err(String::clone)
                .and_then(|found| mode(found, own)),
        }
    };
    interfaces.iter().map(examine).collect()
}

/// The reason why XDP does not protect a tunnel's interface.
pub(super) const NO_ETHERNET: &str = "its packets have no Ethernet header, which the XDP program reads; kernel.attach = \"auto\" or \"tc\" protects it";

fn look(interface: &str) -> Result<Interface, String> {
    Interface::find(interface).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such interface".to_owned(),
        _ if error.raw_os_error() == Some(Errno::ENODEV as i32) => "there is no such interface".to_owned(),
        _ => format!("the kernel does not say what runs there: {error}"),
    })
}

/// Returns how `own`, the program that runs on an interface, protects it; why not, if it does not.
fn mode(found: &Interface, own: Option<&Running>) -> Result<&'static str, String> {
    if let Some(why) = found.unprotectable() {
        return Err(why.to_owned());
    }
    if let Some(own) = own {
        let in_stack = found.running.iter().find(|running| !running.mode.is_xdp());
        return match (own.mode.is_xdp(), found.link()) {
            (true, Link::Ip) => Err(NO_ETHERNET.to_owned()),
            // What passes a packet on there, or takes it away, ends its way through the hook.
            (false, _) if in_stack != Some(own) => Err(format!(
                "{} runs before it in the stack's ingress hook, and may pass packets on",
                in_stack.map_or_else(String::new, |first| name_of(first.program))
            )),
            _ => Ok(own.mode.name()),
        };
    }
    Err(match found.xdp() {
        Some(other) => format!("another XDP program is attached: {}", name_of(other.program)),
        None => "no program of SecBeat is attached".to_owned(),
    })
}

/// Returns where bans are enforced without asking the daemon: on `interfaces`, or where they are not known, on those that links
/// are pinned for or that have filters. Only programs whose maps are the pinned ones count.
///
/// # Errors
///
/// Returns an error if the pin folder cannot be read.
pub fn attachments(pins: &Pins, interfaces: Option<&Selection>) -> anyhow::Result<Vec<Attachment>> {
    let links = pins.links()?;
    let filters = clsact::held(pins.dir()).context("listing the filters of interfaces")?;
    let linked = links
        .iter()
        .filter_map(|pin| Some(link_facts(&pins.link(pin)).ok()?.program));
    let filtering = filters.iter().map(|(_, filter)| filter.program);
    let attached: Vec<u32> = linked.chain(filtering).collect();
    let banned = pins.map_id(maps::BANNED_V4);
    let has_our_maps = |program: &ProgramInfo| {
        let ids = program.map_ids().ok().flatten().unwrap_or_default();
        banned.is_some_and(|banned| ids.contains(&banned))
    };
    // Their own pins may be gone while they enforce; to ask the kernel for all programs takes `CAP_SYS_ADMIN`.
    let pinned = maps::PROGRAMS
        .iter()
        .filter_map(|name| ProgramInfo::from_pin(pins.program(name)).ok());
    let ours: Vec<u32> = pinned
        .chain(loaded_programs().flatten())
        .filter(|program| attached.contains(&program.id()) && has_our_maps(program))
        .map(|program| program.id())
        .collect();
    let held = links.into_iter().map(|LinkPin { interface, .. }| interface);
    let held = held.chain(filters.into_iter().map(|(interface, _)| interface));
    // Without its settings the program drops.
    let observing = SettingsMap::open(pins).and_then(|settings| settings.observing());
    let observing = observing.unwrap_or_default();
    let Some(selection) = interfaces else {
        return Ok(observed(examine(&held.collect::<Vec<_>>(), &ours), &observing));
    };
    let names = selection
        .now_with(held)
        .context("listing the interfaces to protect")?;
    Ok(match names.is_empty() && !selection.is_nothing() {
        true => vec![Attachment::unknown(selection, selection.emptiness().to_owned())],
        false => observed(examine(&names, &ours), &observing),
    })
}

/// Marks the attachments of interfaces with one of these numbers as observing only.
pub(crate) fn observed(mut attachments: Vec<Attachment>, observing: &BTreeSet<u32>) -> Vec<Attachment> {
    for attachment in attachments.iter_mut().filter(|_| !observing.is_empty()) {
        let index = if_nametoindex(attachment.interface.as_str());
        attachment.observes = index.is_ok_and(|index| observing.contains(&index));
    }
    attachments
}
