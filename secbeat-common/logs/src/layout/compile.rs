//! From literal text and fields to segments; which of them can be read safely.

use std::mem;

use super::{
    Layout, Part, Quotes,
    field::{Kind, Role},
    segment::{Placed, Segment},
};

/// The reason why a pattern is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("the pattern has no {0}")]
    Missing(&'static str),
    #[error("nothing stands between `{0}` and `{1}`, so that the end of the first cannot be found")]
    Adjacent(String, String),
    #[error("`{0}` in the pattern is followed by no name")]
    NoName(char),
    #[error("invalid pattern: it is {program}'s, expected {instead}")]
    Foreign {
        program: &'static str,
        instead: &'static str,
    },
    #[error("`CustomLog` names its format only: state that of the `LogFormat` with this name")]
    Nickname,
    #[error("a quote of the statement `{0}` is not closed")]
    Unclosed(&'static str),
    #[error("`escape=json` makes JSON of the log: state `nginx-json`, or the keys of your own")]
    Json,
    #[error(
        "`{field}` cannot be read safely: a client can write `{before}` and `{after}` around it, and so move it; put `{before}` \
         between quotes or behind `{field}`"
    )]
    Between {
        field: String,
        before: String,
        after: String,
    },
    #[error(
        "`{field}` cannot be read safely: a client can write `{before}` before it, and so move it; put `{before}` between quotes \
         or behind `{field}`"
    )]
    Behind { field: String, before: String },
    #[error("a client can write a part of `{0}`, so that its end cannot be found; put it between quotes")]
    List(String),
    #[error(
        "nothing follows `{0}`, so that a line that is cut off would name another client; put it between quotes"
    )]
    LastField(String),
    #[error(
        "`escape=none` writes what clients send as it is, so that a request could be any line: state `escape=json`"
    )]
    Unescaped,
    #[error(
        "HAProxy writes quotes that a client sends into `{before}` as they are, so that `{field}` behind it could be moved: write \
         `%{{+Q,+E}}` before its name, end it with the converter `json()`, or put it behind `{field}`"
    )]
    BareQuotes { field: String, before: String },
}

/// A field's place: that of its segment, and that in the segment.
type Place = (usize, usize);

/// Compiles a layout.
///
/// # Errors
///
/// Returns an error if it has no client, time or status that can be read safely.
pub(super) fn compile(text: &str, parts: Vec<Part>, quotes: Quotes) -> Result<Layout, PatternError> {
    let mut segments = split(parts);
    for segment in &mut segments {
        free_adjacent(segment)?;
    }
    let client = choose(&segments, Role::Client, true)?
        .ok_or(PatternError::Missing("client: `$remote_addr`, `%h` or `%ci`"))?;
    let time = choose(&segments, Role::Time, false)?.ok_or(PatternError::Missing(
        "time: `$time_local`, `$time_iso8601`, `$msec`, `%t` or `%tr`",
    ))?;
    let status = choose(&segments, Role::Status, false)?
        .ok_or(PatternError::Missing("status: `$status`, `%>s` or `%ST`"))?;
    check_last(&segments, client)?;
    check_quotes(&segments, &[client, time, status])?;
    for (at, segment) in segments.iter_mut().enumerate() {
        for (n, placed) in segment.fields.iter_mut().enumerate() {
            if placed.field.role.is_trusted() && ![client, time, status].contains(&(at, n)) {
                placed.field.role = Role::Nothing;
            }
        }
        let needed: Vec<usize> = [client, time, status]
            .iter()
            .filter(|place| place.0 == at)
            .map(|place| place.1)
            .collect();
        let loose = Plan::new(segment, Tokens::Free);
        let plan = if needed.iter().all(|n| loose.reads(segment, *n)) {
            loose
        } else {
            Plan::new(segment, Tokens::Words)
        };
        let of_fields = segment.fields.iter().filter_map(|placed| placed.field.quotes);
        segment.quotes = of_fields.into_iter().next();
        segment.left = plan.left;
        segment.right = plan.right;
        for (n, placed) in segment.fields.iter_mut().enumerate() {
            if (plan.left..plan.right).contains(&n) && placed.field.role != Role::Time {
                placed.field.kind = Kind::Free;
            }
        }
        leave_out_requests(segment);
        segment.after_host = client.0 == at
            && client.1 < plan.left
            && segment.fields[..client.1]
                .iter()
                .any(|placed| placed.field.kind == Kind::ClientToken);
    }
    Ok(Layout {
        text: text.to_owned(),
        has_tabs: segments.iter().any(|segment| segment.closes_with(b'\t')),
        segments,
        quotes,
        needs_date: false,
    })
}

