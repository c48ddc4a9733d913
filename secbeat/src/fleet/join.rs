//! `join`: this host becomes an edge of a fleet.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use secbeat_daemon::{
    api::{ApiClient, Remote},
    credentials::{Credentials, Role},
    exit::Coded,
    say,
};
use secbeat_edge::app as edge;
use secbeat_orchestrator::{
    cli as orchestrator,
    view::{ApiStats, RuleView},
};

use super::edit::{self, Allowed};
use crate::{
    config::Config,
    setup::{self, agreed, entry, restart},
};

/// The name of the credentials beside the config, as the unit loads them.
const CREDENTIALS: &str = "edge.credentials";
/// Time that the fleet may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Make this host an edge of a fleet. Keeps its bans and its allowlist; `leave` undoes it.
#[derive(Debug, clap::Args)]
pub struct Join {
    /// Credentials of this host, which `secbeat-orchestrator enroll` wrote.
    file: PathBuf,
    /// Join without asking.
    #[arg(long, short)]
    yes: bool,
    /// Show what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What goes along.
struct Luggage {
    bans: usize,
    allowed: Vec<Allowed>,
}

impl Luggage {
    /// Asks the daemon.
    fn ask(api: &ApiClient) -> anyhow::Result<Self> {
        const WHAT: &str = "asking this host's daemon what it takes along; start it first";
        let stats: ApiStats = api.get("/api/v1/stats").context(WHAT)?;
        Ok(Self {
            bans: stats.engine.active_bans,
            allowed: api.get("/api/v1/allowlist").context(WHAT)?,
        })
    }
}

impl Join {
    /// Asks the fleet, shows what follows, asks, and changes the config at `path`.
    ///
    /// # Errors
    ///
    /// Returns an error if the credentials cannot be used, the fleet does not answer, or the config cannot be changed.
    pub(crate) fn execute(&self, path: &Path, remote: &Remote) -> anyhow::Result<()> {
        let config = Config::load(path)?;
        if config.fleet.is_some() {
            bail!(Coded::usage(format!(
                "{}: this host is an edge of a fleet already; `secbeat leave` comes first",
                path.display()
            )));
        }
        let credentials = Credentials::load(&self.file, Role::Edge)?;
        let membership = credentials.membership()?;
        // It must not contradict a name in the config.
        let name = config.edge.edge_id(&membership)?;
        let fleet = edge::ask(&membership, &name, PATIENCE)?;
        let luggage = Luggage::ask(&orchestrator::client(remote, &config.orchestrator)?)?;

        say!(
            "{}",
            entry("edge", &format!("{name}, of the fleet at {}", membership.servers))
        );
        tell(&fleet, &config, &luggage);

        let mut document = edit::read(path)?;
        edit::join(&mut document, CREDENTIALS, &luggage.allowed)?;
        let target = path.parent().unwrap_or(Path::new("")).join(CREDENTIALS);
        let text = document.to_string();
        setup::check_text(&text)?;
        if self.dry_run {
            say!("\nNothing was changed.");
            return Ok(());
        }
        if !self.yes
            && !agreed(&format!(
                "\nInstall the credentials as {}, add [fleet] to {} and restart? [Y/n] ",
                target.display(),
                path.display()
            ))?
        {
            say!("Nothing was changed.");
            return Ok(());
        }
        let is_new = !is_same(&self.file, &target);
        if is_new {
            credentials.save(&target, true)?;
        }
        setup::write(path, &text)?;
        say!("\nThis host is the edge {name}.");
        if is_new {
            let file = self.file.display();
            say!("Delete {file}: it has the same secrets as {}.", target.display());
        }
        restart(path, "`secbeat status` shows whether it hears the fleet.")
    }
}

/// Shows what joining changes.
fn tell(fleet: &edge::Answer, config: &Config, luggage: &Luggage) {
    let state = match &fleet.away {
        None => "answers, and its orchestrators decide".to_owned(),
        Some(why) => format!("answers, but {why}: meanwhile this host's own detector decides"),
    };
    say!("{}", entry("fleet", &state));
    let ours = RuleView::all(&config.orchestrator);
    match &fleet.orders {
        Some(orders) => tell_rules(&ours, &RuleView::of_fleet(orders)),
        None => say!(
            "{}",
            entry(
                "rules",
                "the fleet has published none: its detector on this host goes by those of this host until it does"
            )
        ),
    }
    let bans = format!(
        "{} bans in force, until they end; the fleet is told of those that rules made",
        luggage.bans
    );
    say!("{}", entry("goes along", &bans));
    for Allowed { network, comment, .. } in &luggage.allowed {
        say!(
            "{}",
            entry("", format!("allowlisted: {network} {comment}").trim_end())
        );
    }
    let stays = "inputs, how far logs were read, pins and ports; [[rule]], [ban] and [notify] wait for `secbeat leave`";
    say!("{}", entry("stays", stays));
}

/// Shows what differs between the rules of this host and those of the fleet.
fn tell_rules(ours: &[RuleView], fleets: &[RuleView]) {
    let [ours, fleets] =
        [ours, fleets].map(|rules| rules.iter().map(ToString::to_string).collect::<BTreeSet<_>>());
    if ours == fleets {
        say!("{}", entry("rules", "the fleet's are those of this host"));
        return;
    }
    let same = ours.intersection(&fleets).count();
    say!(
        "{}",
        entry(
            "rules",
            &format!("{same} are the same; `-` goes, `+` comes from the fleet:")
        )
    );
    for rule in ours.difference(&fleets) {
        say!("{}", entry("", &format!("- {rule}")));
    }
    for rule in fleets.difference(&ours) {
        say!("{}", entry("", &format!("+ {rule}")));
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    real(one).is_some_and(|one| Some(one) == real(other))
}
