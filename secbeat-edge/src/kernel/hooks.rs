//! One interface: the hook in which the program runs there, and the program in it.
//!
//! The program for packets in several buffers comes first, since drivers refuse the plain one on jumbo MTUs; where the driver wants the
//! plain one, that is tried next. Packets without Ethernet headers go to the stack's hook, where the program knows them.

use std::{
    io::ErrorKind,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail, ensure};
use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType, XdpMode,
    links::{FdLink, LinkError, PinnedLink},
    tc::{SchedClassifierLink, TcAttachOptions},
    xdp::XdpLink,
};
use nix::errno::Errno;
use secbeat_common::maps;
use tracing::{info, warn};

use super::{
    Program, XdpSetup, clsact,
    interface::{self, Interface, Link},
    pins::{self, LinkPin, Mode},
    places::{Place, places},
    program::{Hook, tc, xdp},
};

/// The reason why an interface's driver does not run the program.
struct Refusal {
    why: String,
    /// Something else has the place, here or on an interface above or below.
    is_taken: bool,
}

/// What was done to one interface.
pub(super) enum Attached {
    /// The program on its live link was replaced.
    Replaced(Mode),
    Anew(Mode),
}

impl Hook {
    fn takes(self, mode: Mode) -> bool {
        match self {
            Self::Xdp => mode.is_xdp(),
            Self::Tc => !mode.is_xdp(),
            Self::Auto => true,
        }
    }
}

impl Program {
    /// Attaches to `interface`, or replaces the program on the link that is pinned for it, or in its filter. What is in another hook stays
    /// beside it, until [`free_other_hooks`](Self::free_other_hooks). At a start a better hook than before is tried first.
    pub(super) fn attach_one(
        &mut self,
        interface: &str,
        setup: &XdpSetup,
        is_start: bool,
    ) -> anyhow::Result<Attached> {
        let pinned = self.pins.links()?;
        let pinned: Vec<_> = pinned
            .into_iter()
            .filter(|pin| pin.interface == interface)
            .collect();
        let found = look_at(interface)?;
        let filter = clsact::own(found.index, self.pins.dir())?;
        let has_link = !pinned.is_empty() || filter.is_some();
        let is_native = |pin: &LinkPin| pin.mode == Mode::Native;
        if is_start
            && setup.hook == Hook::Auto
            && has_link
            && !pinned.iter().any(is_native)
            && found.link() == Link::Ethernet
            && let Ok(mode) = self.attach_to_driver(interface, &found)?
        {
            return Ok(Attached::Anew(mode));
        }
        for pin in pinned.iter().filter(|pin| setup.hook.takes(pin.mode)) {
            if self.replace(pin)? {
                return Ok(Attached::Replaced(pin.mode));
            }
        }
        if filter.is_some() && setup.hook.takes(Mode::Clsact) && !setup.has_tcx {
            return Ok(Attached::Replaced(self.attach_filter(interface, &found)?));
        }
        Ok(Attached::Anew(self.attach_new(interface, setup)?))
    }

    /// Removes the links and the filter of `interface` in other hooks than this one.
    pub(super) fn free_other_hooks(&self, interface: &str, kept: Mode) -> anyhow::Result<()> {
        let is_other = |pin: &LinkPin| pin.interface == interface && pin.mode != kept;
        for pin in self.pins.links()?.into_iter().filter(is_other) {
            info!(
                interface,
                mode = pin.mode.name(),
                "detaching from the hook before"
            );
            pins::remove(&self.pins.link(&pin))?;
        }
        if kept != Mode::Clsact
            && let Some(filter) = clsact::own(look_at(interface)?.index, self.pins.dir())?
        {
            info!(interface, "removing the filter from the hook before");
            clsact::remove(&filter)?;
        }
        Ok(())
    }

