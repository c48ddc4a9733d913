//! End of a command: its exit code, and the one error that says why.

use std::{process::ExitCode, time::Duration};

use nix::sys::signal::{SigHandler, Signal, signal};

use super::{
    api::{CallError, Unanswered},
    cli::words::{Word, translated},
    config::ConfigError,
};

/// Anything that went wrong and is not below.
pub const FAILURE: u8 = 1;
/// The command line speaks another program's language, and was answered with what to do here instead.
pub const HINT: u8 = 2;
/// What the command was to act on is not there: no such ban, no such entry of the allowlist.
pub const NOT_FOUND: u8 = 3;
/// A wrong config or a wrong command line (`EX_USAGE` of sysexits.h).
pub const USAGE: u8 = 64;
/// No daemon answers (`EX_UNAVAILABLE`).
pub const UNAVAILABLE: u8 = 69;
/// The daemon wants a token, knows none such, or one of a higher role (`EX_NOPERM`).
pub const NOT_ALLOWED: u8 = 77;

/// The daemon did not answer in time, since it waits for NATS, or ends.
const UNANSWERED: [Unanswered; 2] = [Unanswered::Late(Duration::ZERO), Unanswered::Ended];

macro_rules! help {
    ($more:literal) => {
        concat!(
            "Exit codes: 0 done, 1 failed, 2 a word of another program, answered with a hint, 3 there is no such ban or entry, ",
            "64 wrong command line or config, 69 no daemon answers, 77 not allowed",
            $more
        )
    };
}

/// The end of both programs' help.
pub const HELP: &str = help!("");
/// The end of the help of a program with `doctor`.
pub const HELP_WITH_DOCTOR: &str = help!("; `doctor`: 1 there are notes, 2 a check failed");

/// An error with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Coded {
    code: u8,
    message: String,
}

impl Coded {
    /// Ends with a code of the command's own.
    #[must_use]
    pub const fn new(code: u8, message: String) -> Self {
        Self { code, message }
    }

    /// Ends with [`NOT_FOUND`].
    #[must_use]
    pub const fn not_found(message: String) -> Self {
        Self {
            code: NOT_FOUND,
            message,
        }
    }

    /// Ends with [`USAGE`].
    #[must_use]
    pub const fn usage(message: String) -> Self {
        Self { code: USAGE, message }
    }

    /// Ends with [`UNAVAILABLE`].
    #[must_use]
    pub const fn unavailable(message: String) -> Self {
        Self {
            code: UNAVAILABLE,
            message,
        }
    }
}

/// Has a command end by SIGPIPE once nobody reads what it prints, as commands do. Rust has it panic otherwise.
pub fn restore_sigpipe() {
    // SAFETY: no handler is installed; the signal has its default action again.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
}

/// Parses the command line, in which `words` of other programs may stand. Help goes to standard output; a wrong command line ends the
/// process with [`USAGE`], one for which there is but a hint with [`HINT`].
#[must_use]
pub fn parse_arguments<C: clap::Parser>(words: &[Word]) -> C {
    let command = C::command();
    let arguments = match translated(&command, words, std::env::args_os().collect()) {
        Ok(arguments) => arguments,
        Err(hint) => {
            crate::complain!("{}: {hint}", command.get_name());
            std::process::exit(i32::from(HINT))
        }
    };
    C::try_parse_from(arguments).unwrap_or_else(|error| {
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
    crate::complain!("{program}: {error:#}");
    ExitCode::from(code(&error))
}

pub(crate) fn code(error: &anyhow::Error) -> u8 {
    let of_cause = |cause: &(dyn std::error::Error + 'static)| {
        if cause.is::<ConfigError>() {
            return Some(USAGE);
        }
        if let Some(coded) = cause.downcast_ref::<Coded>() {
            return Some(coded.code);
        }
        match cause.downcast_ref::<CallError>()? {
            CallError::Unreachable(_) | CallError::Late(_) => Some(UNAVAILABLE),
            CallError::Refused(problem) => match problem.status {
                404 => Some(NOT_FOUND),
                401 | 403 => Some(NOT_ALLOWED),
                503 if UNANSWERED.iter().any(|why| why.code() == problem.code) => Some(UNAVAILABLE),
                _ => Some(FAILURE),
            },
            CallError::Other(_) => Some(FAILURE),
        }
    };
    error.chain().find_map(of_cause).unwrap_or(FAILURE)
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;
    use crate::api::Problem;

    #[test]
    fn errors_end_with_codes_that_programs_can_tell_apart() {
        let coded = |status, code: &str| {
            CallError::Refused(Problem {
                kind: "about:blank".to_owned(),
                title: String::new(),
                status,
                code: code.to_owned(),
                detail: String::new(),
            })
        };
        let refused = |status| coded(status, "");
        for (error, expected) in [
            (anyhow!("anything"), 1),
            (refused(404).into(), 3),
            (refused(401).into(), 77),
            (refused(403).into(), 77),
            (refused(409).into(), 1),
            (coded(503, "nats_unreachable").into(), 1),
            (coded(503, "timed_out").into(), 69),
            (coded(503, "shutting_down").into(), 69),
            (CallError::Unreachable("127.0.0.1:1".to_owned()).into(), 69),
            (CallError::Late("127.0.0.1:1".to_owned()).into(), 69),
            (Coded::not_found("no ban".to_owned()).into(), 3),
            (Coded::unavailable("no daemon".to_owned()).into(), 69),
        ] {
            assert_eq!(code(&error), expected, "{error}");
            assert_eq!(code(&error.context("doing something")), expected);
        }
        let config = ConfigError::contradiction("x.toml".as_ref(), "a", String::new());
        assert_eq!(code(&Err::<(), _>(config).context("starting").unwrap_err()), 64);
    }
}
