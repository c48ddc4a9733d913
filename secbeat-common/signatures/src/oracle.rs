//! What must hold of every request.

use std::sync::OnceLock;

use memchr::memmem;

use crate::{
    Field, MAX_HITS, Matcher, Request, Scratch, Signature, condition::Condition, file::Parsed, forms::Forms,
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
        let parse = |file: crate::SignatureFile| file.parse(&mut Default::default(), &mut Vec::new());
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
    // Whoever pads a request does not hide what is in it, up to the bound.
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
        let is_method = |method: &String| request.method.is_empty() || method.as_bytes() == request.method;
        let is_status = |(from, to): &(u16, u16)| (*from..=*to).contains(&request.status);
        (parsed.methods.is_empty() || parsed.methods.iter().any(is_method))
            && (parsed.statuses.is_empty() || parsed.statuses.iter().any(is_status))
            && parsed.all.iter().all(|condition| self.hold(condition))
            && (parsed.any.is_empty() || parsed.any.iter().any(|condition| self.hold(condition)))
            && !parsed.none.iter().any(|condition| self.exclude(condition))
    }

    /// The forms of the fields that `condition` is about.
    fn of_condition(&self, condition: &Condition) -> impl Iterator<Item = &Forms> {
        let fields = self
            .0
            .iter()
            .filter(|(field, _)| condition.fields.contains(field));
        fields.map(|(_, forms)| forms)
    }

    /// Whether a form has a literal of a value at a place where its check holds.
    fn hold(&self, condition: &Condition) -> bool {
        let mut forms = self.of_condition(condition).flat_map(Forms::iter);
        forms.any(|form| {
            condition.values.iter().any(|value| {
                value.literals.iter().any(|literal| {
                    let mut places = places(form, literal);
                    places.any(|begin| value.check.holds(form, begin, begin + literal.len()))
                })
            })
        })
    }

    fn exclude(&self, condition: &Condition) -> bool {
        let mut last = self.of_condition(condition).filter_map(Forms::last);
        last.any(|form| condition.is_in(form))
    }
}

/// All places of `literal` in `form`, also those that overlap.
fn places<'a>(form: &'a [u8], literal: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let from = move |from: usize| memmem::find(form.get(from..)?, literal).map(|place| from + place);
    std::iter::successors(from(0), move |place| from(place + 1))
}