    /// The programs that could run in this mode, the preferred one first.
    fn candidates(&self, interface: &str, mode: Mode) -> anyhow::Result<Vec<&'static str>> {
        Ok(match mode {
            Mode::Native | Mode::Generic => self.xdp.clone(),
            Mode::Tc | Mode::Clsact => vec![tc_program(&look_at(interface)?)?],
        })
    }

    /// Replaces the program on a pinned link; `false` if that is dead, and gone now.
    fn replace(&mut self, pin: &LinkPin) -> anyhow::Result<bool> {
        let path = self.pins.link(pin);
        let mut refusal = None;
        for name in self.candidates(&pin.interface, pin.mode)? {
            match self.try_replace(&path, pin.mode, name)? {
                Ok(()) => return Ok(true),
                Err(error) if is_gone(&error) => {
                    pins::remove(&path)?;
                    return Ok(false);
                }
                Err(error) => refusal = Some(error),
            }
        }
        let error = refusal.context("no program is loaded")?;
        Err(error).with_context(|| format!("replacing the program on {}", pin.interface))
    }

    /// Puts program `name` on the link pinned at `path`, and looks whether the kernel runs it now. The inner error is the
    /// kernel's refusal.
    fn try_replace(
        &mut self,
        path: &Path,
        mode: Mode,
        name: &'static str,
    ) -> anyhow::Result<Result<(), ProgramError>> {
        self.load_once(name)?;
        let opening = || format!("opening the pinned link {}", path.display());
        let open = || PinnedLink::from_pin(path).map(FdLink::from).with_context(opening);
        let other = || format!("{} is a link of another kind", path.display());
        // The pin keeps it; a descriptor of it is not needed.
        let expected = if mode.is_xdp() {
            let link = XdpLink::try_from(open()?).with_context(other)?;
            let program = xdp(&mut self.ebpf, name)?;
            match program.attach_to_link(link) {
                Ok(id) => drop(program.take_link(id).context("taking the link")?),
                Err(error) => return Ok(Err(error)),
            }
            program.info()?.id()
        } else {
            let link = SchedClassifierLink::try_from(open()?).with_context(other)?;
            let program = tc(&mut self.ebpf, name)?;
            match program.attach_to_link(link) {
                Ok(id) => drop(program.take_link(id).context("taking the link")?),
                Err(error) => return Ok(Err(error)),
            }
            program.info()?.id()
        };
        let running = open()?.info()?.program_id();
        ensure!(
            expected == running,
            "{} runs program {running} after it was given program {expected}",
            path.display()
        );
        Ok(Ok(()))
    }

    /// Attaches in the first place that takes the program.
    fn attach_new(&mut self, interface: &str, setup: &XdpSetup) -> anyhow::Result<Mode> {
        let found = look_at(interface)?;
        let places = places(setup.hook, setup.allow_generic, &found);
        let places = places.map_err(|why| anyhow!("{interface}: {why}"))?;
        let mut refusal = places.beside.map(|other| Refusal {
            why: format!("{interface}: {}", interface::taken(other)),
            is_taken: true,
        });
        let mut failure = None;
        for place in places.tried {
            match (place, &refusal) {
                (Place::Driver, _) => match self.attach_to_driver(interface, &found)? {
                    Ok(mode) => return Ok(mode),
                    Err(why) => refusal = Some(why),
                },
                (Place::Stack, _) => match self.attach_to_stack(interface, &found, setup) {
                    Ok(mode) => {
                        if let Some(Refusal { why, .. }) = refusal {
                            warn!(
                                interface,
                                "no XDP, but the stack's ingress hook, which is slower: {why}"
                            );
                        }
                        return Ok(mode);
                    }
                    Err(error) => failure = Some(error),
                },
                (Place::Generic, Some(refusal)) if !refusal.is_taken => {
                    return self.attach_generic(interface, &refusal.why);
                }
                (Place::Generic, _) => {}
            }
        }
        Err(match (failure, refusal) {
            (Some(error), Some(refusal)) => error.context(refusal.why),
            (Some(error), None) => error,
            (None, Some(refusal)) => anyhow!(refusal.why),
            (None, None) => anyhow!("{interface}: there is no place for the program"),
        })
    }

    /// Native XDP. The inner error says why there can be none.
    fn attach_to_driver(
        &mut self,
        interface: &str,
        found: &Interface,
    ) -> anyhow::Result<Result<Mode, Refusal>> {
        let error = match self.try_modes(interface, XdpMode::Driver) {
            Ok(link) => {
                self.pin_link(interface, Mode::Native, FdLink::try_from(link))?;
                return Ok(Ok(Mode::Native));
            }
            Err(error) => error,
        };
        if !is_busy(&error) {
            let why = self
                .refusal(found, Mode::Native)
                .unwrap_or_else(|| format!("{error:#}"));
            let why = format!(
                "{interface} takes no native XDP ({why}); kernel.attach = \"tc\" needs none, and kernel.allow_generic = true would run XDP in the stack, slower"
            );
            return Ok(Err(Refusal { why, is_taken: false }));
        }
        let why = match found.xdp() {
            Some(other) => format!("{interface}: {}", interface::taken(other.program)),
            None => format!(
                "the kernel allows no XDP program on {interface}: {}",
                self.refusal(found, Mode::Native)
                    .unwrap_or_else(|| format!("{error:#}"))
            ),
        };
        Ok(Err(Refusal { why, is_taken: true }))
    }

    fn attach_generic(&mut self, interface: &str, why: &str) -> anyhow::Result<Mode> {
        warn!(
            interface,
            why, "NO NATIVE XDP on this interface: falling back to generic mode, several times slower"
        );
        let link = self
            .try_modes(interface, XdpMode::Skb)
            .with_context(|| format!("attaching to {interface} in generic mode"))?;
        self.pin_link(interface, Mode::Generic, FdLink::try_from(link))?;
        Ok(Mode::Generic)
    }

    /// The stack's ingress hook, before other programs there.
    fn attach_to_stack(
        &mut self,
        interface: &str,
        found: &Interface,
        setup: &XdpSetup,
    ) -> anyhow::Result<Mode> {
        if !setup.has_tcx {
            return self.attach_filter(interface, found);
        }
        let name = tc_program(found)?;
        self.load_once(name)?;
        let program: &mut SchedClassifier = tc(&mut self.ebpf, name)?;
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program
            .attach_with_options(interface, TcAttachType::Ingress, order)
            .with_context(|| format!("attaching to the stack's ingress hook of {interface}"))?;
        let link = program.take_link(id).context("taking the link")?;
        self.pin_link(interface, Mode::Tc, FdLink::try_from(link))?;
        Ok(Mode::Tc)
    }

    /// The same by a filter; one that is there gets the program. The kernel is asked afterwards what it runs.
    fn attach_filter(&mut self, interface: &str, found: &Interface) -> anyhow::Result<Mode> {
        let name = tc_program(found)?;
        self.load_once(name)?;
        let program = tc(&mut self.ebpf, name)?;
        let expected = program.info()?.id();
        clsact::attach(found.index, program.fd()?.as_fd(), self.pins.dir())
            .with_context(|| format!("attaching to the stack's ingress hook of {interface}"))?;
        let running = clsact::own(found.index, self.pins.dir())?;
        ensure!(
            running.is_some_and(|filter| filter.program == expected),
            "the filter of {interface} does not run program {expected}, which it was given"
        );
        Ok(Mode::Clsact)
    }

    /// Pins a link. One that is none, as of a netlink attachment to which aya falls back silently, would end with this process.
    fn pin_link(&self, interface: &str, mode: Mode, link: Result<FdLink, LinkError>) -> anyhow::Result<()> {
        let pin = LinkPin {
            interface: interface.to_owned(),
            mode,
        };
        let path: PathBuf = self.pins.link(&pin);
        link.map_err(|error| anyhow!(error))
            .and_then(|link| Ok(link.pin(path)?))
            .with_context(|| format!("pinning the link of {interface}"))?;
        Ok(())
    }

    /// Returns why the kernel refuses the program on an interface, in its own words.
    fn refusal(&mut self, interface: &Interface, mode: Mode) -> Option<String> {
        let name = *self.xdp.last()?;
        let program = xdp(&mut self.ebpf, name).ok()?.fd().ok()?;
        interface::refusal(interface.index, program.as_fd(), mode)
    }

    /// Attaches the first program that the driver takes in `mode`; the error is that of the last one.
    fn try_modes(&mut self, interface: &str, mode: XdpMode) -> anyhow::Result<XdpLink> {
        let mut refusal = None;
        for name in self.xdp.clone() {
            self.load_once(name)?;
            let program = xdp(&mut self.ebpf, name)?;
            match program.attach(interface, mode) {
                Ok(id) => return program.take_link(id).context("taking the link"),
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.context("no program is loaded")?.into())
    }
}

fn look_at(interface: &str) -> anyhow::Result<Interface> {
    Interface::find(interface).with_context(|| format!("looking at {interface}"))
}

/// The program for the stack's hook that knows an interface's packets.
fn tc_program(interface: &Interface) -> anyhow::Result<&'static str> {
    match interface.link() {
        Link::Ethernet => Ok(maps::PROGRAM_TC),
        Link::Ip => Ok(maps::PROGRAM_TC_IP),
        Link::Unknown => bail!("{}", interface::UNKNOWN_LINK),
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
