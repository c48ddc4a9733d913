//! The command line: what runs the daemon is in [`crate::app`], everything else is here.
//!
//! `status`, `bans`, `allowed` and `detach` need no daemon: they read the pins. `ban` and `unban` go through the daemon where one
//! runs, and write to the pinned maps where none does.

mod allowed;
mod mode;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use comfy_table::Table;
use secbeat_common::{
    daemon::{
        cli::{ApiClient, CallError, Output, print_json},
        config::HumanDuration,
        protect::{Known, sessions},
        time::{left, now_ms},
    },
    maps,
    prefix::Prefix,
};
use serde::Serialize;

use crate::{
    admin::{
        BanRequest, Unbanned,
        view::{BanView, Packets, ReconcileView, Stats},
    },
    config::{self, Config},
    kernel::{
        self, Attachment, BanMaps, FilterMode, Floods, KernelBan, ObjectSource, Pins, SettingsMap, boot_now,
    },
    protection::Protection,
    reconcile::{self, Now},
};

/// SecBeat's edge agent: reports what HTTP clients do and drops the banned ones in the kernel.
#[derive(Debug, Parser)]
#[command(name = "secbeat-edge", version)]
pub struct Cli {
    /// Config file [default: /etc/secbeat/edge.toml]; only `run` and `check` cannot do without one.
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "SECBEAT_EDGE_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon.
    Run {
        /// Load this XDP object instead of the one built in.
        #[arg(long, value_name = "FILE")]
        bpf_object: Option<PathBuf>,
    },
    /// Check the config file and say what it means.
    Check,
    /// Show what is attached, what was dropped, and whether the daemon runs.
    Status {
        /// A table for people, or JSON for programs.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// List the bans in force on this host.
    Bans {
        /// A table for people, or JSON for programs.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// List who is never banned on this host, and why.
    Allowed {
        /// A table for people, or JSON for programs.
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Ban a source or a network on this host alone.
    Ban {
        /// An address, which stands for its source (an IPv4 address, or the /64 of an IPv6 address), or a CIDR.
        target: Prefix,
        /// How long, as 30m, 4h or 7d.
        #[arg(long, short, default_value = "4h")]
        duration: HumanDuration,
        /// Why, for whoever looks later.
        #[arg(long, short, default_value = "", hide_default_value = true)]
        note: String,
    },
    /// Lift a ban on this host alone; `secbeat-orchestrator unban` lifts it everywhere.
    Unban {
        /// The address or CIDR, as `bans` shows it.
        target: Prefix,
    },
    /// Show whether bans are enforced or only observed, or switch over at once; at the next start the config holds again.
    Mode {
        /// `enforce` drops banned packets; `observe` counts them and lets them pass.
        mode: Option<FilterMode>,
    },
    /// The kill switch: take the XDP program off every interface and remove every pin, bans included.
    Detach,
}

impl Cli {
    /// The config file to run with.
    #[must_use]
    pub fn config_path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(config::DEFAULT_PATH))
    }

    /// Where the daemon's API and the pins are, and whom to protect: from the config if there is one, else the defaults.
    fn places(&self) -> anyhow::Result<Places> {
        let path = self.config_path();
        if self.config.is_none() && !path.exists() {
            let pins = Pins::at(Path::new(maps::DEFAULT_PIN_DIR));
            return Ok(Places {
                api: config::default_api(),
                pins,
                known: Known::default(),
            });
        }
        let config = Config::load(path)?;
        Ok(Places {
            api: config.api_listen,
            pins: Pins::at(&config.kernel.pin_dir),
            known: config.known(),
        })
    }

    /// Carries out any command but `run`.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being carried out.
    pub fn execute(&self) -> anyhow::Result<()> {
        match &self.command {
            Command::Run { .. } | Command::Check => check(self.config_path()),
            Command::Status { output } => status(&self.places()?, *output),
            Command::Bans { output } => bans(&self.places()?, *output),
            Command::Allowed { output } => allowed::list(&self.places()?, *output),
            Command::Ban {
                target,
                duration,
                note,
            } => ban(&self.places()?, target, *duration, note),
            Command::Unban { target } => unban(&self.places()?, target),
            Command::Mode { mode } => mode::run(&self.places()?, *mode),
            Command::Detach => detach(&self.places()?),
        }
    }
}

/// The object that `run` loads.
#[must_use]
pub fn object_source(bpf_object: Option<&Path>) -> ObjectSource {
    bpf_object.map_or(ObjectSource::Embedded, |path| ObjectSource::File(path.to_owned()))
}

struct Places {
    api: SocketAddr,
    pins: Pins,
    known: Known,
}

impl Places {
    fn api(&self) -> ApiClient {
        ApiClient::new(self.api)
    }

