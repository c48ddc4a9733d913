//! `bans` and `ban`.

use std::net::IpAddr;

use clap::Args;
use secbeat_bus::broker::broker;
use secbeat_common::{
    prefix::Prefix,
    subjects,
    wire::{Labels, Reason, parse_label, tell_labels},
};
use secbeat_daemon::{
    api::ApiClient,
    cli::{Cell, Column, DecisionOptions, Near, Output, Records, Targets, ban_each},
    config::HumanDuration,
    program,
    term::{Term, until},
    time::ends_in,
};

use secbeat_orchestrator_core::presence::knows_labels;

use crate::{
    api::{
        bans::{BanRequest, MAX_PAGE},
        sort::BanSort,
    },
    view::{ApiStats, BanPage, BanView, FleetEdge},
};

/// Lists the active bans.
#[derive(Debug, Args)]
pub struct List {
    /// Only bans that cover this address, or only bans of this network and within it.
    #[arg(value_name = "ADDRESS|CIDR", conflicts_with_all = ["ip", "range"])]
    near: Option<Near>,
    /// An address or network, as `cscli decisions list` takes it.
    #[arg(long, short = 'v', hide = true, conflicts_with_all = ["near", "ip", "range"])]
    value: Option<Near>,
    /// Only bans that cover this address.
    #[arg(long, short, value_name = "IP")]
    ip: Option<IpAddr>,
    /// Only bans of this network, and within it.
    #[arg(long, short, value_name = "CIDR")]
    range: Option<Prefix>,
    /// Only bans with this reason: `manual`, or the name of a rule.
    #[arg(long, visible_alias = "rule")]
    reason: Option<Reason>,
    /// Only bans that edges with this label enforce, such as role=web; several must all be there.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_label)]
    label: Vec<(String, String)>,
    /// Only bans that this edge enforces.
    #[arg(long, value_name = "NAME", value_parser = edge_name)]
    edge: Option<String>,
    #[command(flatten)]
    _of_cscli: DecisionOptions,
    #[command(flatten)]
    records: Records,
}

fn edge_name(text: &str) -> Result<String, String> {
    match subjects::is_token(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "invalid name `{text}`: use up to 64 letters, digits, `-` and `_`"
        )),
    }
}

/// Columns of the usual table; a wide one has all.
const USUAL: usize = 10;
const BANS: [Column<BanView>; 12] = [
    Column("TARGET", "target", |ban| Cell::Network(ban.target.clone())),
    Column("REASON", "reason", |ban| Cell::Text(ban.reason.clone())),
    Column("STATE", "state", |ban| Cell::Text(ban.state.clone())),
    Column("LAYER", "layer", |ban| Cell::Text(ban.layer.clone())),
    Column("SINCE", "issued_at", |ban| Cell::Time(ban.issued_at.clone())),
    Column("ENDS IN", "expires_at", |ban| {
        Cell::End(ban.expires_at.clone().unwrap_or_default(), ban.expires_in_ms)
    }),
    Column("STRIKES", "strikes", |ban| Cell::number(ban.strikes)),
    Column("EDGES", "edges", |ban| Cell::Text(edges(ban))),
    Column("BY", "by", |ban| Cell::Text(ban.issuer.clone())),
    Column("NOTE", "note", |ban| Cell::Text(ban.note.clone())),
    Column("COUNTRY", "country", |ban| {
        Cell::Text(ban.origin.country.clone().unwrap_or_default())
    }),
    Column("PROVIDER", "provider", |ban| Cell::Text(ban.origin.provider())),
];

