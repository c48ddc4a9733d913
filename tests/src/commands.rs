//! The reference of the commands among the docs, written of the types that read them, and commands that the docs name, read by
//! these types.

use std::fmt::Write as _;

use clap::{
    Command, CommandFactory as _,
    error::{ContextKind, ContextValue, ErrorKind},
};
use secbeat_daemon::cli::words::{Word, translated};

/// Columns of the help.
const WIDTH: usize = 100;
/// The part of a help that all commands of a program share. The first of a page has it.
const SHARED: &str = "\nDaemon:\n";

const PROGRAMS: [&str; 3] = ["secbeat", "secbeat-edge", "secbeat-orchestrator"];
/// What runs a command elsewhere, and the word that says so, if it does other things, too.
const RUNNERS: [(&str, Option<&str>); 3] = [
    ("docker", Some("exec")),
    ("kubectl", Some("exec")),
    ("systemd-run", None),
];

fn command(program: &str) -> Command {
    match program {
        "secbeat" => secbeat::cli::Cli::command(),
        "secbeat-edge" => secbeat_edge::cli::Cli::command(),
        _ => secbeat_orchestrator::cli::Cli::command(),
    }
}

/// The words of other programs that `program` knows.
fn words(program: &str) -> &'static [Word] {
    match program {
        "secbeat" => secbeat::words::WORDS,
        "secbeat-edge" => secbeat_edge::cli::WORDS,
        _ => secbeat_orchestrator::cli::WORDS,
    }
}

/// The pages below `docs`, by their names.
#[must_use]
pub fn pages() -> [(String, String); 3] {
    PROGRAMS.map(|name| {
        let mut command = command(name).term_width(WIDTH).disable_help_subcommand(true);
        command.build();
        let mut page = format!(
            "<!-- Written by `cargo xtask docs --reference`. -->\n\n# Commands of {name}\n\nAs `{name} COMMAND -h` prints them.\n"
        );
        write_help(&mut command, true, &mut page);
        (format!("commands-{name}.md"), page)
    })
}

fn write_help(command: &mut Command, is_first: bool, page: &mut String) {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.render_help().to_string();
    let help = if is_first { help } else { without_shared(&help) };
    let _ = write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end());
    for below in command.get_subcommands_mut() {
        write_help(below, false, page);
    }
}

/// `help` without the paragraphs that every command of the program has.
fn without_shared(help: &str) -> String {
    let Some((before, rest)) = help.split_once(SHARED) else {
        return help.to_owned();
    };
    // A heading at the start of a line begins the next part.
    let after = rest
        .match_indices("\n\n")
        .find(|(at, _)| !rest[at + 2..].starts_with([' ', '\n']))
        .map_or("", |(at, _)| &rest[at + 1..]);
    format!("{before}{after}")
}

/// Commands of ours in `page`, which is Markdown: those in blocks of code, and those in quotes.
#[must_use]
pub fn named_in(page: &str) -> Vec<Named> {
    let mut named = Vec::new();
    let mut is_fenced = false;
    // A backslash at its end continues a line.
    let page = page.replace("\\\n", " ");
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced || line.starts_with("    ") {
            let line = line.trim().trim_start_matches("$ ");
            named.extend(commands(line).map(|words| Named {
                words,
                is_whole: true,
            }));
        } else {
            let quoted = line.split('`').skip(1).step_by(2);
            // `ban|unban` and `ban …` are no commands.
            let quoted = quoted.filter(|text| !text.contains(['|', '…', '[']));
            named.extend(quoted.flat_map(commands).map(|words| Named {
                words,
                is_whole: false,
            }));
        }
    }
    named
}

/// A command that a page names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub words: Vec<String>,
    /// Whether a reader would type it as it is; else required arguments may be missing.
    pub is_whole: bool,
}

