//! Every program of the object judges alike: XDP, XDP for several buffers, the stack's ingress hook, and the same for interfaces without
//! Ethernet headers; and what ports do to a verdict. The kernel runs that one on frames alone: bare packets come from tunnels
//! (`tests/daemons/devices.rs`).

use std::net::IpAddr;

use secbeat_common::{
    maps::{self, Settings, mode},
    verdict::Verdict,
};
use secbeat_tests::lab::{
    bpf::Filter,
    frames::{
        ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_PPPOE, ETHERTYPE_VLAN, ethernet, ipv4, ipv6,
    },
    model::{XDP_DROP, XDP_PASS},
};

use super::tables::NEVER_ENDING;

const BANNED: [&str; 2] = ["198.51.100.7", "2001:db8:bad:1::7"];
const CLEAN: [&str; 2] = ["198.51.100.8", "2001:db8:bad:2::7"];
const TARGETS: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
const TCP: u8 = 6;
const UDP: u8 = 17;
/// ICMP, IGMP, IP in IP, IPv6 in IP, RSVP, GRE, ESP, AH, ICMPv6, OSPF, L2TP, SCTP (whose ports bans do not know), UDP-Lite, for
/// experiments, and reserved.
const WITHOUT_PORTS: [u8; 15] = [1, 2, 4, 41, 46, 47, 50, 51, 58, 89, 115, 132, 136, 253, 255];

/// The programs, with what each returns for a packet that is dropped and for one that passes. `TC_ACT_SHOT` is 2, and
/// `TC_ACT_UNSPEC`, which lets the next program decide, -1.
const PROGRAMS: [(&str, u32, u32); 4] = [
    (maps::PROGRAM, XDP_DROP, XDP_PASS),
    (maps::PROGRAM_FRAGS, XDP_DROP, XDP_PASS),
    (maps::PROGRAM_TC, 2, u32::MAX),
    (maps::PROGRAM_TC_IP, 2, u32::MAX),
];

/// An IP packet with `payload` after its header.
fn packet(source: &str, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    match source.parse().unwrap() {
        IpAddr::V4(source) => ipv4(source, TARGETS[0].parse().unwrap(), fragment, protocol, payload),
        IpAddr::V6(source) => ipv6(source, TARGETS[1].parse().unwrap(), protocol, payload),
    }
}

/// To `port`, from some other one, and long enough for any header.
fn to_port(port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    [&[0x9c, 0x40, high, low][..], &[0; 36]].concat()
}

fn framed(packet: &[u8], tags: &[u16]) -> Vec<u8> {
    let ethertype = if packet[0] >> 4 == 4 {
        ETHERTYPE_IPV4
    } else {
        ETHERTYPE_IPV6
    };
    ethernet(tags, ethertype, packet)
}

fn in_pppoe(packet: &[u8]) -> Vec<u8> {
    let protocol: u8 = if packet[0] >> 4 == 4 { 0x21 } else { 0x57 };
    let length = u16::try_from(packet.len() + 2).unwrap().to_be_bytes();
    let session = [&[0x11, 0, 0, 7], &length[..], &[0, protocol], packet].concat();
    ethernet(&[], ETHERTYPE_PPPOE, &session)
}

/// The frames in which a program finds an IP packet. The one for interfaces without Ethernet headers goes by the kernel's own offset, and
/// reads no tags.
fn forms(program: &str, packet: &[u8]) -> Vec<Vec<u8>> {
    match program {
        maps::PROGRAM_TC_IP => vec![framed(packet, &[])],
        _ => vec![
            framed(packet, &[]),
            framed(packet, &[ETHERTYPE_VLAN]),
            in_pppoe(packet),
        ],
    }
}

#[track_caller]
fn expect(filter: &Filter, program: &str, packet: &[u8], verdict: Verdict, action: u32) {
    for form in forms(program, packet) {
        let before = filter.counters();
        let outcome = filter.try_test_run(program, &form).unwrap();
        let after = filter.counters();
        assert_eq!(outcome.action, action, "{program} on {form:02x?}");
        assert_eq!(outcome.packet, form, "{program} changed a packet");
        for slot in Verdict::ALL {
            let counted = after[slot as usize].packets - before[slot as usize].packets;
            assert_eq!(
                counted,
                u64::from(slot == verdict),
                "{} by {program} for {form:02x?}",
                slot.name()
            );
        }
        let bytes = after[verdict as usize].bytes - before[verdict as usize].bytes;
        assert_eq!(bytes, form.len() as u64);
    }
}

