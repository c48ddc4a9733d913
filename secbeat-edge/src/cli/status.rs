//! `status`: what is attached, what was dropped, and how the daemon does, if it runs.

use std::{collections::BTreeMap, time::Duration};

use secbeat_bus::broker::broker;
use secbeat_common::{
    maps::allow,
    wire::{ClockOffset, SignaturesInForce},
};
use secbeat_daemon::{
    api::CallError,
    cli::{Output, print_json},
    exit::Coded,
    program,
    reload::RefusedConfigView,
    time::{left, now_ms, rfc3339},
};
use secbeat_edge_core::FilterMode;
use serde::Serialize;

use super::{Places, bans};
use crate::{
    kernel::{self, Pins, SettingsMap, read_lists},
    stand_in::Local,
    view::{
        AccessLogView, AttachmentView, CertificateView, DetectionView, ListsView, PacketsView, ReconcileView,
        StatsView,
    },
};

/// What `status` shows of this host.
#[derive(Debug, Serialize)]
pub struct Status {
    running: bool,
    /// Whether a daemon is there, and does not answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) hangs: bool,
    pub(super) attached: Vec<AttachmentView>,
    /// `None` where no program is pinned.
    pub(super) mode: Option<FilterMode>,
    pub(super) bans_in_kernel: usize,
    /// The reason why nothing is known of the kernel's maps; then what is said of them is not so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unreadable: Option<String>,
    /// Whether a daemon protects interfaces whose pins are gone, as it cannot see from mounts of its own.
    #[serde(skip)]
    pub(super) has_lost_pins: bool,
    /// Networks that operators of this host have allowlisted at run time.
    allowlisted_here: usize,
    packets: PacketsView,
    pub(super) lists: ListsView,
    /// Bytes of kernel memory by the name of the map.
    kernel_memory: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) daemon: Option<StatsView>,
}

impl Status {
    /// The config that the daemon refused when it read it again.
    #[must_use]
    pub fn refused_config(&self) -> Option<&RefusedConfigView> {
        self.daemon.as_ref()?.refused_config.as_ref()
    }
}

pub(super) fn run(places: &Places, output: Output) -> anyhow::Result<()> {
    let status = Status::look(places)?;
    match output {
        Output::Json => print_json(&status)?,
        Output::Table => status.print(),
    }
    status.ensure_protected()
}

impl Status {
    pub(super) fn look(places: &Places) -> anyhow::Result<Self> {
        let api = places.api().patient(PATIENCE);
        let (daemon, hangs): (Option<StatsView>, _) = match api.get("/api/v1/stats") {
            Ok(stats) => (Some(stats), false),
            Err(CallError::Unreachable(_)) => (None, false),
            Err(error) if bans::is_late(&error) => (None, true),
            Err(error) => return Err(error.into()),
        };
        let attached: Vec<AttachmentView> = match &daemon {
            // It knows of its own network namespace.
            Some(daemon) => daemon.xdp.clone(),
            None => {
                let attachments = kernel::attachments(&places.pins, places.interfaces.as_ref())?;
                attachments.into_iter().map(Into::into).collect()
            }
        };
        let hidden = places.pins.are_hidden();
        let hidden = hidden.then(|| "only root may look into them".to_owned());
        let opened = places.pins.are_there().then(|| SettingsMap::open(&places.pins));
        let failed = opened.and_then(Result::err).map(|error| format!("{error:#}"));
        let protects = attached.iter().any(|attachment| attachment.protected);
        let has_lost_pins = daemon.is_some() && protects && hidden.is_none() && !places.pins.are_there();
        let lost = has_lost_pins.then(|| lost_pins(&places.pins));
        let unreadable = hidden.or(failed).or(lost);
        let are_there = places.pins.are_there() && unreadable.is_none();
        let (mode, bans_in_kernel, packets) = if are_there {
            (
                Some(SettingsMap::open(&places.pins)?.mode()?),
                bans::in_kernel(places)?.len(),
                kernel::read_totals(&places.pins)?.into(),
            )
        } else {
            (None, 0, PacketsView::default())
        };
        let lists = match &daemon {
            Some(daemon) => daemon.lists.clone(),
            None if are_there => ListsView::new(read_lists(&places.pins)?.as_ref(), None)?,
            None => ListsView::default(),
        };
        let allowlisted_here = match &daemon {
            Some(daemon) => daemon.enforcer.allowlisted_here,
            None if are_there => {
                let allowed = kernel::read_allowed(&places.pins)?;
                allowed.values().filter(|reason| **reason == allow::LOCAL).count()
            }
            None => 0,
        };
        Ok(Self {
            running: daemon.is_some(),
            hangs,
            allowlisted_here,
            lists,
            kernel_memory: kernel::memory(&places.pins),
            attached,
            mode,
            bans_in_kernel,
            unreadable,
            has_lost_pins,
            packets,
            daemon,
        })
    }

