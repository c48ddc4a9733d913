//! xdp-filter of xdp-tools: the other filter in XDP.

use std::{fmt::Write as _, process::Command, time::Duration};

use secbeat_programs::{FilterPeer, Row};

use super::{Dropped, tool};
use crate::{
    bench::{
        sources::{BANNED_V4, others},
        track::RECEIVER_END,
    },
    lab::{
        executable::{Executable as _, Program},
        netns::Namespace,
        process::Daemon,
    },
};

const MAP: &str = "/sys/fs/bpf/xdp-filter/filter_ipv4";
/// The flag of a map entry that says that sources are meant, in the least byte of eight.
const SOURCE_FLAG: &str = "01 00 00 00 00 00 00 00";
const MOUNT: [&str; 4] = ["-t", "bpf", "bpf", "/sys/fs/bpf"];
const MOUNTED: &str = "mounted";

/// A mount namespace with a BPF file system of its own: xdp-filter always pins in one and the same folder, where this
/// machine, or another run beside this one, may have its own. Everything pinned goes when the namespace does.
struct Mounts {
    holder: Daemon,
    host: Namespace,
}

impl Mounts {
    fn new(host: &Namespace) -> Result<Self, String> {
        // Once in vain, since a machine that does not let us has something to say about it.
        tool::finish(
            "mounting a BPF file system",
            unshare().arg(Program::Mount.file()).args(MOUNT),
            "",
        )?;
        // Ends by itself with this process, should it be killed.
        let wait = format!("exec tail --pid={} -f /dev/null", std::process::id());
        let script = format!("\"$0\" {} && echo {MOUNTED} && {wait}", MOUNT.join(" "));
        let mut holder = Daemon::spawn(
            "the holder of a mount namespace",
            unshare()
                .arg(Program::Shell.file())
                .args(["-c", &script])
                .arg(Program::Mount.file()),
        );
        holder.wait_for_log(MOUNTED, Duration::from_secs(5));
        Ok(Self {
            holder,
            host: host.clone(),
        })
    }

    fn run(&self, program: Row, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut command = Program::Nsenter.command();
        command
            .arg(format!("--net={}", self.host.path().display()))
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.pid()))
            .arg("--")
            .arg(tool::find(program)?)
            .args(arguments);
        tool::finish(program.name, &mut command, input)
    }
}

fn unshare() -> Command {
    let mut command = Program::Unshare.command();
    command.args(["--mount", "--propagation", "private", "--"]);
    command
}

pub(super) fn install(host: &Namespace) -> Result<Dropped, String> {
    let filter = FilterPeer::XdpFilter.row();
    tool::find(filter)?;
    let mounts = Mounts::new(host)?;
    // A packet that matches nothing is allowed, so that the list is one of denials.
    let load = ["load", "-m", "native", "-p", "allow", "-f", "ipv4", RECEIVER_END];
    mounts.run(filter, &load, "")?;
    mounts.run(filter, &["ip", "-m", "src", BANNED_V4], "")?;
    // The same for the others by one command instead of thousands.
    let mut batch = String::new();
    for other in others() {
        let [a, b, c, d] = other.octets();
        // Writing to a string does not fail.
        let _ = writeln!(
            batch,
            "map update pinned {MAP} key {a} {b} {c} {d} value hex {SOURCE_FLAG}"
        );
    }
    mounts.run(Program::Bpftool.row(), &["batch", "file", "-"], &batch)?;
    Ok(Box::new(move || {
        let status = mounts.run(filter, &["status"], "")?;
        drops_in(&status)
            .map(Some)
            .ok_or_else(|| "xdp-filter's status counts no drops".to_owned())
    }))
}

/// Packets in the line of `XDP_DROP`, over all interfaces.
fn drops_in(status: &str) -> Option<u64> {
    let mut lines = status.lines().map(str::split_whitespace);
    lines.find_map(|mut fields| (fields.next()? == "XDP_DROP").then(|| fields.next()?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::drops_in;

    #[test]
    fn the_dropped_packets_are_found() {
        let status = "CURRENT XDP-FILTER STATUS:\n\nAggregate per-action statistics:\n  \
            XDP_ABORTED                                   0 pkts           0 KiB\n  \
            XDP_DROP                                4210688 pkts      246720 KiB\n  \
            XDP_PASS                                      0 pkts           0 KiB\n";
        assert_eq!(drops_in(status), Some(4_210_688));
    }
}
