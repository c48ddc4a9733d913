//! All signatures at once.

use std::{
    cmp::Reverse,
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use strum::EnumCount as _;

use crate::{
    armed::{Armed, Excluded, Numbers},
    condition::Condition,
    exclusions::{self, Exclusions},
    expression::Compile,
    file::{Parsed, SignatureFile},
    forms::MAX_FIELD,
    index::{Index, Literals},
    known::Place,
    normal,
    problem::Problem,
    request::Request,
    scratch::{Hits, MAX_HITS, Scratch},
    shipped::is_shipped,
    signature::{Class, Field, Severity, Signature},
};

/// Most signatures of one matcher.
pub const MAX_SIGNATURES: usize = 10_000;
/// The id of the signature of requests that have more to look at than is looked at.
const CUT: &str = "too-much-to-look-at";
/// Headers that are not remembered: they are secrets, and differ from client to client.
const SECRETS: [&[u8]; 5] = [
    b"authorization",
    b"cookie",
    b"proxy-authorization",
    b"x-api-key",
    b"x-auth-token",
];

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Finds which signatures a request matches.
#[derive(Debug)]
pub struct Matcher {
    /// Tells matchers apart.
    number: u64,
    signatures: Vec<Signature>,
    armed: Vec<Armed>,
    /// By condition: the signature that it is of; of exclusions none.
    owners: Vec<u32>,
    /// By field; `None` where no signature looks.
    fields: [Option<Index>; Field::COUNT],
    exclusions: Exclusions,
    /// The signature [`CUT`], unless it is disabled.
    cut: Option<u32>,
}

impl Matcher {
    /// A matcher of the signatures in `files`, without those with an id in `disabled`; and what is wrong with files and signatures,
    /// which are left out.
    #[must_use]
    pub fn build(files: &[SignatureFile], disabled: &[String]) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut taken = HashSet::from([CUT.to_owned()]);
        let mut parsed = vec![built_in()];
        for file in files {
            let when = match is_shipped(file) {
                true => Compile::WhenNeeded,
                false => Compile::Now,
            };
            parsed.extend(file.parse(&mut taken, &mut problems, when));
        }
        problems.extend(
            disabled
                .iter()
                .filter(|id| !taken.contains(*id))
                .map(|id| Problem {
                    file: "disable".to_owned(),
                    line: None,
                    id: Some(id.clone()),
                    message: "no signature has this id".to_owned(),
                }),
        );
        parsed.retain(|parsed| !disabled.contains(&parsed.signature.id));
        if parsed.len() > MAX_SIGNATURES {
            let first = &parsed[MAX_SIGNATURES].signature;
            problems.push(Problem {
                file: first.file.clone(),
                line: Some(first.line),
                id: Some(first.id.clone()),
                message: format!("left out, with all after it: there may be {MAX_SIGNATURES} signatures"),
            });
            parsed.truncate(MAX_SIGNATURES);
        }
        (Self::of(parsed), problems)
    }

    fn of(mut parsed: Vec<Parsed>) -> Self {
        parsed.sort_by_key(|parsed| Reverse(parsed.signature.severity));
        let mut literals: [Literals; Field::COUNT] = Default::default();
        let mut owners = Vec::new();
        let mut number = |signature: u32, condition: Condition| {
            let number = owners.len() as u32;
            owners.push(signature);
            for field in &condition.fields {
                let literals = &mut literals[*field as usize];
                let values = condition.values.iter();
                values.for_each(|value| literals.add(value, number, signature));
            }
            number
        };
        let mut add = |signature: usize, added: &[Condition]| -> Vec<Numbers> {
            let numbered = added
                .iter()
                .map(|condition| Numbers::of(condition, |part| number(signature as u32, part)));
            numbered.collect()
        };
        let (mut signatures, mut armed, mut none) = (Vec::new(), Vec::new(), Vec::new());
        for (index, parsed) in parsed.into_iter().enumerate() {
            armed.push(Armed {
                methods: parsed.methods,
                statuses: parsed.statuses,
                all: add(index, &parsed.all),
                any: add(index, &parsed.any),
                none: Vec::new(),
            });
            none.push(parsed.none);
            signatures.push(parsed.signature);
        }
        let mut exclusions = exclusions::Builder::default();
        for (armed, none) in armed.iter_mut().zip(none) {
            for condition in none {
                armed.none.push(Numbers::of(&condition, |part| {
                    let (exclusion, is_new) = exclusions.add(part, owners.len() as u32);
                    owners.extend(is_new.then_some(u32::MAX));
                    exclusion
                }));
            }
        }
        let fields = literals.map(Index::of);
        Self {
            number: NUMBERS.fetch_add(1, Relaxed),
            cut: signatures
                .iter()
                .position(|signature: &Signature| signature.id == CUT)
                .map(|at| at as u32),
            signatures,
            armed,
            owners,
            fields,
            exclusions: exclusions.build(),
        }
    }

    /// The signatures, the most severe first.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The signature that a [hit](Hits) stands for.
    #[must_use]
    pub fn signature(&self, hit: u32) -> Option<&Signature> {
        self.signatures.get(hit as usize)
    }

    /// Bytes of memory that the automata and tables of literals take.
    #[must_use]
    pub fn memory(&self) -> usize {
        let fields = self.fields.iter().flatten().map(Index::memory);
        fields.sum::<usize>() + self.exclusions.memory()
    }

    /// The signatures that `request` matches.
    #[must_use]
    pub fn find(&self, request: &Request<'_>, scratch: &mut Scratch) -> Hits {
        scratch.begin(
            self.number,
            self.owners.len(),
            self.signatures.len(),
            self.exclusions.len(),
        );
        let (path, query) = request.path_and_query();
        for (field, text) in [
            (Field::UserAgent, request.user_agent),
            (Field::Path, path),
            (Field::Query, query),
            (Field::Referer, request.referer),
            (Field::Host, request.host),
            (Field::ContentType, request.content_type),
        ] {
            self.search_or_recall(field, text, scratch);
        }
        if self.fields[Field::Header as usize].is_some() {
            let mut line = std::mem::take(&mut scratch.line);
            for (name, value) in request.headers {
                line.clear();
                line.extend_from_slice(name);
                line.extend_from_slice(b": ");
                line.extend_from_slice(value);
                match SECRETS.contains(name) {
                    true => self.search(Field::Header, &line, scratch),
                    false => self.search_or_recall(Field::Header, &line, scratch),
                }
            }
            scratch.line = line;
        }
        if scratch.touched.is_empty() && !scratch.is_cut {
            return Hits::new();
        }
        self.judge(request, scratch)
    }

    /// Whether the last request that was looked into with `scratch` could match more with another status.
    #[must_use]
    pub fn waits_for_status(&self, scratch: &Scratch) -> bool {
        let goes_by_status = |index: &u32| {
            let armed = self.armed.get(*index as usize);
            armed.is_some_and(|armed| !armed.statuses.is_empty())
        };
        scratch.is_cut || scratch.touched.iter().any(goes_by_status)
    }

    /// Looks into the forms of a field, unless it is known from before what holds of it.
    #[inline]
    fn search_or_recall(&self, field: Field, text: &[u8], scratch: &mut Scratch) {
        // Of those that a request does not have, nobody asks for the forms.
        if text.is_empty() {
            return;
        }
        scratch.forms[field as usize].clear();
        let Some(index) = &self.fields[field as usize] else {
            return;
        };
        let text = &text[..text.len().min(MAX_FIELD)];
        // What holds already is not noted again, so what holds of a text is known where nothing does.
        let is_fresh = scratch.noted.is_empty() && !scratch.is_cut;
        let place = match is_fresh {
            true => scratch.known.place(field, text),
            false => None,
        };
        if let Some(place) = place
            && self.recall(place, text, scratch)
        {
            return;
        }
        let before = scratch.spent();
        if is_worth_it(index, field, text) {
            Self::search_forms(index, field, text, scratch);
        }
        // What was cut short is not known to the end.
        if let Some(place) = place.filter(|_| !scratch.is_cut) {
            let spent = scratch.spent().since(before);
            scratch.known.put(place, text, &scratch.noted, spent);
        }
    }

    /// Notes what holds of a text, if that is known and there is as much left to spend as it took.
    #[inline]
    fn recall(&self, place: Place, text: &[u8], scratch: &mut Scratch) -> bool {
        let Some(slot) = scratch.known.get(place, text) else {
            return false;
        };
        let (spent, is_nothing) = (slot.spent, slot.conditions.is_empty());
        if !scratch.spend_again(spent) {
            return false;
        }
        if !is_nothing {
            self.note_again(place, text, scratch);
        }
        true
    }

    #[inline(never)]
    fn note_again(&self, place: Place, text: &[u8], scratch: &mut Scratch) {
        let slot = scratch.known.get(place, text);
        let conditions = slot.map(|slot| slot.conditions.clone()).unwrap_or_default();
        for condition in conditions {
            scratch.note(condition, self.owners[condition as usize]);
        }
    }

    /// Looks into the forms of a field.
    fn search(&self, field: Field, text: &[u8], scratch: &mut Scratch) {
        let text = &text[..text.len().min(MAX_FIELD)];
        if let Some(index) = &self.fields[field as usize]
            && is_worth_it(index, field, text)
        {
            Self::search_forms(index, field, text, scratch);
        }
    }

    /// The same for a text that is worth it, as few are.
    #[inline(never)]
    fn search_forms(index: &Index, field: Field, text: &[u8], scratch: &mut Scratch) {
        // Taken out, since the search writes beside them.
        let mut forms = std::mem::take(&mut scratch.forms[field as usize]);
        forms.fill(field, text);
        forms.iter().for_each(|form| index.search(form, scratch));
        scratch.forms[field as usize] = forms;
    }

    /// Returns which of the touched signatures match.
    fn judge(&self, request: &Request<'_>, scratch: &mut Scratch) -> Hits {
        let mut touched = std::mem::take(&mut scratch.touched);
        // The most severe first: what follows those that are told need not be looked into.
        touched.sort_unstable();
        let found = touched
            .iter()
            .copied()
            .filter(|index| self.matches(*index, request, scratch));
        let mut hits: Hits = found.take(MAX_HITS).collect();
        scratch.touched = touched;
        if let Some(cut) = self.cut.filter(|_| scratch.is_cut) {
            let at = hits.partition_point(|hit| *hit < cut);
            if hits.is_full() && at < MAX_HITS {
                hits.pop();
            }
            if !hits.is_full() {
                hits.insert(at, cut);
            }
        }
        hits
    }

    fn matches(&self, index: u32, request: &Request<'_>, scratch: &mut Scratch) -> bool {
        let Some(armed) = self.armed.get(index as usize) else {
            return false;
        };
        let status = request.status;
        let in_range = |(from, to): &(u16, u16)| (*from..=*to).contains(&status);
        // A log need not tell the method.
        (armed.methods.is_empty()
            || matches!(request.method, b"" | b"-")
            || armed
                .methods
                .iter()
                .any(|method| method.as_bytes() == request.method))
            && (armed.statuses.is_empty() || armed.statuses.iter().any(in_range))
            && armed.hold(Excluded::default(), scratch)
            && !self.is_excluded(armed, request, scratch)
    }

    /// Whether a signature's exclusions leave nothing of what was found: see [`Excluded::leaves`].
    fn is_excluded(&self, armed: &Armed, request: &Request<'_>, scratch: &mut Scratch) -> bool {
        let mut holds = |part: fn(&Numbers) -> Option<u32>| {
            let mut numbers = armed.none.iter().filter_map(part);
            numbers.any(|exclusion| self.exclusions.hold(exclusion, request, scratch))
        };
        if holds(|numbers| numbers.rest) {
            return true;
        }
        let excluded = Excluded {
            path: holds(|numbers| numbers.path),
            query: holds(|numbers| numbers.query),
        };
        (excluded.path || excluded.query) && !armed.hold(excluded, scratch)
    }

    /// Returns what is wrong with the samples of signatures: one that must match and does not, or the other way round.
    #[must_use]
    pub fn verify(&self) -> Vec<Problem> {
        let mut scratch = Scratch::new();
        let mut problems = Vec::new();
        for (index, signature) in self.signatures.iter().enumerate() {
            let samples = [(&signature.must, true), (&signature.must_not, false)];
            let samples = samples
                .into_iter()
                .flat_map(|(samples, must)| samples.iter().map(move |sample| (sample, must)));
            for (sample, must) in samples {
                let hits = sample.with(|request| self.find(request, &mut scratch));
                // Of one that matches more than are told, nobody knows.
                let is_hit = hits.contains(&(index as u32)) || (must && hits.is_full());
                if is_hit != must {
                    let wrong = if must {
                        "must match and does not"
                    } else {
                        "must not match and does"
                    };
                    problems.push(Problem {
                        file: signature.file.clone(),
                        line: Some(signature.line),
                        id: Some(signature.id.clone()),
                        message: format!("`{} {}` {wrong}", sample.method, sample.target),
                    });
                }
            }
        }
        problems
    }
}

/// Whether a text may have a literal in one of its forms.
#[inline]
fn is_worth_it(index: &Index, field: Field, text: &[u8]) -> bool {
    normal::is_marked(text, field) || index.has_any(text)
}

/// The signature of what is not looked at to its end.
fn built_in() -> Parsed {
    Parsed {
        signature: Signature {
            id: CUT.to_owned(),
            title: "So many signs of attacks in one request that not all of them were looked into".to_owned(),
            class: Class::Protocol,
            severity: Severity::High,
            references: vec!["docs/signatures.md".to_owned()],
            file: "built in".to_owned(),
            line: 0,
            must: Vec::new(),
            must_not: Vec::new(),
        },
        methods: Vec::new(),
        statuses: Vec::new(),
        all: Vec::new(),
        any: Vec::new(),
        none: Vec::new(),
    }
}