/// A request line has spaces: where only a space and another text of a client follow it, nobody can tell where either ends. So
/// nothing up to the next time is read.
fn leave_out_requests(segment: &mut Segment) {
    let mut is_left_out = false;
    for at in segment.left..segment.right {
        let is_last = at + 1 >= segment.right || segment.fields[at + 1].field.role == Role::Time;
        let Placed { field, then } = &mut segment.fields[at];
        if field.role == Role::Time {
            is_left_out = false;
            continue;
        }
        let is_request = matches!(field.role, Role::Request | Role::RequestUrl);
        is_left_out |= is_request && !is_last && then.as_slice() == b" ";
        if is_left_out {
            field.role = Role::Nothing;
        }
    }
}

/// Splits at quotes and tabs.
fn split(parts: Vec<Part>) -> Vec<Segment> {
    let begin = |begins_after| Segment {
        begins_after,
        ..Segment::default()
    };
    let mut segments = Vec::new();
    let mut segment = begin("the beginning".to_owned());
    let mut last = None;
    for part in parts {
        match part {
            Part::Field(field) => {
                last = Some(field.name.clone());
                segment.fields.push(Placed {
                    field,
                    then: Vec::new(),
                });
            }
            Part::Text(text) => {
                for byte in text.bytes() {
                    if matches!(byte, b'"' | b'\t') {
                        segment.close = Some(byte);
                        let what = if byte == b'"' { "quote" } else { "tab" };
                        let after = last.as_ref().map_or_else(
                            || format!("the first {what}"),
                            |name| format!("the {what} behind `{name}`"),
                        );
                        segments.push(mem::replace(&mut segment, begin(after)));
                        continue;
                    }
                    match segment.fields.last_mut() {
                        Some(placed) => placed.then.push(byte),
                        None => segment.lead.push(byte),
                    }
                }
            }
        }
    }
    segments.push(segment);
    segments
}

/// Fields with nothing between them are read as one, which is nobody's if one of them is trusted.
fn free_adjacent(segment: &mut Segment) -> Result<(), PatternError> {
    for at in 1..segment.fields.len() {
        if !segment.fields[at - 1].then.is_empty() {
            continue;
        }
        let (before, after) = (&segment.fields[at - 1].field, &segment.fields[at].field);
        if before.role.is_trusted() || after.role.is_trusted() {
            return Err(PatternError::Adjacent(before.name.clone(), after.name.clone()));
        }
        segment.fields[at - 1].field.kind = Kind::Free;
        segment.fields[at].field.kind = Kind::Free;
    }
    Ok(())
}

/// How texts without a space that a client chooses are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tokens {
    /// As if they could have spaces.
    Free,
    /// Up to the next space.
    Words,
}

/// Which fields of a segment are read from which side.
struct Plan {
    left: usize,
    right: usize,
}

impl Plan {
    fn new(segment: &Segment, tokens: Tokens) -> Self {
        let is_free = |at: usize| is_free(segment, at, tokens);
        let len = segment.fields.len();
        let left = (0..len).find(|at| is_free(*at)).unwrap_or(len);
        let last = (left..len).rev().find(|at| is_free(*at));
        // A line may be cut off anywhere.
        let right = match (segment.close, last) {
            (Some(_), Some(last)) => last + 1,
            _ => len,
        };
        Self { left, right }
    }

    /// Whether a trusted field can be read.
    fn reads(&self, segment: &Segment, at: usize) -> bool {
        let Placed { field, then } = &segment.fields[at];
        let is_within = (self.left..self.right).contains(&at);
        match field.kind {
            Kind::AddressList => is_within && segment.close.is_some() && self.right - self.left == 1,
            // Of several that look like it, the latest counts.
            Kind::Time if is_within => {
                at > self.left && !then.is_empty() && self.count(segment, Role::Time) == 1
            }
            Kind::Address | Kind::BareAddress if !is_within && at >= self.right => {
                !is_part_of_address(literal_before(segment, at))
            }
            _ => !is_within,
        }
    }

