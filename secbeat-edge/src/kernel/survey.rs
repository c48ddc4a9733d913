//! Survey of an interface before anything is attached to it.

use std::{fmt, fs, io};

use nix::errno::Errno;

use super::{
    Pins, XdpSetup, attachments,
    interface::{Interface, name_of},
    names::primary,
    pins::Mode,
    places::{Place, Places, places},
    selection::Selection,
};

/// An interface, as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// How SecBeat's program runs there already.
    pub ours: Option<&'static str>,
    /// Hooks to which a start would try to attach it, or the reason why it can run nowhere.
    pub places: Result<Places, String>,
    /// Another XDP program that runs there, and may stay.
    pub beside: Option<String>,
    /// How packets may go past the program, where that cannot be seen.
    pub detour: Option<&'static str>,
    /// The driver's name, or the kind of a virtual interface.
    driver: Option<String>,
    mtu: Option<u32>,
    receive_queues: Option<u32>,
}

const DETOUR: &str = "its other end is in another network namespace; a CNI that routes by eBPF (`bpf_redirect_peer`, as Cilium does) hands packets to it past XDP, which cannot be seen from here: in a pod or container, set kernel.attach = \"tc\"";

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

/// Looks at the interface `name` as a start with `setup` would; `None` if there is none.
///
/// # Errors
///
/// Returns an error if the kernel does not tell.
pub fn survey(name: &str, setup: &XdpSetup) -> anyhow::Result<Option<Surveyed>> {
    let name = &*primary(name);
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
    let ours = attachments(&Pins::at(&setup.pin_dir), Some(&selection))?;
    let ours = ours.into_iter().find_map(|attachment| attachment.mode.ok());
    let module = fs::read_link(format!("/sys/class/net/{name}/device/driver")).ok();
    let module = module.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let places = places(setup.hook, setup.allow_generic, &found);
    let in_driver = match (ours, &places) {
        (Some(mode), _) => mode == Mode::Native.name(),
        (None, Ok(places)) => places.tried.contains(&Place::Driver),
        (None, Err(_)) => false,
    };
    Ok(Some(Surveyed {
        ours,
        detour: (in_driver && found.has_detour()).then_some(DETOUR),
        beside: places.as_ref().ok().and_then(|places| places.beside).map(name_of),
        places,
        driver: module.or(found.driver),
        mtu: found.mtu,
        receive_queues: found.receive_queues,
    }))
}
