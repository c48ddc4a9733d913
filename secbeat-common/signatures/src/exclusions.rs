//! Exclusions, which keep signatures from matching: few conditions, which many signatures share.

use std::collections::HashMap;

use strum::EnumCount as _;

use crate::{
    condition::{Condition, without_path_info},
    forms::Forms,
    index::{Index, Literals},
    request::Request,
    scratch::Scratch,
    signature::Field,
};

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
    /// Their numbers: files, and signatures of a file, share them.
    numbers: HashMap<Condition, u32>,
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
        if let Some(same) = self.numbers.get(&condition) {
            return (*same, false);
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
        let exclusion = self.all.len() as u32;
        self.numbers.insert(condition.clone(), exclusion);
        self.all.push(Exclusion {
            condition,
            number: is_found_by_literals.then_some(next),
        });
        (exclusion, is_found_by_literals)
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

    /// Returns how many there are.
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
        Field::Path => {
            let leads_to = &mut scratch.leads_to;
            let length = *leads_to.get_or_insert_with(|| without_path_info(form).len());
            with(&form[..length], scratch)
        }
        _ => with(form, scratch),
    });
    scratch.forms[field as usize] = forms;
    done
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Builder;
    use crate::{
        condition::{Check, Condition, Value},
        expression::{Compile, Expression, parse},
        signature::Field,
    };

    #[test]
    fn an_expression_that_files_share_is_one_exclusion() {
        let regex = |text| {
            let hir = parse(text).unwrap();
            Arc::new(Expression::new(text, &hir, Compile::Now).unwrap())
        };
        let condition = |regex: &Arc<Expression>| Condition {
            fields: vec![Field::Query],
            values: vec![Value {
                literals: Vec::new(),
                check: Check::Expression(Arc::clone(regex)),
            }],
        };
        let (one, same, other) = (regex("^a"), regex("^a"), regex("^b"));
        let mut builder = Builder::default();
        let numbers = [&one, &same, &other, &one].map(|regex| builder.add(condition(regex), 0));
        assert_eq!(numbers, [(0, false), (0, false), (1, false), (0, false)]);
    }
}
