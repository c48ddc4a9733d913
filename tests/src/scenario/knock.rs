//! Watching the kernel for a ban, and packets for it to drop.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant, SystemTime},
};

use socket2::Type;

use crate::lab::{
    bpf::OpenBans,
    fleet::{Family, Fleet},
    interrupt::interrupted,
};

/// The discard service: nothing listens there, and answers are not read.
const DISCARD: u16 = 9;
/// Between two looks at the kernel; the timer adds about as much again.
const PAUSE: Duration = Duration::from_micros(50);

/// When a ban was first seen in the kernel's map, and when it had dropped its first packet.
#[derive(Clone, Copy, Debug)]
pub struct Enforced {
    pub in_kernel: SystemTime,
    pub first_drop: SystemTime,
}

/// Looks for the ban of `source` until it has dropped a packet, and does `between` before each look. `None` after
/// `limit` or a signal.
pub(super) fn watch(
    bans: &OpenBans,
    source: IpAddr,
    limit: Duration,
    mut between: impl FnMut(),
) -> Option<Enforced> {
    let (start, mut in_kernel) = (Instant::now(), None);
    while start.elapsed() < limit && !interrupted() {
        between();
        if let Some(ban) = bans.ban_of(source) {
            let now = SystemTime::now();
            let in_kernel = *in_kernel.get_or_insert(now);
            if ban.dropped_packets > 0 {
                return Some(Enforced {
                    in_kernel,
                    first_drop: now,
                });
            }
        }
        thread::sleep(PAUSE);
    }
    None
}

/// Sends single packets from one address, which are dropped like everything else from there.
#[derive(Debug)]
pub(super) struct Knocker {
    socket: UdpSocket,
    edge: SocketAddr,
}

impl Knocker {
    /// A knocker on the attacker's host.
    ///
    /// # Panics
    ///
    /// When `source` is not an address of that host.
    pub(super) fn new(fleet: &Fleet, family: Family, source: IpAddr) -> Self {
        let socket = fleet.attacker.socket(source, Type::DGRAM);
        socket
            .bind(&SocketAddr::new(source, 0).into())
            .expect("binding an attacker's address");
        Self {
            socket: socket.into(),
            edge: SocketAddr::new(family.edge_for_attacker().ip(), DISCARD),
        }
    }

    /// Sends one packet.
    pub(super) fn knock(&self) {
        // "Port unreachable", the answer to an earlier packet, is reported here; this one is sent all the same.
        let _ = self.socket.send_to(b"knock", self.edge);
    }
}
