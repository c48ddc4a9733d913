//! Asks the kernel what the program does with one packet, by a run with the live maps (`BPF_PROG_TEST_RUN`).

use std::net::IpAddr;

use anyhow::Context;
use aya::{TestRun as _, TestRunOptions, programs::Xdp};
use aya_obj::programs::XdpAttachType;
use secbeat_common::maps;

use super::Pins;

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    Tcp(u16),
    Udp(u16),
    /// An echo request.
    Ping,
}

/// Whether a packet of `source` is dropped now, wherever the program runs. The packet is counted like any other one.
///
/// # Errors
///
/// Returns an error if no program is pinned, or the kernel does not run it.
pub fn is_dropped(pins: &Pins, source: IpAddr, carries: Carries) -> anyhow::Result<bool> {
    /// Of `linux/bpf.h`.
    const XDP_DROP: u32 = 1;
    let packet = packet(source, carries);
    let options = TestRunOptions {
        data_in: Some(&packet),
        ..TestRunOptions::new()
    };
    // One of them is loaded always, whatever hooks are used, and all judge alike.
    let paths = maps::XDP_PROGRAMS.map(|name| pins.program(name));
    let path = paths.iter().find(|path| path.exists()).unwrap_or(&paths[0]);
    let program = Xdp::from_pin(path, XdpAttachType::Interface)
        .with_context(|| format!("opening the pinned program {}", path.display()))?;
    let ran = program
        .test_run(options)
        .context("running the program on a packet")?;
    Ok(ran.return_value == XDP_DROP)
}

/// An Ethernet frame as far as the program reads it: checksums are not.
fn packet(source: IpAddr, carries: Carries) -> Vec<u8> {
    let (protocol, payload) = match (carries, source) {
        (Carries::Tcp(port), _) => (6, transport(port)),
        (Carries::Udp(port), _) => (17, transport(port)),
        (Carries::Ping, IpAddr::V4(_)) => (1, vec![8; 20]),
        (Carries::Ping, IpAddr::V6(_)) => (58, vec![128; 20]),
    };
    let mut frame = vec![2; 12];
    match source.to_canonical() {
        IpAddr::V4(source) => {
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend((20 + payload.len() as u16).to_be_bytes());
            frame.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
            frame.extend(source.octets());
            frame.extend([192, 0, 2, 1]);
        }
        IpAddr::V6(source) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((payload.len() as u16).to_be_bytes());
            frame.extend([protocol, 64]);
            frame.extend(source.octets());
            frame.extend([0; 16]);
        }
    }
    frame.extend(payload);
    frame
}

/// The first 20 bytes of a TCP or UDP header, from port 40000.
fn transport(port: u16) -> Vec<u8> {
    let mut header = vec![0x9c, 0x40];
    header.extend(port.to_be_bytes());
    header.resize(20, 0);
    header
}
