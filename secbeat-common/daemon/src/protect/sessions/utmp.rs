//! Login records, `utmp(5)`: an array of fixed-size records.

use std::{
    fs::File,
    io::{self, Read as _},
    net::{IpAddr, Ipv6Addr},
    path::Path,
};

use nix::{
    errno::Errno,
    libc::{USER_PROCESS, utmpx},
    sys::signal::kill,
    unistd::Pid,
};

use super::Login;

pub const PATH: &str = "/run/utmp";

/// More than any host has; the rest of a longer file is not read.
const MAX_BYTES: u64 = 4 << 20;

pub(super) fn logins(path: &Path) -> io::Result<Vec<Login>> {
    let mut records = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut records)?;
    Ok(logins_in(&records, LAYOUT, is_alive))
}

/// Offsets of the fields of a record. glibc has two layouts: with 32-bit times on x86, POWER and s390x, whatever their
/// word size, and with 64-bit times on newer architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    size: usize,
    /// The kind of record, 16 bits, at the beginning of each.
    kind: usize,
    pid: usize,
    line: usize,
    /// Seconds, in the architecture's order of bytes: of a wider field the lower half, which lasts until 2106.
    time: usize,
    address: usize,
}

/// Offset of the lower four bytes in a field with as many bytes as [`utmpx`] has for seconds.
const LOWER_HALF: usize = match cfg!(target_endian = "big") {
    true => SECONDS - 4,
    false => 0,
};

/// Two such fields are `ut_tv`.
const SECONDS: usize = (std::mem::offset_of!(utmpx, ut_addr_v6) - std::mem::offset_of!(utmpx, ut_tv)) / 2;

/// This machine's.
const LAYOUT: Layout = Layout {
    size: size_of::<utmpx>(),
    kind: std::mem::offset_of!(utmpx, ut_type),
    pid: std::mem::offset_of!(utmpx, ut_pid),
    line: std::mem::offset_of!(utmpx, ut_line),
    time: std::mem::offset_of!(utmpx, ut_tv) + LOWER_HALF,
    address: std::mem::offset_of!(utmpx, ut_addr_v6),
};

/// The logins at a terminal whose process is alive.
fn logins_in(records: &[u8], layout: Layout, is_alive: impl Fn(i32) -> bool) -> Vec<Login> {
    let login = |record: &[u8]| {
        let kind = i16::from_ne_bytes(field(record, layout.kind)?);
        // FTP servers write records as well, with lines such as `ftpd4242`.
        let at_terminal = [&b"pts/"[..], b"tty"]
            .iter()
            .any(|line| record[layout.line..].starts_with(line));
        // A host that crashed, or an sshd that did, leaves its records behind.
        let alive = || field(record, layout.pid).is_some_and(|pid| is_alive(i32::from_ne_bytes(pid)));
        if kind != USER_PROCESS || !at_terminal || !alive() {
            return None;
        }
        Some(Login {
            at_s: u64::from(u32::from_ne_bytes(field(record, layout.time)?)),
            peer: address(field(record, layout.address)?)?,
        })
    };
    records.chunks_exact(layout.size).filter_map(login).collect()
}

fn field<const N: usize>(record: &[u8], at: usize) -> Option<[u8; N]> {
    record.get(at..at + N)?.try_into().ok()
}

/// `ut_addr_v6`: network order; an IPv4 address is followed by zeros, a login on this host is all zeros.
fn address(bytes: [u8; 16]) -> Option<IpAddr> {
    let [a, b, c, d, rest @ ..] = bytes;
    let address = if rest == [0; 12] {
        IpAddr::from([a, b, c, d])
    } else {
        IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
    };
    (!address.is_unspecified()).then_some(address)
}

fn is_alive(pid: i32) -> bool {
    // Zero and below would be whole groups of processes.
    pid > 0 && matches!(kill(Pid::from_raw(pid), None), Ok(()) | Err(Errno::EPERM))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// glibc's with 32-bit times.
    const NARROW: Layout = Layout {
        size: 384,
        kind: 0,
        pid: 4,
        line: 8,
        time: 340,
        address: 348,
    };
    /// glibc's with 64-bit times.
    const WIDE: Layout = Layout {
        size: 400,
        time: 344,
        address: 360,
        ..NARROW
    };
    const ALIVE: i32 = 4242;
    /// In 2050.
    const AT: u32 = 2_524_608_000;

    fn record(layout: Layout, kind: i16, pid: i32, line: &str, address: &str) -> Vec<u8> {
        let mut record = vec![0; layout.size];
        let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
        put(layout.kind, &kind.to_ne_bytes());
        put(layout.pid, &pid.to_ne_bytes());
        put(layout.line, line.as_bytes());
        put(layout.time, &AT.to_ne_bytes());
        match address.parse().unwrap() {
            IpAddr::V4(v4) => put(layout.address, &v4.octets()),
            IpAddr::V6(v6) => put(layout.address, &v6.octets()),
        }
        record
    }

    fn found(layout: Layout, records: &[Vec<u8>]) -> Vec<String> {
        let logins = logins_in(&records.concat(), layout, |pid| pid == ALIVE);
        assert!(
            logins.iter().all(|login| login.at_s == u64::from(AT)),
            "{logins:?}"
        );
        logins.iter().map(|login| login.peer.to_string()).collect()
    }

    #[test]
    fn logins_at_terminals_tell_their_peers_in_both_layouts() {
        for layout in [NARROW, WIDE] {
            let records = [
                record(layout, 2, 0, "~", "0.0.0.0"),
                record(layout, 7, ALIVE, "pts/0", "198.51.100.7"),
                record(layout, 7, ALIVE, "tty1", "0.0.0.0"),
                record(layout, 7, ALIVE, "pts/1", "2001:db8::7"),
                record(layout, 7, ALIVE, "pts/2", "::ffff:203.0.113.7"),
            ];
            assert_eq!(
                found(layout, &records),
                ["198.51.100.7", "2001:db8::7", "203.0.113.7"]
            );
        }
    }

    #[test]
    fn ended_logins_dead_processes_and_ftp_tell_nobody() {
        let records = [
            record(NARROW, 8, ALIVE, "pts/0", "198.51.100.7"),
            record(NARROW, 7, 1, "pts/0", "198.51.100.7"),
            record(NARROW, 7, ALIVE, "ftpd4242", "198.51.100.7"),
            record(NARROW, 6, ALIVE, "pts/0", "198.51.100.7"),
        ];
        assert_eq!(found(NARROW, &records), Vec::<String>::new());
    }

    #[test]
    fn a_record_cut_short_is_no_record() {
        let whole = record(NARROW, 7, ALIVE, "pts/0", "198.51.100.7");
        for cut in 0..whole.len() {
            assert_eq!(found(NARROW, &[whole[..cut].to_vec()]), Vec::<String>::new());
        }
    }

    #[test]
    #[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
    fn this_machine_has_the_layout_with_32_bit_times() {
        assert_eq!(LAYOUT, NARROW);
    }

    #[test]
    fn only_processes_are_alive() {
        assert!(is_alive(std::process::id().cast_signed()));
        assert!(!is_alive(0) && !is_alive(-1) && !is_alive(i32::MAX));
    }
}
