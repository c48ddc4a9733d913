//! Hooks at which the program can run on an interface, by what is known before anything is attached.

use super::{
    attachment::NO_ETHERNET,
    interface::{Interface, Link},
    program::Hook,
};

/// A place for the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// XDP in the driver.
    Driver,
    /// The stack's ingress hook.
    Stack,
    /// XDP in the stack.
    Generic,
}

/// The places to try, in this order. Whether a driver takes XDP is not known before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    pub tried: Vec<Place>,
    /// The number of another XDP program, beside which the stack's hook is left alone.
    pub beside: Option<u32>,
}

/// Decides where to try.
///
/// # Errors
///
/// Why the program can run nowhere on `interface`.
pub(super) fn places(hook: Hook, allow_generic: bool, interface: &Interface) -> Result<Places, String> {
    if let Some(why) = interface.unprotectable() {
        return Err(why.to_owned());
    }
    let is_ethernet = interface.link() == Link::Ethernet;
    let in_stack = |beside| {
        Ok(Places {
            tried: vec![Place::Stack],
            beside,
        })
    };
    match hook {
        Hook::Tc => return in_stack(None),
        Hook::Auto if !is_ethernet => return in_stack(None),
        Hook::Xdp if !is_ethernet => return Err(NO_ETHERNET.to_owned()),
        Hook::Xdp | Hook::Auto => {}
    }
    if let Some(other) = interface.xdp() {
        return match hook {
            Hook::Auto => in_stack(Some(other.program)),
            _ => Err(super::interface::taken(other.program)),
        };
    }
    let mut tried = vec![Place::Driver];
    if hook == Hook::Auto {
        tried.push(Place::Stack);
    }
    if allow_generic {
        tried.push(Place::Generic);
    }
    Ok(Places { tried, beside: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{interface::Running, pins::Mode};

    const ETHERNET: u16 = 1;
    const TUNNEL: u16 = 65534;
    const INFINIBAND: u16 = 32;

    fn interface(kind: u16, xdp: Option<u32>) -> Interface {
        let running = xdp.map(|program| Running {
            mode: Mode::Native,
            program,
        });
        let mut interface = Interface::default();
        interface.running.extend(running);
        interface.kind = kind;
        interface
    }

    fn tried(hook: Hook, allow_generic: bool, kind: u16) -> Result<Vec<Place>, String> {
        places(hook, allow_generic, &interface(kind, None)).map(|places| places.tried)
    }

    #[test]
    fn the_driver_comes_first_and_generic_mode_last_and_only_by_leave() {
        use Place::{Driver, Generic, Stack};
        for (hook, allow_generic, expected) in [
            (Hook::Auto, false, &[Driver, Stack][..]),
            (Hook::Auto, true, &[Driver, Stack, Generic]),
            (Hook::Xdp, false, &[Driver]),
            (Hook::Xdp, true, &[Driver, Generic]),
            (Hook::Tc, true, &[Stack]),
        ] {
            assert_eq!(
                tried(hook, allow_generic, ETHERNET).unwrap(),
                expected,
                "{hook:?}"
            );
        }
    }

    #[test]
    fn packets_without_ethernet_headers_go_to_the_stacks_hook_alone() {
        for hook in [Hook::Auto, Hook::Tc] {
            assert_eq!(tried(hook, true, TUNNEL).unwrap(), [Place::Stack]);
        }
        assert_eq!(tried(Hook::Xdp, true, TUNNEL).unwrap_err(), NO_ETHERNET);
        for hook in [Hook::Auto, Hook::Tc, Hook::Xdp] {
            let why = tried(hook, true, INFINIBAND).unwrap_err();
            assert!(why.contains("a header that SecBeat does not read"), "{why}");
            let mut vrf = interface(ETHERNET, None);
            vrf.driver = Some("vrf".to_owned());
            let why = places(hook, true, &vrf).unwrap_err();
            assert!(why.contains("name the interfaces in it"), "{why}");
        }
    }

    #[test]
    fn beside_another_xdp_program_only_the_stacks_hook_is_tried() {
        let taken = interface(ETHERNET, Some(7));
        let found = places(Hook::Auto, true, &taken).unwrap();
        assert_eq!(
            (found.tried.as_slice(), found.beside),
            (&[Place::Stack][..], Some(7))
        );
        assert_eq!(places(Hook::Tc, true, &taken).unwrap().beside, None);
        let why = places(Hook::Xdp, true, &taken).unwrap_err();
        assert!(why.starts_with("another XDP program is attached"), "{why}");
    }
}
