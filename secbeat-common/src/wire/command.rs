//! Bans, and their ends before their time.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Kind, Labels, Message, Part, PartWriter, Reason, WireError, have_all};
use crate::{prefix::Prefix, sign::Command};

/// A ban: desired state, stored under the target's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCommand {
    /// UUIDv7, new with each command.
    pub id: Uuid,
    pub action: Action,
    pub target: Prefix,
    pub reason: Reason,
    /// For people: what was seen, or what the operator wrote.
    pub note: String,
    /// Part 1 of the message.
    #[serde(skip)]
    pub evidence: Option<Evidence>,
    /// The list that it is of, if it is of one. Part 3 of the message.
    #[serde(skip)]
    pub list: Option<Uuid>,
    pub scope: Scope,
    /// Earlier bans of the target within the strike window.
    pub strikes: u32,
    /// The issuer's wall clock, milliseconds since the Unix epoch.
    pub issued_at_ms: i64,
    /// Expiry, in the unit of `issued_at_ms`: from then on the ban is over everywhere. [`PERMANENT`] never comes.
    pub expires_at_ms: i64,
    pub issuer: String,
    pub layer: Layer,
    /// Fencing: the epoch of the issuer's lease of the target's partition. A command of a lower epoch than one written
    /// before it for the same partition is stale. [`NO_LEASE`] for orders of operators, which need no lease and are never
    /// stale.
    pub epoch: u64,
}

/// [`BlockCommand::expires_at_ms`] of a ban without end.
pub const PERMANENT: i64 = i64::MAX;

impl BlockCommand {
    /// Whether it never ends.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.expires_at_ms == PERMANENT
    }
}

/// The end of a ban before its time: what stands in the deletion of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lift {
    pub target: Prefix,
    /// Id of the ban's command.
    pub id: Uuid,
    /// Time at which the ban would have ended, milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
}

/// Action on the target. A reader that does not know the variant refuses the command. The same holds for [`Scope`] and
/// [`Layer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    Block,
}

/// Evidence of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// Events in the window when the rule fired.
    pub count: u32,
    /// Length of the window, in milliseconds.
    pub window_ms: u64,
    /// Event time of the finding, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// Alternatives of labels in a ban.
const MAX_ALTERNATIVES: usize = 16;

/// Edges that enforce a ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    Fleet,
    /// A choice of edges.
    Edges {
        /// Their ids, in ascending order: those that have seen enough of it by themselves.
        ids: Vec<String>,
        /// Edges with all labels of one of these enforce it, too. Part 7 of the message: a reader that does not know it
        /// enforces the ban on no edge but those of `ids`.
        #[serde(skip)]
        labels: Vec<Labels>,
    },
}

/// Layer that enforces a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// Kernel and L7.
    Kernel,
    /// L7 only: the address came from a header, so the packets carry a proxy's address instead.
    L7,
}

impl Layer {
    /// The name that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::L7 => "l7",
        }
    }
}

impl Scope {
    /// The edges of these ids.
    #[must_use]
    pub const fn of_edges(ids: Vec<String>) -> Self {
        Self::Edges {
            ids,
            labels: Vec::new(),
        }
    }

    /// The edges that have all of these labels, whenever they come; all edges if there are none.
    #[must_use]
    pub fn of_labels(labels: Labels) -> Self {
        match labels.is_empty() {
            true => Self::Fleet,
            false => Self::Edges {
                ids: Vec::new(),
                labels: vec![labels],
            },
        }
    }

    /// Whether the edge `id`, which has `labels`, is to enforce it.
    #[must_use]
    pub fn holds_on(&self, id: &str, labels: &Labels) -> bool {
        match self {
            Self::Fleet => true,
            Self::Edges { ids, labels: meant } => {
                ids.iter().any(|edge| edge == id) || meant.iter().any(|meant| have_all(labels, meant))
            }
        }
    }

