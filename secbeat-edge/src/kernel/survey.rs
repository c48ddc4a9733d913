//! What can be said of an interface before anything is attached to it.

use std::{fmt, fs, io};

use nix::errno::Errno;
use secbeat_daemon::cli::require_version;

use super::{
    Pins, attachments,
    host::release,
    interface::{Interface, Link, name_of},
    selection::Selection,
};

/// Since which kernel there is the stack's ingress hook that links can be attached to.
const TCX_SINCE: (u32, u32) = (6, 6);

/// An interface, as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    pub has_ethernet: bool,
    /// Whether SecBeat reads what its packets begin with.
    pub is_readable: bool,
    /// How SecBeat's program runs there already.
    pub ours: Option<&'static str>,
    /// Another XDP program that runs there.
    pub other_xdp: Option<String>,
    /// Whether this kernel has the stack's ingress hook.
    pub takes_tcx: bool,
    /// The driver's name, or the kind of a virtual interface.
    driver: Option<String>,
    mtu: Option<u32>,
    receive_queues: Option<u32>,
}

impl fmt::Display for Surveyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_unknown =
            |number: Option<u32>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        write!(
            f,
            "driver {}, MTU {}, {} receive queues",
            self.driver.as_deref().unwrap_or("?"),
            or_unknown(self.mtu),
            or_unknown(self.receive_queues)
        )
    }
}

/// Looks at the interface `name`; `None` if there is none.
///
/// # Errors
///
/// When the kernel does not tell.
pub fn survey(name: &str, pins: &Pins) -> anyhow::Result<Option<Surveyed>> {
    let found = match Interface::find(name) {
        Ok(found) => found,
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(Errno::ENODEV as i32) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let selection = Selection::new(Some(vec![name.to_owned()]), Vec::new());
    let ours = attachments(pins, Some(&selection))?;
    let ours = ours.into_iter().find_map(|attachment| attachment.mode.ok());
    let module = fs::read_link(format!("/sys/class/net/{name}/device/driver")).ok();
    let module = module.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    Ok(Some(Surveyed {
        has_ethernet: found.link() == Link::Ethernet,
        is_readable: found.link() != Link::Unknown,
        other_xdp: match ours {
            Some(_) => None,
            None => found.xdp().map(|other| name_of(other.program)),
        },
        ours,
        takes_tcx: require_version("the kernel", &release(), TCX_SINCE).is_ok(),
        driver: module.or(found.driver),
        mtu: found.mtu,
        receive_queues: found.receive_queues,
    }))
}
