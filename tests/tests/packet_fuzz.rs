//! 20,000 random and mutated frames with a fixed seed: the kernel does what the host's build of the parser over
//! ordinary maps does, and counts what it counts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a failure here is the failure to report"
)]

use std::net::{IpAddr, Ipv6Addr};

use secbeat_common::maps::{Ban, ClockReading, mode};
use secbeat_tests::lab::{bpf::Filter, frames, model::Model};

const FRAMES: usize = 20_000;
const SEED: u64 = 0x5ec_bea7;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// One of few addresses, so that many frames meet a ban, an allowlisted prefix, or a neighbour of one.
fn any_source(random: &mut Random) -> IpAddr {
    let low = random.below(16) as u8;
    if random.below(2) == 0 {
        IpAddr::from([198, 51, 100, low])
    } else {
        let subnet = u16::from(random.below(8) as u8);
        IpAddr::V6(Ipv6Addr::new(
            0x2001,
            0xdb8,
            0xbad,
            subnet,
            0,
            0,
            0,
            u16::from(low),
        ))
    }
}

fn any_frame(random: &mut Random) -> Vec<u8> {
    let ethertypes = [
        frames::ETHERTYPE_IPV4,
        frames::ETHERTYPE_IPV6,
        frames::ETHERTYPE_VLAN,
        frames::ETHERTYPE_QINQ,
        frames::ETHERTYPE_ARP,
        0x9100,
    ];
    let tags: Vec<u16> = (0..random.below(4))
        .map(|_| random.pick(&ethertypes[2..4]))
        .collect();
    let mut frame = frames::datagram_from(any_source(random), &tags);
    match random.below(8) {
        // As it is.
        0..=2 => {}
        // One to three bytes of the headers changed.
        3 | 4 => {
            for _ in 0..=random.below(3) {
                let at = 12 + random.below(60.min(frame.len() - 12));
                frame[at] = random.next() as u8;
            }
        }
        // Cut off anywhere.
        5 => frame.truncate(14 + random.below(frame.len() - 14)),
        // Another EtherType over the same bytes.
        6 => {
            let at = 12 + 4 * random.below(tags.len() + 1);
            frame[at..at + 2].copy_from_slice(&random.pick(&ethertypes).to_be_bytes());
        }
        // Noise behind a plausible EtherType.
        _ => {
            let noise: Vec<u8> = (0..random.below(120)).map(|_| random.next() as u8).collect();
            frame = frames::ethernet(&tags, random.pick(&ethertypes), &noise);
        }
    }
    frame
}

/// Bans that last, that have ended by either clock, and prefixes that may not be dropped; the same on both sides.
fn configure(filter: &mut Filter, model: &mut Model, random: &mut Random) {
    let lasting = Ban {
        expires_jiffies: u64::MAX,
        expires_boot_ns: u64::MAX,
        ..Ban::default()
    };
    for _ in 0..14 {
        let source = any_source(random);
        let ban = match random.below(4) {
            0 => Ban {
                expires_jiffies: 1,
                ..lasting
            },
            1 => Ban {
                expires_boot_ns: 1,
                dropped_packets: random.below(130) as u64,
                ..lasting
            },
            _ => lasting,
        };
        filter.ban(source, ban);
        model
            .bans
            .insert(secbeat_common::prefix::Prefix::of_source(source), ban);
    }
    for allowed in [
        "198.51.100.4/30",
        "198.51.100.9",
        "2001:db8:bad:1::3/128",
        "2001:db8:bad:2::8/125",
        "2001:db8:bad:7::/64",
    ] {
        let prefix = allowed.parse().unwrap();
        filter.allow(prefix);
        model.allowed.push(prefix);
    }
}

#[test]
fn the_kernel_agrees_with_the_host_on_twenty_thousand_frames() {
    let (mut filter, mut model, mut random) = (Filter::load(), Model::default(), Random(SEED));
    configure(&mut filter, &mut model, &mut random);
    // Ends are either far in the past or never, so one reading serves the whole test.
    let now: ClockReading = filter.clocks();
    for number in 0..FRAMES {
        if number % 1000 == 0 {
            model.mode = random.pick(&[mode::ENFORCE, mode::ENFORCE, mode::OBSERVE]);
            filter.set_mode(model.mode);
        }
        let frame = any_frame(&mut random);
        let (verdict, action) = model.judge(&frame, now);
        assert_eq!(
            filter.test_run(&frame).action,
            action,
            "frame {number}, {}: {frame:02x?}",
            verdict.name()
        );
        assert_eq!(
            filter.counters(),
            model.counters,
            "after frame {number}, {}: {frame:02x?}",
            verdict.name()
        );
    }
    for (prefix, ban) in &model.bans {
        assert_eq!(
            filter.ban_of(prefix.addr()),
            Some(*ban),
            "the ban of {prefix} at the end"
        );
    }
    let met = model.counters.map(|counter| counter.packets);
    assert!(
        met.iter().all(|packets| *packets > 100),
        "some verdicts hardly occurred: {met:?}"
    );
}
