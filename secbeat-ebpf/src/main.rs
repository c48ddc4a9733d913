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
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_boot_ns},
    macros::xdp,
    programs::XdpContext,
};
use secbeat_common::{maps::ClockReading, verdict::Verdict};
use secbeat_ebpf::parse::Frame;

use crate::clock::Clock;

/// Drops what is banned and passes everything else, also whatever it cannot parse.
#[xdp]
pub(crate) fn secbeat(context: XdpContext) -> u32 {
    run::<clock::Jiffies>(&context)
}

/// The same for drivers that hand over a packet in several buffers (jumbo frames); needs Linux 5.18.
#[xdp(frags)]
pub(crate) fn secbeat_frags(context: XdpContext) -> u32 {
    run::<clock::Jiffies>(&context)
}

#[inline(always)]
fn run<C: Clock>(context: &XdpContext) -> u32 {
    // SAFETY: the kernel's own bounds of the packet; the verifier checks each access against them.
    let frame = unsafe { Frame::new(context.data(), context.data_end()) };
    let verdict = filter::judge::<C>(&frame);
    count(verdict, frame.len());
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
    use super::{XdpContext, clock::alternatives, run, xdp};

    #[xdp]
    pub(crate) fn forgetful(context: XdpContext) -> u32 {
        run::<alternatives::Forgetful>(&context)
    }

    #[xdp]
    pub(crate) fn with_boot(context: XdpContext) -> u32 {
        run::<alternatives::Boot>(&context)
    }

    #[xdp]
    pub(crate) fn with_coarse(context: XdpContext) -> u32 {
        run::<alternatives::Coarse>(&context)
    }

    #[xdp]
    pub(crate) fn without_clock(context: XdpContext) -> u32 {
        run::<alternatives::Never>(&context)
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
