//! Logins over SSH as a host has them on record.

use std::{mem::offset_of, net::IpAddr};

use libc::utmpx;

/// A session file of systemd-logind for a login from `peer`; `state` is `active`, `online` or `closing`.
#[must_use]
pub fn logind_session(peer: IpAddr, state: &str) -> String {
    format!(
        "# This is private data. Do not parse.\nUID=1000\nUSER=alice\nACTIVE=1\nIS_DISPLAY=0\nSTATE={state}\n\
         REMOTE=1\nTYPE=tty\nCLASS=user\nSCOPE=session-3.scope\nREMOTE_HOST={peer}\nSERVICE=sshd\nLEADER=4242\n"
    )
}

/// A login record of the process `pid` at the terminal `line`, from `peer`.
#[must_use]
pub fn utmp_record(peer: IpAddr, line: &str, pid: u32) -> Vec<u8> {
    let mut record = vec![0; size_of::<utmpx>()];
    let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
    put(offset_of!(utmpx, ut_type), &libc::USER_PROCESS.to_ne_bytes());
    put(offset_of!(utmpx, ut_pid), &pid.to_ne_bytes());
    put(offset_of!(utmpx, ut_line), line.as_bytes());
    match peer {
        IpAddr::V4(v4) => put(offset_of!(utmpx, ut_addr_v6), &v4.octets()),
        IpAddr::V6(v6) => put(offset_of!(utmpx, ut_addr_v6), &v6.octets()),
    }
    record
}
