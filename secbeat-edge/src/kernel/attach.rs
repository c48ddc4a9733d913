//! Attaching the program to interfaces, and replacing it there.
//!
//! The program for packets in several buffers comes first, since drivers refuse the plain one on jumbo MTUs; where the
//! driver wants the plain one, that is tried next. The link is pinned last, once everything it needs is in place.

use std::{io::ErrorKind, path::Path};

use anyhow::{Context, bail, ensure};
use aya::programs::{
    ProgramError, XdpMode,
    links::{FdLink, LinkError, PinnedLink},
    xdp::XdpLink,
};
use nix::errno::Errno;
use secbeat_common::maps;
use tracing::{info, warn};

use super::{
    Program, XdpSetup,
    occupant::occupant,
    pins::{self, LinkPin, Mode, Pins},
    program::{present_interfaces, xdp},
};

/// One interface under protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub interface: String,
    /// `native` or `generic`.
    pub mode: String,
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

/// What was done to one interface.
enum Attached {
    /// The program on its live link was replaced.
    Replaced(Mode),
    Anew(Mode),
}

impl Program {
    /// Attaches to `setup.interfaces`, or replaces the program where a link is pinned already, and frees interfaces that
    /// are no longer configured. From then on the maps of this program are the pinned ones.
    ///
    /// # Errors
    ///
    /// When an interface takes neither native nor (if allowed) generic XDP, or another program holds it.
    pub fn attach(&mut self, setup: &XdpSetup) -> anyhow::Result<()> {
        for interface in &setup.interfaces {
            let (Attached::Replaced(mode) | Attached::Anew(mode)) = self.attach_one(interface, setup)?;
            info!(%interface, mode = mode.name(), "XDP program attached");
        }
        for pin in self.pins.links()? {
            if !setup.interfaces.contains(&pin.interface) {
                info!(interface = %pin.interface, "no longer configured: detaching");
                pins::remove(&self.pins.link(&pin))?;
            }
        }
        self.pins.publish()?;
        self.repin_programs()
    }

    /// Attaches to those interfaces of `setup` that exist and have lost the program, as one does that was deleted and made
    /// again. After `detach`, which has removed all pins, nothing is attached any more.
    ///
    /// # Errors
    ///
    /// As [`attach`](Self::attach); the interfaces after the one that failed are tried again next time.
    pub fn reattach(&mut self, setup: &XdpSetup) -> anyhow::Result<()> {
        if !self.pins.map(maps::SETTINGS).exists() {
            return Ok(());
        }
        let present = present_interfaces()?;
        for interface in setup.interfaces.iter().filter(|name| present.contains(name)) {
            if let Attached::Anew(mode) = self.attach_one(interface, setup)? {
                warn!(%interface, mode = mode.name(), "the interface had lost the XDP program: attached again");
            }
        }
        Ok(())
    }

    fn attach_one(&mut self, interface: &str, setup: &XdpSetup) -> anyhow::Result<Attached> {
        match self.replace(interface)? {
            Some(mode) => Ok(Attached::Replaced(mode)),
            None => Ok(Attached::Anew(self.attach_new(interface, setup.allow_generic)?)),
        }
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
        let mut refusal = None;
        for name in self.loaded.clone() {
            match self.try_replace(&path, name)? {
                Ok(()) => return Ok(Some(pin.mode)),
                Err(error) if is_gone(&error) => {
                    pins::remove(&path)?;
                    return Ok(None);
                }
                Err(error) => refusal = Some(error),
            }
        }
        let error = refusal.context("no program is loaded")?;
        Err(error).with_context(|| format!("replacing the program on {interface}"))
    }

    /// Puts program `name` on the link pinned at `path`, and looks whether the kernel runs it now. The inner error is the
    /// kernel's refusal.
    fn try_replace(&mut self, path: &Path, name: &str) -> anyhow::Result<Result<(), ProgramError>> {
        let opening = || format!("opening the pinned link {}", path.display());
        let open = || PinnedLink::from_pin(path).map(FdLink::from).with_context(opening);
        let link =
            XdpLink::try_from(open()?).with_context(|| format!("{} is no XDP link", path.display()))?;
        let program = xdp(&mut self.ebpf, name)?;
        let id = match program.attach_to_link(link) {
            Ok(id) => id,
            Err(error) => return Ok(Err(error)),
        };
        // The pin keeps it; a descriptor of it is not needed.
        drop(program.take_link(id).context("taking the link")?);
        let (expected, running) = (program.info()?.id(), open()?.info()?.program_id());
        ensure!(
            expected == running,
            "{} runs program {running} after it was given program {expected}",
            path.display()
        );
        Ok(Ok(()))
    }

    fn attach_new(&mut self, interface: &str, allow_generic: bool) -> anyhow::Result<Mode> {
        let (mode, link) = match self.try_modes(interface, XdpMode::Driver) {
            Ok(link) => (Mode::Native, link),
            Err(error) if is_busy(&error) => bail!(
                "another XDP program is attached to {interface}: {}; SecBeat does not replace it",
                occupant(interface).unwrap_or_else(|| format!("`bpftool net show dev {interface}` names it"))
            ),
            Err(error) if !allow_generic => {
                return Err(error).with_context(|| {
                    format!("the driver of {interface} takes no native XDP; kernel.allow_generic = true would run it in the stack, slower")
                });
            }
            Err(error) => {
                warn!(
                    interface,
                    error = format!("{error:#}"),
                    "NO NATIVE XDP on this interface: falling back to generic mode, several times slower"
                );
                let link = self
                    .try_modes(interface, XdpMode::Skb)
                    .with_context(|| format!("attaching to {interface} in generic mode"))?;
                (Mode::Generic, link)
            }
        };
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

    /// Attaches the first program that the driver takes in `mode`; the error is that of the last one.
    fn try_modes(&mut self, interface: &str, mode: XdpMode) -> anyhow::Result<XdpLink> {
        let mut refusal = None;
        for name in self.loaded.clone() {
            let program = xdp(&mut self.ebpf, name)?;
            match program.attach(interface, mode) {
                Ok(id) => return program.take_link(id).context("taking the link"),
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.context("no program is loaded")?.into())
    }

    /// Points the programs' pins at the programs that are attached now.
    fn repin_programs(&mut self) -> anyhow::Result<()> {
        for name in self.loaded.clone() {
            let path = self.pins.program(name);
            pins::remove(&path)?;
            xdp(&mut self.ebpf, name)?
                .pin(&path)
                .with_context(|| format!("pinning {}", path.display()))?;
        }
        Ok(())
    }
}

/// Whether the link's interface no longer exists.
fn is_gone(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(error)
        if error.io_error.raw_os_error() == Some(Errno::ENOLINK as i32))
}

fn is_busy(error: &anyhow::Error) -> bool {
    let busy = |cause: &std::io::Error| {
        cause.kind() == ErrorKind::ResourceBusy || cause.kind() == ErrorKind::AlreadyExists
    };
    error
        .chain()
        .any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(busy))
}