impl List {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let (around, within) = match self.near {
            Some(Near::Around(address)) => (Some(address), None),
            Some(Near::Within(network)) => (None, Some(network)),
            None => (self.ip, self.range),
        };
        let mut filters = String::new();
        if let Some(address) = around {
            filters += &format!("&contains={address}");
        }
        if let Some(network) = within {
            filters += &format!("&within={network}");
        }
        if let Some(reason) = self.reason {
            filters += &format!("&reason={reason}");
        }
        if !self.label.is_empty() {
            filters += &format!("&label={}", tell_labels(&self.label.iter().cloned().collect()));
        }
        if let Some(edge) = &self.edge {
            filters += &format!("&edge={edge}");
        }
        let empty = match (around, filters.is_empty()) {
            (Some(address), _) => {
                format!(
                    "no ban covers {address}; `{} why {address}` says what is known of it",
                    program::of_fleet()
                )
            }
            (None, true) => {
                let program = program::of_fleet();
                format!("no bans in force (`{program} findings` lists what the rules found)")
            }
            (None, false) => "no ban in force matches".to_owned(),
        };
        // What the daemon does not sort by is sorted here.
        let order = match &self.records.sort {
            None => Some(String::new()),
            Some(sort) => BanSort::of_column(sort).map(|sort| format!("&sort={sort}")),
        };
        let limit = self.records.limit().filter(|_| order.is_some());
        let mut pages = Pages::new(api, filters + &order.clone().unwrap_or_default()).of(limit);
        let mut bans = Vec::new();
        for page in pages.by_ref() {
            bans.extend(page?);
            if limit.is_some_and(|limit| bans.len() >= limit) {
                break;
            }
        }
        let columns = self.records.columns(&BANS, USUAL);
        if order.is_none() {
            return self.records.show(columns, bans, &empty);
        }
        bans.truncate(limit.unwrap_or(bans.len()));
        let total = pages.total.unwrap_or(bans.len());
        self.records.print(columns, &bans, total, &empty)
    }
}

/// Returns what an answer to an order says beside, if the audit does not have it yet.
pub(super) fn record(unrecorded: bool) -> String {
    match unrecorded {
        true => format!(
            "; NOT IN THE AUDIT YET: {} does not take the record, which is tried again",
            broker()
        ),
        false => String::new(),
    }
}

/// The edges that enforce a ban, as people read them.
pub(super) fn edges(ban: &BanView) -> String {
    ban.edges().unwrap_or_else(|| "all".to_owned())
}

/// All bans, a page at a time.
pub(super) struct Pages<'a> {
    api: &'a ApiClient,
    filters: String,
    /// Bans on a page.
    size: usize,
    next: Next,
    /// Number of bans on all pages, once the first one is read.
    total: Option<usize>,
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
            size: MAX_PAGE,
            next: Next::First,
            total: None,
        }
    }

    /// On pages for `limit` bans.
    fn of(mut self, limit: Option<usize>) -> Self {
        self.size = limit.map_or(MAX_PAGE, |limit| limit.min(MAX_PAGE));
        self
    }
}

impl Iterator for Pages<'_> {
    type Item = anyhow::Result<Vec<BanView>>;

    fn next(&mut self) -> Option<Self::Item> {
        let after = match &self.next {
            Next::First => String::new(),
            Next::After(target) => format!("&after={target}"),
            Next::End => return None,
        };
        let path = format!("/api/v1/bans?limit={}{}{after}", self.size, self.filters);
        let page = self.api.get::<BanPage>(&path);
        self.next = match &page {
            Ok(BanPage { next: Some(next), .. }) => Next::After(next.clone()),
            Ok(_) | Err(_) => Next::End,
        };
        Some(page.map_err(anyhow::Error::from).and_then(|page| {
            self.total = self.total.or(page.total);
            if page.bans.is_empty() {
                ensure_read(self.api)?;
            }
            Ok(page.bans)
        }))
    }
}

/// Fails if the daemon knows of no ban because it has not read them yet.
fn ensure_read(api: &ApiClient) -> anyhow::Result<()> {
    let stats: ApiStats = api.get("/api/v1/stats")?;
    anyhow::ensure!(
        stats.engine.restored,
        "the ledger is still being read from {}: what is banned is not known yet",
        broker()
    );
    Ok(())
}

