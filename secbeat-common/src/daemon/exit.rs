//! How a command ends: its exit code, and the one error that says why.

use std::process::ExitCode;

use super::config::ConfigError;

/// A wrong config or a wrong command line (`EX_USAGE` of sysexits.h).
pub const USAGE: u8 = 64;
/// Anything else that went wrong.
pub const FAILURE: u8 = 1;

/// Parses the command line. Help goes to standard output; a wrong command line ends the process with [`USAGE`].
#[must_use]
pub fn parse_arguments<C: clap::Parser>() -> C {
    C::try_parse().unwrap_or_else(|error| {
        // Nobody is left to tell when even this cannot be written.
        let _ = error.print();
        std::process::exit(if error.use_stderr() { i32::from(USAGE) } else { 0 })
    })
}

/// Prints the error of `result`, if any, as one sentence on standard error, and turns it into an exit code.
pub fn finish(program: &str, result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    eprintln!("{program}: {error:#}");
    let usage = error.chain().any(|cause| cause.is::<ConfigError>());
    ExitCode::from(if usage { USAGE } else { FAILURE })
}
