//! Loading, attaching and replacing the XDP program.
//!
//! Program, links and maps are pinned, so enforcement does not depend on this process: a restart adopts the maps and
//! replaces the program on the pinned link in one atomic step.

use std::{io::ErrorKind, path::PathBuf};

use anyhow::{Context, bail};
use aya::{
    Ebpf, EbpfLoader,
    programs::{
        ProgramError, Xdp, XdpMode,
        links::{FdLink, LinkError, PinnedLink},
        xdp::{XdpLink, XdpLinkId},
    },
};
use nix::{errno::Errno, net::if_::if_nameindex};
use secbeat_common::maps;
use tracing::{info, warn};

use super::{
    clock::JiffyClock,
    object::{Object, ObjectSource},
    pins::{self, LinkPin, Mode, Pins},
};

/// What to load and where.
#[derive(Clone, Debug)]
pub struct XdpSetup {
    pub pin_dir: PathBuf,
    pub interfaces: Vec<String>,
    /// Fall back to generic XDP where the driver has no native support.
    pub allow_generic: bool,
    /// Slots of each ban map.
    pub ban_slots: u32,
}

/// One interface under protection.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attachment {
    pub interface: String,
    /// `native` or `generic`.
    pub mode: String,
}

/// The loaded program. Dropping it leaves everything attached.
pub struct Program {
    ebpf: Ebpf,
    pins: Pins,
}

impl Program {
    /// Checks the pins, loads the program against the pinned maps (or new ones) and pins them. Nothing is attached yet.
    ///
    /// # Errors
    ///
    /// When an interface is missing, a pin has another layout, or the kernel refuses the program.
    pub fn load(object: &Object, setup: &XdpSetup) -> anyhow::Result<Self> {
        require_interfaces(&setup.interfaces)?;
        let pins = Pins::at(&setup.pin_dir);
        pins.prepare()?;
        pins.require_layout(setup.ban_slots)?;
        let mut loader = EbpfLoader::new();
        for name in maps::ALL {
            loader.map_pin_path(name, pins.map(name));
        }
        for name in [maps::BANNED_V4, maps::BANNED_V6] {
            loader.map_max_entries(name, setup.ban_slots);
        }
        let mut ebpf = loader
            .load(object.bytes())
            .with_context(|| format!("loading the XDP object {}", object.name()))?;
        for name in [maps::PROGRAM, maps::CLOCK_PROBE] {
            xdp(&mut ebpf, name)?
                .load()
                .with_context(|| format!("the kernel refused program `{name}`"))?;
        }
        Ok(Self { ebpf, pins })
    }

    /// Reads the kernel's clocks.
    ///
    /// # Errors
    ///
    /// When the kernel cannot run the probe.
    pub fn jiffy_clock(&mut self) -> anyhow::Result<JiffyClock> {
        JiffyClock::calibrate(xdp(&mut self.ebpf, maps::CLOCK_PROBE)?)
    }

    /// Attaches to `setup.interfaces`, or replaces the program where a link is pinned already, and frees interfaces
    /// that are no longer configured.
    ///
    /// # Errors
    ///
    /// When an interface takes neither native nor (if allowed) generic XDP, or another program holds it.
    pub fn attach(&mut self, setup: &XdpSetup) -> anyhow::Result<()> {
        for interface in &setup.interfaces {
            let mode = match self.replace(interface)? {
                Some(mode) => mode,
                None => self.attach_new(interface, setup.allow_generic)?,
            };
            info!(%interface, mode = mode.name(), "XDP program attached");
        }
        for pin in self.pins.links()? {
            if !setup.interfaces.contains(&pin.interface) {
                info!(interface = %pin.interface, "no longer configured: detaching");
                pins::remove(&self.pins.link(&pin))?;
            }
        }
        self.repin_program()?;
        Ok(())
    }

