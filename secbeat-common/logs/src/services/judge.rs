//! Whom a line blames.

use std::{borrow::Cow, net::IpAddr};

use super::{
    filter::{Attempt, Class, Filter},
    head::{Clock, Headed, Input},
    pattern::{Client, Found},
};

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged<'a> {
    /// When it was logged, milliseconds since the Unix epoch; `None` if the line does not say.
    pub at_ms: Option<i64>,
    pub verdict: Verdict<'a>,
}

/// Whom a line blames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It is of another service, or has no head that this one writes.
    Foreign,
    /// It is of this service and no pattern matches it.
    Nothing,
    Blames(Blame<'a>),
    /// It names no address where the client stands, but perhaps a host.
    NoAddress,
    /// It can be read with different clients, so it blames nobody.
    Ambiguous,
}

/// A client that did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame<'a> {
    /// IPv4-mapped addresses as IPv4.
    pub client: IpAddr,
    pub class: Class,
    /// The pattern's kind.
    pub kind: &'a str,
    /// As the client wrote it.
    pub user: Option<Cow<'a, str>>,
    /// Lines of one attempt have the same; `None` if that is not known.
    pub attempt: Option<Cow<'a, str>>,
}

impl Filter {
    /// Says whom `input` blames. Takes time linear in its length, for all patterns together.
    #[must_use]
    pub fn judge<'a>(&'a self, input: &Input<'a>, clock: &Clock) -> Judged<'a> {
        let Some(headed) = self.heads.take(input) else {
            return Judged {
                at_ms: None,
                verdict: Verdict::Foreign,
            };
        };
        let verdict = self.verdict(&headed);
        Judged {
            at_ms: headed.at_ms(clock),
            verdict,
        }
    }

    /// Whether `line` may be of interest at all: holds a text of a pattern. Costs little.
    #[must_use]
    pub fn may_blame(&self, line: &[u8]) -> bool {
        !self.prefilter.candidates(line).is_empty()
    }

    fn verdict<'a>(&'a self, headed: &Headed<'a>) -> Verdict<'a> {
        let message = headed.message;
        let (mut blamed, mut has_no_address) = (None::<(&str, Class, Client<'a>)>, false);
        for at in self.prefilter.candidates(message) {
            let meaning = &self.patterns[at];
            match meaning.pattern.find(message) {
                Found::No => {}
                Found::NoAddress => has_no_address = true,
                Found::Several => return Verdict::Ambiguous,
                Found::One(client) => match &blamed {
                    Some((.., first)) if first.address != client.address => return Verdict::Ambiguous,
                    Some(_) => {}
                    None => blamed = Some((&meaning.kind, meaning.class, client)),
                },
            }
        }
        let Some((kind, class, client)) = blamed else {
            return match has_no_address {
                true => Verdict::NoAddress,
                false => Verdict::Nothing,
            };
        };
        if self.ignore.iter().any(|ignored| ignored.is_match(message)) {
            return Verdict::Nothing;
        }
        if self.open.iter().any(|open| open.is_match(message)) {
            return Verdict::Ambiguous;
        }
        Verdict::Blames(Blame {
            client: client.address,
            class,
            kind,
            user: client.user,
            attempt: match self.attempt {
                None => None,
                Some(Attempt::Pid) => headed.pid.clone(),
                Some(Attempt::Session) => client.session,
            },
        })
    }
}

impl Filter {
    /// What is wrong about its own lines, a sentence each.
    #[must_use]
    pub fn failures(&self, clock: &Clock) -> Vec<String> {
        let blamed = |line: &str| match self.judge(&Input::Line(line.as_bytes()), clock).verdict {
            Verdict::Blames(blame) => Ok(blame.client),
            Verdict::Foreign => Err("is not taken for a line of the service"),
            Verdict::Nothing => Err("blames nobody"),
            Verdict::NoAddress => Err("names no address"),
            Verdict::Ambiguous => Err("is ambiguous"),
        };
        let must = self.must.iter().filter_map(|test| match blamed(&test.line) {
            Ok(client) if client == test.client => None,
            Ok(client) => Some(format!(
                "must blame {}, and blames {client}: {}",
                test.client, test.line
            )),
            Err(what) => Some(format!("must blame {}, and {what}: {}", test.client, test.line)),
        });
        let must_not = self.must_not.iter().filter_map(|line| {
            let client = blamed(line).ok()?;
            Some(format!("must blame nobody, and blames {client}: {line}"))
        });
        must.chain(must_not).collect()
    }
}
