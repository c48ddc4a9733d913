//! The texts without which a regular expression does not match.

use std::cmp::Reverse;

use regex_syntax::hir::{Class, Hir, HirKind};

/// Most texts that are looked for in place of one expression.
const MAX_TEXTS: usize = 128;
/// Most bytes of a class that are told apart.
const MAX_CLASS: usize = 8;

type Texts = Vec<Vec<u8>>;

/// Texts one of which occurs in all that `hir` matches: of several choices, the one whose shortest text is longest. `None` where there
/// is none.
pub(crate) fn required(hir: &Hir) -> Option<Texts> {
    if let Some(texts) = all_of(hir).filter(|texts| shortest(texts) > 0) {
        return Some(texts);
    }
    match hir.kind() {
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Concat(parts) => in_a_row(parts),
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(required(part)?);
            }
            (all.len() <= MAX_TEXTS).then_some(all)
        }
        _ => None,
    }
}

/// The same for parts that follow each other. Neighbours that match few texts are taken together.
fn in_a_row(parts: &[Hir]) -> Option<Texts> {
    let mut choices = Vec::new();
    let mut run = vec![Vec::new()];
    for part in parts {
        match all_of(part).and_then(|texts| product(&run, &texts)) {
            Some(longer) => run = longer,
            None => {
                choices.push(std::mem::replace(&mut run, vec![Vec::new()]));
                choices.extend(required(part));
            }
        }
    }
    choices.push(run);
    let best = choices
        .into_iter()
        .max_by_key(|texts| (shortest(texts), Reverse(texts.len())));
    best.filter(|texts| shortest(texts) > 0)
}

/// All texts that `hir` matches, if they are few.
fn all_of(hir: &Hir) -> Option<Texts> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(vec![Vec::new()]),
        HirKind::Literal(literal) => Some(vec![literal.0.to_vec()]),
        HirKind::Class(class) => all_of_class(class),
        HirKind::Capture(capture) => all_of(&capture.sub),
        HirKind::Repetition(repetition) if (repetition.min, repetition.max) == (0, Some(1)) => {
            let mut texts = all_of(&repetition.sub)?;
            texts.push(Vec::new());
            Some(texts)
        }
        HirKind::Repetition(_) => None,
        HirKind::Concat(parts) => {
            let mut texts = vec![Vec::new()];
            for part in parts {
                texts = product(&texts, &all_of(part)?)?;
            }
            Some(texts)
        }
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(all_of(part)?);
            }
            (all.len() <= MAX_TEXTS).then_some(all)
        }
    }
}

fn all_of_class(class: &Class) -> Option<Texts> {
    let Class::Bytes(class) = class else {
        return None;
    };
    let bytes = class.iter().flat_map(|range| range.start()..=range.end());
    let texts: Texts = bytes.take(MAX_CLASS + 1).map(|byte| vec![byte]).collect();
    (texts.len() <= MAX_CLASS).then_some(texts)
}

/// Each of the one with each of the other behind it, if they are few.
fn product(one: &Texts, other: &Texts) -> Option<Texts> {
    let joined = |first: &Vec<u8>| {
        other
            .iter()
            .map(|second| [&first[..], second].concat())
            .collect::<Vec<_>>()
    };
    (one.len() * other.len() <= MAX_TEXTS).then(|| one.iter().flat_map(joined).collect())
}

/// The length of the shortest of `texts`, in bytes.
pub(crate) fn shortest(texts: &Texts) -> usize {
    texts.iter().map(Vec::len).min().unwrap_or(0)
}
