//! Conditions that must be true for a signature to match.

use crate::{condition::Condition, scratch::Scratch, signature::Field};

/// What must be true for a signature to match.
#[derive(Debug)]
pub(crate) struct Armed {
    pub(crate) methods: Vec<String>,
    /// From and to.
    pub(crate) statuses: Vec<(u16, u16)>,
    pub(crate) all: Vec<Numbers>,
    pub(crate) any: Vec<Numbers>,
    pub(crate) none: Vec<Numbers>,
}

/// The numbers of a condition, or of an exclusion: of it in the path, in the query, and in other fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) path: Option<u32>,
    pub(crate) query: Option<u32>,
    pub(crate) rest: Option<u32>,
}

/// By which fields a request is excluded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Excluded {
    pub(crate) path: bool,
    pub(crate) query: bool,
}

impl Excluded {
    /// Whether what a signature finds in `field` counts. What a path excludes is what was found there. What a query excludes is all, or,
    /// of a signature that looks into the query, what was found there: any query may stand behind a path.
    pub(crate) fn leaves(self, field: Field, has_query: bool) -> bool {
        match field {
            Field::Path => !self.path && (!self.query || has_query),
            Field::Query => !self.query,
            _ => !self.query || has_query,
        }
    }
}

impl Numbers {
    /// Those of the parts of `condition`, each of which `add` numbers.
    pub(crate) fn of(condition: &Condition, mut add: impl FnMut(Condition) -> u32) -> Self {
        let mut part = |is_of: fn(Field) -> bool| condition.part(is_of).map(&mut add);
        Self {
            path: part(|field| field == Field::Path),
            query: part(|field| field == Field::Query),
            rest: part(|field| !matches!(field, Field::Path | Field::Query)),
        }
    }

    /// Whether the condition holds, by what is left.
    fn hold(self, excluded: Excluded, has_query: bool, scratch: &Scratch) -> bool {
        let holds = |number: Option<u32>, field| {
            number.is_some_and(|number| scratch.holds(number)) && excluded.leaves(field, has_query)
        };
        // All other fields are alike.
        holds(self.path, Field::Path) || holds(self.query, Field::Query) || holds(self.rest, Field::Header)
    }
}

impl Armed {
    /// Whether what is looked for is there, by what is left.
    pub(crate) fn hold(&self, excluded: Excluded, scratch: &Scratch) -> bool {
        let has_query = [&self.all, &self.any]
            .into_iter()
            .flatten()
            .any(|numbers| numbers.query.is_some());
        let holds = |numbers: &Numbers| numbers.hold(excluded, has_query, scratch);
        self.all.iter().all(holds) && (self.any.is_empty() || self.any.iter().any(holds))
    }
}
