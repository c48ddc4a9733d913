//! Meaning of the fields of an object for its entry, and of what is in arrays beside them.

use serde_json::value::RawValue;

use super::Reader;
use crate::{
    columns::Column,
    draft::Draft,
    keys::{Sense, plain},
    list::{End, Out, Purpose},
    values::{Fields, array, object, scalar, scalars},
    verdict::{Verdict, truth},
    when,
};

impl<'a> Reader<'a, '_> {
    /// `"198.51.100.7": "block"`, `true`, or an object that says more.
    pub(super) fn keyed(&mut self, address: &str, value: &'a RawValue) {
        let line = self.line_of(value);
        let said = scalars(value);
        for text in &said {
            let verdict = match Verdict::of_word(text, self.source.purpose) {
                Verdict::Unknown if Sense::of_list(text).misfit(self.source.purpose).is_some() => {
                    Verdict::Other
                }
                verdict => verdict,
            };
            if matches!(verdict, Verdict::Other | Verdict::Over) {
                self.found.pass_over(format!("addresses with `{text}`"));
                if verdict == Verdict::Other && self.source.purpose == Purpose::Bans {
                    self.found.except(line, address);
                }
                return;
            }
        }
        // A count, or a time: of a ban, of a visit, or of something else.
        let is_unclear =
            |text: &&String| text.parse::<f64>().is_ok() || when::end(text, self.source.zone).is_ok();
        if let Some(text) = said.iter().find(is_unclear) {
            let word = match self.source.purpose {
                Purpose::Bans => "ban",
                Purpose::Allowlist => "allow",
            };
            let why = format!("`{text}` does not say whether {address} is to be listed: write `{word}`");
            return self.found.bad(line, why);
        }
        let remarks: Vec<_> = said.into_iter().filter(|text| truth(text).is_none()).collect();
        let mut draft = Draft::default();
        let filled = draft
            .fill(Column::Target(0), address, self.source.zone)
            .and_then(|()| draft.fill(Column::Note, &remarks.join(", "), self.source.zone))
            .and_then(|()| self.fill(&mut draft, &object(value).unwrap_or_default()));
        match filled {
            Ok(()) => draft.finish(line, self.end, self.source.purpose, self.found),
            Err(why) => self.found.bad(line, why),
        }
    }

    /// Takes the fields of an object into `draft`.
    pub(super) fn fill(&mut self, draft: &mut Draft, fields: &Fields<'a>) -> Result<(), String> {
        for (key, value) in fields {
            let Some(column) = Column::of(key) else {
                let name = plain(key);
                if ["duration", "expir", "validfor"]
                    .iter()
                    .any(|part| name.contains(part))
                {
                    self.found
                        .pass_over(format!("the key `{key}`, which is not read"));
                }
                continue;
            };
            let is_end = matches!(column, Column::End | Column::Length | Column::Left);
            let text = match column {
                Column::Tags => Some(scalars(value).join(", ")),
                // As MongoDB writes a time.
                _ if is_end => scalar(value).or_else(|| scalar(object(value)?.get("$date")?)),
                _ => scalar(value),
            };
            match text {
                Some(text) => draft.fill(column, &text, self.source.zone)?,
                None if is_end && value.get().starts_with(['[', '{']) => {
                    return Err(format!(
                        "invalid `{key}`: expected a time or a duration as a text or a number"
                    ));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Notes the addresses in what names clients that may come in, that are listed no longer, or that an entry excepts.
    pub(super) fn leave_out(&mut self, value: &'a RawValue, how: Out, nested: usize) {
        let is_in_order = how == Out::UntilHere;
        if nested == 0 || (self.source.purpose == Purpose::Allowlist && !is_in_order) {
            return;
        }
        let line = self.line_of(value);
        if let Some(text) = scalar(value) {
            self.found.leave_out(how, line, &text);
        }
        for element in array(value).unwrap_or_default() {
            self.leave_out(element, how, nested - 1);
        }
        for (key, value) in object(value).unwrap_or_default() {
            self.found.leave_out(how, line, &key);
            if Column::of(&key).is_some_and(Column::is_target) || scalar(value).is_none() {
                self.leave_out(value, how, nested - 1);
            }
        }
    }

    /// Returns why the arrays in an object are for something else than is read, if its other fields say so, and how that leaves
    /// out what they name.
    pub(super) fn misfit_beside(&self, fields: &Fields<'a>) -> Option<(String, Option<Out>)> {
        let said = fields.iter().filter_map(|(key, value)| {
            let (column, text) = (Column::of(key)?, scalar(value)?);
            let verdict = column.judge_beside(&text, self.source.purpose);
            let what = || format!("arrays beside {}", column.told(&text));
            match verdict {
                Verdict::Other if column == Column::List => Some((what(), Some(Out::by(&text)))),
                Verdict::Other => Some((what(), Some(Out::Always))),
                Verdict::Over if column == Column::Operation => Some((what(), Some(Out::UntilHere))),
                Verdict::Over => Some((what(), None)),
                Verdict::Listed | Verdict::Unknown => None,
            }
        });
        said.max_by_key(|(_, how)| how.is_some())
    }

    /// The time at which what is in the arrays of an object ends, if its other fields say so.
    pub(super) fn end_beside(&self, fields: &Fields<'a>) -> Option<End> {
        let mut draft = Draft::default();
        for (key, value) in fields {
            if let Some(
                column @ (Column::End
                | Column::Length
                | Column::Left
                | Column::Began
                | Column::State { is_over: true }),
            ) = Column::of(key)
                && let Some(text) = scalar(value)
            {
                let _ = draft.fill(column, &text, self.source.zone);
            }
        }
        draft.end()
    }
}
