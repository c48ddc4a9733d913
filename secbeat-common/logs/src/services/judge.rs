//! Attribution of a line to a client.

use std::{borrow::Cow, net::IpAddr};

use super::{
    doubt::Reach,
    filter::{Attempt, Class, Filter, Meaning},
    head::{self, Clock, Headed, Input},
    lazy::Expression,
    pattern::{Admission, Client, Found, Pattern},
};

/// Bytes of a message that syslog has at any rate: the C library musl sends 1024 with the head, OpenWrt's logd and the syslogd of old
/// keep as many, and rsyslog 8 KiB. Of a longer one the end may be missing, where the service wrote the client's address. The longest
/// line of sshd has 100 bytes of a name, 4 for each. BusyBox keeps less, 256 (docs/services.md).
pub(super) const UNCUT: usize = 800;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged<'a> {
    /// Time at which it was logged, milliseconds since the Unix epoch; `None` if the line does not say.
    pub at_ms: Option<i64>,
    pub verdict: Verdict<'a>,
    /// The message may be only the begin of one: a client may have chosen a text with a line break, and so what follows as far as this
    /// says.
    pub broken: Option<Reach>,
    /// Who has succeeded after all: what the filter's lines of this attempt blamed the client for is taken back.
    pub forgiven: Option<Forgiven<'a>>,
}

/// A client, its attempt and its user, as [`Blame`] has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgiven<'a> {
    /// `None` if the line names none; then it names an account.
    pub client: Option<IpAddr>,
    pub attempt: Option<Cow<'a, str>>,
    pub user: Option<Cow<'a, str>>,
    pub account: Option<Cow<'a, str>>,
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
    /// It blames a client, and another one may have written it; see
    /// [`OpenLines::after_broken_ones`](crate::OpenLines::after_broken_ones).
    Doubted,
}

/// A client that did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame<'a> {
    /// IPv4-mapped addresses as IPv4.
    pub client: IpAddr,
    pub class: Class,
    /// The pattern's kind.
    pub kind: &'a str,
    /// The same attempt always writes another line, which counts.
    pub is_echo: bool,
    /// Number of times that the line came: syslog writes one for many that are alike.
    pub times: u32,
    /// As the client wrote it.
    pub user: Option<Cow<'a, str>>,
    /// For whom the service takes the user; see [`Forgiven`].
    pub account: Option<Cow<'a, str>>,
    /// A later line may [take it back](Forgiven).
    pub waits: bool,
    /// Lines of one attempt have the same; `None` if that is not known.
    pub attempt: Option<Cow<'a, str>>,
    /// The service that the line is about, where another program writes it.
    pub service: Option<Cow<'a, str>>,
}

impl Filter {
    /// Says whom `input` blames. Takes time linear in its length, for all patterns together.
    #[must_use]
    pub fn judge<'a>(&'a self, input: &Input<'a>, clock: &Clock) -> Judged<'a> {
        let Some(headed) = self.heads.take(input) else {
            return Judged {
                at_ms: None,
                verdict: Verdict::Foreign,
                broken: None,
                forgiven: None,
            };
        };
        let (verdict, time) = self.verdict(&headed);
        let forgiven = match verdict {
            Verdict::Nothing => self.forgiven(&headed),
            _ => None,
        };
        let is_whole = |whole: &Expression| whole.is_match(headed.message);
        let broken = (!self.whole.is_empty() && !self.whole.iter().any(is_whole)).then_some(self.reach);
        let verdict = match verdict {
            Verdict::Nothing if headed.is_perhaps_of_another && broken.is_none() => Verdict::Foreign,
            verdict => verdict,
        };
        Judged {
            broken,
            at_ms: headed.at_ms(clock).or_else(|| head::time(time?, clock)),
            verdict,
            forgiven,
        }
    }

    /// Whether syslog or the journal says that `input` is of this service.
    #[must_use]
    pub fn is_named_by(&self, input: &Input<'_>) -> bool {
        self.heads.are_named_by(input)
    }

    /// Whether its service goes by the name `program`.
    #[must_use]
    pub fn is_of_program(&self, program: &str) -> bool {
        let programs = self.heads.programs.as_ref();
        programs.is_some_and(|programs| programs.is_match(program.as_bytes()))
    }

    /// Whether it is for lines of any program, where no other filter knows the program.
    #[must_use]
    pub const fn is_general(&self) -> bool {
        self.is_general
    }

