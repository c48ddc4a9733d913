//! `bans`, `ban` and `unban`.

use std::net::IpAddr;

use clap::Args;
use secbeat_common::{prefix::Prefix, wire::Reason};
use secbeat_daemon::{
    api::{ApiClient, CallError},
    cli::{Output, Target, print_json, table},
    term::Term,
    time::ends_in,
};

use crate::{
    api::bans::{BanRequest, MAX_PAGE},
    view::{BanPage, BanView},
};

/// Lists the active bans.
#[derive(Debug, Args)]
pub struct List {
    /// Only bans that cover this address.
    #[arg(long, short, value_name = "IP")]
    ip: Option<IpAddr>,
    /// Only bans of this network, and within it.
    #[arg(long, short, value_name = "CIDR")]
    range: Option<Prefix>,
    /// Only bans with this reason: `manual`, or the name of a rule.
    #[arg(long)]
    reason: Option<Reason>,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl List {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let mut filters = String::new();
        if let Some(ip) = self.ip {
            filters += &format!("&contains={ip}");
        }
        if let Some(range) = self.range {
            filters += &format!("&within={range}");
        }
        if let Some(reason) = self.reason {
            filters += &format!("&reason={reason}");
        }
        let mut bans = Vec::new();
        for page in Pages::new(api, filters) {
            bans.extend(page?);
        }
        if self.output == Output::Json {
            return print_json(&bans);
        }
        print_table(&bans);
        Ok(())
    }
}

/// The edges that enforce a ban, as people read them.
pub(super) fn edges(ban: &BanView) -> String {
    let edges = ban.edges.as_ref();
    edges.map_or_else(|| "all".to_owned(), |edges| edges.join(" "))
}

fn print_table(bans: &[BanView]) {
    let mut table = table([
        "TARGET", "REASON", "STATE", "LAYER", "ENDS IN", "STRIKES", "EDGES", "BY", "NOTE",
    ]);
    for ban in bans {
        table.add_row([
            ban.target.clone(),
            ban.reason.clone(),
            ban.state.clone(),
            ban.layer.clone(),
            ends_in(ban.expires_in_ms),
            ban.strikes.to_string(),
            edges(ban),
            ban.issuer.clone(),
            ban.note.clone(),
        ]);
    }
    secbeat_daemon::say!("{table}");
}

/// All bans, a page at a time.
pub(super) struct Pages<'a> {
    api: &'a ApiClient,
    filters: String,
    next: Next,
}

enum Next {
    First,
    After(String),
    End,
}

impl<'a> Pages<'a> {
    /// `filters` as in a URL, each with a `&` before it.
    pub(super) fn new(api: &'a ApiClient, filters: String) -> Self {
        Self {
            api,
            filters,
            next: Next::First,
        }
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Vec<BanView>, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        let after = match &self.next {
            Next::First => String::new(),
            Next::After(target) => format!("&after={target}"),
            Next::End => return None,
        };
        let path = format!("/api/v1/bans?limit={MAX_PAGE}{}{after}", self.filters);
        let page = self.api.get::<BanPage>(&path);
        self.next = match &page {
            Ok(BanPage { next: Some(next), .. }) => Next::After(next.clone()),
            Ok(_) | Err(_) => Next::End,
        };
        Some(page.map(|page| page.bans))
    }
}

/// Bans a client or a network.
#[derive(Debug, Args)]
pub struct Ban {
    #[command(flatten)]
    target: Target,
    /// Duration, such as 30m, 4h, 7d or permanent.
    #[arg(long, short, default_value = "4h")]
    duration: Term,
    /// Never expires.
    #[arg(long, conflicts_with = "duration")]
    permanent: bool,
    /// Reason, shown in listings and in the audit.
    #[arg(long, short, default_value = "", hide_default_value = true)]
    note: String,
    /// Replace a ban that lasts longer.
    #[arg(long)]
    shorten: bool,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

impl Ban {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let term = if self.permanent {
            Term::Permanent
        } else {
            self.duration
        };
        let request = BanRequest {
            target: self.target.prefix()?.to_string(),
            duration: Some(term.to_string()),
            permanent: false,
            note: self.note.clone(),
            shorten: self.shorten,
        };
        let ban: BanView = api.post("/api/v1/bans", &request)?;
        if self.output == Output::Json {
            return print_json(&ban);
        }
        match ban.expires_in_ms {
            Some(_) => secbeat_daemon::say!(
                "banned {} for {} on every edge",
                ban.target,
                ends_in(ban.expires_in_ms)
            ),
            None => secbeat_daemon::say!("banned {} permanently on every edge", ban.target),
        }
        Ok(())
    }
}
