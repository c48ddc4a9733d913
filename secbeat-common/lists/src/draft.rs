//! An entry whose fields are read one by one: from a row of a CSV or a table, or from an object.

use jiff::{Timestamp, tz::TimeZone};
use secbeat_common::wire::{Layer, Reason};
use secbeat_daemon::{cli::FORMULAS, term::Term};

use super::{
    columns::Column,
    keys::Sense,
    list::{About, End, Found, Out, Purpose},
    target,
    verdict::{Verdict, truth},
    when,
};

/// An entry of which not all fields were read.
#[derive(Debug, Default)]
pub(super) struct Draft {
    target: Option<(usize, String)>,
    first: Option<String>,
    last: Option<String>,
    mask: Option<String>,
    about: About,
    scope: Option<String>,
    kind: Option<String>,
    /// What other fields say of it: in each the column and the text.
    verdicts: Vec<(Column, String)>,
    is_simulated: bool,
    /// When it began, if its length counts from then; others write that in ways of their own.
    began: Option<Result<Timestamp, String>>,
    is_left: bool,
    /// Time at which it was lifted.
    lifted: Option<Timestamp>,
    /// Whether it is of an export of ours, in which reasons are rules.
    is_ours: bool,
}

impl Draft {
    /// Of a list that SecBeat wrote if `is_ours`.
    pub(super) fn new(is_ours: bool) -> Self {
        Self {
            is_ours,
            ..Self::default()
        }
    }

