//! How far frames came, by the receiving host's own counters.

use std::fs;

/// How far into the receiving host a frame gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Dropped before IP sees it: by XDP, or on the interface's ingress.
    Interface,
    /// Seen by IP, dropped before it is handed to a protocol.
    Ip,
    /// Handed to a socket, whose buffer is full.
    Socket,
}

/// Frames counted at three places, each behind the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Taken in by the interface: veth counts them when its NAPI has run the program on them.
    pub received: u64,
    /// Seen by IP of either family, before any of netfilter's hooks.
    pub seen_by_ip: u64,
    /// Handed to a protocol, behind netfilter's input hook.
    pub delivered: u64,
}

impl Tally {
    /// Reads the counters of this thread's network namespace.
    ///
    /// # Panics
    ///
    /// When the kernel prints them in another form than it always has.
    #[must_use]
    pub fn read(interface: &str) -> Self {
        let read = |file: &str| {
            fs::read_to_string(format!("/proc/thread-self/net/{file}")).expect("reading a network counter")
        };
        let (devices, v4, v6) = (read("dev"), read("snmp"), read("snmp6"));
        let ip = |v4_name, v6_name| {
            snmp(&v4, "Ip:", v4_name).expect("IPv4's counters") + snmp6(&v6, v6_name).unwrap_or(0)
        };
        Self {
            received: received(&devices, interface).expect("the interface's counters"),
            seen_by_ip: ip("InReceives", "Ip6InReceives"),
            delivered: ip("InDelivers", "Ip6InDelivers"),
        }
    }

    /// What was counted after `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            received: self.received - earlier.received,
            seen_by_ip: self.seen_by_ip - earlier.seen_by_ip,
            delivered: self.delivered - earlier.delivered,
        }
    }

    /// Demands that `count` frames, and no others, came exactly as far as `reach`.
    ///
    /// # Errors
    ///
    /// When they did not.
    pub fn check(self, count: u32, reach: Reach) -> Result<(), String> {
        let count = u64::from(count);
        let (seen_by_ip, delivered) = match reach {
            Reach::Interface => (0, 0),
            Reach::Ip => (count, 0),
            Reach::Socket => (count, count),
        };
        let expected = Self {
            received: count,
            seen_by_ip,
            delivered,
        };
        if self == expected {
            return Ok(());
        }
        Err(format!(
            "of {count} frames {} arrived, {} reached IP (expected {seen_by_ip}), {} reached a protocol (expected {delivered})",
            self.received, self.seen_by_ip, self.delivered
        ))
    }
}

/// Demands that what counts by itself has counted `count` frames between two looks.
///
/// # Errors
///
/// When it has not.
pub(super) fn check_counted(after: Option<u64>, before: Option<u64>, count: u64) -> Result<(), String> {
    match after.zip(before).map(|(after, before)| after - before) {
        Some(counted) if counted != count => Err(format!("{count} frames were sent, it counted {counted}")),
        _ => Ok(()),
    }
}

/// Packets that `interface` received, of `net/dev`.
fn received(table: &str, interface: &str) -> Option<u64> {
    let line = table
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
    // Bytes, then packets.
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A counter of `net/snmp`: a line of names, then a line of values, both led by the group.
fn snmp(table: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = table.lines().filter(|line| line.starts_with(group));
    let at = lines.next()?.split_whitespace().position(|it| it == name)?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

/// A counter of `net/snmp6`: a name and a value in each line.
fn snmp6(table: &str, name: &str) -> Option<u64> {
    let mut pairs = table
        .lines()
        .filter_map(|line| line.split_once(char::is_whitespace));
    pairs.find(|(it, _)| *it == name)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let devices = "Inter-|   Receive\n face |bytes    packets errs\n    lo:      0       1\n    in:     74    1234 0\n";
        assert_eq!(received(devices, "in"), Some(1234));
        let v4 = "Ip: Forwarding DefaultTTL InReceives\nIp: 1 64 5678\nIcmp: InMsgs\nIcmp: 9\n";
        assert_eq!(snmp(v4, "Ip:", "InReceives"), Some(5678));
        assert_eq!(snmp(v4, "Ip:", "InDelivers"), None);
        let v6 = "Ip6InReceives                   \t11\nIp6InDelivers                   \t7\n";
        assert_eq!(snmp6(v6, "Ip6InDelivers"), Some(7));
    }
}
