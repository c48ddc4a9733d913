//! `signatures`: what the fleet looks for, what became of that, and what is not looked for.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use secbeat_common::wire::{MAX_SIGNATURE_TEXT, SignatureText};
use secbeat_daemon::{
    api::{ApiClient, Remote},
    cli::{Cell, Column, Output, Records, print_json},
    program, say,
};

use super::client;
use crate::{
    api::signatures::{DisableRequest, EnableRequest, PublishRequest},
    config::Config,
    view::{PublishedView, SignatureView},
};

/// Show what signatures recognised, publish some for all edges, and disable some.
#[derive(Debug, Subcommand)]
pub enum Signatures {
    /// List the signatures, with their hits, their bans, and the bans that were lifted.
    List(Records),
    #[command(flatten)]
    Order(SignatureOrder),
}

/// What is decided of signatures for all edges, also where it is a part of `secbeat`.
#[derive(Debug, Subcommand)]
pub enum SignatureOrder {
    Publish(Publish),
    /// Withdraw all files that were published.
    Withdraw {
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// Show which files are published.
    Published {
        /// Output format; JSON has their text.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// Disable signatures at once.
    Disable {
        /// Ids of signatures, as `list` shows them.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Reason, shown in listings and in the audit.
        #[arg(
            long,
            short,
            visible_alias = "reason",
            default_value = "",
            hide_default_value = true
        )]
        note: String,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// Have all edges look for disabled signatures again.
    Enable {
        /// Ids of signatures.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
}

/// Publish files of signatures for all edges, in the place of those that were published before.
#[derive(Debug, Args)]
pub struct Publish {
    /// Files of signatures.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only have the files checked.
    #[arg(long)]
    dry_run: bool,
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

const SIGNATURES: [Column<SignatureView>; 9] = [
    Column("ID", "id", |view| Cell::Text(view.id.clone())),
    Column("SEVERITY", "severity", |view| Cell::Text(view.severity.clone())),
    Column("CLASS", "class", |view| Cell::Text(view.class.clone())),
    Column("FROM", "from", |view| Cell::Text(view.origin.name().to_owned())),
    Column("HITS", "hits", |view| Cell::number(view.hits)),
    Column("BANS", "bans", |view| Cell::number(view.bans)),
    Column("LIFTED", "lifted", |view| Cell::number(view.lifted)),
    Column("DISABLED", "disabled", |view| {
        Cell::Text(match &view.disabled {
            None => String::new(),
            Some(disabled) if disabled.note.is_empty() => format!("by {}", disabled.by),
            Some(disabled) => format!("by {}: {}", disabled.by, disabled.note),
        })
    }),
    Column("TITLE", "title", |view| Cell::Text(view.title.clone())),
];

impl Signatures {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        match self {
            Self::List(records) => list(api, records, |_| ()),
            Self::Order(order) => order.run(api),
        }
    }
}

/// Lists the signatures of the daemon that `remote` names, or else of the one of this host; `complete` adds what it does not know.
///
/// # Errors
///
/// Returns an error if no daemon answers.
pub fn list_signatures(
    remote: &Remote,
    config: &Config,
    records: &Records,
    complete: impl FnOnce(&mut Vec<SignatureView>),
) -> anyhow::Result<()> {
    list(&client(remote, config)?, records, complete)
}

fn list(
    api: &ApiClient,
    records: &Records,
    complete: impl FnOnce(&mut Vec<SignatureView>),
) -> anyhow::Result<()> {
    let mut views = api.get("/api/v1/signatures")?;
    complete(&mut views);
    records.show(&SIGNATURES, views, "no signature is known")
}

impl SignatureOrder {
    /// Carries it out at the daemon that `remote` names, or else at the one of this host.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being carried out.
    pub fn execute(&self, remote: &Remote, config: &Config) -> anyhow::Result<()> {
        self.run(&client(remote, config)?)
    }

    fn run(&self, api: &ApiClient) -> anyhow::Result<()> {
        let (view, output, said): (PublishedView, _, _) = match self {
            Self::Publish(publish) => (publish.send(api)?, publish.output, publish.verb()),
            Self::Withdraw { output } => {
                let request = PublishRequest {
                    files: Vec::new(),
                    dry_run: false,
                };
                let view = api.put("/api/v1/signatures/published", &request)?;
                (view, *output, "withdrew all published files".to_owned())
            }
            Self::Published { output } => {
                let view = api.get("/api/v1/signatures/published")?;
                (view, *output, String::new())
            }
            Self::Disable { ids, note, output } => {
                let request = DisableRequest {
                    ids: ids.clone(),
                    note: note.clone(),
                };
                let view = api.post("/api/v1/signatures/disable", &request)?;
                (
                    view,
                    *output,
                    format!("disabled {} {}", ids.join(", "), program::everywhere()),
                )
            }
            Self::Enable { ids, output } => {
                let request = EnableRequest { ids: ids.clone() };
                let view = api.post("/api/v1/signatures/enable", &request)?;
                (
                    view,
                    *output,
                    format!("enabled {} {}", ids.join(", "), program::everywhere()),
                )
            }
        };
        if output == Output::Json {
            return print_json(&view);
        }
        if !said.is_empty() {
            say!("{said}");
        }
        show(&view);
        Ok(())
    }
}

impl Publish {
    fn send(&self, api: &ApiClient) -> anyhow::Result<PublishedView> {
        let files = self.files.iter().map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let reading = || format!("reading {}", path.display());
            let bytes = std::fs::metadata(path).with_context(reading)?.len();
            anyhow::ensure!(
                bytes <= MAX_SIGNATURE_TEXT as u64,
                "{}: {bytes} bytes; a fleet publishes at most {MAX_SIGNATURE_TEXT}",
                path.display()
            );
            Ok(SignatureText {
                name: name.into_owned(),
                text: std::fs::read_to_string(path).with_context(reading)?,
            })
        });
        let request = PublishRequest {
            files: files.collect::<anyhow::Result<_>>()?,
            dry_run: self.dry_run,
        };
        Ok(api.put("/api/v1/signatures/published", &request)?)
    }

    fn verb(&self) -> String {
        match self.dry_run {
            true => "would publish".to_owned(),
            false => format!("published {}", program::everywhere()),
        }
    }
}

fn show(view: &PublishedView) {
    for file in &view.files {
        say!("file      {} ({} bytes)", file.name, file.text.len());
    }
    match view.signatures {
        1 => say!("published 1 signature"),
        count => say!("published {count} signatures"),
    }
    if !view.disabled.is_empty() {
        say!("disabled  {}", view.disabled.join(", "));
    }
    if let (Some(digest), Some(at), Some(by)) = (&view.digest, &view.changed_at, &view.changed_by) {
        say!("set       {digest}, changed {at} by {by}");
    }
}