#[test]
fn every_program_judges_alike() {
    for (program, drop, pass) in PROGRAMS {
        let mut filter = Filter::load_whole();
        for source in BANNED {
            filter.ban(source.parse().unwrap(), NEVER_ENDING);
        }
        for (banned, clean) in BANNED.into_iter().zip(CLEAN) {
            let banned = packet(banned, UDP, 0, &to_port(443));
            expect(&filter, program, &banned, Verdict::Banned, drop);
            expect(
                &filter,
                program,
                &packet(clean, UDP, 0, &to_port(443)),
                Verdict::Clean,
                pass,
            );
        }
        filter.set_mode(mode::OBSERVE);
        expect(
            &filter,
            program,
            &packet(BANNED[0], UDP, 0, &to_port(1)),
            Verdict::Observed,
            pass,
        );
        filter.set_mode(mode::ENFORCE);
        filter.allow("198.51.100.7/32".parse().unwrap());
        expect(
            &filter,
            program,
            &packet(BANNED[0], UDP, 0, &to_port(1)),
            Verdict::Allowed,
            pass,
        );
    }
}

/// The kernel runs a test as if the packet had come in by the loopback interface.
#[test]
fn an_interface_that_observes_lets_banned_packets_pass_and_others_drop_them() {
    const LOOPBACK: u32 = 1;
    for (program, drop, pass) in PROGRAMS {
        let mut filter = Filter::load_whole();
        for source in BANNED {
            filter.ban(source.parse().unwrap(), NEVER_ENDING);
        }
        filter.ban_net("203.0.113.0/24".parse().unwrap(), NEVER_ENDING);
        let of = |source| packet(source, UDP, 0, &to_port(443));
        let in_net = of("203.0.113.77");
        let nets_in_use = maps::nets::TRIE;
        for (observing, verdict, action) in [
            (LOOPBACK + 1, Verdict::Banned, drop),
            (LOOPBACK, Verdict::Observed, pass),
        ] {
            filter.observe_on(&[observing]);
            filter.set_settings(Settings {
                mode: mode::SOME_OBSERVE,
                nets_in_use,
                ..Settings::default()
            });
            // Also from the memory of whom it has just dropped.
            for _ in 0..200 {
                expect(&filter, program, &of(BANNED[0]), verdict, action);
            }
            expect(&filter, program, &of(BANNED[1]), verdict, action);
            expect(&filter, program, &in_net, verdict, action);
            expect(&filter, program, &of(CLEAN[0]), Verdict::Clean, pass);
        }
        // The host's mode comes first, and what is no longer told is not looked at.
        for (mode, verdict, action) in [
            (mode::OBSERVE, Verdict::Observed, pass),
            (mode::ENFORCE, Verdict::Banned, drop),
        ] {
            filter.set_mode(mode);
            expect(&filter, program, &of(BANNED[0]), verdict, action);
        }
    }
}

#[test]
fn what_is_not_ip_passes_every_program() {
    for (program, _, pass) in PROGRAMS {
        let filter = Filter::load_whole();
        let other = ethernet(&[], ETHERTYPE_ARP, &[0; 46]);
        let before = filter.counters();
        assert_eq!(
            filter.try_test_run(program, &other).unwrap().action,
            pass,
            "{program}"
        );
        let slot = Verdict::NotIp as usize;
        assert_eq!(
            filter.counters()[slot].packets,
            before[slot].packets + 1,
            "{program}"
        );
    }
}

