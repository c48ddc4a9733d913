//! What must hold of every request.

use std::sync::OnceLock;

use memchr::memmem;

use crate::{
    Field, MAX_HITS, Matcher, Request, Scratch, Signature,
    armed::Excluded,
    condition::{Condition, without_path_info},
    expression::Compile,
    file::Parsed,
    forms::Forms,
    shipped,
};

/// Looks into a line as each field of a request, with all shipped signatures.
///
/// # Panics
///
/// When a search finds something else than one for each signature by itself, or than one that follows another; or when hits are out of
/// order.
pub fn check(line: &[u8]) {
    static SHIPPED: OnceLock<(Matcher, Vec<Parsed>)> = OnceLock::new();
    let (matcher, parsed) = SHIPPED.get_or_init(|| {
        let parse = |file: crate::SignatureFile| {
            file.parse(&mut Default::default(), &mut Vec::new(), Compile::WhenNeeded)
        };
        (
            Matcher::build(&shipped(), &[]).0,
            shipped().into_iter().flat_map(parse).collect(),
        )
    });
    let mut scratch = Scratch::new();
    let request = Request {
        method: b"GET",
        target: line,
        status: 404,
        user_agent: line,
        referer: line,
        host: line,
        content_type: line,
        headers: &[(b"x-header", line)],
    };
    let first = matcher.find(&request, &mut scratch);
    let is_cut = scratch.is_cut;
    let second = matcher.find(&request, &mut scratch);
    if first != second || !first.is_sorted() {
        panic!("{first:?} and then {second:?}");
    }
    // Anyone who pads a request does not hide what is in it, up to the bound.
    if matcher.find(&request, &mut Scratch::new()) != first {
        panic!("another search finds something else than {first:?}");
    }
    if is_cut {
        return;
    }
    let found: Vec<_> = first
        .iter()
        .map(|hit| matcher.signatures()[*hit as usize].id.as_str())
        .collect();
    let expected = one_by_one(matcher.signatures(), parsed, &request);
    if found != expected {
        panic!("{found:?}, and one by one {expected:?}");
    }
}

/// The ids of those of `parsed` that match, each looked for by itself, in the order of `signatures`, as many as are told.
fn one_by_one<'a>(signatures: &'a [Signature], parsed: &[Parsed], request: &Request<'_>) -> Vec<&'a str> {
    let fields = Fields::of(request);
    let matching: Vec<_> = parsed
        .iter()
        .filter(|parsed| fields.match_all(parsed, request))
        .map(|parsed| &parsed.signature.id)
        .collect();
    let in_order = signatures.iter().map(|signature| &signature.id);
    let told = in_order.filter(|id| matching.contains(id)).take(MAX_HITS);
    told.map(String::as_str).collect()
}

/// The forms of each field; of headers those of each line.
struct Fields(Vec<(Field, Forms)>);

impl Fields {
    fn of(request: &Request<'_>) -> Self {
        let (path, query) = request.path_and_query();
        let line = |(name, value): &(&[u8], &[u8])| [name, &b": "[..], value].concat();
        let headers: Vec<_> = request.headers.iter().map(line).collect();
        let texts = [
            (Field::Path, path),
            (Field::Query, query),
            (Field::UserAgent, request.user_agent),
            (Field::Referer, request.referer),
            (Field::Host, request.host),
            (Field::ContentType, request.content_type),
        ];
        let headers = headers.iter().map(|line| (Field::Header, &line[..]));
        let texts = texts
            .into_iter()
            .chain(headers)
            .filter(|(_, text)| !text.is_empty());
        let forms = |(field, text): (Field, &[u8])| {
            let mut forms = Forms::default();
            forms.fill(field, text);
            (field, forms)
        };
        Self(texts.map(forms).collect())
    }

    fn match_all(&self, parsed: &Parsed, request: &Request<'_>) -> bool {
        let is_method =
            |method: &String| matches!(request.method, b"" | b"-") || method.as_bytes() == request.method;
        let is_status = |(from, to): &(u16, u16)| (*from..=*to).contains(&request.status);
        (parsed.methods.is_empty() || parsed.methods.iter().any(is_method))
            && (parsed.statuses.is_empty() || parsed.statuses.iter().any(is_status))
            && self.hold_all(parsed, Excluded::default())
            && !self.are_excluded(parsed)
    }

    /// Whether what `parsed` looks for is there, by what is left.
    fn hold_all(&self, parsed: &Parsed, excluded: Excluded) -> bool {
        let mut conditions = parsed.all.iter().chain(&parsed.any);
        let has_query = conditions.any(|condition| condition.fields.contains(&Field::Query));
        let holds = |condition: &Condition| self.hold(condition, excluded, has_query);
        parsed.all.iter().all(holds) && (parsed.any.is_empty() || parsed.any.iter().any(holds))
    }

    fn are_excluded(&self, parsed: &Parsed) -> bool {
        let by = |is_of: fn(Field) -> bool| {
            let mut none = parsed.none.iter();
            none.any(|condition| self.exclude(condition, is_of))
        };
        let excluded = Excluded {
            path: by(|field| field == Field::Path),
            query: by(|field| field == Field::Query),
        };
        by(|field| !matches!(field, Field::Path | Field::Query)) || !self.hold_all(parsed, excluded)
    }

    /// Whether a form has a literal of a value at a place where its check holds.
    fn hold(&self, condition: &Condition, excluded: Excluded, has_query: bool) -> bool {
        let fields = self
            .0
            .iter()
            .filter(|(field, _)| condition.fields.contains(field) && excluded.leaves(*field, has_query));
        let mut forms = fields.flat_map(|(_, forms)| forms.iter());
        forms.any(|form| {
            condition.values.iter().any(|value| {
                value.literals.iter().any(|literal| {
                    let mut places = places(form, literal);
                    places.any(|begin| value.check.holds(form, begin, begin + literal.len()))
                })
            })
        })
    }

    /// Whether one of such fields has a value, in the form that is resolved furthest.
    fn exclude(&self, condition: &Condition, is_of: fn(Field) -> bool) -> bool {
        self.0.iter().any(|(field, forms)| {
            let counts = condition.fields.contains(field) && is_of(*field);
            let last = forms.last().filter(|_| counts);
            last.is_some_and(|form| match field {
                Field::Path => condition.is_in(without_path_info(form)),
                _ => condition.is_in(form),
            })
        })
    }
}

/// All places of `literal` in `form`, also those that overlap.
fn places<'a>(form: &'a [u8], literal: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let from = move |from: usize| memmem::find(form.get(from..)?, literal).map(|place| from + place);
    std::iter::successors(from(0), move |place| from(place + 1))
}