    /// Replaces the program on a pinned link; `None` if there is no live one.
    fn replace(&mut self, interface: &str) -> anyhow::Result<Option<Mode>> {
        let Some(pin) = self
            .pins
            .links()?
            .into_iter()
            .find(|pin| pin.interface == interface)
        else {
            return Ok(None);
        };
        let path = self.pins.link(&pin);
        let pinned = PinnedLink::from_pin(&path)
            .with_context(|| format!("opening the pinned link {}", path.display()))?;
        let link = XdpLink::try_from(FdLink::from(pinned))
            .with_context(|| format!("{} is no XDP link", path.display()))?;
        match xdp(&mut self.ebpf, maps::PROGRAM)?.attach_to_link(link) {
            Ok(_) => Ok(Some(pin.mode)),
            Err(ProgramError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(Errno::ENOLINK as i32) =>
            {
                warn!(
                    interface,
                    "the interface was recreated since the program was attached: attaching again"
                );
                pins::remove(&path)?;
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| format!("replacing the program on {interface}")),
        }
    }

    fn attach_new(&mut self, interface: &str, allow_generic: bool) -> anyhow::Result<Mode> {
        let (mode, link) = match self.try_attach(interface, XdpMode::Driver) {
            Ok(link) => (Mode::Native, link),
            Err(error) if is_busy(&error) => bail!(
                "another XDP program is attached to {interface} (`bpftool net show dev {interface}` names it); SecBeat does not replace it"
            ),
            Err(error) if !allow_generic => {
                return Err(error).with_context(|| {
                    format!("the driver of {interface} takes no native XDP; kernel.allow_generic = true would run it in the stack, slower")
                });
            }
            Err(error) => {
                warn!(interface, %error, "NO NATIVE XDP on this interface: falling back to generic mode, several times slower");
                let link = self
                    .try_attach(interface, XdpMode::Skb)
                    .with_context(|| format!("attaching to {interface} in generic mode"))?;
                (Mode::Generic, link)
            }
        };
        let link = xdp(&mut self.ebpf, maps::PROGRAM)?
            .take_link(link)
            .context("taking the link")?;
        let pin = LinkPin {
            interface: interface.to_owned(),
            mode,
        };
        // A netlink attachment, to which aya falls back silently, cannot be pinned and would end with this process.
        FdLink::try_from(link)
            .map_err(|error: LinkError| anyhow::Error::from(error))
            .and_then(|link| Ok(link.pin(self.pins.link(&pin))?))
            .with_context(|| format!("pinning the link of {interface}"))?;
        Ok(mode)
    }

    fn try_attach(&mut self, interface: &str, mode: XdpMode) -> anyhow::Result<XdpLinkId> {
        Ok(xdp(&mut self.ebpf, maps::PROGRAM)?.attach(interface, mode)?)
    }

    /// Points the program's pin at the program that is attached now.
    fn repin_program(&mut self) -> anyhow::Result<()> {
        let path = self.pins.program();
        pins::remove(&path)?;
        xdp(&mut self.ebpf, maps::PROGRAM)?
            .pin(&path)
            .with_context(|| format!("pinning {}", path.display()))
    }
}

/// Reads the kernel's clocks without the daemon, with the clock probe of the embedded object.
///
/// # Errors
///
/// When there is no object, or the kernel refuses it.
pub fn jiffy_clock() -> anyhow::Result<JiffyClock> {
    let object = Object::open(&ObjectSource::Embedded)?;
    let mut ebpf = EbpfLoader::new()
        .load(object.bytes())
        .context("loading the XDP object")?;
    let probe = xdp(&mut ebpf, maps::CLOCK_PROBE)?;
    probe.load().context("the kernel refused the clock probe")?;
    JiffyClock::calibrate(probe)
}

/// What is attached according to the pins; works without the daemon.
///
/// # Errors
///
/// When the pin folder cannot be read.
pub fn attachments(pins: &Pins) -> anyhow::Result<Vec<Attachment>> {
    let attachment = |pin: LinkPin| Attachment {
        interface: pin.interface,
        mode: pin.mode.name().to_owned(),
    };
    Ok(pins.links()?.into_iter().map(attachment).collect())
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut Xdp> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("the object has no program `{name}`"))?;
    program
        .try_into()
        .with_context(|| format!("`{name}` is no XDP program"))
}

fn is_busy(error: &anyhow::Error) -> bool {
    let busy = |cause: &std::io::Error| {
        cause.kind() == ErrorKind::ResourceBusy || cause.kind() == ErrorKind::AlreadyExists
    };
    error
        .chain()
        .any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(busy))
}

fn require_interfaces(wanted: &[String]) -> anyhow::Result<()> {
    let present = if_nameindex().context("listing the network interfaces")?;
    let present: Vec<_> = present
        .iter()
        .map(|interface| interface.name().to_string_lossy().into_owned())
        .collect();
    match wanted.iter().find(|name| !present.contains(name)) {
        None => Ok(()),
        Some(name) => bail!(
            "kernel.interfaces: there is no interface `{name}`; this host has {}",
            present.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_interface_is_named_beside_those_that_exist() {
        let error = require_interfaces(&["lo".to_owned(), "nope0".to_owned()])
            .unwrap_err()
            .to_string();
        assert!(error.contains("`nope0`") && error.contains("lo"), "{error}");
        assert!(require_interfaces(&["lo".to_owned()]).is_ok());
    }
}
