//! Files of bans, written.

use std::io::{self, Write};

use secbeat_common::wire::Reason;
use secbeat_daemon::{
    cli::inert,
    time::{NEVER, rfc3339},
};

use super::{
    BanEntry,
    sets::{Sets, Tool},
};

/// Formats that `export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Layout {
    /// An array of objects, with all fields
    Json,
    /// A header and a line per ban, with all fields
    Csv,
    /// A network a line
    #[value(alias = "plain")]
    List,
    /// For `ipset restore -exist`: the sets secbeat4 and secbeat6, with ends and notes
    Ipset,
    /// For `nft -f`: the sets bans4 and bans6 of the table secbeat, with ends and notes
    Nft,
    /// `deny` statements to include in nginx's config
    Nginx,
    /// For HAProxy's `map_ip`: networks with the reason
    Haproxy,
}

/// Writes bans one after the other.
pub struct Writer<W: Write> {
    to: Sink<W>,
    written: u64,
}

enum Sink<W: Write> {
    Json(W),
    Csv(Box<csv::Writer<W>>),
    Lines(W, fn(&BanEntry) -> String),
    Sets(W, Sets),
}

impl<W: Write> Writer<W> {
    /// Ends are written as what is left of them at `now_ms` where a format has no times.
    pub fn new(to: W, layout: Layout, now_ms: i64) -> Self {
        let to = match layout {
            Layout::Json => Sink::Json(to),
            Layout::Csv => Sink::Csv(Box::new(csv::Writer::from_writer(to))),
            Layout::List => Sink::Lines(to, |ban| ban.target.clone()),
            Layout::Nginx => Sink::Lines(to, |ban| format!("deny {};", ban.target)),
            Layout::Haproxy => Sink::Lines(to, |ban| {
                let reason = ban.reason.unwrap_or(Reason::Manual);
                format!("{} {}", ban.target, reason.name())
            }),
            Layout::Ipset => Sink::Sets(to, Sets::new(Tool::Ipset, now_ms)),
            Layout::Nft => Sink::Sets(to, Sets::new(Tool::Nft, now_ms)),
        };
        Self { to, written: 0 }
    }

    /// # Errors
    ///
    /// Returns an error if the writer underneath fails.
    pub fn write(&mut self, ban: &BanEntry) -> io::Result<()> {
        let is_first = self.written == 0;
        match &mut self.to {
            // One on each line, so that two exports can be compared and an error has a line.
            Sink::Json(to) => {
                to.write_all(if is_first { b"[\n" } else { b",\n" })?;
                serde_json::to_writer(to, ban)?;
            }
            Sink::Csv(to) => {
                if is_first {
                    to.write_record(HEADER)?;
                }
                to.write_record(row(ban))?;
            }
            Sink::Lines(to, line) => writeln!(to, "{}", line(ban))?,
            // Their sizes stand before them.
            Sink::Sets(_, sets) => sets.push(ban),
        }
        self.written += 1;
        Ok(())
    }

    /// Ends the file; returns what the format could not say.
    ///
    /// # Errors
    ///
    /// Returns an error if the writer underneath fails.
    pub fn finish(self) -> io::Result<Vec<String>> {
        match self.to {
            Sink::Json(mut to) => {
                to.write_all(if self.written == 0 { b"[]\n" } else { b"\n]\n" })?;
                to.flush()?;
            }
            Sink::Csv(mut to) => {
                if self.written == 0 {
                    to.write_record(HEADER)?;
                }
                to.flush()?;
            }
            Sink::Lines(mut to, _) => to.flush()?,
            Sink::Sets(mut to, sets) => {
                let unsaid = sets.write(&mut to)?;
                to.flush()?;
                return Ok(unsaid);
            }
        }
        Ok(Vec::new())
    }
}

const HEADER: [&str; 6] = ["target", "expires_at", "reason", "layer", "strikes", "note"];

fn row(ban: &BanEntry) -> [String; HEADER.len()] {
    let expires_at = match ban.expires_at {
        Some(at) => rfc3339(at.as_millisecond()),
        None if ban.permanent => NEVER.to_owned(),
        None => String::new(),
    };
    [
        ban.target.clone(),
        expires_at,
        ban.reason
            .map(|reason| reason.name().to_owned())
            .unwrap_or_default(),
        ban.layer.map(|layer| layer.name().to_owned()).unwrap_or_default(),
        ban.strikes.map(|strikes| strikes.to_string()).unwrap_or_default(),
        inert(&ban.note),
    ]
}
