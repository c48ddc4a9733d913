//! `setup`: looks at this host, and proposes a config with a reason for each line.

mod add;
mod admins;
mod logs;
mod past;
mod propose;
mod servers;
mod unwatched;

use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, bail};
use secbeat_daemon::{
    exit::Coded,
    protect::{self, Known, Names, default_route_interfaces},
    say,
    time::now_ms,
    whole_file,
};
pub(crate) use secbeat_edge::unit_user::UnitUser;
use secbeat_logs::services::shipped;

pub(crate) use self::{
    add::added,
    propose::{Proposal, entry},
    unwatched::{Service, unwatched},
};
use self::{admins::Admins, logs::FoundLog};
use crate::{config::Config, fleet::edit, memory::InMemory};

/// The unit that the package brings.
pub(crate) const UNIT: &str = "secbeat.service";
/// What Debian, Fedora and their kin install.
const SSHD: &str = "/usr/sbin/sshd";
/// Where systemd's journal takes messages.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// A folder that is there where systemd is the first process.
const SYSTEMD: &str = "/run/systemd/system";

/// Look at this host, propose a config, and start with it.
#[derive(Debug, clap::Args)]
pub struct Setup {
    /// Take the proposal without asking.
    #[arg(long, short)]
    yes: bool,
    /// Show the proposal, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Count and decide, but drop no packet.
    #[arg(long)]
    observe: bool,
    /// Replace a config that is there. The networks of proxies and those that are never banned go along; the old file is kept as FILE.bak.
    #[arg(long)]
    force: bool,
    /// Add what was installed since, and leave the rest of the config as it is.
    #[arg(long, conflicts_with_all = ["observe", "force"])]
    add: bool,
}

/// What was found on this host.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Interfaces of the default routes.
    interfaces: Vec<String>,
    logs: Vec<FoundLog>,
    has_sshd: bool,
    /// Where sshd logs, if that is there.
    ssh_log: Option<String>,
    admins: Admins,
    /// Addresses that are never banned, each with its reason.
    protected: Vec<(String, &'static str)>,
}

impl Found {
    /// Looks at this host, and changes nothing. `reader` is who will read the logs, if not this process.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel does not tell the routes.
    pub(crate) fn look(reader: Option<&UnitUser>) -> anyhow::Result<Self> {
        let interfaces = default_route_interfaces().context("looking for the default routes")?;
        let admins = Admins::look();
        let known = Known {
            operator: admins.peer(),
            ..Known::default()
        };
        let protected = protect::collect(
            &known,
            &Names::default(),
            &std::collections::HashMap::new(),
            now_ms(),
        );
        let mut protected: Vec<_> = protected
            .into_iter()
            .map(|(network, code)| (network.to_string(), protect::reason_name(code)))
            .filter(|(_, reason)| !["loopback", "own-address"].contains(reason))
            .collect();
        protected.sort_unstable_by(|(a, why_a), (b, why_b)| (why_a, a).cmp(&(why_b, b)));
        Ok(Self {
            interfaces,
            logs: logs::find(Path::new("/"), reader)?,
            has_sshd: Path::new(SSHD).exists(),
            ssh_log: ssh_log(Path::new("/")),
            admins,
            protected,
        })
    }
}

/// Returns where below `root` sshd logs: a file that its filter knows, or the journal.
fn ssh_log(root: &Path) -> Option<String> {
    let is_there = |path: &str| root.join(path.trim_start_matches('/')).exists();
    let filter = shipped("sshd")?.ok()?;
    let file = filter.paths.into_iter().find(|path| is_there(path));
    file.or_else(|| is_there(JOURNAL).then(|| "the journal".to_owned()))
}

impl Setup {
    /// Proposes, asks, writes the config at `path`, and starts the unit.
    ///
    /// # Errors
    ///
    /// Returns an error if a config is there already, it cannot be written, or the unit does not start.
    pub fn execute(&self, path: &Path) -> anyhow::Result<()> {
        if self.add {
            return self.add_what_is_new(path);
        }
        // Where there is no unit, the one who runs this runs the daemon.
        let reader = UnitUser::find(UNIT);
        let found = Found::look(reader.as_ref())?;
        let mut proposal = Proposal::of(&found, self.observe);
        say!("{}", proposal.account.join("\n"));
        let is_there = path.exists();
        if is_there && self.force {
            let kept = keep_old(path, &mut proposal)?;
            say!("{}", entry("kept", &kept));
        }
        let config = check(&proposal.config, reader.as_ref())?;
        for (n, line) in past::account(&found, &config).into_iter().enumerate() {
            let what = if n == 0 { "last 24 h" } else { "" };
            say!("{}", entry(what, &line));
        }
        if self.dry_run {
            say!("\nThe config would be:\n\n{}", proposal.config.trim_end());
            return Ok(());
        }
        if is_there && !self.force {
            bail!(Coded::usage(format!(
                "{} is there already: edit it, add what is new by `secbeat setup --add`, or replace it by `secbeat setup --force`",
                path.display()
            )));
        }
        if !self.yes && !agreed(&format!("\nWrite {} and start? [Y/n] ", path.display()))? {
            say!("Nothing was changed.");
            return Ok(());
        }
        if is_there {
            let old = path.with_added_extension("bak");
            fs::copy(path, &old)
                .with_context(|| format!("keeping {} as {}", path.display(), old.display()))?;
            say!("\nThe config of before is {}.", old.display());
        }
        write(path, &proposal.config)?;
        say!("\nWrote {}.", path.display());
        start(path)
    }
}