    /// Whether a daemon answered.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running
    }

    /// Whether a daemon is there that does not answer.
    #[must_use]
    pub const fn hangs(&self) -> bool {
        self.hangs
    }

    /// Returns which edge the daemon is, if it answers.
    #[must_use]
    pub fn edge_id(&self) -> Option<&str> {
        self.daemon.as_ref().map(|daemon| daemon.edge_id.as_str())
    }

    /// Bans that the kernel did not take, or did not remove.
    pub(super) fn unwritten(&self) -> usize {
        self.daemon.as_ref().map_or(0, |daemon| daemon.enforcer.unwritten)
    }

    /// Returns why the kernel does not have the allowlist, if so.
    pub(super) fn allowlist_failed(&self) -> Option<&str> {
        self.daemon.as_ref()?.enforcer.allowlist_failed.as_deref()
    }

    /// Prints it for people.
    pub fn print(&self) {
        print_status(self);
    }

    /// # Errors
    ///
    /// Returns an error if an interface is not protected that should be, or may not be once the daemon has ended, or the kernel does
    /// not have a ban or the allowlist that it should have.
    pub fn ensure_protected(&self) -> anyhow::Result<()> {
        let is_protected = self.attached.iter().all(|attachment| attachment.protected);
        anyhow::ensure!(is_protected, "not every configured interface is protected");
        if let Some(why) = self.unreadable.as_ref().filter(|_| self.has_lost_pins) {
            anyhow::bail!("{why}");
        }
        let unwritten = self.unwritten();
        anyhow::ensure!(unwritten == 0, "{}", refused(unwritten));
        if let Some(why) = self.allowlist_failed() {
            anyhow::bail!("{}", unallowed(why));
        }
        match self.hangs {
            false => Ok(()),
            true => Err(Coded::unavailable(format!("the daemon {HANGS}")).into()),
        }
    }
}

/// Time that a daemon may take to answer; itself it gives up after 5 s.
pub(super) const PATIENCE: Duration = Duration::from_secs(6);

/// What a daemon does that does not answer.
pub(super) const HANGS: &str =
    "HANGS: it runs and does not answer; bans that are in the kernel stay in force, and no others come";

/// That the kernel refused so many bans.
pub(super) fn refused(unwritten: usize) -> String {
    format!("the kernel refused to take or to remove {unwritten} bans; the daemon's log says why")
}

/// That protection may end with the daemon, and what to do.
fn lost_pins(pins: &Pins) -> String {
    let why = pins.check_place().err();
    let why = why.map_or_else(|| "restart the daemon".to_owned(), |error| format!("{error:#}"));
    format!(
        "nothing is pinned in {}, so bans and protection may end with the daemon: {why}",
        pins.dir().display()
    )
}

/// That the kernel does not have the allowlist.
pub(super) fn unallowed(why: &str) -> String {
    format!("the kernel does not have the whole allowlist, and may drop packets of clients on it: {why}")
}