    /// Takes the field of `column`. An empty one says nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn fill(&mut self, column: Column, text: &str, zone: &TimeZone) -> Result<(), String> {
        let text = text.trim();
        // Programs write a dash where there is nothing, and 0 for what never ends.
        let says_nothing = match column {
            Column::Verdict | Column::Kind | Column::Flag(_) | Column::State { .. } => text == "-",
            Column::End | Column::Length | Column::Left | Column::Began => {
                let nothing = ["0", "-", "\\N", "null", "n/a"];
                nothing.iter().any(|known| text.eq_ignore_ascii_case(known))
            }
            _ => false,
        };
        if text.is_empty() || says_nothing {
            return Ok(());
        }
        match column {
            // `ip,prefix` and `198.51.100.0,24`.
            Column::Target(_) if is_length(text) => self.mask = Some(text.to_owned()),
            Column::Target(rank) => {
                if self.target.as_ref().is_none_or(|(known, _)| rank < *known) {
                    self.target = Some((rank, text.to_owned()));
                }
            }
            Column::First => self.first = Some(text.to_owned()),
            Column::Last => self.last = Some(text.to_owned()),
            Column::Mask => self.mask = Some(text.to_owned()),
            Column::Length | Column::Left => {
                self.is_left |= column == Column::Left;
                let length = text.parse::<Term>().map(End::For);
                self.ends(length.or_else(|_| when::length(text))?)?;
            }
            Column::Began => {
                self.began = Some(match when::end(text, zone) {
                    Ok(End::At(at)) => Ok(at),
                    _ => Err(format!("`{text}` does not say when the ban began")),
                });
            }
            Column::End => self.ends(when::end(text, zone)?)?,
            // Other programs have words of their own here.
            Column::Reason => match text.parse::<Reason>() {
                Ok(reason) if self.is_ours => self.about.reason = Some(reason),
                _ if self.about.note.is_empty() => text.clone_into(&mut self.about.note),
                _ => {}
            },
            Column::Layer => {
                let layers = [Layer::Kernel, Layer::L7];
                let layer = layers.into_iter().find(|layer| layer.name() == text);
                self.about.layer =
                    Some(layer.ok_or_else(|| format!("invalid layer `{text}`: expected kernel or l7"))?);
            }
            Column::Strikes => {
                let strikes = text.parse();
                self.about.strikes = Some(strikes.map_err(|error| format!("strikes: {error}"))?);
            }
            Column::Note | Column::Tags => {
                if column == Column::Tags && !self.is_ours {
                    self.verdicts.push((column, text.to_owned()));
                }
                // As it is written here, so that a spreadsheet takes it for a text.
                let quoted = text.strip_prefix('\'');
                let quoted = quoted.filter(|rest| rest.trim_start_matches('\'').starts_with(FORMULAS));
                self.about.remark(quoted.unwrap_or(text));
            }
            Column::Remark(word) => {
                self.about.remark(&format!("{word} {text}"));
                self.verdicts.push((column, text.to_owned()));
            }
            Column::Scope => self.scope = Some(text.to_owned()),
            Column::Verdict | Column::Kind => {
                self.kind = Some(text.to_owned());
                self.verdicts.push((column, text.to_owned()));
            }
            Column::State { is_over: true } if truth(text).is_none() => match when::end(text, zone) {
                Ok(End::At(at)) => self.lifted = Some(at),
                Ok(End::For(Term::Permanent)) => {}
                _ => self.verdicts.push((column, text.to_owned())),
            },
            Column::Flag(_)
            | Column::State { .. }
            | Column::List
            | Column::Word
            | Column::Operation
            | Column::Direction => self.verdicts.push((column, text.to_owned())),
            Column::Edges => {
                if text != "all" {
                    return Err(format!("the ban holds on some edges only ({text})"));
                }
            }
            Column::Simulated => self.is_simulated = truth(text) == Some(true),
        }
        Ok(())
    }

    fn ends(&mut self, end: End) -> Result<(), String> {
        self.about.end = Some(match (self.about.end, end) {
            (None, end) => end,
            // CrowdSec's decisions say both, and lengths count from when they were printed.
            (Some(at @ End::At(_)), End::For(_)) | (Some(End::For(_)), at @ End::At(_)) => at,
            (Some(known), end) if known == end => end,
            _ => return Err("it has two ends of the ban".to_owned()),
        });
        Ok(())
    }

    /// The end by when it began and when it was lifted.
    fn settle(&mut self) -> Result<(), String> {
        if let (Some(End::For(Term::For(length))), false) = (self.about.end, self.is_left)
            && let Some(began) = &self.began
        {
            let end = began
                .clone()?
                .checked_add(length)
                .map_err(|error| error.to_string())?;
            self.about.end = Some(End::At(end));
        }
        let began = self.began.as_ref().and_then(|began| began.as_ref().ok());
        if let Some(lifted) = self.lifted
            // What was lifted before it began was listed again.
            && began.is_none_or(|began| *began <= lifted)
            && !matches!(self.about.end, Some(End::At(end)) if end <= lifted)
        {
            self.about.end = Some(End::At(lifted));
        }
        Ok(())
    }

    /// Returns when it ends, if one of the fields says a time.
    pub(super) fn end(mut self) -> Option<End> {
        self.settle().ok()?;
        self.about.end.filter(|end| matches!(end, End::At(_)))
    }

    /// The entry, into `found`; `end` is for one that has none.
    pub(super) fn finish(mut self, line: u64, end: Option<End>, purpose: Purpose, found: &mut Found) {
        if self.about.end.is_none() {
            self.about.end = end;
        }
        if let Err(why) = self.whole(line, purpose, found) {
            found.bad(line, why);
        }
    }

    fn whole(&mut self, line: u64, purpose: Purpose, found: &mut Found) -> Result<(), String> {
        self.settle()?;
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            let range = format!("{first}-{last}");
            if self.is_listed(line, &range, purpose, found)? {
                found.take(line, &range, std::mem::take(&mut self.about));
            }
            return Ok(());
        }
        let Some((_, target)) = self.target.take().or(self.first.take().map(|first| (0, first))) else {
            return Err("it names no address".to_owned());
        };
        // `Ip:198.51.100.7`, as `cscli` writes it.
        let scoped = target.split_once(':').filter(|(scope, value)| {
            scope.len() > 1
                && scope.bytes().all(|byte| byte.is_ascii_alphabetic())
                && !target::is_network(&target)
                && !value.starts_with(':')
        });
        let (scope, value) = match scoped {
            Some((scope, value)) => (Some(scope), value),
            None => (self.scope.as_deref(), target.as_str()),
        };
        if let Some(scope) = scope {
            self.is_decided(scope, value, purpose)?;
        }
        let network = match &self.mask {
            Some(mask) if target::address(value).is_some() => {
                format!("{value}/{}", mask.trim_start_matches('/'))
            }
            _ => value.to_owned(),
        };
        if self.is_listed(line, &network, purpose, found)? {
            found.take(line, &network, std::mem::take(&mut self.about));
        }
        Ok(())
    }

    /// Whether what the other fields say lists `network` for `purpose`.
    ///
    /// # Errors
    ///
    /// Returns an error if nobody knows what one of them says.
    fn is_listed(
        &self,
        line: u64,
        network: &str,
        purpose: Purpose,
        found: &mut Found,
    ) -> Result<bool, String> {
        for (column, text) in &self.verdicts {
            let verdict = column.judge(text, purpose);
            if verdict == Verdict::Listed {
                continue;
            }
            let said = column.told(text);
            match verdict {
                Verdict::Other if purpose == Purpose::Bans => {
                    let how = match column {
                        Column::List => Out::by(text),
                        _ => Out::Always,
                    };
                    found.leave_out(how, line, network);
                    found.pass_over(format!("entries with {said}"));
                }
                Verdict::Over if *column == Column::Operation => {
                    found.leave_out(Out::UntilHere, line, network);
                    found.pass_over(format!("entries with {said}"));
                }
                Verdict::Other | Verdict::Over | Verdict::Listed => {
                    found.pass_over(format!("entries with {said}"));
                }
                Verdict::Unknown => {
                    return Err(format!(
                        "{said} does not say whether {network} is to be listed: leave the column out, or write `{}`",
                        match purpose {
                            Purpose::Bans => "ban",
                            Purpose::Allowlist => "allow",
                        }
                    ));
                }
            }
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether a decision of CrowdSec is a ban of an address.
    fn is_decided(&self, scope: &str, value: &str, purpose: Purpose) -> Result<(), String> {
        let is_address = ["ip", "range"]
            .iter()
            .any(|known| scope.eq_ignore_ascii_case(known));
        // Google's scope is a region.
        if !is_address && !target::is_network(value) {
            return Err(format!(
                "`{scope}:{value}` is a decision about no address (scope {scope})"
            ));
        }
        if !is_address {
            return Ok(());
        }
        match &self.kind {
            _ if self.is_simulated => Err(format!("the decision about {value} is simulated")),
            Some(kind) if purpose == Purpose::Bans && !kind.eq_ignore_ascii_case("ban") => {
                Err(format!("the decision about {value} is not a ban, but `{kind}`"))
            }
            Some(kind) if purpose == Purpose::Allowlist && Sense::of(kind) != Sense::LetsIn => Err(format!(
                "the decision about {value} is `{kind}`, which allows no client"
            )),
            _ => Ok(()),
        }
    }
}

/// The length of a prefix alone: `24` or `/24`.
fn is_length(text: &str) -> bool {
    let digits = text.strip_prefix('/').unwrap_or(text);
    digits.len() <= 3 && digits.parse::<u8>().is_ok_and(|length| length <= 128)
}