impl Named {
    /// What the program would answer, if it is no command of it. Placeholders, as `ADDRESS`, are taken for values. Nor is a word of
    /// another program one, which is only translated or answered with a hint.
    #[must_use]
    pub fn untrue(&self) -> Option<String> {
        let program = self.words.first()?;
        let typed: Vec<_> = self.words.iter().map(Into::into).collect();
        let is_own = match translated(&command(program), words(program), typed.clone()) {
            Err(_) => false,
            // In a sentence, `secbeat allowlist` names all commands of that name.
            Ok(meant) => !self.is_whole || meant == typed,
        };
        if !is_own {
            return Some(format!("{}: a word of another program", self.words.join(" ")));
        }
        let error = command(program).try_get_matches_from(&self.words).err()?;
        let is_placeholder = match error.get(ContextKind::InvalidValue) {
            Some(ContextValue::String(value)) => {
                value.chars().all(|c| c.is_ascii_uppercase() || "-_".contains(c))
            }
            _ => false,
        };
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
            ErrorKind::ValueValidation | ErrorKind::InvalidValue if is_placeholder => None,
            ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                if !self.is_whole =>
            {
                None
            }
            _ => Some(format!("{}: {error}", self.words.join(" "))),
        }
    }
}

/// Commands of ours on a line that a shell would read.
fn commands(line: &str) -> impl Iterator<Item = Vec<String>> {
    // What a shell would not read is not left out: its options are checked as far as they go.
    let words = shlex::split(line).unwrap_or_else(|| line.split_whitespace().map(str::to_owned).collect());
    let parts: Vec<Vec<String>> = words
        .split(|word| ["|", "||", "&&", "&"].contains(&&**word))
        .flat_map(|part| {
            let mut parts = vec![Vec::new()];
            for word in part {
                let (word, is_end) = match word.strip_suffix(';') {
                    Some(word) => (word, true),
                    None => (&**word, false),
                };
                if let Some(last) = parts.last_mut() {
                    last.push(word.to_owned());
                }
                if is_end {
                    parts.push(Vec::new());
                }
            }
            parts
        })
        .collect();
    parts.into_iter().filter_map(|part| ours(&part))
}

/// The words from the program on, if it is one of ours, up to where its output goes.
fn ours(words: &[String]) -> Option<Vec<String>> {
    let words = words.strip_prefix(&["sudo".to_owned()]).unwrap_or(words);
    let is_ours = |word: &String| PROGRAMS.contains(&word.rsplit('/').next().unwrap_or_default());
    let runs = |(runner, how): &(&str, Option<&str>)| {
        words.first().is_some_and(|first| first == runner)
            && how.is_none_or(|how| words.iter().any(|word| word == how))
    };
    // A container bears the name, too, before the command.
    let at = match RUNNERS.iter().any(runs) {
        true => words.iter().rposition(is_ours)?,
        false => 0,
    };
    let (program, rest) = words.get(at..)?.split_first()?;
    // A unit or a package bears the name, too; a command has more words.
    if !is_ours(program) || rest.is_empty() {
        return None;
    }
    let program = program.rsplit('/').next()?;
    let rest = rest
        .iter()
        .take_while(|word| !word.starts_with('>') && !word.starts_with("2>"));
    Some([program.to_owned()].into_iter().chain(rest.cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_wherever_a_page_has_them() {
        let page = "text `secbeat bans`\n\n    sudo secbeat-edge ban 192.0.2.7 \\\n        --duration 1h | tail   # a comment\n    \
                    docker exec secbeat secbeat status\n    docker build --tag secbeat .\n    sudo systemctl restart secbeat\n";
        let lines: Vec<_> = named_in(page).iter().map(|named| named.words.join(" ")).collect();
        assert_eq!(
            lines,
            [
                "secbeat bans",
                "secbeat-edge ban 192.0.2.7 --duration 1h",
                "secbeat status"
            ]
        );
    }

    #[test]
    fn what_is_no_command_is_untrue() {
        for (line, is_true) in [
            ("secbeat bans --reason error-flood", true),
            ("secbeat why ADDRESS", true),
            ("secbeat rulez", false),
            ("secbeat bans --reasons error-flood", false),
            // Words of other programs.
            ("secbeat block 192.0.2.7", false),
            ("secbeat reload", false),
        ] {
            let named = named_in(&format!("    {line}\n"));
            assert_eq!(named[0].untrue().is_none(), is_true, "{line}");
        }
    }
}