    fn count(&self, segment: &Segment, role: Role) -> usize {
        let within = &segment.fields[self.left..self.right];
        within.iter().filter(|placed| placed.field.role == role).count()
    }
}

fn is_free(segment: &Segment, at: usize, tokens: Tokens) -> bool {
    let Placed { field, then } = &segment.fields[at];
    match field.kind {
        Kind::Free | Kind::AddressList => true,
        Kind::ClientToken => {
            let is_last = at + 1 == segment.fields.len();
            let before = literal_before(segment, at);
            let is_word = |literal: &[u8]| literal.contains(&b' ');
            let is_split = is_word(then) || is_last && then.is_empty();
            tokens == Tokens::Free || !(is_split && (at == 0 || is_word(before)))
        }
        _ => false,
    }
}

fn literal_before(segment: &Segment, at: usize) -> &[u8] {
    match at.checked_sub(1) {
        Some(before) => &segment.fields[before].then,
        None => &segment.lead,
    }
}

fn is_part_of_address(literal: &[u8]) -> bool {
    let last = literal.last();
    last.is_some_and(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'))
}

/// The field that says who, when or what, if there is any.
fn choose(segments: &[Segment], role: Role, best_only: bool) -> Result<Option<Place>, PatternError> {
    let all = segments.iter().enumerate().flat_map(|(at, segment)| {
        let fields = segment.fields.iter().enumerate();
        fields
            .filter(move |(_, placed)| placed.field.role == role)
            .map(move |(n, placed)| (placed.field.rank, (at, n)))
    });
    let mut all: Vec<(u8, Place)> = all.collect();
    all.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    let Some((best, first)) = all.first().copied() else {
        return Ok(None);
    };
    let mut places = all
        .iter()
        .filter(|(rank, _)| !best_only || *rank == best)
        .map(|(_, place)| *place);
    let found = places.find(|(at, n)| {
        let segment = &segments[*at];
        let plans = [Tokens::Free, Tokens::Words].map(|tokens| Plan::new(segment, tokens));
        plans.iter().any(|plan| plan.reads(segment, *n))
    });
    found.map(Some).ok_or_else(|| refuse(&segments[first.0], first.1))
}

/// Returns why a field cannot be read.
fn refuse(segment: &Segment, at: usize) -> PatternError {
    let name = |at: usize| segment.fields[at].field.name.clone();
    if segment.fields[at].field.kind == Kind::AddressList {
        return PatternError::List(name(at));
    }
    let free = |at: &usize| is_free(segment, *at, Tokens::Words);
    // An address behind a literal that may be a part of it.
    let before = (0..at).find(free).unwrap_or(at.saturating_sub(1));
    match (at + 1..segment.fields.len()).find(free) {
        Some(after) => PatternError::Between {
            field: name(at),
            before: name(before),
            after: name(after),
        },
        None => PatternError::Behind {
            field: name(at),
            before: name(before),
        },
    }
}

/// A client that is the last of a line must not be what is left of it after it was cut off, at a length that a client
/// chose.
fn check_last(segments: &[Segment], client: Place) -> Result<(), PatternError> {
    let (at, n) = client;
    let segment = &segments[at];
    let is_last =
        segment.close.is_none() && n + 1 == segment.fields.len() && segment.fields[n].then.is_empty();
    let mut before = segments[..at].iter().flat_map(|segment| &segment.fields);
    if is_last && before.any(|placed| placed.field.kind.is_written_by_clients()) {
        return Err(PatternError::LastField(segment.fields[n].field.name.clone()));
    }
    Ok(())
}

/// Nothing that is trusted may stand behind a field in which a client can write a bare quote, since lines are divided at
/// these; nor be one.
fn check_quotes(segments: &[Segment], trusted: &[Place]) -> Result<(), PatternError> {
    let fields = segments
        .iter()
        .enumerate()
        .flat_map(|(at, segment)| (0..segment.fields.len()).map(move |n| (at, n)));
    let field = |(at, n): Place| &segments[at].fields[n].field;
    let mut bare = fields.filter(|place| field(*place).quotes == Some(Quotes::Bare));
    let (Some(bare), Some(last)) = (bare.next(), trusted.iter().max().copied()) else {
        return Ok(());
    };
    let is_safe = bare > last;
    is_safe.then_some(()).ok_or_else(|| PatternError::BareQuotes {
        field: field(last).name.clone(),
        before: field(bare).name.clone(),
    })
}