    /// For commands that find no daemon and fall back on the pinned maps.
    fn require_pinned(&self) -> anyhow::Result<()> {
        let path = self.pins.map(maps::BANNED_V4);
        if path
            .try_exists()
            .with_context(|| format!("looking for {}", path.display()))?
        {
            return Ok(());
        }
        bail!(
            "no daemon answers at {} and there is no pinned map {}: SecBeat is not active on this host",
            self.api,
            path.display()
        )
    }
}

fn check(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    let listen = config.proxy.listen;
    println!("{}: ok", path.display());
    println!(
        "edge `{}` proxies {listen} to {}, reports to NATS at {}",
        config.edge_id()?,
        config.proxy.upstream,
        config.nats.url
    );
    if config.enforcement.in_kernel() {
        println!(
            "bans are enforced in the kernel on {}",
            config.kernel.interfaces.join(", ")
        );
    }
    if config.enforcement.at_l7() {
        println!("bans are enforced by the proxy with 403");
    }
    Ok(())
}

/// What `status` shows.
#[derive(Debug, Serialize)]
struct Status {
    running: bool,
    attached: Vec<Attachment>,
    /// `None` where no program is pinned.
    mode: Option<FilterMode>,
    bans_in_kernel: usize,
    packets: Packets,
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<Stats>,
}

fn status(places: &Places, output: Output) -> anyhow::Result<()> {
    let daemon: Option<Stats> = match places.api().get("/api/v1/stats") {
        Ok(stats) => Some(stats),
        Err(CallError::Unreachable(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let attached = kernel::attachments(&places.pins)?;
    let (mode, bans_in_kernel, packets) = if attached.is_empty() {
        (None, 0, Packets::default())
    } else {
        (
            Some(SettingsMap::open(&places.pins)?.mode()?),
            kernel_bans(&places.pins)?.len(),
            kernel::read_totals(&places.pins)?.into(),
        )
    };
    let status = Status {
        running: daemon.is_some(),
        attached,
        mode,
        bans_in_kernel,
        packets,
        daemon,
    };
    match output {
        Output::Json => print_json(&status),
        Output::Table => {
            print_status(&status);
            Ok(())
        }
    }
}

fn print_status(status: &Status) {
    let daemon = match (status.running, status.attached.is_empty()) {
        (true, _) => "running",
        (false, false) => "not running; what is pinned stays enforced",
        (false, true) => "not running",
    };
    println!("daemon     {daemon}");
    if status.attached.is_empty() {
        println!("XDP        not attached");
    }
    for attachment in &status.attached {
        let warning = if attachment.mode == "generic" {
            "  (SLOW: the driver has no native XDP)"
        } else {
            ""
        };
        println!(
            "XDP        {} on {}{warning}",
            attachment.mode, attachment.interface
        );
    }
    if let Some(mode) = status.mode {
        let warning = match mode {
            FilterMode::Enforce => "",
            FilterMode::Observe => "  (banned packets are counted, and pass)",
        };
        println!("mode       {mode}{warning}");
    }
    let packets = &status.packets;
    println!("bans       {} in the kernel", status.bans_in_kernel);
    println!(
        "packets    {} dropped ({} bytes), {} passed",
        packets.dropped, packets.dropped_bytes, packets.passed
    );
    if let Some(daemon) = &status.daemon {
        println!(
            "bus        {}",
            if daemon.bus_connected {
                "connected"
            } else {
                "NATS UNREACHABLE"
            }
        );
        let telemetry = &daemon.telemetry;
        println!(
            "telemetry  {} answers recorded, {} dropped, {} messages lost",
            telemetry.recorded, telemetry.dropped, telemetry.messages_lost
        );
        print_reconcile(&daemon.enforcer.reconcile);
    }
}

fn print_reconcile(reconcile: &ReconcileView) {
    println!(
        "drift      {} bans missing from the kernel, {} in it otherwise, {} unasked for, at the last comparison ({} ms)",
        reconcile.missing, reconcile.differing, reconcile.foreign, reconcile.took_ms
    );
    println!("evictions  {} bans since the daemon started", reconcile.evicted);
    for map in &reconcile.maps {
        println!(
            "fill       {} holds {} in {} slots",
            map.name, map.entries, map.slots
        );
    }
}

fn now() -> Now {
    Now {
        wall_ms: now_ms(),
        boot: boot_now(),
    }
}

/// Bans in the kernel that have not ended.
fn kernel_bans(pins: &Pins) -> anyhow::Result<Vec<BanView>> {
    let now = now();
    let mut bans = BanMaps::open(pins)?.all()?;
    bans.retain(|(_, ban)| ban.ends > now.boot);
    bans.sort_by_key(|(target, _)| *target);
    let held = Floods::open(pins)?.read()?;
    Ok(bans
        .iter()
        .map(|(target, ban)| BanView::of_kernel(target, &held.counted(target, *ban), now))
        .collect())
}

fn bans(places: &Places, output: Output) -> anyhow::Result<()> {
    let bans: Vec<BanView> = match places.api().get("/api/v1/bans") {
        Ok(bans) => bans,
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            kernel_bans(&places.pins)?
        }
        Err(error) => return Err(error.into()),
    };
    if output == Output::Json {
        return print_json(&bans);
    }
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header([
        "TARGET", "REASON", "ORIGIN", "LAYER", "ENDS IN", "STRIKES", "DROPPED", "NOTE",
    ]);
    for ban in &bans {
        table.add_row([
            ban.target.clone(),
            ban.reason.clone(),
            ban.origin.clone(),
            ban.layer.clone(),
            left(ban.expires_in_ms),
            ban.strikes.to_string(),
            ban.dropped_packets.to_string(),
            ban.note.clone(),
        ]);
    }
    println!("{table}");
    Ok(())
}

fn ban(places: &Places, target: &Prefix, duration: HumanDuration, note: &str) -> anyhow::Result<()> {
    // The daemon may have no means to know of this session.
    if let Some(operator) = sessions::operator().filter(|operator| target.contains(*operator)) {
        bail!("{target} is not banned: your own SSH session comes from {operator}");
    }
    let request = BanRequest {
        target: target.to_string(),
        duration: duration.to_string(),
        note: note.to_owned(),
    };
    match places.api().post::<_, BanView>("/api/v1/bans", &request) {
        Ok(ban) => println!(
            "banned {} for {} on this host",
            ban.target,
            left(ban.expires_in_ms)
        ),
        Err(CallError::Unreachable(_)) => {
            ban_in_kernel(places, target, duration)?;
            println!("banned {target} for {duration} in the kernel; the daemon is not running");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Writes a ban into the pinned maps; the daemon adopts it when it is back.
fn ban_in_kernel(places: &Places, target: &Prefix, duration: HumanDuration) -> anyhow::Result<()> {
    if let Some(why) = target.unbannable() {
        bail!("{target} is never banned: {why}");
    }
    if Protection::find(places.known.clone()).protected().covers(target) {
        bail!("{target} is protected on this host");
    }
    kernel::require_host()?;
    places.require_pinned()?;
    let clock = kernel::jiffy_clock()?;
    let ban = KernelBan {
        ends: boot_now().plus(duration.0),
        reason: maps::reason::MANUAL,
        origin: maps::origin::LOCAL,
        strikes: 0,
        unallowed_in: 0,
        dropped_packets: 0,
        dropped_bytes: 0,
    };
    let mut bans = BanMaps::open(&places.pins)?;
    if target.is_source() {
        return bans.put(target, &ban, &clock);
    }
    for (net, ban) in reconcile::cover(&bans.nets()?, *target, ban) {
        bans.put(&net, &ban, &clock)?;
    }
    Ok(())
}

fn unban(places: &Places, target: &Prefix) -> anyhow::Result<()> {
    match places.api().delete::<Unbanned>(&format!("/api/v1/bans/{target}")) {
        Ok(Unbanned { fleet_ban: true, .. }) => {
            println!(
                "lifted the ban of {target} on this host; the fleet still bans it (secbeat-orchestrator unban {target} lifts it everywhere)"
            );
        }
        Ok(_) => println!("lifted the ban of {target}"),
        Err(CallError::Unreachable(_)) => {
            places.require_pinned()?;
            let mut bans = BanMaps::open(&places.pins)?;
            let Some(ban) = bans.get(target)? else {
                bail!("{target} is not banned here")
            };
            bans.remove(target)?;
            println!("lifted the ban of {target} in the kernel; the daemon is not running");
            if ban.origin == maps::origin::FLEET {
                println!(
                    "the fleet still bans it: a started daemon does so again (secbeat-orchestrator unban {target} lifts it everywhere)"
                );
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn detach(places: &Places) -> anyhow::Result<()> {
    let freed = kernel::detach(&places.pins).context("detaching")?;
    if freed.is_empty() {
        println!("nothing was attached");
    } else {
        println!(
            "detached from {}; no packet is dropped any more",
            freed.join(", ")
        );
    }
    Ok(())
}
