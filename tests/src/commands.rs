//! The reference of the commands among the docs, written of the types that read them, and commands that the docs name, read by
//! these types.

use std::fmt::Write as _;

use clap::{
    Command, CommandFactory as _,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// Columns of the help.
const WIDTH: usize = 100;
/// The part of a help that all commands of a program share. The first of a page has it.
const SHARED: &str = "\nDaemon:\n";

const PROGRAMS: [&str; 3] = ["secbeat", "secbeat-edge", "secbeat-orchestrator"];

fn command(program: &str) -> Command {
    match program {
        "secbeat" => secbeat::cli::Cli::command(),
        "secbeat-edge" => secbeat_edge::cli::Cli::command(),
        _ => secbeat_orchestrator::cli::Cli::command(),
    }
}

/// The pages below `docs`, by their names.
#[must_use]
pub fn pages() -> [(String, String); 3] {
    PROGRAMS.map(|name| {
        let mut command = command(name).term_width(WIDTH).disable_help_subcommand(true);
        command.build();
        let mut page = format!(
            "<!-- Written by `cargo xtask docs --reference`. -->\n\n# Commands of {name}\n\nAs `{name} COMMAND -h` prints them. \
             `man {name}` says more.\n"
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
    /// What the program would answer, if it is no command of it. Placeholders, as `ADDRESS`, are taken for values.
    #[must_use]
    pub fn untrue(&self) -> Option<String> {
        let program = self.words.first()?;
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
    let words = shlex::split(line).unwrap_or_default();
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
    let (program, rest) = words.split_first()?;
    let program = program.rsplit('/').next()?;
    let is_ours = PROGRAMS.contains(&program);
    // A unit or a package bears the name, too; a command has more words.
    if !is_ours || rest.is_empty() {
        return None;
    }
    let rest = rest
        .iter()
        .take_while(|word| !word.starts_with('>') && !word.starts_with("2>"));
    Some([program.to_owned()].into_iter().chain(rest.cloned()).collect())
}
