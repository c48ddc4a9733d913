//! The host's interfaces as the kernel has told of them. It tells of many things besides the coming and going of interfaces.

use std::collections::HashMap;

/// What has happened to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkChange {
    /// The kernel's number of it. An interface that is made again has another one.
    pub index: u32,
    /// Its name; of one that is gone, its last.
    pub name: String,
    pub event: LinkEvent,
}

/// See [`LinkChange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    Appeared,
    /// It has another name than it had. What is attached to it stays attached.
    Renamed {
        from: String,
    },
    /// It was deleted, or moved to another network namespace. What was attached to it is not any more.
    Gone,
}

/// Names by index.
#[derive(Debug)]
pub(super) struct Links(HashMap<u32, String>);

impl Links {
    pub(super) fn new(present: impl IntoIterator<Item = (u32, String)>) -> Self {
        Self(present.into_iter().collect())
    }

    /// The kernel says that there is an interface; it says so of every change of its state.
    pub(super) fn appeared(&mut self, index: u32, name: String) -> Option<LinkChange> {
        let event = match self.0.insert(index, name.clone()) {
            None => LinkEvent::Appeared,
            Some(before) if before == name => return None,
            Some(from) => LinkEvent::Renamed { from },
        };
        Some(LinkChange { index, name, event })
    }

    /// The kernel says that an interface is no more.
    pub(super) fn gone(&mut self, index: u32) -> Option<LinkChange> {
        let name = self.0.remove(&index)?;
        Some(LinkChange {
            index,
            name,
            event: LinkEvent::Gone,
        })
    }

    /// All interfaces there are, after the kernel could not say all: what is gone first, then what has come.
    pub(super) fn replace(&mut self, present: Vec<(u32, String)>) -> Vec<LinkChange> {
        let mut missing: Vec<_> = self
            .0
            .keys()
            .copied()
            .filter(|index| !present.iter().any(|(other, _)| other == index))
            .collect();
        missing.sort_unstable();
        let mut changes: Vec<_> = missing.into_iter().filter_map(|index| self.gone(index)).collect();
        changes.extend(
            present
                .into_iter()
                .filter_map(|(index, name)| self.appeared(index, name)),
        );
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(index: u32, name: &str, event: LinkEvent) -> LinkChange {
        LinkChange {
            index,
            name: name.to_owned(),
            event,
        }
    }

    fn links() -> Links {
        Links::new([(1, "lo".to_owned()), (2, "eth0".to_owned())])
    }

    #[test]
    fn only_news_of_an_interface_are_a_change() {
        let mut links = links();
        assert_eq!(links.appeared(2, "eth0".to_owned()), None);
        assert_eq!(
            links.appeared(3, "eth1".to_owned()),
            Some(change(3, "eth1", LinkEvent::Appeared))
        );
        let from = "eth1".to_owned();
        assert_eq!(
            links.appeared(3, "wan".to_owned()),
            Some(change(3, "wan", LinkEvent::Renamed { from }))
        );
        assert_eq!(links.gone(3), Some(change(3, "wan", LinkEvent::Gone)));
        assert_eq!(links.gone(3), None);
    }

    #[test]
    fn an_interface_made_again_while_nobody_looked_is_gone_and_has_appeared() {
        let present = vec![(1, "lo".to_owned()), (9, "eth0".to_owned())];
        assert_eq!(
            links().replace(present),
            [
                change(2, "eth0", LinkEvent::Gone),
                change(9, "eth0", LinkEvent::Appeared)
            ]
        );
    }
}