    /// Whether `line` may be of interest at all: holds a text of a pattern. Costs little.
    #[must_use]
    pub fn may_blame(&self, line: &[u8]) -> bool {
        !self.whole.is_empty() || self.prefilter.holds(line)
    }

    /// Returns whom a message blames, and the time that it holds itself.
    fn verdict<'a>(&'a self, headed: &Headed<'a>) -> (Verdict<'a>, Option<&'a [u8]>) {
        let message = headed.message;
        let (mut blamed, mut has_no_address) = (None::<(&Meaning, Client<'a>)>, false);
        for at in self.prefilter.candidates(message) {
            // Those behind the patterns forgive.
            let Some(meaning) = self.patterns.get(at) else {
                break;
            };
            match meaning.pattern.find(message) {
                Found::No => {}
                Found::NoAddress => has_no_address = true,
                Found::Several => return (Verdict::Ambiguous, None),
                Found::One(client) => match &blamed {
                    Some((_, first)) if first.address != client.address => {
                        return (Verdict::Ambiguous, None);
                    }
                    Some(_) => {}
                    None => blamed = Some((meaning, client)),
                },
            }
        }
        let Some((meaning, client)) = blamed else {
            return match has_no_address {
                true => (Verdict::NoAddress, None),
                false => (Verdict::Nothing, None),
            };
        };
        if self.ignore.iter().any(|ignored| ignored.is_match(message)) {
            return (Verdict::Nothing, None);
        }
        if headed.is_by_syslog && message.len() > UNCUT && meaning.pattern.is_open_before {
            return (Verdict::Ambiguous, None);
        }
        let differs = |other: &Pattern| match other.find(message) {
            Found::No | Found::NoAddress => false,
            Found::One(other) => other.address != client.address,
            Found::Several => true,
        };
        if self.open.iter().any(|open| open.is_match(message)) || self.others.iter().any(differs) {
            return (Verdict::Ambiguous, None);
        }
        let blame = Blame {
            client: client.address,
            class: meaning.class,
            kind: &meaning.kind,
            is_echo: meaning.is_echo,
            times: headed.times,
            user: client.user,
            account: client.account,
            waits: meaning.waits,
            attempt: self.attempt_of(headed, client.session),
            service: client.service,
        };
        (Verdict::Blames(blame), client.time)
    }

    /// Returns whom a message forgives that blames nobody.
    fn forgiven<'a>(&self, headed: &Headed<'a>) -> Option<Forgiven<'a>> {
        let of_client = |pattern: &Pattern| match pattern.find(headed.message) {
            Found::One(client) => Some(Forgiven {
                client: Some(client.address),
                attempt: self.attempt_of(headed, client.session),
                user: client.user,
                account: client.account,
            }),
            Found::No | Found::NoAddress | Found::Several => None,
        };
        let of_account = |admission: &Admission| {
            let account = admission.account(headed.message)?;
            Some(Forgiven {
                client: None,
                attempt: Some(self.attempt_of(headed, None)?),
                user: None,
                account: Some(account),
            })
        };
        let forgiven = self.forgives.iter().find_map(of_client);
        forgiven.or_else(|| self.admits.iter().find_map(of_account))
    }

    /// Returns what all lines of the attempt have in common that a message with this `session` is about.
    fn attempt_of<'a>(&self, headed: &Headed<'a>, session: Option<Cow<'a, str>>) -> Option<Cow<'a, str>> {
        match self.attempt? {
            Attempt::Pid => headed.pid.clone(),
            Attempt::Session => session,
        }
    }
}

impl Filter {
    /// Returns what is wrong about its own lines, a sentence each.
    #[must_use]
    pub fn failures(&self, clock: &Clock) -> Vec<String> {
        let blamed = |line: &str| match self.judge(&Input::Line(line.as_bytes()), clock).verdict {
            Verdict::Blames(blame) => Ok(blame.client),
            Verdict::Foreign => Err("is not taken for a line of the service"),
            Verdict::Nothing => Err("blames no client"),
            Verdict::NoAddress => Err("names no address"),
            Verdict::Ambiguous | Verdict::Doubted => Err("is ambiguous"),
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
            Some(format!("must blame no client, and blames {client}: {line}"))
        });
        must.chain(must_not).collect()
    }
}
