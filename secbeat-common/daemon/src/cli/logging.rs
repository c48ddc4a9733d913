//! Destination and format of a daemon's log.

use std::{
    env,
    io::{IsTerminal as _, stderr},
    os::fd::AsFd,
};

use anyhow::{Context, bail};
use nix::sys::stat::fstat;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    fmt::{FormatFields, format::debug_fn},
    layer::SubscriberExt as _,
    registry,
    util::SubscriberInitExt as _,
};

use super::{printable, printable_lines};

/// The environment variable with the events to log, as `RUST_LOG` elsewhere.
const FILTER: &str = "SECBEAT_LOG";
/// The environment variable with the format of the log.
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
/// Returns an error if one of the two says what it cannot.
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
                .fmt_fields(shown_fields())
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

/// Shows the message and the fields of an event, and nothing in them that a terminal interprets: an interface, a file or a client may be
/// called so. A field is on one line. What the crate `log` says of an event's place in the code is left out.
fn shown_fields() -> impl for<'to> FormatFields<'to> {
    debug_fn(|to, field, value| {
        let text = format!("{value:?}");
        match field.name() {
            "message" => write!(to, "{}", printable_lines(&text)),
            name if name.starts_with("log.") => Ok(()),
            name => write!(to, " {name}={}", printable(&text)),
        }
    })
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
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing::{info, subscriber::with_default};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_terminal_interprets_is_escaped_in_the_log() {
        let log = Log::default();
        let to = log.clone();
        let layer = tracing_subscriber::fmt::layer()
            .without_time()
            .with_target(false)
            .with_ansi(false)
            .fmt_fields(shown_fields())
            .with_writer(move || to.clone());
        with_default(registry().with(layer), || {
            info!(interface = %"x\u{1b}[31m\u{202e}\nWARN", mode = "native", "log.line" = 7, slots = 2, "attached \u{7}\nagain");
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            log,
            " INFO attached \\u{7}\nagain interface=x\\u{1b}[31m\\u{202e}\\u{a}WARN mode=\"native\" slots=2\n"
        );
    }

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
