//! What `cargo xtask demo`, `behavioral` and `bench e2e` do to a fleet.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use secbeat_common::maps::Ban;

use crate::lab::{
    client::Client,
    fleet::{Family, Fleet},
    interrupt::interrupted,
    wait::wait_until,
};

/// How often an attacker knocks once it has made its errors, to see the first packet dropped.
const KNOCK: Duration = Duration::from_micros(200);

/// An attack, in the order in which things happened; times since its first error was answered.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    pub fiftieth_error: Duration,
    /// When the ban was first seen in the kernel's map.
    pub in_kernel: Duration,
    /// When the ban first counted a dropped packet.
    pub first_drop: Duration,
    /// Errors answered in all.
    pub answered: u32,
}

/// Makes `errors` requests for missing pages (until the ban comes), and watches the kernel meanwhile.
///
/// # Panics
///
/// When the ban does not come.
#[must_use]
pub fn attack(fleet: &Fleet, family: Family, errors: u32) -> Attack {
    let attacker = family.attacker();
    let watch = {
        let pins = fleet.pins();
        thread::spawn(move || {
            let (mut in_kernel, mut first_drop) = (None, None);
            let start = Instant::now();
            while first_drop.is_none() && start.elapsed() < Duration::from_secs(20) && !interrupted() {
                if let Some(ban) = pins.ban_of(attacker) {
                    in_kernel.get_or_insert_with(Instant::now);
                    if ban.dropped_packets > 0 {
                        first_drop = Some(Instant::now());
                    }
                }
                thread::sleep(KNOCK);
            }
            (in_kernel, first_drop)
        })
    };
    let (mut client, mut answers) = (fleet.attacking(family), Vec::new());
    for n in 0..errors {
        let timeout = client.get(&format!("http://{}/missing-{n}", family.edge_for_attacker()));
        if !matches!(timeout, Ok(404)) {
            break;
        }
        answers.push(Instant::now());
    }
    let mut knocker = Knocker::new(fleet, attacker, family);
    while !watch.is_finished() {
        knocker.knock();
        thread::sleep(KNOCK);
    }
    let (in_kernel, first_drop) = watch.join().expect("the watch of the kernel died");
    assert!(answers.len() >= 50, "only {} errors were answered", answers.len());
    let since_first = |at: Option<Instant>| at.expect("no ban came").duration_since(answers[0]);
    Attack {
        fiftieth_error: since_first(Some(answers[49])),
        in_kernel: since_first(in_kernel),
        first_drop: since_first(first_drop),
        answered: u32::try_from(answers.len()).expect("few answers"),
    }
}

/// Sends single UDP packets from one address, which costs nobody anything and is dropped like everything else.
pub struct Knocker {
    socket: std::net::UdpSocket,
    target: std::net::SocketAddr,
}

impl Knocker {
    /// A knocker that sends from `source` to the edge.
    ///
    /// # Panics
    ///
    /// When `source` is not an address of the attacker's host.
    #[must_use]
    pub fn new(fleet: &Fleet, source: IpAddr, family: Family) -> Self {
        let socket = fleet.attacker.socket(source, socket2::Type::DGRAM);
        socket.bind(&std::net::SocketAddr::new(source, 0).into()).expect("binding an attacker's address");
        // Port 9 is the discard service; nothing listens there, and the answers are not read.
        Self { socket: socket.into(), target: std::net::SocketAddr::new(family.edge_for_attacker().ip(), 9) }
    }

    /// Sends one packet.
    pub fn knock(&mut self) {
        // A port that answered "unreachable" before the ban reports it here; the packet is sent all the same.
        let _ = self.socket.send_to(b"knock", self.target);
    }
}

/// Waits until `address` is no longer banned and `client` is served again; tells how long the wait was.
///
/// # Panics
///
/// When that does not happen within `limit`.
pub fn await_end(fleet: &Fleet, family: Family, limit: Duration) -> Duration {
    let start = Instant::now();
    let url = format!("http://{}/", family.edge_for_attacker());
    wait_until("the attacker is served again", limit, || {
        Client::new(&fleet.attacker)
            .with_source(family.attacker())
            .with_timeout(Duration::from_millis(200))
            .get(&url)
            .is_ok_and(|status| status == 200)
    });
    start.elapsed()
}

/// When the orchestrator decided a ban, relative to the same start as `at`, from its API.
#[must_use]
pub fn bpftool_dump(fleet: &Fleet, family: Family) -> String {
    let map = if family == Family::V4 { "BANNED_V4" } else { "BANNED_V6" };
    let output = std::process::Command::new("bpftool")
        .args(["map", "dump", "pinned"])
        .arg(fleet.pin_folder().join(map))
        .output()
        .expect("running bpftool");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The ban's fields for one line.
#[must_use]
pub fn describe(ban: &Ban) -> String {
    format!("{} packets ({} bytes) dropped, {} strikes", ban.dropped_packets, ban.dropped_bytes, ban.strikes)
}
