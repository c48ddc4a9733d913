//! Messages that a release can read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    AllowEntry, BlockCommand, Detection, Disallow, FORMAT, FleetFeed, FleetSignatures, Interest, Kind, Lift,
    Message, parts::is_critical,
};
use crate::{sign::Envelope, sources::SourceLengths};

/// The kinds of messages that an edge reads, each with the parts that it knows. An edge says it in its presence, by which
/// an orchestrator tells what the edge cannot read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Speaks {
    /// The format of messages; 0 if the edge does not say it.
    pub format: u8,
    /// Tags of parts, by the name of the message's kind.
    pub kinds: BTreeMap<String, Vec<u16>>,
}

/// What orchestrators of this release write for edges, and so what edges of this release read.
const TO_EDGES: [(Kind, &[u16]); 10] = [
    of::<Envelope>(),
    of::<BlockCommand>(),
    of::<Lift>(),
    of::<AllowEntry>(),
    of::<Disallow>(),
    of::<Interest>(),
    of::<SourceLengths>(),
    of::<FleetSignatures>(),
    of::<Detection>(),
    of::<FleetFeed>(),
];

const fn of<M: Message>() -> (Kind, &'static [u16]) {
    (M::KIND, M::PARTS)
}

impl Speaks {
    /// Returns what an edge of this release reads.
    #[must_use]
    pub fn edge() -> Self {
        let kinds = TO_EDGES.into_iter();
        Self {
            format: FORMAT,
            kinds: kinds
                .map(|(kind, parts)| (kind.name().to_owned(), parts.to_vec()))
                .collect(),
        }
    }

    /// Whether the edge can use a message of this kind with these parts: it knows the kind and each critical part.
    #[must_use]
    pub fn can_read(&self, kind: Kind, parts: &[u16]) -> bool {
        self.format == FORMAT
            && self.kinds.get(kind.name()).is_some_and(|known| {
                let mut parts = parts.iter();
                parts.all(|part| !is_critical(*part) || known.contains(part))
            })
    }

    /// Returns the kinds of which an orchestrator of this release may write messages that the edge cannot read.
    pub fn unreadable(&self) -> impl Iterator<Item = Kind> {
        TO_EDGES
            .into_iter()
            .filter(|(kind, parts)| !self.can_read(*kind, parts))
            .map(|(kind, _)| kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_of_this_release_reads_all_that_is_written_for_it() {
        let edge = Speaks::edge();
        assert_eq!(
            serde_json::to_string(&edge).unwrap(),
            r#"{"format":2,"kinds":{"allow":[],"ban":[1,3,7],"detection":[],"disallow":[],"feed":[],"interest":[1],"lift":[],"sealed":[],"signatures":[],"sources":[]}}"#
        );
        assert_eq!(edge.unreadable().count(), 0);
    }

    #[test]
    fn critical_parts_and_kinds_have_to_be_known_and_others_do_not() {
        let mut edge = Speaks::edge();
        edge.kinds.insert("ban".to_owned(), vec![4]);
        for (kind, parts, readable) in [
            (Kind::Ban, &[][..], true),
            (Kind::Ban, &[1, 3], true),
            (Kind::Ban, &[1, 4], true),
            (Kind::Ban, &[2], false),
            (Kind::Lift, &[4], false),
            (Kind::Lease, &[], false),
        ] {
            assert_eq!(edge.can_read(kind, parts), readable, "{kind} with {parts:?}");
        }
    }

    #[test]
    fn who_does_not_say_it_or_speaks_another_format_reads_nothing() {
        let silent = Speaks::default();
        let later = Speaks {
            format: FORMAT + 1,
            ..Speaks::edge()
        };
        for edge in [silent, later] {
            let unreadable: Vec<_> = edge.unreadable().map(Kind::name).collect();
            assert_eq!(
                unreadable,
                [
                    "sealed",
                    "ban",
                    "lift",
                    "allow",
                    "disallow",
                    "interest",
                    "sources",
                    "signatures",
                    "detection",
                    "feed"
                ]
            );
        }
    }
}
