//! SecBeat's XDP programs: `secbeat` filters packets, `clock_probe` reads the kernel's clocks for the edge.
#![no_std]
#![no_main]

mod clock;
mod event;
mod filter;
mod flood;
mod maps;

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_boot_ns, bpf_xdp_get_buff_len},
    macros::xdp,
    programs::XdpContext,
};
use secbeat_common::{maps::ClockReading, verdict::Verdict};
use secbeat_ebpf::parse::Frame;

use crate::clock::Clock;

/// Drops what is banned and passes everything else, also whatever it cannot parse.
#[xdp]
pub(crate) fn secbeat(context: XdpContext) -> u32 {
    let frame = frame(&context);
    run::<clock::Jiffies>(&frame, frame.len())
}

/// The same for drivers that hand over a packet in several buffers (jumbo frames); needs Linux 5.18.
#[xdp(frags)]
pub(crate) fn secbeat_frags(context: XdpContext) -> u32 {
    let frame = frame(&context);
    run::<clock::Jiffies>(&frame, length_of_all_buffers(&context, &frame))
}

#[inline(always)]
fn frame(context: &XdpContext) -> Frame {
    // SAFETY: the kernel's own bounds of the packet; the verifier checks each access against them.
    unsafe { Frame::new(context.data(), context.data_end()) }
}

/// Bytes of a packet over all its buffers. A driver fills the first one before it takes another, so only a packet that
/// is longer than ordinary ones there can go on elsewhere, and no other pays for asking.
#[inline(always)]
fn length_of_all_buffers(context: &XdpContext, frame: &Frame) -> u64 {
    /// 1500 bytes behind an Ethernet header and two VLAN tags.
    const ORDINARY: u64 = 1522;
    if frame.len() <= ORDINARY {
        return frame.len();
    }
    // SAFETY: the context that this program was called with.
    unsafe { bpf_xdp_get_buff_len(context.ctx) }
}

/// Judges and counts a packet of `bytes` bytes, of which `frame` are in its first buffer.
#[inline(always)]
fn run<C: Clock>(frame: &Frame, bytes: u64) -> u32 {
    let verdict = filter::judge::<C>(frame, bytes);
    count(verdict, bytes);
    match verdict {
        Verdict::Banned => XDP_DROP,
        Verdict::Clean
        | Verdict::Expired
        | Verdict::Allowed
        | Verdict::Observed
        | Verdict::NotIp
        | Verdict::Malformed => XDP_PASS,
    }
}

#[inline(always)]
fn count(verdict: Verdict, bytes: u64) {
    if let Some(counter) = maps::COUNTERS.get_ptr_mut(verdict as u32) {
        // SAFETY: this CPU's own slot, and XDP is not preempted by another XDP program on the same CPU.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += bytes;
        }
    }
}

/// Writes a [`ClockReading`] over the start of its packet. Run through `BPF_PROG_TEST_RUN`, never attached.
#[xdp]
pub(crate) fn clock_probe(context: XdpContext) -> u32 {
    let start = context.data();
    if start + size_of::<ClockReading>() <= context.data_end() {
        // SAFETY: helpers without arguments; the write is within the packet, checked above.
        unsafe {
            *(start as *mut u64) = bpf_jiffies64();
            *((start + 8) as *mut u64) = bpf_ktime_get_boot_ns();
        }
    }
    XDP_PASS
}

/// The same program with other clocks, and without its memory of floods, for `cargo xtask bench xdp`.
#[cfg(feature = "bench-clocks")]
mod clock_variants {
    use super::{XdpContext, clock::alternatives, frame, run, xdp};

    #[xdp]
    pub(crate) fn forgetful(context: XdpContext) -> u32 {
        let frame = frame(&context);
        run::<alternatives::Forgetful>(&frame, frame.len())
    }

    #[xdp]
    pub(crate) fn with_boot(context: XdpContext) -> u32 {
        let frame = frame(&context);
        run::<alternatives::Boot>(&frame, frame.len())
    }

    #[xdp]
    pub(crate) fn with_coarse(context: XdpContext) -> u32 {
        let frame = frame(&context);
        run::<alternatives::Coarse>(&frame, frame.len())
    }

    #[xdp]
    pub(crate) fn without_clock(context: XdpContext) -> u32 {
        let frame = frame(&context);
        run::<alternatives::Never>(&frame, frame.len())
    }
}

/// The licence that the kernel requires for the helpers used; the source is also MIT OR Apache-2.0.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
