//! What keeps signatures from matching: few conditions, which many signatures share.

use strum::EnumCount as _;

use crate::{
    condition::{Condition, without_path_info},
    forms::Forms,
    index::{Index, Literals},
    request::Request,
    scratch::Scratch,
    signature::Field,
};

/// How many of the last exclusions are compared with a new one: those of one file follow each other.
const NEAR: usize = 64;

/// All of them.
#[derive(Debug)]
pub(crate) struct Exclusions {
    all: Vec<Exclusion>,
    /// By field: where those of it are found.
    fields: [Option<Index>; Field::COUNT],
}

/// Exclusions while a matcher is built.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    all: Vec<Exclusion>,
    literals: [Literals; Field::COUNT],
}

#[derive(Debug)]
struct Exclusion {
    condition: Condition,
    /// Its number among all conditions, if it is looked for together with the others.
    number: Option<u32>,
}

impl Builder {
    /// The number of the exclusion by `condition`. Returns also whether it took `next`, a number among all conditions.
    pub(crate) fn add(&mut self, condition: Condition, next: u32) -> (u32, bool) {
        let near = self.all.len().saturating_sub(NEAR);
        let same = self.all[near..]
            .iter()
            .position(|other| other.condition.is_same(&condition));
        if let Some(same) = same {
            return ((near + same) as u32, false);
        }
        let is_found_by_literals = condition.has_literals_alone();
        if is_found_by_literals {
            for field in &condition.fields {
                let literals = &mut self.literals[*field as usize];
                condition
                    .values
                    .iter()
                    .for_each(|value| literals.add(value, next, u32::MAX));
            }
        }
        self.all.push(Exclusion {
            condition,
            number: is_found_by_literals.then_some(next),
        });
        (self.all.len() as u32 - 1, is_found_by_literals)
    }

    pub(crate) fn build(self) -> Exclusions {
        Exclusions {
            all: self.all,
            fields: self.literals.map(Index::of),
        }
    }
}

impl Exclusions {
    /// Bytes of memory that they take.
    pub(crate) fn memory(&self) -> usize {
        self.fields.iter().flatten().map(Index::memory).sum()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether an exclusion holds of the form of one of its fields that is resolved furthest. It is looked into once in a request.
    pub(crate) fn hold(&self, exclusion: u32, request: &Request<'_>, scratch: &mut Scratch) -> bool {
        if let Some(holds) = scratch.excludes(exclusion) {
            return holds;
        }
        let Some(Exclusion { condition, number }) = self.all.get(exclusion as usize) else {
            return false;
        };
        let holds = condition.fields.iter().any(|field| match number {
            Some(number) => {
                self.search(*field, request, scratch);
                scratch.holds(*number)
            }
            None => with_last(*field, request, scratch, |form, _| condition.is_in(form)).unwrap_or(false),
        });
        scratch.keep(exclusion, holds);
        holds
    }

    /// Looks for all exclusions of a field, once in a request.
    fn search(&self, field: Field, request: &Request<'_>, scratch: &mut Scratch) {
        if let Some(index) = &self.fields[field as usize]
            && scratch.is_first_look(field)
        {
            with_last(field, request, scratch, |form, scratch| {
                index.search(form, scratch)
            });
        }
    }
}

/// Calls `with` with the form of a field that is resolved furthest, if the request has the field; of a path with what it leads to.
fn with_last<T>(
    field: Field,
    request: &Request<'_>,
    scratch: &mut Scratch,
    with: impl FnOnce(&[u8], &mut Scratch) -> T,
) -> Option<T> {
    let text = match field {
        Field::Path => request.path_and_query().0,
        Field::Query => request.path_and_query().1,
        Field::UserAgent => request.user_agent,
        Field::Referer => request.referer,
        Field::Host => request.host,
        Field::ContentType => request.content_type,
        // Refused where signatures are read.
        Field::Header => return None,
    };
    if text.is_empty() {
        return None;
    }
    // Taken out, since a search writes beside them.
    let mut forms: Forms = std::mem::take(&mut scratch.forms[field as usize]);
    if forms.last().is_none() {
        forms.fill(field, text);
    }
    let done = forms.last().map(|form| match field {
        Field::Path => with(without_path_info(form), scratch),
        _ => with(form, scratch),
    });
    scratch.forms[field as usize] = forms;
    done
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use regex_automata::meta::Regex;

    use super::Builder;
    use crate::{
        condition::{Check, Condition, Value},
        signature::Field,
    };

    #[test]
    fn an_expression_that_signatures_of_a_file_share_is_one_exclusion() {
        let regex = |text| Arc::new(Regex::new(text).unwrap());
        let condition = |regex: &Arc<Regex>| Condition {
            fields: vec![Field::Query],
            values: vec![Value {
                literals: Vec::new(),
                check: Check::Expression(Arc::clone(regex)),
            }],
        };
        let (one, other) = (regex("^a"), regex("^a"));
        let mut builder = Builder::default();
        let numbers = [&one, &one, &other, &one].map(|regex| builder.add(condition(regex), 0));
        assert_eq!(numbers, [(0, false), (0, false), (1, false), (0, false)]);
    }
}
