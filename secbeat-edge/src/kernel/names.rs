//! Names of interfaces: by one name that the kernel goes by, and by alternative ones that stand for it (`ip link property`).

use std::io;

use glob::Pattern;
use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use nix::{
    libc::{NLM_F_REQUEST, RTM_GETLINK, RTM_NEWLINK},
    net::if_::{if_indextoname, if_nameindex, if_nametoindex},
};

use super::{
    interface::{HEADER, about},
    rtnetlink::{Question, attribute},
};

/// Of `enum` in `linux/if_link.h`: a list of [`ALT_IFNAME`].
const PROP_LIST: u16 = 52;
/// An alternative name, or a part of one in the list.
const ALT_IFNAME: u16 = 53;

/// An interface of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) index: u32,
    /// What the kernel calls it.
    pub(super) name: String,
    /// What it is called besides.
    alternative: Vec<String>,
}

impl Named {
    /// Every interface that there is now.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel does not say which there are.
    pub(super) fn all() -> io::Result<Vec<Self>> {
        let present = if_nameindex()?;
        let named = present.iter().map(|interface| Self {
            index: interface.index(),
            name: interface.name().to_string_lossy().into_owned(),
            alternative: alternative(interface.index()),
        });
        Ok(named.collect())
    }

    /// The one that is called `name`.
    pub(super) fn find(name: &str) -> Option<Self> {
        let index = if_nametoindex(name).ok()?;
        Some(Self {
            index,
            name: if_indextoname(index).ok()?.into_string().ok()?,
            alternative: alternative(index),
        })
    }

    /// All its names, the kernel's first.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        [&self.name]
            .into_iter()
            .chain(&self.alternative)
            .map(String::as_str)
    }

    /// Whether one of its names fits.
    pub(super) fn fits(&self, pattern: &Pattern) -> bool {
        self.names().any(|name| pattern.matches(name))
    }
}

/// Returns what the kernel calls the interface `name`, which may be an alternative name; `name` itself while there is no such
/// interface.
#[must_use]
pub fn primary(name: &str) -> String {
    let found = if_nametoindex(name).and_then(if_indextoname).ok();
    let found = found.and_then(|found| found.into_string().ok());
    found.unwrap_or_else(|| name.to_owned())
}

/// None where the kernel does not tell: there are none before Linux 5.5.
fn alternative(index: u32) -> Vec<String> {
    let answer = Question::new(RTM_GETLINK, NLM_F_REQUEST, &about(index)).ask();
    let answer = answer.unwrap_or_default();
    let message = NetlinkBuffer::new_checked(answer.as_slice()).ok();
    let message = message.filter(|message| message.message_type() == RTM_NEWLINK);
    let attributes = message
        .as_ref()
        .and_then(|message| message.payload().get(HEADER..));
    attributes.map(names_in).unwrap_or_default()
}

fn names_in(attributes: &[u8]) -> Vec<String> {
    let list = attribute(attributes, PROP_LIST).unwrap_or_default();
    NlasIterator::new(list.as_slice())
        .flatten()
        .filter(|property| property.kind() == ALT_IFNAME)
        .filter_map(|property| {
            let name = property.value();
            String::from_utf8(name.strip_suffix(b"\0").unwrap_or(name).to_vec()).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::rtnetlink::nested, *};

    #[test]
    fn alternative_names_are_found_and_fit_patterns() {
        let list = [nested(ALT_IFNAME, b"enp9s9\0"), nested(ALT_IFNAME, b"ens3\0")].concat();
        let attributes = [nested(3, b"eth0\0"), nested(PROP_LIST | 1 << 15, &list)].concat();
        let named = Named {
            index: 2,
            name: "eth0".to_owned(),
            alternative: names_in(&attributes),
        };
        assert_eq!(named.names().collect::<Vec<_>>(), ["eth0", "enp9s9", "ens3"]);
        for (pattern, fits) in [("eth*", true), ("enp*", true), ("ens3", true), ("wg*", false)] {
            assert_eq!(named.fits(&Pattern::new(pattern).unwrap()), fits, "{pattern}");
        }
        assert_eq!(names_in(&nested(3, b"eth0\0")), [""; 0]);
    }

    #[test]
    fn loopback_is_called_lo_and_what_is_not_there_as_it_was_asked_for() {
        let loopback = Named::find("lo").unwrap();
        assert!(Named::all().unwrap().contains(&loopback));
        assert_eq!(
            (primary("lo").as_str(), primary("nope0").as_str()),
            ("lo", "nope0")
        );
        assert_eq!(Named::find("nope0"), None);
    }
}
