//! SecBeat's programs: `secbeat` and its kin filter packets; the edge runs `clock_probe`, which reads the kernel's clocks, and
//! `table_probe` and `list_probe`, which look an address up in a table.
#![no_std]
#![no_main]

mod address;
mod clock;
mod event;
mod filter;
mod flood;
mod lane;
mod lists;
mod maps;

use aya_ebpf::{
    bindings::{
        TC_ACT_SHOT, TC_ACT_UNSPEC,
        bpf_hdr_start_off::BPF_HDR_START_NET,
        xdp_action::{XDP_DROP, XDP_PASS},
    },
    helpers::generated::{
        bpf_jiffies64, bpf_ktime_get_boot_ns, bpf_skb_load_bytes_relative, bpf_xdp_get_buff_len,
    },
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use secbeat_common::{
    maps::{ClockReading, PROOF},
    verdict::Verdict,
};
use secbeat_ebpf::parse::{self, Frame, NoSource, Packet};

use crate::clock::Clock;

/// Drops what is banned and passes everything else, also whatever it cannot parse.
#[xdp]
pub(crate) fn secbeat(context: XdpContext) -> u32 {
    let frame = frame(&context);
    xdp_action(run::<clock::Jiffies>(
        &frame,
        parse::ethernet(&frame),
        frame.len(),
        || interface(&context),
    ))
}

/// The same for drivers that hand over a packet in several buffers (jumbo frames); needs Linux 5.18.
#[xdp(frags)]
pub(crate) fn secbeat_frags(context: XdpContext) -> u32 {
    let frame = frame(&context);
    let bytes = length_of_all_buffers(&context, &frame);
    xdp_action(run::<clock::Jiffies>(
        &frame,
        parse::ethernet(&frame),
        bytes,
        || interface(&context),
    ))
}

/// The same in the stack's ingress hook, for what XDP cannot be attached to.
#[classifier]
pub(crate) fn secbeat_tc(context: TcContext) -> i32 {
    let frame = linear(&context);
    tc_action(run::<clock::Jiffies>(
        &frame,
        parse::ethernet(&frame),
        context.len().into(),
        || interface_in_stack(&context),
    ))
}

/// The same on interfaces whose packets have no Ethernet header of their own.
#[classifier]
pub(crate) fn secbeat_tc_ip(context: TcContext) -> i32 {
    let frame = linear(&context);
    tc_action(run::<clock::Jiffies>(
        &frame,
        as_the_stack_has_it(&context, &frame),
        context.len().into(),
        || interface_in_stack(&context),
    ))
}

/// The packet that the stack has found in `frame`, by its protocol and the place of its network header.
#[inline(always)]
fn as_the_stack_has_it(context: &TcContext, frame: &Frame) -> Result<Packet, NoSource> {
    let mut start = [0_u64; 2];
    // SAFETY: the context that this program was called with, and a buffer of that length.
    let (failed, ethertype) = unsafe {
        let failed = bpf_skb_load_bytes_relative(
            context.skb.skb.cast_const().cast(),
            0,
            (&raw mut start).cast(),
            size_of::<[u64; 2]>() as u32,
            BPF_HDR_START_NET,
        );
        (failed, (*context.skb.skb).protocol)
    };
    if failed != 0 {
        return Err(NoSource::NotIp);
    }
    // In network order, in the lower half.
    parse::network(frame, start, u16::from_be(ethertype as u16))
}

/// The part of a packet that lies in one piece, with all its headers in it.
#[inline(always)]
fn linear(context: &TcContext) -> Frame {
    /// Of the longest headers that are read, without IPv6's extensions: Ethernet, a tag, PPPoE, IPv6, ports.
    const HEADERS: u32 = 14 + 4 + 8 + 40 + 4;
    let frame = |context: &TcContext| {
        // SAFETY: the kernel's own bounds of the packet; the verifier checks each access against them.
        unsafe { Frame::new(context.data(), context.data_end()) }
    };
    let (there, wanted) = (frame(context), context.len().min(HEADERS));
    if there.len() >= u64::from(wanted) {
        return there;
    }
    // If there is no memory for it, what is there is judged.
    let _ = context.pull_data(wanted);
    frame(context)
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

/// The number of the interface that a packet came in by.
#[inline(always)]
fn interface(context: &XdpContext) -> u32 {
    // SAFETY: the context that this program was called with.
    unsafe { (*context.ctx).ingress_ifindex }
}

/// The number of the interface whose hook this is.
#[inline(always)]
fn interface_in_stack(context: &TcContext) -> u32 {
    // SAFETY: as above.
    unsafe { (*context.skb.skb).ifindex }
}

/// Judges and counts a packet of `bytes` bytes, of which `frame` are in its first buffer; is it to be dropped? Only for one that would
/// be, `interface` is asked.
#[inline(always)]
fn run<C: Clock>(
    frame: &Frame,
    packet: Result<Packet, NoSource>,
    bytes: u64,
    interface: impl FnOnce() -> u32,
) -> bool {
    let mut verdict = filter::judge::<C>(frame, packet, bytes);
    if verdict == Verdict::Banned && filter::is_observed(interface) {
        verdict = Verdict::Observed;
    }
    count(verdict, bytes);
    match verdict {
        Verdict::Banned => true,
        Verdict::Clean
        | Verdict::Expired
        | Verdict::Allowed
        | Verdict::Observed
        | Verdict::NotIp
        | Verdict::Malformed
        | Verdict::OtherPort => false,
    }
}

#[inline(always)]
const fn xdp_action(is_dropped: bool) -> u32 {
    if is_dropped { XDP_DROP } else { XDP_PASS }
}

/// Leaves what passes to the programs behind this one.
#[inline(always)]
const fn tc_action(is_dropped: bool) -> i32 {
    if is_dropped { TC_ACT_SHOT } else { TC_ACT_UNSPEC }
}

#[inline(always)]
fn count(verdict: Verdict, bytes: u64) {
    if let Some(counter) = maps::COUNTERS.get_ptr_mut(verdict as u32) {
        // SAFETY: this CPU's own slot, and no program that takes packets in is preempted by another one on the same CPU.
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

/// Writes the line of a record over the start of its packet: see [`TABLE_PROBE`](secbeat_common::maps::TABLE_PROBE). Run through
/// `BPF_PROG_TEST_RUN`, never attached.
#[xdp]
pub(crate) fn table_probe(context: XdpContext) -> u32 {
    let start = context.data();
    if start + size_of::<[u8; 16]>() <= context.data_end() {
        // SAFETY: within the packet, checked above.
        let halves = unsafe { (start as *const [u64; 2]).read_unaligned() };
        let found = maps::NET_TABLES
            .get(PROOF)
            .and_then(|table| filter::find(table, halves.map(u64::from_be)));
        // SAFETY: as above.
        unsafe { (start as *mut u32).write_unaligned(found.unwrap_or(0)) };
    }
    XDP_PASS
}

/// Writes the lists of an address over the start of its packet: see [`LIST_PROBE`](secbeat_common::maps::LIST_PROBE). Run through
/// `BPF_PROG_TEST_RUN`, never attached.
#[xdp]
pub(crate) fn list_probe(context: XdpContext) -> u32 {
    let start = context.data();
    if start + size_of::<[u8; 16]>() <= context.data_end() {
        // SAFETY: within the packet, checked above.
        let halves = unsafe { (start as *const [u64; 2]).read_unaligned() };
        let [upper, lower] = halves.map(u64::from_be);
        let found = lists::find_lists(PROOF, upper, lower);
        // SAFETY: as above.
        unsafe { (start as *mut u64).write_unaligned(found) };
    }
    XDP_PASS
}

/// The same program with other clocks, and without its memory of floods, for `cargo xtask bench xdp`.
#[cfg(feature = "bench-clocks")]
mod clock_variants {
    use super::{
        XdpContext,
        clock::{Clock, alternatives},
        frame, interface, parse, run, xdp, xdp_action,
    };

    #[inline(always)]
    fn run_with<C: Clock>(context: &XdpContext) -> u32 {
        let frame = frame(context);
        xdp_action(run::<C>(&frame, parse::ethernet(&frame), frame.len(), || {
            interface(context)
        }))
    }

    #[xdp]
    pub(crate) fn forgetful(context: XdpContext) -> u32 {
        run_with::<alternatives::Forgetful>(&context)
    }

    #[xdp]
    pub(crate) fn with_boot(context: XdpContext) -> u32 {
        run_with::<alternatives::Boot>(&context)
    }

    #[xdp]
    pub(crate) fn with_coarse(context: XdpContext) -> u32 {
        run_with::<alternatives::Coarse>(&context)
    }

    #[xdp]
    pub(crate) fn without_clock(context: XdpContext) -> u32 {
        run_with::<alternatives::Never>(&context)
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
