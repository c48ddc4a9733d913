//! `token create`: a token for somebody, and the table that lets it in.

use clap::Subcommand;
use secbeat_daemon::{
    cli::{Output, print_json},
    complain, program, say,
};
use serde::Serialize;

use crate::token::{self, Role, TokenHash, TokenName};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a token and print the table for the config. The token is shown only once.
    Create {
        /// Name of the token, recorded in the audit log.
        name: TokenName,
        /// Role of the token.
        #[arg(long, value_enum, default_value_t = Role::Read)]
        role: Role,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
}

/// A token just made.
#[derive(Debug, Serialize)]
struct Created<'a> {
    name: &'a str,
    role: Role,
    token: &'a str,
    hash: String,
}

impl Command {
    /// Makes the token.
    ///
    /// # Errors
    ///
    /// Returns an error if the system has no random numbers, or nobody takes what is printed.
    pub fn execute(&self) -> anyhow::Result<()> {
        let Self::Create { name, role, output } = self;
        let token = token::create()?;
        let created = Created {
            name: name.as_str(),
            role: *role,
            token: &token,
            hash: TokenHash::of(&token).to_string(),
        };
        if *output == Output::Json {
            return print_json(&created);
        }
        say!("{token}\n");
        let unit = program::of_fleet();
        complain!(
            "The token is shown only once. Add this to the config of {unit}, and reload it (systemctl reload {unit}):\n"
        );
        say!(
            "[[api.token]]\nname = \"{}\"\nrole = \"{}\"\nhash = \"{}\"",
            created.name,
            role.name(),
            created.hash
        );
        Ok(())
    }
}
