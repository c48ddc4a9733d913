//! JSON: lists of bans, one object a line, and documents that providers and programs publish.

mod fields;

use serde_json::value::RawValue;

use super::{
    columns::Column,
    documents::{self, DOCUMENTS, Document},
    draft::Draft,
    keys::Sense,
    list::{About, End, Found, Out, Purpose, Source},
    nft_json, ours, stix, target,
    values::{Fields, array, holds_array, holds_network, object, scalar, stix_type, title},
};

/// Objects within each other that are looked through.
const MAX_NESTED: usize = 4;
/// Values within each other in which exceptions are looked for.
const MAX_EXCEPTED: usize = 8;
/// What programs print for an empty list.
pub(super) const NOTHING: &str = "null";

pub(super) fn read(source: &Source<'_>, found: &mut Found) {
    if source.text.trim() == NOTHING {
        found.is_certain = true;
        return;
    }
    if !source.text.trim_start().starts_with(['[', '{']) {
        found.bad(1, "JSON begins with `[` or `{`");
        return;
    }
    let mut reader = Reader {
        source,
        found,
        line: 1,
        counted: 0,
        end: None,
    };
    let values = serde_json::Deserializer::from_str(source.text).into_iter::<&RawValue>();
    for (number, value) in values.enumerate() {
        match value {
            Ok(value) => {
                if number == 1 {
                    reader.found.what = Some("JSON, an object a line".to_owned());
                }
                reader.top(value);
            }
            Err(error) => {
                let line = error.line() as u64;
                reader.found.bad(line, format!("no JSON: {error}"));
                break;
            }
        }
    }
    // All of it may be for something else.
    found.is_certain |= found.bad.is_empty() && !found.passed_over.is_empty();
}

struct Reader<'a, 'f> {
    source: &'a Source<'a>,
    found: &'f mut Found,
    /// The line of the byte up to which lines were counted.
    line: u64,
    counted: usize,
    /// The end that an object says beside the array that is read.
    end: Option<End>,
}

