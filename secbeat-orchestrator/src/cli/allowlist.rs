//! `allowlist list`, `allowlist add` and `allowlist remove`.

use clap::{Args, Subcommand};
use secbeat_daemon::{
    api::ApiClient,
    cli::{Output, Target, print_json, table},
    term::Term,
    time::ends_in,
};

use crate::api::allowlist::{AllowRequest, AllowView, Disallowed};

/// Manage the fleet-wide allowlist.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the entries.
    List {
        /// Output format.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Add a client or a network.
    Add(Add),
    /// Remove an entry; what is left of bans of it is enforced again.
    Remove {
        #[command(flatten)]
        target: Target,
        /// Output format.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    target: Target,
    /// Duration, such as 30m, 4h or 7d [default: no expiry].
    #[arg(long, short)]
    duration: Option<Term>,
    /// Expiry, such as 2026-11-20T10:00:00Z.
    #[arg(long, short, value_name = "TIME", conflicts_with = "duration")]
    until: Option<String>,
    /// Reason, shown in listings and in the audit.
    #[arg(long, default_value = "", hide_default_value = true)]
    comment: String,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Command {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        match self {
            Self::List { output } => list(api, *output),
            Self::Add(add) => add.execute(api),
            Self::Remove { target, output } => {
                let removed: Disallowed = api.delete(&format!("/api/v1/allowlist/{}", target.prefix()?))?;
                if *output == Output::Json {
                    return print_json(&removed);
                }
                secbeat_daemon::say!("removed {} from the fleet's allowlist", removed.network);
                Ok(())
            }
        }
    }
}

fn list(api: &ApiClient, output: Output) -> anyhow::Result<()> {
    let entries: Vec<AllowView> = api.get("/api/v1/allowlist")?;
    if output == Output::Json {
        return print_json(&entries);
    }
    let mut table = table(["NETWORK", "ENDS IN", "ADDED", "BY", "COMMENT"]);
    for entry in entries {
        table.add_row([
            entry.network,
            ends_in(entry.ends_in_ms),
            entry.added_at,
            entry.added_by,
            entry.comment,
        ]);
    }
    secbeat_daemon::say!("{table}");
    Ok(())
}

impl Add {
    fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let request = AllowRequest {
            network: self.target.prefix()?.to_string(),
            comment: self.comment.clone(),
            duration: self.duration.map(|duration| duration.to_string()),
            until: self.until.clone(),
        };
        let entry: AllowView = api.post("/api/v1/allowlist", &request)?;
        if self.output == Output::Json {
            return print_json(&entry);
        }
        match entry.ends_in_ms {
            Some(_) => secbeat_daemon::say!(
                "allowlisted {} for {} on every edge",
                entry.network,
                ends_in(entry.ends_in_ms)
            ),
            None => secbeat_daemon::say!("allowlisted {} on every edge", entry.network),
        }
        Ok(())
    }
}