/// Bans clients and networks, on every edge unless labels say on which.
#[derive(Debug, Args)]
pub struct Ban {
    #[command(flatten)]
    targets: Targets,
    /// Duration, such as 30m, 4h, 7d or permanent; a bare number is seconds.
    #[arg(long, short, alias = "for", default_value = "4h", allow_hyphen_values = true)]
    duration: Term,
    /// Ban without expiry.
    #[arg(long, conflicts_with = "duration")]
    permanent: bool,
    /// Expiry, in place of --duration, such as 2026-12-01T10:00 by this host's clock, or 2026-12-01T10:00:00Z.
    #[arg(long, short, value_name = "TIME", conflicts_with_all = ["duration", "permanent"], value_parser = until)]
    until: Option<HumanDuration>,
    /// Reason, shown in listings and in the audit.
    #[arg(
        long,
        short,
        visible_alias = "reason",
        alias = "comment",
        short_alias = 'R',
        default_value = "",
        hide_default_value = true
    )]
    note: String,
    /// Replace a ban that lasts longer.
    #[arg(long)]
    shorten: bool,
    /// Only on edges with this label, such as role=web; with several, an edge must have all.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_label)]
    label: Vec<(String, String)>,
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

impl Ban {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let labels = self.labels()?;
        ban_each(&self.targets.prefixes()?, self.output, |target| {
            self.one(api, target, &labels)
        })
    }

    /// Bans `target`; returns the ban, and for people a line that says so.
    fn one(&self, api: &ApiClient, target: &Prefix, labels: &Labels) -> anyhow::Result<(BanView, String)> {
        let term = match (self.permanent, self.until) {
            (true, _) => Term::Permanent,
            (false, Some(left)) => left.into(),
            (false, None) => self.duration,
        };
        let request = BanRequest {
            target: target.to_string(),
            network: false,
            duration: Some(term.to_string()),
            permanent: false,
            note: self.note.clone(),
            shorten: self.shorten,
            labels: labels.clone(),
        };
        let ban: BanView = api.post("/api/v1/bans", &request)?;
        if self.output == Output::Json {
            return Ok((ban, String::new()));
        }
        let except = match ban.exempt.as_slice() {
            [] => String::new(),
            exempt => format!(", except {}: on {}", exempt.join(", "), program::allowlist()),
        };
        let record = record(ban.unrecorded);
        let term = match ban.expires_in_ms {
            Some(_) => format!("for {}", ends_in(ban.expires_in_ms)),
            None => "permanently".to_owned(),
        };
        let Some(edges) = ban.edges() else {
            let line = format!(
                "banned {} {term} {}{except}{record}",
                ban.target,
                program::everywhere()
            );
            return Ok((ban, line));
        };
        let have = self.edges_with(api, labels)?;
        let line = format!(
            "banned {} {term} on edges with {edges}{except}: {}{record}",
            ban.target,
            match have.as_slice() {
                [] => "no edge has that label now".to_owned(),
                have => have.join(" "),
            }
        );
        Ok((ban, line))
    }

    fn labels(&self) -> anyhow::Result<Labels> {
        let labels: Labels = self.label.iter().cloned().collect();
        anyhow::ensure!(
            labels.len() == self.label.len(),
            "--label: an edge has one value of each key; ban once for each value instead"
        );
        Ok(labels)
    }

    /// The edges that are up and have `labels`, each with what keeps it from such a ban.
    fn edges_with(&self, api: &ApiClient, labels: &Labels) -> anyhow::Result<Vec<String>> {
        let edges: Vec<FleetEdge> = api.get(&format!("/api/v1/edges?label={}", tell_labels(labels)))?;
        let named = edges.iter().map(|edge| match knows_labels(&edge.record) {
            true => edge.standing.edge_id.clone(),
            false => format!(
                "{} (NOT: its release knows no bans for labels)",
                edge.standing.edge_id
            ),
        });
        Ok(named.collect())
    }
}