impl<'a> Reader<'a, '_> {
    /// The line that `value` begins on: it is a part of the text.
    fn line_of(&mut self, value: &RawValue) -> u64 {
        let at = value.get().as_ptr() as usize - self.source.text.as_ptr() as usize;
        let text = self.source.text.as_bytes();
        let between = &text[at.min(self.counted)..at.max(self.counted)];
        let lines = memchr::memchr_iter(b'\n', between).count() as u64;
        match at < self.counted {
            true => self.line -= lines,
            false => self.line += lines,
        }
        self.counted = at;
        self.line
    }

    fn top(&mut self, value: &'a RawValue) {
        if let Some(elements) = array(value) {
            self.found.is_certain |= elements.is_empty();
            for element in elements {
                self.element(element, "");
            }
            return;
        }
        let line = self.line_of(value);
        let Some(fields) = object(value) else {
            self.found.bad(line, "neither an object nor an array");
            return;
        };
        if let Some(objects) = fields.get("nftables") {
            self.found.what = Some("JSON of nft".to_owned());
            return nft_json::read(line, objects, self.source.purpose, self.found);
        }
        if documents::is_allowlist(&fields) {
            return self.object(value, &fields, "");
        }
        if let Some(why) = documents::no_list(&fields, self.source.purpose) {
            self.found.is_certain = true;
            return self.found.bad(line, why);
        }
        let has_all = |document: &&Document| document.keys.iter().all(|key| fields.contains_key(*key));
        if let Some(document) = DOCUMENTS.iter().find(has_all) {
            if document.keeps_out && self.source.purpose == Purpose::Allowlist {
                return self.found.bad(
                    line,
                    format!("{}: it names attackers; `import` takes it", document.what),
                );
            }
            let before = (self.found.entries.len(), self.found.bad.len());
            for path in document.paths {
                self.follow(value, path, "");
            }
            if (self.found.entries.len(), self.found.bad.len()) != before {
                self.found.what = Some(format!("JSON, {}", document.what));
                self.found.provider = document.provider;
                return;
            }
        }
        let is_entry = fields
            .keys()
            .any(|key| Column::of(key).is_some_and(Column::is_target));
        if is_entry
            && !fields.iter().any(|(key, value)| {
                Column::of(key).is_some_and(Column::is_target) && value.get().starts_with(['[', '{'])
            })
        {
            return self.object(value, &fields, "");
        }
        self.containers(line, fields);
    }

    /// Arrays of addresses or of objects with addresses, in an object of which nothing else is known, and in objects within it.
    fn containers(&mut self, line: u64, fields: Fields<'a>) {
        if fields
            .get("type")
            .is_some_and(|kind| kind.get() == "\"metadata\"")
        {
            self.found.pass_over("metadata");
            return;
        }
        if !fields.is_empty() && fields.keys().all(|key| target::is_network(key)) {
            let mut fields: Vec<_> = fields.into_iter().collect();
            fields.sort_by_key(|(_, value)| value.get().as_ptr());
            for (key, value) in fields {
                self.keyed(&key, value);
            }
            return;
        }
        let provider = documents::provider(&fields);
        let mut taken = Vec::new();
        self.take_arrays(fields, MAX_NESTED, &mut taken);
        if taken.is_empty() {
            self.found.bad(
                line,
                "the object names no address to be listed, and no array in it does",
            );
        } else {
            self.found.what = Some(format!("JSON, {}", taken.join(", ")));
            self.found.provider = self.found.provider.or(provider);
        }
    }

    /// Takes the arrays with addresses in `fields`, and their keys into `taken`.
    fn take_arrays(&mut self, fields: Fields<'a>, nested: usize, taken: &mut Vec<String>) {
        let outer = self.end;
        self.end = self.end_beside(&fields).or(outer);
        self.take_within(fields, nested, taken);
        self.end = outer;
    }

    fn take_within(&mut self, fields: Fields<'a>, nested: usize, taken: &mut Vec<String>) {
        let beside = self.misfit_beside(&fields);
        // `{"Name": "office-allow-list", "Addresses": […]}`
        let title = title(&fields).map(|name| (Sense::of_list(&name), name));
        let is_listed =
            |value: &&RawValue| array(value).is_some_and(|all| all.iter().any(|one| holds_network(one)));
        // Where one says that it is meant, those that say nothing are not: `{"clients": […], "banned": […]}`.
        let meant = match self.source.purpose {
            Purpose::Bans => Sense::KeepsOut,
            Purpose::Allowlist => Sense::LetsIn,
        };
        let is_said = fields
            .iter()
            .any(|(key, value)| is_listed(value) && Sense::of_list(key) == meant);
        for (key, value) in fields {
            let is_text = !value.get().starts_with(['[', '{']);
            if let Some((what, how)) = &beside
                && !is_text
                && Sense::of_list(&key) == Sense::Neither
            {
                self.found.pass_over(what.as_str());
                if let Some(how) = *how {
                    self.leave_out(value, how, MAX_EXCEPTED);
                }
                continue;
            }
            if is_said && is_listed(&value) && Sense::of_list(&key) == Sense::Neither {
                self.found
                    .pass_over(format!("`{key}`, which does not say whom it is about"));
                continue;
            }
            let named = match &title {
                Some((sense, name)) if is_listed(&value) => Some((format!("`{name}`"), *sense)),
                _ => None,
            };
            let by_key = (format!("`{key}`"), Sense::of_list(&key));
            let names = [Some(by_key), named];
            let misfit = names
                .into_iter()
                .flatten()
                .find(|(_, sense)| sense.misfit(self.source.purpose).is_some());
            if let Some((what, sense)) = misfit {
                // A truth value or a text says nothing of others.
                if !is_text {
                    self.found.is_misfit(&what, sense, self.source.purpose);
                    self.leave_out(value, Out::by(&what), MAX_EXCEPTED);
                }
                continue;
            }
            match (array(value), object(value)) {
                (Some(elements), _) if elements.iter().any(|element| holds_network(element)) => {
                    for element in elements {
                        self.element(element, "");
                    }
                    if !taken.iter().any(|known| *known == key) {
                        taken.push(key.into_owned());
                    }
                }
                (Some(elements), _) if elements.is_empty() => self.found.is_certain = true,
                (_, Some(fields)) if holds_array(&fields, nested) => {
                    self.take_arrays(fields, nested - 1, taken)
                }
                _ => self.found.pass_over(format!("`{key}`")),
            }
        }
    }

    /// Goes on to the entries at `path`; `name` is that of what they belong to.
    fn follow(&mut self, value: &'a RawValue, path: &[&str], name: &str) {
        if let Some(elements) = array(value) {
            for element in elements {
                self.follow(element, path, name);
            }
            return;
        }
        let Some((key, rest)) = path.split_first() else {
            return self.element(value, name);
        };
        let Some(fields) = object(value) else {
            return;
        };
        let named = ["name", "region"].iter().find_map(|key| {
            fields
                .get(*key)
                .and_then(|value| scalar(value))
                .filter(|name| !name.is_empty())
        });
        if let Some(value) = fields.get(*key) {
            self.follow(value, rest, named.as_deref().unwrap_or(name));
        }
    }

    fn element(&mut self, value: &'a RawValue, name: &str) {
        let line = self.line_of(value);
        match (object(value), scalar(value)) {
            (Some(fields), _) => self.object(value, &fields, name),
            (None, Some(text)) if value.get().starts_with('"') => {
                let about = About {
                    end: self.end,
                    ..About::noting(name)
                };
                self.found.take(line, &text, about);
            }
            _ => self.found.bad(line, "neither an object nor an address"),
        }
    }

    fn object(&mut self, value: &'a RawValue, fields: &Fields<'a>, name: &str) {
        let line = self.line_of(value);
        if let Some(decisions) = fields.get("decisions") {
            self.found.is_certain = true;
            self.found.what = Some("JSON, decisions of CrowdSec".to_owned());
            for decision in array(decisions).unwrap_or_default() {
                self.element(decision, "");
            }
            return;
        }
        if fields.contains_key("target") {
            return ours::read(line, value, fields, self.source.purpose, self.found);
        }
        if let Some(why) = documents::no_entry(fields, self.source.purpose) {
            return self.found.bad(line, why);
        }
        if documents::is_allowlist(fields) {
            let items = fields
                .get("items")
                .and_then(|items| array(items))
                .unwrap_or_default();
            return items.into_iter().for_each(|item| self.element(item, name));
        }
        if let Some(kind) = stix_type(fields) {
            match kind.as_str() {
                "ipv4-addr" | "ipv6-addr" => {}
                "indicator" => return stix::take(line, fields, self.source, self.found),
                kind => return self.found.pass_over(format!("objects of the type `{kind}`")),
            }
        }
        if fields
            .get("type")
            .is_some_and(|kind| kind.get() == "\"metadata\"")
        {
            self.found.pass_over("metadata");
            return;
        }
        let targets = || {
            let targets = fields
                .iter()
                .filter(|(key, _)| Column::of(key).is_some_and(Column::is_target));
            targets.map(|(_, value)| *value)
        };
        let excepted = fields
            .iter()
            .filter(|(key, _)| Sense::of_list(key) == Sense::LetsIn);
        excepted.for_each(|(key, value)| self.leave_out(value, Out::by(key), MAX_EXCEPTED));
        let arrays = || targets().filter_map(array);
        if let Some(provider) = documents::provider(fields) {
            self.found.provider = Some(provider);
            if targets().next().is_none() {
                return self.found.pass_over("services without addresses");
            }
        }
        if arrays().next().is_some() && !targets().any(|value| scalar(value).is_some()) {
            let note = ["name", "service", "serviceArea", "region"]
                .iter()
                .find_map(|key| {
                    let text = scalar(fields.get(*key)?)?;
                    (!text.is_empty()).then_some(text)
                });
            if let Some(name) = title(fields)
                && self
                    .found
                    .is_misfit(&format!("`{name}`"), Sense::of_list(&name), self.source.purpose)
            {
                targets().for_each(|value| self.leave_out(value, Out::by(&name), MAX_EXCEPTED));
                return;
            }
            if let Some((what, how)) = self.misfit_beside(fields) {
                self.found.pass_over(what);
                if let Some(how) = how {
                    targets().for_each(|value| self.leave_out(value, how, MAX_EXCEPTED));
                }
                return;
            }
            let outer = self.end;
            self.end = self.end_beside(fields).or(outer);
            for element in arrays().flatten() {
                self.element(element, note.as_deref().unwrap_or(name));
            }
            self.end = outer;
            return;
        }
        let mut draft = Draft::default();
        if let Err(why) = self.fill(&mut draft, fields) {
            return self.found.bad(line, why);
        }
        if !name.is_empty() {
            let _ = draft.fill(Column::Note, name, self.source.zone);
        }
        draft.finish(line, self.end, self.source.purpose, self.found);
    }
}