fn print_status(status: &Status) {
    let is_attached = status.attached.iter().any(|attachment| attachment.protected);
    let daemon = match (status.running, !is_attached) {
        (false, _) if status.hangs => HANGS,
        (true, _) => "running",
        (false, false) => "not running; pinned bans stay in force",
        (false, true) => "not running",
    };
    secbeat_daemon::say!("daemon     {daemon}");
    if status.attached.is_empty() {
        secbeat_daemon::say!("XDP        not attached");
    }
    for attachment in &status.attached {
        let AttachmentView { interface, mode, .. } = attachment;
        match (&attachment.why, mode.as_str()) {
            (Some(why), _) => secbeat_daemon::say!("XDP        {interface} is NOT PROTECTED: {why}"),
            (None, "generic") => {
                secbeat_daemon::say!(
                    "XDP        generic on {interface}  (SLOW: the driver has no native XDP)"
                );
            }
            (None, mode) => secbeat_daemon::say!("XDP        {mode} on {interface}"),
        }
        if attachment.observes {
            secbeat_daemon::say!(
                "           {interface} ONLY OBSERVES: banned packets are counted, and pass"
            );
        }
    }
    if let Some(mode) = status.mode {
        let warning = match mode {
            FilterMode::Enforce => "",
            FilterMode::Observe => "  (banned packets are counted, and pass)",
        };
        secbeat_daemon::say!("mode       {mode}{warning}");
    }
    let packets = &status.packets;
    match &status.unreadable {
        Some(why) => secbeat_daemon::say!("kernel     maps unknown: {why}"),
        None => secbeat_daemon::say!("bans       {} in the kernel", status.bans_in_kernel),
    }
    if status.unwritten() > 0 {
        secbeat_daemon::say!(
            "           NOT ENFORCED as they should be: {}",
            refused(status.unwritten())
        );
    }
    if status.allowlisted_here > 0 {
        secbeat_daemon::say!(
            "allowlist  {} of this host's operators (`{} allowlist list`)",
            status.allowlisted_here,
            program::of_host()
        );
    }
    if let Some(why) = status.allowlist_failed() {
        secbeat_daemon::say!("           NOT IN FORCE as it should be: {}", unallowed(why));
    }
    if status.unreadable.is_none() {
        secbeat_daemon::say!(
            "packets    {} dropped ({} bytes), {} passed",
            packets.dropped,
            packets.dropped_bytes,
            packets.passed
        );
    }
    for list in &status.lists.lists {
        secbeat_daemon::say!("list       {}", list.line());
    }
    if status.lists.agrees == Some(false) {
        secbeat_daemon::say!("           THE KERNEL HAS OTHER LISTS than the daemon put in force");
    }
    print_memory(&status.kernel_memory);
    if let Some(daemon) = &status.daemon {
        if let Some(refused) = status.refused_config() {
            secbeat_daemon::say!("config     {}", refused.line());
        }
        secbeat_daemon::say!(
            "{:<10} {}",
            broker(),
            if daemon.bus_connected {
                "connected"
            } else {
                "UNREACHABLE"
            }
        );
        for certificate in &daemon.bus_certificates {
            secbeat_daemon::say!("certificate  {}", certificate.line());
        }
        print_detection(&daemon.detection);
        secbeat_daemon::say!("clock      {}", ClockOffset::tell(daemon.clock));
        let telemetry = &daemon.telemetry;
        secbeat_daemon::say!(
            "telemetry  {} responses recorded, {} lost, {} other messages lost",
            telemetry.recorded,
            telemetry.dropped,
            telemetry.messages_lost
        );
        print_signatures(&daemon.signatures);
        daemon.access_logs.iter().for_each(print_log);
        if daemon.waf.recorded > 0 {
            secbeat_daemon::say!(
                "waf        {} events recorded, {} dropped",
                daemon.waf.recorded,
                daemon.waf.dropped
            );
        }
        if daemon.services.recorded > 0 {
            secbeat_daemon::say!(
                "services   {} attempts recorded, {} dropped",
                daemon.services.recorded,
                daemon.services.dropped
            );
        }
        for server in daemon.proxy.servers.iter().filter(|server| !server.up) {
            secbeat_daemon::say!("upstream   {} of {} IS DOWN", server.url, server.upstream);
        }
        daemon.proxy.certificates.iter().for_each(print_certificate);
        let spool = &telemetry.spool;
        if spool.failing {
            secbeat_daemon::say!(
                "spool      UNUSABLE: telemetry is lost while {} is down",
                broker()
            );
        } else if spool.batches > 0 || !program::is_one_host() {
            secbeat_daemon::say!(
                "spool      {} batches waiting for {} ({} bytes)",
                spool.batches,
                broker(),
                spool.bytes
            );
        }
        let unattributed: u64 = daemon.unattributed.values().sum();
        if unattributed > 0 {
            secbeat_daemon::say!(
                "unattributed  {unattributed} requests of trusted proxies that named no client (see trusted_proxies and client_header)"
            );
        }
        if daemon.proxy_protocol_refused > 0 {
            secbeat_daemon::say!(
                "refused    {} connections without a PROXY header of a trusted proxy",
                daemon.proxy_protocol_refused
            );
        }
        for service in &daemon.unwatched {
            secbeat_daemon::say!("NOT WATCHED {service}");
        }
        for name in &daemon.enforcer.modes_without_interface {
            secbeat_daemon::say!("NO EFFECT  kernel.interface_modes: no interface is called {name}");
        }
        print_reconcile(&daemon.enforcer.reconcile);
    }
}