/// Has the proposal keep what the config at `path` says of networks. Returns what is kept and what is not.
///
/// # Errors
///
/// Returns an error if this host is an edge of a fleet.
fn keep_old(path: &Path, proposal: &mut Proposal) -> anyhow::Result<String> {
    // One that cannot be read has nothing to keep.
    let (Ok(old), Ok(mut new)) = (edit::read(path), proposal.config.parse()) else {
        return Ok(format!("nothing: {} cannot be read as TOML", path.display()));
    };
    if old.contains_key("fleet") {
        bail!(Coded::usage(format!(
            "{}: this host is an edge of a fleet; `secbeat leave` first",
            path.display()
        )));
    }
    let kept = edit::keep_networks(&mut new, &old);
    proposal.config = new.to_string();
    let kept = match &*kept {
        [] => "nothing".to_owned(),
        kept => kept.join(", "),
    };
    Ok(format!(
        "of {}: {kept}; the rest of it is kept beside",
        path.display()
    ))
}

/// Returns what `setup` would choose, for a daemon that runs without a config, with lines that say why.
///
/// # Errors
///
/// Returns an error if the kernel does not tell the routes, or has no memory.
pub(crate) fn choose() -> anyhow::Result<(InMemory, Vec<String>)> {
    let found = Found::look(None)?;
    let Proposal { account, config } = Proposal::of(&found, false);
    Ok((InMemory::new(&config)?, account))
}

/// Checks that the daemon would take a config of this text, and can read what it names as `reader`.
///
/// # Errors
///
/// Returns an error if it would not. Of a proposal that would be a bug.
pub(crate) fn check(config: &str, reader: Option<&UnitUser>) -> anyhow::Result<Config> {
    let file = InMemory::new(config)?;
    let config = Config::load(&file.path()).context("the proposed config")?;
    let check = || config.edge.check_sources(&file.path());
    let checked = match reader {
        Some(user) => user.act(check)?,
        None => check(),
    };
    checked.context("the proposed config")?;
    Ok(config)
}

/// Checks that the daemon would take a config of this text.
///
/// # Errors
///
/// Returns an error if it would not.
pub(crate) fn check_text(text: &str) -> anyhow::Result<()> {
    let file = InMemory::new(text)?;
    Config::load(&file.path())
        .map(drop)
        .context("the config would be")
}

/// Asks on the terminal; a bare Enter agrees.
///
/// # Errors
///
/// Returns an error if there is nobody to ask.
pub(crate) fn agreed(question: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!(Coded::usage(
            "there is no terminal to ask on: use --yes to accept this, or --dry-run to change nothing"
                .to_owned()
        ));
    }
    let mut terminal = io::stderr().lock();
    write!(terminal, "{question}").context("asking")?;
    terminal.flush().context("asking")?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("reading the answer")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes"))
}

/// Writes the config whole or not at all. It holds no secret. One that was there keeps its owner, its mode and the link to it.
///
/// # Errors
///
/// Returns an error if it cannot be written.
pub(crate) fn write(path: &Path, config: &str) -> anyhow::Result<()> {
    whole_file::edit(path, config.as_bytes()).with_context(|| format!("writing {}", path.display()))
}

/// Starts the unit, now and at each boot, where there is one for this config.
fn start(path: &Path) -> anyhow::Result<()> {
    if !is_of_unit(path) {
        say!("Start it with `secbeat run --config {}`.", path.display());
        return Ok(());
    }
    systemctl(&[&["enable", UNIT], &["restart", UNIT]])?;
    say!("Started. `secbeat status` shows what it does, `secbeat watch` what happens.");
    Ok(())
}

/// Restarts the unit where there is one for this config, and tells `then`.
///
/// # Errors
///
/// Returns an error if it does not start.
pub(crate) fn restart(path: &Path, then: &str) -> anyhow::Result<()> {
    match is_of_unit(path) {
        true => {
            systemctl(&[&["restart", UNIT]])?;
            say!("Restarted. {then}");
        }
        false => say!(
            "Stop the daemon, and start it with `secbeat run --config {}`. {then}",
            path.display()
        ),
    }
    Ok(())
}

/// Whether the unit runs the daemon with the config at `path`.
fn is_of_unit(path: &Path) -> bool {
    path == Path::new(crate::config::DEFAULT_PATH) && Path::new(SYSTEMD).exists() && has_unit()
}

fn systemctl(commands: &[&[&str]]) -> anyhow::Result<()> {
    for arguments in commands {
        let status = Command::new("systemctl")
            .args(*arguments)
            .status()
            .context("running systemctl")?;
        if !status.success() {
            bail!(
                "`systemctl {}` failed: see `journalctl -u {UNIT}`",
                arguments.join(" ")
            );
        }
    }
    Ok(())
}

fn has_unit() -> bool {
    [
        "/etc/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ]
    .iter()
    .any(|folder| Path::new(folder).join(UNIT).exists())
}
