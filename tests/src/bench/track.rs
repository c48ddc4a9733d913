//! Two hosts joined by veth: one sends real frames as fast as it can, the other runs the measured program natively.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use crate::{
    bench::{
        programs,
        subject::{Fate, Subject},
        syscall,
    },
    lab::{
        netns::{End, Namespace, link},
        wait::wait_until,
    },
};

const SENDER_END: &str = "out";
const RECEIVER_END: &str = "in";
/// Frames per call of the driver: the most that veth's NAPI takes at once.
const BATCH: u32 = 64;
const WARM_UP: u32 = 64 * 256;

/// The two hosts and the generator.
#[derive(Debug)]
pub struct Track {
    sender: Namespace,
    receiver: Namespace,
    receiver_ifindex: u32,
    generator: OwnedFd,
}

impl Track {
    #[must_use]
    pub fn new() -> Self {
        let (sender, receiver) = (Namespace::new("sender"), Namespace::new("receiver"));
        for host in [&sender, &receiver] {
            // Or its neighbour discovery would be counted among the frames.
            let setting = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
            host.enter(|| fs::write(setting, "1"))
                .expect("switching IPv6 off");
        }
        link(
            End {
                namespace: &sender,
                interface: SENDER_END,
                addresses: &[],
            },
            End {
                namespace: &receiver,
                interface: RECEIVER_END,
                addresses: &[],
            },
        );
        let generator = programs::redirect_to(sender.ifindex(SENDER_END)).expect("loading the generator");
        let receiver_ifindex = receiver.ifindex(RECEIVER_END);
        Self {
            sender,
            receiver,
            receiver_ifindex,
            generator,
        }
    }

    /// Sends `count` frames to the subject and returns nanoseconds per frame, the generator's included.
    ///
    /// # Errors
    ///
    /// When a frame did not reach the program, or the program did not count it as it should.
    pub fn run(&self, subject: &Subject, count: u32) -> Result<f64, String> {
        let attached = || syscall::attach_native(subject.program.as_fd(), self.receiver_ifindex);
        let _link = self
            .receiver
            .enter(attached)
            .map_err(|error| format!("attaching {}: {error}", subject.name))?;
        self.send(subject, WARM_UP);
        let (received, counted) = (self.received(), subject.counted());
        let elapsed = self.send(subject, count);
        // The last batch may still be on its way through the receiver's softirq.
        let all_received = || self.received() - received >= u64::from(count);
        if subject.fate == Fate::Dropped {
            wait_until("every frame is received", Duration::from_secs(2), all_received);
        }
        let (received, counted) = (self.received() - received, subject.counted().zip(counted));
        check(subject, "reached the receiver", received, count)?;
        if let Some((after, before)) = counted {
            check(subject, "were counted by the program", after - before, count)?;
        }
        Ok(elapsed.as_nanos() as f64 / f64::from(count))
    }

    fn send(&self, subject: &Subject, count: u32) -> Duration {
        self.sender.enter(|| {
            let start = Instant::now();
            syscall::send_live(self.generator.as_fd(), &subject.frame, count, BATCH)
                .expect("sending live frames");
            start.elapsed()
        })
    }

    /// Frames that the receiving end has taken in: veth counts them when its NAPI has run the program on them.
    fn received(&self) -> u64 {
        let table = self
            .receiver
            .enter(|| fs::read_to_string("/proc/thread-self/net/dev"))
            .expect("reading net/dev");
        let prefix = format!("{RECEIVER_END}:");
        let line = table
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(&prefix))
            .expect("the receiver's line");
        // Bytes, then packets.
        line.split_whitespace()
            .nth(1)
            .and_then(|packets| packets.parse().ok())
            .expect("a count of packets")
    }
}

impl Default for Track {
    fn default() -> Self {
        Self::new()
    }
}

fn check(subject: &Subject, what: &str, frames: u64, count: u32) -> Result<(), String> {
    if frames == u64::from(count) {
        return Ok(());
    }
    Err(format!(
        "{}: {count} frames were sent, {frames} {what}",
        subject.name
    ))
}