/// What the kernel's maps take, the largest ones by name.
fn print_memory(maps: &BTreeMap<String, u64>) {
    const NAMED: usize = 3;
    let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let mut largest: Vec<_> = maps.iter().collect();
    if largest.is_empty() {
        return;
    }
    largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
    let named = largest
        .iter()
        .take(NAMED)
        .map(|(name, bytes)| format!("{name} {}", mb(**bytes)));
    secbeat_daemon::say!(
        "memory     {} of the kernel ({}, ...)",
        mb(maps.values().sum()),
        named.collect::<Vec<_>>().join(", ")
    );
}

fn print_signatures(signatures: &SignaturesInForce) {
    let fleet = match &signatures.fleet {
        Some(digest) => format!(", with the fleet's set {digest}"),
        None => String::new(),
    };
    let problems = match signatures.problems {
        0 => String::new(),
        problems => format!(
            ", {problems} LEFT OUT (`{} signatures check` says why)",
            program::of_host()
        ),
    };
    secbeat_daemon::say!("signatures {}{fleet}{problems}", signatures.count);
}

fn print_detection(detection: &DetectionView) {
    let away = detection.away.as_deref().unwrap_or("the fleet decides, too");
    let state = match (detection.local, detection.deciding_since_ms) {
        (Local::Off, _) => return,
        (_, Some(since_ms)) => format!("HERE since {}: {away}", rfc3339(since_ms)),
        (_, None) if !detection.has_rules => "by the fleet; its rules were not heard yet".to_owned(),
        (_, None) => "by the fleet".to_owned(),
    };
    secbeat_daemon::say!("detection  {state}");
    if detection.banned > 0 {
        secbeat_daemon::say!(
            "           {} clients banned by this host's own detector, {} bans taken over by the fleet, {} to be handed over",
            detection.banned,
            detection.taken_over,
            detection.waiting
        );
    }
}

fn print_certificate(certificate: &CertificateView) {
    let now = now_ms();
    let state = match certificate.valid_until_ms {
        None => "NONE YET".to_owned(),
        Some(until) if until <= now => format!("EXPIRED {}", rfc3339(until)),
        Some(until) => format!("until {}", rfc3339(until)),
    };
    let next = certificate.next_attempt_ms.saturating_sub(now);
    let next = match next {
        1.. => format!("asked for in {}", left(next)),
        _ => "asked for now".to_owned(),
    };
    secbeat_daemon::say!(
        "certificate  {}: {state}, the next one is {next}",
        certificate.name
    );
    if let Some(error) = &certificate.error {
        secbeat_daemon::say!("           {} ATTEMPTS FAILED: {error}", certificate.failures);
    }
}

fn print_log(log: &AccessLogView) {
    secbeat_daemon::say!(
        "log        {}: {} lines, {} not understood ({:.1} %), {} bytes behind, {}",
        log.name,
        log.lines,
        log.lines.saturating_sub(log.parsed),
        log.unparsed_share * 100.0,
        log.bytes_behind,
        log.silent_ms
            .map_or("no line since the start".to_owned(), |silent| format!(
                "last line {} s ago",
                silent / 1000
            ))
    );
    if log.unattributed > 0 {
        secbeat_daemon::say!(
            "           {} lines name a trusted proxy, and no client",
            log.unattributed
        );
    }
    if log.ambiguous > 0 {
        secbeat_daemon::say!(
            "           {} lines blame a client, but do not say for certain which: {}",
            log.ambiguous,
            log.reasons.join("; ")
        );
    }
    if log.parsed == 0 && log.lines > 0 {
        secbeat_daemon::say!("           NOTHING IS UNDERSTOOD AS {}", log.format);
    }
    if log.unreadable > 0 {
        secbeat_daemon::say!(
            "           {} lines name their client, and the rest cannot be read: counted as errors of the client",
            log.unreadable
        );
    }
    for reason in log.reasons.iter().filter(|_| log.lines > log.parsed) {
        secbeat_daemon::say!("           {reason}");
    }
    for line in log.doubts.iter().chain(&log.skipped).chain(&log.error) {
        secbeat_daemon::say!("           {line}");
    }
}

fn print_reconcile(reconcile: &ReconcileView) {
    secbeat_daemon::say!(
        "drift      {} missing, {} different, {} unexpected (last reconciliation took {} ms)",
        reconcile.missing,
        reconcile.differing,
        reconcile.foreign,
        reconcile.took_ms
    );
    secbeat_daemon::say!("evictions  {} bans since the daemon started", reconcile.evicted);
    for map in &reconcile.maps {
        secbeat_daemon::say!(
            "fill       {} holds {} in {} slots",
            map.name,
            map.entries,
            map.slots
        );
    }
}
