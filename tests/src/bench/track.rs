//! Two hosts joined by veth: one sends real frames as fast as it can, the other does with them what is measured.

use std::{
    fs, io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use socket2::{Socket, Type};

use crate::{
    bench::{
        gro,
        programs::generator,
        syscall,
        tally::{Reach, Tally, check_counted},
    },
    lab::{
        frames,
        netns::{End, Namespace, link},
    },
};

const SENDER_END: &str = "out";
/// The measured end of the link.
pub const RECEIVER_END: &str = "in";
/// Frames per call of the driver: the most that veth's NAPI takes at once.
const BATCH: u32 = 64;
/// Some 25 ms of drops, in which what the run before left to be freed is freed.
const WARM_UP: u32 = 64 * 2048;
/// What the last batch may need on its way through the receiver's softirq.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// One run of frames and what must become of them.
pub struct Run<'a> {
    /// Sends the frames out of [`Track::sender_ifindex`]; runs on the sender.
    pub generator: BorrowedFd<'a>,
    pub frame: &'a [u8],
    pub count: u32,
    pub reach: Reach,
    /// What the measured counts of these frames by itself, in total; `None` when it does not count.
    pub counted: &'a dyn Fn() -> Result<Option<u64>, String>,
}

/// The two hosts.
#[derive(Debug)]
pub struct Track {
    sender: Namespace,
    receiver: Namespace,
    receiver_ifindex: u32,
    repeating: OwnedFd,
    /// Takes in what nothing drops, or each such frame would be answered with an ICMP error. Nobody reads from it.
    _sink: Socket,
}

impl Track {
    /// # Panics
    ///
    /// When a host or the link cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let (sender, receiver) = (Namespace::new("sender"), Namespace::new("receiver"));
        // Or its neighbour discovery would be counted among the frames.
        write_setting(&sender, "net/ipv6/conf/default/disable_ipv6", "1");
        // No link-local address, so that the receiver does not talk to the sender either.
        write_setting(&receiver, "net/ipv6/conf/default/addr_gen_mode", "1");
        link(
            End {
                namespace: &sender,
                interface: SENDER_END,
                addresses: &[],
            },
            End {
                namespace: &receiver,
                interface: RECEIVER_END,
                addresses: &["192.0.2.1/24", "2001:db8:0:1::1/64"],
            },
        );
        // The frames' own target, or the stack would take them as another host's.
        receiver.ip(&["link", "set", RECEIVER_END, "address", frames::RECEIVER_MAC]);
        for family in ["-4", "-6"] {
            receiver.ip(&[family, "route", "add", "default", "dev", RECEIVER_END]);
        }
        // veth takes redirected frames only where it polls (NAPI): with an XDP program, or with GRO as hardware has it.
        receiver
            .enter(|| gro::switch_on(RECEIVER_END))
            .expect("switching GRO on");
        let receiver_ifindex = receiver.ifindex(RECEIVER_END);
        let repeating = generator::repeating(sender.ifindex(SENDER_END)).expect("loading the generator");
        Self {
            repeating,
            _sink: sink(&receiver).expect("opening a socket for frames that pass"),
            sender,
            receiver,
            receiver_ifindex,
        }
    }

    /// The generator that sends one frame again and again.
    #[must_use]
    pub fn repeating(&self) -> BorrowedFd<'_> {
        self.repeating.as_fd()
    }

    /// The interface that frames leave through, for another generator.
    #[must_use]
    pub fn sender_ifindex(&self) -> u32 {
        self.sender.ifindex(SENDER_END)
    }

    /// The host that is attacked, to defend it.
    #[must_use]
    pub fn receiver(&self) -> &Namespace {
        &self.receiver
    }

    /// Attaches `program` to the receiving end until the descriptor is closed.
    ///
    /// # Errors
    ///
    /// When the kernel or the driver refuses.
    pub fn attach(&self, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        self.receiver
            .enter(|| syscall::attach_native(program, self.receiver_ifindex))
    }

    /// Sends the frames and returns nanoseconds per frame, the generator's included.
    ///
    /// # Errors
    ///
    /// When not every frame came as far as it should, or was not counted.
    pub fn time(&self, run: &Run<'_>) -> Result<f64, String> {
        let start = self.tally();
        self.send(run.generator, run.frame, WARM_UP);
        self.wait_for(start.received + u64::from(WARM_UP));
        let (tally, counted) = (self.tally(), (run.counted)()?);
        let elapsed = self.send(run.generator, run.frame, run.count);
        self.wait_for(tally.received + u64::from(run.count));
        self.tally().since(tally).check(run.count, run.reach)?;
        check_counted((run.counted)()?, counted, u64::from(run.count))?;
        Ok(elapsed.as_nanos() as f64 / f64::from(run.count))
    }

    /// Sends frames on this thread's CPU and returns the time until the last of them was sent.
    ///
    /// # Panics
    ///
    /// When the kernel refuses.
    pub fn send(&self, generator: BorrowedFd<'_>, frame: &[u8], count: u32) -> Duration {
        self.sender.enter(|| {
            let start = Instant::now();
            syscall::send_live(generator, frame, count, BATCH).expect("sending live frames");
            start.elapsed()
        })
    }

    /// How many frames have come how far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.receiver.enter(|| Tally::read(RECEIVER_END))
    }

    /// Waits until this many frames are received; gives up in silence, since the counts say the same.
    fn wait_for(&self, received: u64) {
        let start = Instant::now();
        while self.tally().received < received && start.elapsed() < STRAGGLERS {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Default for Track {
    fn default() -> Self {
        Self::new()
    }
}

fn write_setting(host: &Namespace, name: &str, value: &str) {
    host.enter(|| fs::write(format!("/proc/sys/{name}"), value))
        .unwrap_or_else(|error| panic!("setting {name}: {error}"));
}

fn sink(host: &Namespace) -> io::Result<Socket> {
    let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let socket = host.socket(any, Type::DGRAM);
    socket.set_only_v6(false)?;
    // The least that the kernel allows; full after a few frames.
    socket.set_recv_buffer_size(1)?;
    socket.bind(&SocketAddr::new(any, frames::PORT).into())?;
    Ok(socket)
}
