//! Words that people know from other programs, and what they are here.

mod everywhere;
mod firewall;

use std::{ffi::OsString, fmt::Write as _, net::IpAddr};

use clap::Command;
use secbeat_common::prefix::Prefix;

pub use self::{everywhere::EVERYWHERE, firewall::FIREWALL};

/// Words that people type who come from another program.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// That program, as `cscli`; empty for what people try anywhere.
    pub of: &'static str,
    /// The words behind its name. `ADDRESS` stands for an address or a CIDR, any other word in capitals for anything but an
    /// option, and `…` at the end for whatever follows.
    pub typed: &'static str,
    pub here: Here,
}

/// Meaning of a [`Word`] here.
#[derive(Clone, Copy, Debug)]
pub enum Here {
    /// This command does the same. What capitals and `…` stand for goes along.
    Runs(&'static str),
    /// No command does the same: what to do instead, in which capitals stand for what was typed, and `PROGRAM` for the program.
    Hint(&'static str),
}

/// `typed` behind the name of the program `of`.
#[must_use]
pub const fn word(of: &'static str, typed: &'static str, here: Here) -> Word {
    Word { of, typed, here }
}

/// Sign for whatever follows.
const REST: &str = "…";
/// Sign for an address or a CIDR.
const ADDRESS: &str = "ADDRESS";
/// Sign for the program's name.
const PROGRAM: &str = "PROGRAM";

/// Values of a word's pattern in a command line.
struct Meant<'a> {
    named: Vec<(&'static str, &'a str)>,
    rest: &'a [OsString],
}

impl Word {
    /// Returns what it stands for if `given` begins a command.
    fn meant<'a>(&self, given: &'a [OsString]) -> Option<Meant<'a>> {
        let mut named = Vec::new();
        let mut rest = given;
        for part in self.typed.split(' ') {
            if part == REST {
                return Some(Meant { named, rest });
            }
            let (first, behind) = rest.split_first()?;
            let first = first.to_str()?;
            if !fits(part, first) {
                return None;
            }
            if is_variable(part) {
                named.push((part, first));
            }
            rest = behind;
        }
        rest.is_empty().then_some(Meant { named, rest })
    }
}

/// Whether a word of a pattern stands for others.
fn is_variable(part: &str) -> bool {
    part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase())
}

fn fits(part: &str, given: &str) -> bool {
    match part {
        ADDRESS => given.parse::<IpAddr>().is_ok() || given.parse::<Prefix>().is_ok(),
        part if is_variable(part) => !given.starts_with('-'),
        part => part == given,
    }
}

/// `arguments`, the program's name first, with the words of other programs, which are [`FIREWALL`], `words` and [`EVERYWHERE`], as
/// `command` has them. Behind the name of another program, commands of `command` are its own.
///
/// # Errors
///
/// Returns an error if nothing is the same: what to do instead.
pub fn translated(
    command: &Command,
    words: &[Word],
    arguments: Vec<OsString>,
) -> Result<Vec<OsString>, String> {
    let at = subcommand(command, &arguments);
    let Some(given) = arguments.get(at..).filter(|given| !given.is_empty()) else {
        return Ok(arguments);
    };
    // Also with the other program's name, as `secbeat cscli decisions list`.
    let all = || FIREWALL.iter().chain(words).chain(EVERYWHERE);
    let is_name = |first: &OsString| all().any(|word| !word.of.is_empty() && *first == *word.of);
    let (name, given) = match given.split_first() {
        Some((first, behind)) if is_name(first) => (Some(first), behind),
        _ => (None, given),
    };
    let mut meant = all().filter(|word| name.is_none_or(|name| word.of.is_empty() || *name == *word.of));
    let found = meant.find_map(|word| Some((word.here, word.meant(given)?)));
    let Some((here, meant)) = found else {
        let is_own = given.first().and_then(|first| first.to_str());
        return match name {
            Some(name) if given.is_empty() => {
                let (name, own) = (name.display(), command.get_name());
                Err(format!(
                    "`{name}` is another program; `{own} help` lists what there is here"
                ))
            }
            Some(_) if is_own.is_some_and(|first| command.find_subcommand(first).is_some()) => {
                Ok(arguments[..at].iter().chain(given).cloned().collect())
            }
            _ => Ok(arguments),
        };
    };
    match here {
        Here::Hint(text) => {
            let told = meant
                .named
                .iter()
                .fold(text.replace(PROGRAM, command.get_name()), |text, (name, is)| {
                    text.replace(name, is)
                });
            Err(told)
        }
        Here::Runs(instead) => {
            let mut all: Vec<OsString> = arguments.iter().take(at).cloned().collect();
            for part in instead.split(' ') {
                match meant.named.iter().find(|(name, _)| *name == part) {
                    Some((_, is)) => all.push((*is).into()),
                    None if part == REST => all.extend_from_slice(meant.rest),
                    None => all.push(part.into()),
                }
            }
            Ok(all)
        }
    }
}

