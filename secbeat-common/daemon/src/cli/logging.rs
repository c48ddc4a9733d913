//! Where a daemon's log goes, and what it looks like.

use std::{
    env,
    io::{IsTerminal as _, stderr},
    os::fd::AsFd,
};

use anyhow::{Context, bail};
use nix::sys::stat::fstat;
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _,
};

/// Which events are logged, as in `RUST_LOG` elsewhere.
const FILTER: &str = "SECBEAT_LOG";
/// What the log looks like.
const FORMAT: &str = "SECBEAT_LOG_FORMAT";
const DEFAULT_FILTER: &str = "info,async_nats=warn";
/// What the journal's names of an event's fields begin with: `SECBEAT_TARGET`, say.
const JOURNAL_PREFIX: &str = "SECBEAT";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
    Journald,
}

/// Logs as the environment says: which events by `SECBEAT_LOG`, and by `SECBEAT_LOG_FORMAT` as `text`, as `json` (an object a
/// line), both to standard error, or to `journald` with a field for each of an event's. Unless it says, that is the journal where
/// systemd has connected standard error with it, and text elsewhere.
///
/// # Errors
///
/// When one of the two says what it cannot.
pub fn init_logging() -> anyhow::Result<()> {
    let filter = match env::var(FILTER) {
        Ok(text) => EnvFilter::try_new(&text).with_context(|| format!("{FILTER} is `{text}`"))?,
        Err(_) => EnvFilter::new(DEFAULT_FILTER),
    };
    let layer = match format(env::var(FORMAT).ok().as_deref(), is_journal(stderr()))? {
        Format::Text => {
            let colours = stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
            tracing_subscriber::fmt::layer()
                .with_ansi(colours)
                .with_writer(stderr)
                .boxed()
        }
        Format::Json => tracing_subscriber::fmt::layer()
            .json()
            .with_current_span(false)
            .with_span_list(false)
            .with_writer(stderr)
            .boxed(),
        Format::Journald => tracing_journald::layer()
            .context("reaching the journal")?
            .with_field_prefix(Some(JOURNAL_PREFIX.to_owned()))
            .boxed(),
    };
    registry().with(layer.with_filter(filter)).init();
    Ok(())
}

fn format(wanted: Option<&str>, is_journal: bool) -> anyhow::Result<Format> {
    Ok(match wanted {
        None if is_journal => Format::Journald,
        None | Some("text") => Format::Text,
        Some("json") => Format::Json,
        Some("journald") => Format::Journald,
        Some(other) => bail!("{FORMAT} is `{other}`, and must be text, json or journald"),
    })
}

/// Whether systemd has connected `stream` with the journal (systemd.exec(5), `$JOURNAL_STREAM`).
fn is_journal(stream: impl AsFd) -> bool {
    let Ok(journal) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    fstat(stream).is_ok_and(|is| journal == format!("{}:{}", is.st_dev, is.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_used_where_there_is_one_unless_told_otherwise() {
        assert_eq!(format(None, true).unwrap(), Format::Journald);
        assert_eq!(format(None, false).unwrap(), Format::Text);
        assert_eq!(format(Some("json"), true).unwrap(), Format::Json);
        assert_eq!(format(Some("text"), true).unwrap(), Format::Text);
        let error = format(Some("xml"), true).unwrap_err().to_string();
        assert_eq!(
            error,
            "SECBEAT_LOG_FORMAT is `xml`, and must be text, json or journald"
        );
    }
}
