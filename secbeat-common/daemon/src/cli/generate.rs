//! Output made of a command line itself: completions and manual pages.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{CommandFactory, Subcommand};
use clap_complete::Shell;
use schemars::JsonSchema;

use super::print_json;
use crate::config::schema::schema_of;

/// Commands that need neither a config nor a daemon.
#[derive(Debug, Subcommand)]
pub enum Generate {
    /// Print shell completions; for bash: `source <(… completions bash)`.
    Completions { shell: Shell },
    /// Print the manual page, or write those of all commands.
    Man {
        /// Folder for the pages of all commands.
        folder: Option<PathBuf>,
    },
    /// Print the JSON Schema of the config file: with it, editors complete and check what you write.
    Schema,
}

impl Generate {
    /// Carries it out for the command line `C`, whose config file `F` reads.
    ///
    /// # Errors
    ///
    /// Returns an error if nothing can be written.
    pub fn run<C: CommandFactory, F: JsonSchema>(&self) -> anyhow::Result<()> {
        match self {
            Self::Completions { shell } => {
                let mut command = C::command();
                let name = command.get_name().to_owned();
                // Into memory first: this panics where it cannot write.
                let mut text = Vec::new();
                clap_complete::generate(*shell, &mut command, name, &mut text);
                io::stdout().write_all(&text).context("writing the completions")
            }
            Self::Schema => print_json(&schema_of::<F>()),
            Self::Man { folder: None } => {
                let mut page = Vec::new();
                clap_mangen::Man::new(C::command())
                    .render(&mut page)
                    .context("making the manual page")?;
                let page = with_sections(&String::from_utf8(page)?);
                io::stdout()
                    .write_all(page.as_bytes())
                    .context("writing the manual page")
            }
            Self::Man { folder: Some(folder) } => {
                pages::<C>(folder).with_context(|| format!("writing manual pages into {}", folder.display()))
            }
        }
    }
}

fn pages<C: CommandFactory>(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(C::command(), folder)?;
    let first = folder.join(format!("{}.1", C::command().get_name()));
    let page = fs::read_to_string(&first)?;
    fs::write(first, with_sections(&page))
}

/// The page of a program with the sections that readers of manuals look for.
fn with_sections(page: &str) -> String {
    const SEE_ALSO: &str = ".SH \"SEE ALSO\"\n\
        /usr/share/doc/secbeat*/docs: files.md has files, ports and capabilities, exit-codes.md all exit codes, configuration.md the \
        environment variables\n";
    page.replacen(".SH EXTRA\n", ".SH \"EXIT STATUS\"\n", 1) + SEE_ALSO
}

/// The help of the command line `C` and of all its commands, at a width of 100, as people see it.
#[must_use]
pub fn help_of_all<C: CommandFactory>() -> String {
    let mut command = C::command().term_width(100).disable_help_subcommand(true);
    command.build();
    let mut text = String::new();
    help_of(&mut command, &mut text);
    text
}

fn help_of(command: &mut clap::Command, text: &mut String) {
    text.push_str(&format!("{}\n\n", command.render_help()));
    for command in command.get_subcommands_mut() {
        help_of(command, text);
    }
}