/// Its bytes are those of a banned client's packet.
#[test]
fn what_the_stack_takes_for_another_protocol_is_not_read_as_ip() {
    const ETHERTYPE_MPLS: u16 = 0x8847;
    let mut filter = Filter::load_whole();
    filter.ban(BANNED[0].parse().unwrap(), NEVER_ENDING);
    let packet = packet(BANNED[0], UDP, 0, &to_port(443));
    for (ethertype, action, verdict) in [
        (ETHERTYPE_IPV4, 2, Verdict::Banned),
        (ETHERTYPE_IPV6, u32::MAX, Verdict::Malformed),
        (ETHERTYPE_MPLS, u32::MAX, Verdict::NotIp),
    ] {
        let before = filter.counters();
        let frame = ethernet(&[], ethertype, &packet);
        let outcome = filter.try_test_run(maps::PROGRAM_TC_IP, &frame).unwrap();
        assert_eq!(outcome.action, action, "{ethertype:#x}");
        let slot = verdict as usize;
        assert_eq!(
            filter.counters()[slot].packets,
            before[slot].packets + 1,
            "{ethertype:#x}"
        );
    }
}

/// Tunnels and IPsec among them: what counts is who the outer header is from.
#[test]
fn a_ban_drops_packets_of_every_protocol() {
    for (program, drop, pass) in PROGRAMS {
        let mut filter = Filter::load_whole();
        for source in BANNED {
            filter.ban(source.parse().unwrap(), NEVER_ENDING);
        }
        let of_banned = packet(BANNED[0], UDP, 0, &to_port(443));
        for protocol in WITHOUT_PORTS {
            for (banned, clean) in BANNED.into_iter().zip(CLEAN) {
                // A whole header, none, and one of a banned client where a header would be.
                for payload in [&to_port(443)[..], &[], &of_banned[..]] {
                    let hit = packet(banned, protocol, 0, payload);
                    expect(&filter, program, &hit, Verdict::Banned, drop);
                    let other = packet(clean, protocol, 0, payload);
                    expect(&filter, program, &other, Verdict::Clean, pass);
                }
            }
        }
    }
}

#[test]
fn bans_of_some_ports_let_all_other_packets_pass() {
    for (program, drop, pass) in PROGRAMS {
        let mut filter = Filter::load_whole();
        for source in BANNED {
            filter.ban(source.parse().unwrap(), NEVER_ENDING);
        }
        filter.set_ports(&[80, 443, 65_535]);
        for source in BANNED {
            for protocol in [TCP, UDP] {
                for port in [80, 443, 65_535] {
                    let hit = packet(source, protocol, 0, &to_port(port));
                    expect(&filter, program, &hit, Verdict::Banned, drop);
                }
                for port in [0, 22, 79, 81, 444, 65_534] {
                    let other = packet(source, protocol, 0, &to_port(port));
                    expect(&filter, program, &other, Verdict::OtherPort, pass);
                }
            }
            for protocol in WITHOUT_PORTS {
                let other = packet(source, protocol, 0, &to_port(443));
                expect(&filter, program, &other, Verdict::OtherPort, pass);
            }
        }
        // A later fragment follows the ban, and so does a header that is cut off.
        expect(
            &filter,
            program,
            &packet(BANNED[0], TCP, 5, &to_port(22)),
            Verdict::Banned,
            drop,
        );
        expect(
            &filter,
            program,
            &packet(BANNED[0], TCP, 0, &[1, 2, 3]),
            Verdict::Banned,
            drop,
        );
        for clean in CLEAN {
            expect(
                &filter,
                program,
                &packet(clean, TCP, 0, &to_port(443)),
                Verdict::Clean,
                pass,
            );
        }
    }
}

#[test]
fn a_flood_to_one_port_is_not_remembered_for_another_one() {
    let mut filter = Filter::load_whole();
    filter.ban(BANNED[0].parse().unwrap(), NEVER_ENDING);
    filter.set_ports(&[443]);
    for _ in 0..300 {
        expect(
            &filter,
            maps::PROGRAM_TC_IP,
            &packet(BANNED[0], TCP, 0, &to_port(443)),
            Verdict::Banned,
            2,
        );
    }
    let ssh = packet(BANNED[0], TCP, 0, &to_port(22));
    expect(&filter, maps::PROGRAM_TC_IP, &ssh, Verdict::OtherPort, u32::MAX);
    filter.set_settings(Settings::default());
    expect(&filter, maps::PROGRAM_TC_IP, &ssh, Verdict::Banned, 2);
}
