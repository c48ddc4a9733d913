//! Contents of the screen.

use std::{cmp::Reverse, collections::HashMap};

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Style, Stylize as _},
    text::{Line, Span},
    widgets::{Block, Borders, Paragraph, Row, Table},
};
use secbeat_bus::broker::broker;
use secbeat_daemon::{api::CallError, time::ends_in};

use crate::{
    cli::{bans, fleet},
    view::{AgreementView, ApiStats, BanView, FindingView, FleetEdge, StateView},
};

/// Rows of edges at most; who has more scrolls in `edges`.
const EDGES: u16 = 8;

/// What the daemon says, at one time.
#[derive(Debug)]
pub(super) struct Facts {
    /// Milliseconds since the Unix epoch.
    pub(super) at_ms: i64,
    pub(super) stats: ApiStats,
    pub(super) edges: Vec<FleetEdge>,
    /// The latest first.
    pub(super) findings: Vec<FindingView>,
    pub(super) bans: Vec<BanView>,
}

/// The screen.
#[derive(Debug)]
pub(super) struct Screen {
    facts: Facts,
    /// The reason why the daemon has not answered since, if so.
    silent: Option<String>,
    /// By edge.
    drops: HashMap<String, Rate>,
    /// The first ban that is shown.
    first: usize,
}

/// Packets that an edge drops, by what it says of itself now and then.
#[derive(Clone, Copy, Debug)]
struct Rate {
    packets: u64,
    at_ms: i64,
    per_second: f64,
}

impl Screen {
    pub(super) fn new(facts: Facts) -> Self {
        let mut screen = Self {
            facts,
            silent: None,
            drops: HashMap::new(),
            first: 0,
        };
        screen.arrange();
        screen
    }

    /// Takes in what the daemon says now, or why it says nothing.
    pub(super) fn take(&mut self, facts: Result<Facts, CallError>) {
        match facts {
            Ok(facts) => {
                self.facts = facts;
                self.silent = None;
                self.arrange();
            }
            Err(error) => self.silent = Some(error.to_string()),
        }
    }

    pub(super) fn scroll(&mut self, rows: i32) {
        let rows = isize::try_from(rows).unwrap_or(isize::MIN);
        let last = self.facts.bans.len().saturating_sub(1);
        self.first = self.first.saturating_add_signed(rows).min(last);
    }

    fn arrange(&mut self) {
        self.facts.bans.sort_by(|a, b| b.issued_at.cmp(&a.issued_at));
        self.facts
            .edges
            .sort_by_key(|edge| (Reverse(is_odd(edge)), edge.standing.edge_id.clone()));
        for edge in &self.facts.edges {
            let (packets, at_ms) = (edge.record.drops.packets, edge.record.at_ms);
            let before = self.drops.get(&edge.standing.edge_id);
            let per_second = match before {
                None => 0.0,
                Some(before) if before.at_ms == at_ms => before.per_second,
                // A counter that fell was begun again.
                Some(before) => {
                    let more = packets.saturating_sub(before.packets) as f64;
                    let seconds = (at_ms - before.at_ms).max(1) as f64 / 1000.0;
                    more / seconds
                }
            };
            let rate = Rate {
                packets,
                at_ms,
                per_second,
            };
            self.drops.insert(edge.standing.edge_id.clone(), rate);
        }
        self.scroll(0);
    }