    /// Whether every edge of `other` is one of this, whatever edges there are.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fleet, _) => true,
            (Self::Edges { .. }, Self::Fleet) => false,
            (
                Self::Edges { ids, labels },
                Self::Edges {
                    ids: other_ids,
                    labels: other_labels,
                },
            ) => {
                other_ids.iter().all(|id| ids.contains(id))
                    && other_labels
                        .iter()
                        .all(|other| labels.iter().any(|meant| have_all(other, meant)))
            }
        }
    }

    /// The edges of both. Where a ban has no room for so many labels, the further ones of `other` are left out.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let (
            Self::Edges { ids, labels },
            Self::Edges {
                ids: other_ids,
                labels: other_labels,
            },
        ) = (self, other)
        else {
            return Self::Fleet;
        };
        let ids: BTreeSet<_> = ids.iter().chain(other_ids).cloned().collect();
        let mut labels = labels.clone();
        for other in other_labels {
            if labels.len() < MAX_ALTERNATIVES && !labels.iter().any(|meant| have_all(other, meant)) {
                labels.push(other.clone());
            }
        }
        Self::Edges {
            ids: ids.into_iter().collect(),
            labels,
        }
    }

    /// The ids of the edges, where those are not all. Others may enforce it for their [`labels`](Self::labels).
    #[must_use]
    pub fn edges(&self) -> Option<&[String]> {
        match self {
            Self::Fleet => None,
            Self::Edges { ids, .. } => Some(ids),
        }
    }

    /// The labels, of which an edge has all of one of these; none where the ban goes by no labels.
    #[must_use]
    pub fn labels(&self) -> &[Labels] {
        match self {
            Self::Fleet => &[],
            Self::Edges { labels, .. } => labels,
        }
    }
}

/// [`BlockCommand::evidence`].
const EVIDENCE: u16 = 1;
/// [`BlockCommand::list`].
const LIST: u16 = 3;
/// Of [`Scope::Edges`]. 5 is unknown to the golden vectors of a made-up later release, and stays free.
pub const LABELS: u16 = 7;

impl Message for BlockCommand {
    const KIND: Kind = Kind::Ban;
    const PARTS: &'static [u16] = &[EVIDENCE, LIST, LABELS];

    fn write_parts(&self, parts: &mut PartWriter<'_>) -> Result<(), WireError> {
        if let Some(evidence) = self.evidence {
            parts.put(EVIDENCE, &evidence)?;
        }
        if let Some(list) = self.list {
            parts.put(LIST, &list)?;
        }
        match self.scope.labels() {
            [] => Ok(()),
            labels => parts.put(LABELS, &labels),
        }
    }

    fn read_part(&mut self, part: Part<'_>) -> Result<(), WireError> {
        match part.tag() {
            LIST => self.list = Some(part.read()?),
            LABELS => {
                let mut meant: Vec<Labels> = part.read()?;
                // One without labels would mean all edges.
                meant.retain(|labels| !labels.is_empty());
                meant.truncate(MAX_ALTERNATIVES);
                if let Scope::Edges { labels, .. } = &mut self.scope {
                    *labels = meant;
                }
            }
            _ => self.evidence = Some(part.read()?),
        }
        Ok(())
    }
}

impl Message for Lift {
    const KIND: Kind = Kind::Lift;
}

impl Command for BlockCommand {}
impl Command for Lift {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::parse_labels;

    fn labelled(labels: &str) -> Scope {
        Scope::of_labels(parse_labels(labels).unwrap())
    }

    #[test]
    fn a_scope_covers_the_edges_of_another_whatever_edges_there_are() {
        let edges = Scope::of_edges(vec!["a".to_owned()]);
        for (one, other, expected) in [
            (Scope::Fleet, labelled("role=web"), true),
            (labelled("role=web"), Scope::Fleet, false),
            (labelled("role=web"), labelled("role=web,site=eu"), true),
            (labelled("role=web,site=eu"), labelled("role=web"), false),
            (labelled("role=web"), edges.clone(), false),
            (labelled("role=web").or(&edges), edges, true),
            (Scope::of_labels(Labels::new()), Scope::Fleet, true),
        ] {
            assert_eq!(one.covers(&other), expected, "{one:?} and {other:?}");
            assert!(one.or(&other).covers(&other) && one.or(&other).covers(&one));
        }
    }

    #[test]
    fn no_order_of_labels_is_one_for_everybody() {
        let mut scope = labelled("role=web");
        for n in 0..40 {
            scope = scope.or(&labelled(&format!("rack={n}")));
        }
        assert_eq!(scope.labels().len(), MAX_ALTERNATIVES);
        assert!(scope.holds_on("a", &parse_labels("role=web,rack=99").unwrap()));
        assert!(!scope.holds_on("a", &parse_labels("rack=99").unwrap()));
    }
}