/// Returns where the subcommand is: behind the program's name, its options, and their values.
fn subcommand(command: &Command, arguments: &[OsString]) -> usize {
    let takes_value = |option: &str| {
        command.get_arguments().any(|argument| {
            let is_it = match option.strip_prefix("--") {
                Some(long) => argument.get_long() == Some(long),
                // With the value behind it, as in `-cFILE`, it takes no further word.
                None => option.len() == 2 && argument.get_short() == option.chars().nth(1),
            };
            is_it && argument.get_action().takes_values()
        })
    };
    let mut at = 1;
    while let Some(option) = arguments.get(at).and_then(|word| word.to_str()) {
        if !option.starts_with('-') {
            break;
        }
        at += if takes_value(option) { 2 } else { 1 };
    }
    at
}

/// The words of `program` as rows of a table in Markdown.
#[must_use]
pub fn rows(program: &str, words: &[Word]) -> String {
    let mut text = String::new();
    for Word { of, typed, here } in words {
        let typed = match *of {
            "" => format!("`{typed}`"),
            of => format!("`{of} {typed}`"),
        };
        let here = match here {
            Here::Runs(command) => format!("the same as `{program} {command}`"),
            Here::Hint(text) => text.replace(PROGRAM, program),
        };
        let _ = writeln!(text, "| {typed} | {here} |");
    }
    text
}

/// Checks that `words` say what is true of the command line `C`, and returns what does not.
///
/// What runs must be read as the command that it is said to be; where there is a hint, the words themselves must be no command, and
/// each command that the hint quotes must be one.
#[must_use]
pub fn untrue<C: clap::CommandFactory + clap::FromArgMatches + std::fmt::Debug>(
    words: &[Word],
) -> Vec<String> {
    let command = C::command();
    let program = command.get_name().to_owned();
    let parsed = |line: &[OsString]| {
        let matches = C::command().try_get_matches_from(line).ok()?;
        Some(format!("{:?}", C::from_arg_matches(&matches).ok()?))
    };
    let line = |words: &str, rest: &[&str]| -> Vec<OsString> {
        let words = words
            .split(' ')
            .filter(|word| *word != REST)
            .chain(rest.iter().copied());
        std::iter::once(program.clone().into())
            .chain(words.map(sample))
            .collect()
    };
    // Nothing would reach the command, unless it is another name of it.
    let hides_command = |word: &Word| {
        let first = word.typed.strip_suffix(REST).map(str::trim_end);
        let hidden = first.and_then(|first| command.find_subcommand(first));
        hidden.is_some_and(|hidden| {
            let same = format!("{} {REST}", hidden.get_name());
            !matches!(word.here, Here::Runs(instead) if instead == same)
        })
    };
    let is_true_with = |word: &Word, rest: &[&str]| {
        // An option would be taken for one of the program's own.
        let typed = match word.typed.starts_with('-') {
            true => line(&format!("{} {}", word.of, word.typed), rest),
            false => line(word.typed, rest),
        };
        match (word.here, translated(&command, words, typed.clone())) {
            (Here::Runs(instead), Ok(all)) => {
                let expected = parsed(&line(instead, rest));
                expected.is_some() && parsed(&all) == expected
            }
            (Here::Hint(text), Err(told)) => {
                let text = text.replace(PROGRAM, &program);
                let quoted = text.split('`').skip(1).step_by(2);
                let mut commands =
                    quoted.filter_map(|quoted| quoted.strip_prefix(&program)?.strip_prefix(' '));
                !told.is_empty()
                    && parsed(&typed).is_none()
                    && commands.all(|command| parsed(&line(command, &[])).is_some())
            }
            (Here::Runs(_), Err(_)) | (Here::Hint(_), Ok(_)) => false,
        }
    };
    // Some commands need more words than others.
    let is_wrong = |word: &&Word| {
        let is_true = match word.typed.ends_with(REST) {
            true => is_true_with(word, &[]) || is_true_with(word, &[ADDRESS]),
            false => is_true_with(word, &[]),
        };
        !is_true || hides_command(word)
    };
    let wrong = words.iter().filter(is_wrong);
    wrong.map(|word| format!("{} {}", word.of, word.typed)).collect()
}