    fn drops_of(&self, edge: &FleetEdge) -> f64 {
        let rate = self.drops.get(&edge.standing.edge_id);
        rate.filter(|_| edge.standing.state == StateView::Up)
            .map_or(0.0, |rate| rate.per_second)
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let edges = u16::try_from(self.facts.edges.len())
            .unwrap_or(EDGES)
            .clamp(1, EDGES);
        let rules = u16::try_from(self.facts.stats.engine.rules.len())
            .unwrap_or(u16::MAX)
            .max(3);
        let areas = Layout::vertical([
            Constraint::Length(2),
            Constraint::Length(edges + 2),
            Constraint::Length(rules.min(frame.area().height / 3) + 2),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .split(frame.area());
        frame.render_widget(Paragraph::new(self.summary()), areas[0]);
        self.draw_edges(frame, areas[1]);
        let halves = Layout::horizontal([Constraint::Length(46), Constraint::Fill(1)]).split(areas[2]);
        self.draw_rules(frame, halves[0]);
        self.draw_findings(frame, halves[1]);
        self.draw_bans(frame, areas[3]);
        frame.render_widget(
            Line::from(" q quit   ↑ ↓ bans   `why ADDRESS` shows why a client is banned").dim(),
            areas[4],
        );
    }

    fn summary(&self) -> Vec<Line<'_>> {
        let ApiStats {
            engine,
            bus_connected,
            leases,
            ..
        } = &self.facts.stats;
        let drops: f64 = self.facts.edges.iter().map(|edge| self.drops_of(edge)).sum();
        let mut first = vec![
            Span::from(" SecBeat ").bold(),
            Span::from(format!(
                " {} bans   {} findings   {} sources in memory   {drops:.0} packets dropped/s",
                engine.active_bans, engine.findings, engine.tracked_sources
            )),
        ];
        if let Some(silent) = &self.silent {
            first.push(Span::from(format!("   {silent}")).red().bold());
        }
        let unowned = leases.unowned().count();
        let mut second = Vec::new();
        let mut alarm = |holds: bool, text: String| {
            if holds {
                second.push(Span::from(format!(" {text} ")).red().bold());
            }
        };
        alarm(
            !bus_connected,
            format!("{} IS UNREACHABLE", broker().to_uppercase()),
        );
        alarm(!engine.restored, "THE LEDGER IS STILL BEING READ".to_owned());
        if let Some(brake) = &engine.brake {
            alarm(true, format!("SAFETY LIMIT REACHED ({brake})"));
        }
        alarm(unowned > 0, format!("PARTITIONS WITHOUT OWNER: {unowned}"));
        let drifting = self
            .facts
            .edges
            .iter()
            .filter(|edge| edge.standing.drifting_since.is_some())
            .count();
        alarm(drifting > 0, format!("DRIFTING EDGES: {drifting}"));
        if second.is_empty() {
            second.push(
                Span::from(format!(
                    " {} connected, every partition has an owner, no safety limit reached",
                    broker()
                ))
                .green(),
            );
        }
        vec![first.into(), second.into()]
    }

    fn draw_edges(&self, frame: &mut Frame<'_>, area: Rect) {
        let rows = self.facts.edges.iter().map(|edge| {
            let record = &edge.record;
            let ledger = match (&edge.standing.drifting_since, edge.agreement) {
                (Some(_), _) => "DRIFTS".to_owned(),
                (None, AgreementView::Agrees) => "agrees".to_owned(),
                (None, AgreementView::Differs { held, issued, .. }) => format!("{held} of {issued}"),
                (None, AgreementView::Unknown) => "unknown".to_owned(),
            };
            let row = Row::new([
                edge.standing.edge_id.clone(),
                edge.standing.state.name().to_owned(),
                fleet::mode(record).to_owned(),
                fleet::interfaces(record),
                record.bans.active.to_string(),
                ledger,
                format!("{:.0}", self.drops_of(edge)),
                record.telemetry_lost.to_string(),
            ]);
            match is_odd(edge) {
                true => row.style(Style::new().red()),
                false => row,
            }
        });
        let widths = [
            Constraint::Fill(2),
            Constraint::Length(8),
            Constraint::Length(8),
            Constraint::Fill(3),
            Constraint::Length(8),
            Constraint::Length(12),
            Constraint::Length(8),
            Constraint::Length(6),
        ];
        let header = [
            "EDGE",
            "STATE",
            "MODE",
            "INTERFACES",
            "BANS",
            "LEDGER",
            "DROPS/S",
            "LOST",
        ];
        let title = format!(" {} edges ", self.facts.edges.len());
        frame.render_widget(table(title, header, rows, widths), area);
    }

    fn draw_rules(&self, frame: &mut Frame<'_>, area: Rect) {
        let rows = self.facts.stats.engine.rules.iter().map(|(rule, of)| {
            Row::new([
                rule.clone(),
                of.banned.to_string(),
                of.observed.to_string(),
                of.suppressed.to_string(),
            ])
        });
        let widths = [
            Constraint::Fill(1),
            Constraint::Length(8),
            Constraint::Length(9),
            Constraint::Length(11),
        ];
        let header = ["RULE", "BANNED", "OBSERVED", "SUPPRESSED"];
        frame.render_widget(table(" findings by rule ".to_owned(), header, rows, widths), area);
    }

    fn draw_findings(&self, frame: &mut Frame<'_>, area: Rect) {
        let rows = self.facts.findings.iter().map(|finding| {
            Row::new([
                age(self.facts.at_ms - finding.at_ms),
                finding.source.clone(),
                finding.rule.to_string(),
                finding.outcome.name().to_owned(),
            ])
        });
        // Who was found is more than what for.
        let rule = match area.width < 55 {
            true => Constraint::Length(0),
            false => Constraint::Fill(1),
        };
        let widths = [
            Constraint::Length(4),
            Constraint::Fill(2),
            rule,
            Constraint::Length(if area.width < 55 { 10 } else { 14 }),
        ];
        let header = ["AGO", "SOURCE", "RULE", "OUTCOME"];
        frame.render_widget(table(" latest findings ".to_owned(), header, rows, widths), area);
    }

    fn draw_bans(&self, frame: &mut Frame<'_>, area: Rect) {
        let rows = self.facts.bans.iter().skip(self.first).map(|ban| {
            Row::new([
                ban.target.clone(),
                ban.reason.clone(),
                ban.layer.clone(),
                ends_in(ban.expires_in_ms),
                ban.strikes.to_string(),
                bans::edges(ban),
                noted(ban),
            ])
        });
        let widths = [
            Constraint::Fill(3),
            Constraint::Fill(2),
            Constraint::Length(6),
            Constraint::Length(9),
            Constraint::Length(7),
            Constraint::Fill(1),
            Constraint::Fill(3),
        ];
        let header = ["TARGET", "REASON", "LAYER", "ENDS IN", "STRIKES", "EDGES", "NOTE"];
        let (shown, all) = (self.facts.bans.len(), self.facts.stats.engine.active_bans);
        let title = match shown < all {
            true => format!(" the latest of {shown} bans, out of {all} "),
            false => " the latest bans ".to_owned(),
        };
        frame.render_widget(table(title, header, rows, widths), area);
    }
}

/// Returns where the target belongs, as far as that is known, and the ban's note.
fn noted(ban: &BanView) -> String {
    match ban.origin.is_unknown() {
        true => ban.note.clone(),
        false => format!("{}: {}", ban.origin, ban.note),
    }
}

/// Whether somebody should look at it.
fn is_odd(edge: &FleetEdge) -> bool {
    let is_slow_or_none = edge
        .record
        .interfaces
        .iter()
        .any(|interface| interface.mode == "generic" || interface.unprotected.is_some());
    edge.standing.state != StateView::Up || edge.standing.drifting_since.is_some() || is_slow_or_none
}

fn age(ms: i64) -> String {
    match ms / 1000 {
        seconds @ ..60 => format!("{}s", seconds.max(0)),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3600),
    }
}

fn table<'a, const N: usize>(
    title: String,
    header: [&'a str; N],
    rows: impl Iterator<Item = Row<'a>>,
    widths: [Constraint; N],
) -> Table<'a> {
    Table::new(rows, widths)
        .header(Row::new(header).bold())
        .block(Block::new().borders(Borders::TOP).title(title))
}