/// A word as somebody would type it for a word of a pattern.
fn sample(part: &str) -> OsString {
    match part {
        ADDRESS => "192.0.2.7".into(),
        "RULE" => "error-flood".into(),
        "DURATION" => "10m".into(),
        "SHELL" => "bash".into(),
        part if is_variable(part) => part.to_lowercase().into(),
        part => part.into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "x")]
    struct Cli {
        #[arg(long, short, global = true)]
        _config: Option<String>,
        #[arg(long, global = true)]
        _insecure: bool,
        #[command(subcommand)]
        _command: Sub,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Sub {
        Bans { _target: Option<String> },
        Why { _address: String },
    }

    const WORDS: [Word; 4] = [
        Word {
            of: "other",
            typed: "set JAIL banip ADDRESS",
            here: Here::Hint("there are no jails such as JAIL: `x why ADDRESS`"),
        },
        Word {
            of: "other",
            typed: "show ADDRESS",
            here: Here::Runs("why ADDRESS"),
        },
        Word {
            of: "",
            typed: "bans list …",
            here: Here::Runs("bans …"),
        },
        Word {
            of: "",
            typed: "bans now",
            here: Here::Hint("nothing"),
        },
    ];

    fn told(line: &str) -> Result<String, String> {
        let arguments = line.split(' ').map(OsString::from).collect();
        let all = translated(&Cli::command(), &WORDS, arguments)?;
        let all: Vec<_> = all.iter().map(|word| word.to_str().unwrap()).collect();
        Ok(all.join(" "))
    }

    #[test]
    fn words_of_others_are_commands_or_hints_behind_any_options() {
        for (line, expected) in [
            ("x show 192.0.2.7", Ok("x why 192.0.2.7")),
            (
                "x --config f --_insecure show ::1",
                Ok("x --config f --_insecure why ::1"),
            ),
            ("x -c f show ::1", Ok("x -c f why ::1")),
            ("x show me", Ok("x show me")),
            ("x show 192.0.2.7 now", Ok("x show 192.0.2.7 now")),
            ("x bans list -o json", Ok("x bans -o json")),
            ("x bans list", Ok("x bans")),
            ("x bans", Ok("x bans")),
            ("x", Ok("x")),
            (
                "x set sshd banip 192.0.2.0/24",
                Err("there are no jails such as sshd: `x why 192.0.2.0/24`"),
            ),
            ("x set --all banip 192.0.2.7", Ok("x set --all banip 192.0.2.7")),
            (
                "x iptables -D INPUT -s 192.0.2.7 -j DROP",
                Err("`x unban 192.0.2.7` lifts its ban"),
            ),
            (
                "x --_insecure del blocked 2001:db8::/48",
                Err("`x unban 2001:db8::/48` lifts its ban"),
            ),
            ("x csf -dr 192.0.2.7", Err("`x unban 192.0.2.7` lifts its ban")),
            ("x other bans", Ok("x bans")),
            ("x other sing", Ok("x other sing")),
            (
                "x --config f other",
                Err("`other` is another program; `x help` lists what there is here"),
            ),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(told(line), expected, "{line}");
        }
    }

    #[test]
    fn a_word_that_lies_is_found() {
        // `bans now` is a command, so its hint would keep somebody from it.
        assert_eq!(untrue::<Cli>(&WORDS), [" bans now"]);
        let wrong = Word {
            of: "",
            typed: "explain ADDRESS",
            here: Here::Hint("`x whence ADDRESS` says so"),
        };
        assert_eq!(untrue::<Cli>(&[wrong]), [" explain ADDRESS"]);
    }
}
