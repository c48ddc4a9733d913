//! Packets that are cut off, unusual or hostile, through `BPF_PROG_TEST_RUN`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aya::programs::ProgramError;
use secbeat_common::{
    maps::{self, Ban},
    verdict::Verdict,
};
use secbeat_ebpf::parse::NoSource;
use secbeat_tests::lab::{
    bpf::Filter,
    frames::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN},
    model::{XDP_DROP, XDP_PASS, host_source},
};

const BANNED_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const BANNED_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 1, 0, 0, 0, 7);
const TARGET_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const TARGET_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);
const ETHERNET_HEADER: usize = 14;

fn filter_with_bans() -> Filter {
    let mut filter = Filter::load();
    let ban = Ban {
        expires_jiffies: u64::MAX,
        expires_boot_ns: u64::MAX,
        ..Ban::default()
    };
    filter.ban(BANNED_V4.into(), ban);
    filter.ban(BANNED_V6.into(), ban);
    filter
}

/// The verdict that was counted for `packet`, after checking that it is the only one and that the action fits it.
#[track_caller]
fn verdict_on(filter: &Filter, packet: &[u8]) -> Verdict {
    let before = filter.counters();
    let action = filter.test_run(packet).action;
    let after = filter.counters();
    let counted: Vec<Verdict> = Verdict::ALL
        .into_iter()
        .filter(|slot| after[*slot as usize].packets != before[*slot as usize].packets)
        .collect();
    assert_eq!(counted.len(), 1, "counted as {counted:?}");
    let verdict = counted[0];
    let bytes = after[verdict as usize].bytes - before[verdict as usize].bytes;
    assert_eq!(bytes, packet.len() as u64, "bytes counted as {}", verdict.name());
    assert_eq!(
        action,
        if verdict == Verdict::Banned {
            XDP_DROP
        } else {
            XDP_PASS
        },
        "{}",
        verdict.name()
    );
    verdict
}

/// All who come through a translator share a /64.
#[test]
fn a_translators_client_is_judged_as_the_ipv4_client_alone() {
    let mut filter = filter_with_bans();
    let through = |client: Ipv4Addr| {
        let address = Ipv6Addr::from_bits(0x0064_ff9b << 96 | u128::from(client.to_bits()));
        frames::datagram_from(address.into(), &[])
    };
    let neighbour = Ipv4Addr::new(198, 51, 100, 8);
    assert_eq!(verdict_on(&filter, &through(BANNED_V4)), Verdict::Banned);
    assert_eq!(verdict_on(&filter, &through(neighbour)), Verdict::Clean);
    // The allowlist knows it under the same name.
    filter.allow("198.51.100.0/24".parse().unwrap());
    assert_eq!(verdict_on(&filter, &through(BANNED_V4)), Verdict::Allowed);
}

#[test]
fn what_cannot_be_parsed_passes_and_is_counted() {
    let filter = filter_with_bans();
    for tags in [&[][..], &[ETHERTYPE_VLAN], &[ETHERTYPE_QINQ, ETHERTYPE_VLAN]] {
        for (source, header) in [(IpAddr::V4(BANNED_V4), 20), (IpAddr::V6(BANNED_V6), 40)] {
            let whole = frames::datagram_from(source, tags);
            let link = ETHERNET_HEADER + 4 * tags.len();
            for length in ETHERNET_HEADER..=whole.len() {
                let expected = match length {
                    _ if length < link => Verdict::NotIp,
                    _ if length < link + header => Verdict::Malformed,
                    _ => Verdict::Banned,
                };
                let cut = &whole[..length];
                assert_eq!(
                    verdict_on(&filter, cut),
                    expected,
                    "{length} of {} bytes, tags {tags:04x?}",
                    whole.len()
                );
                let host = match expected {
                    Verdict::NotIp => Err(NoSource::NotIp),
                    Verdict::Malformed => Err(NoSource::Malformed),
                    _ => Ok(source),
                };
                assert_eq!(
                    host_source(cut),
                    host,
                    "the host's parser on {length} of {} bytes",
                    whole.len()
                );
            }
        }
    }
}

#[test]
fn the_kernel_itself_runs_nothing_shorter_than_an_ethernet_header() {
    let filter = filter_with_bans();
    let whole = frames::datagram_from(BANNED_V4.into(), &[]);
    for length in 0..ETHERNET_HEADER {
        let error = filter
            .try_test_run(maps::PROGRAM, &whole[..length])
            .expect_err("a run of less than 14 bytes");
        let ProgramError::SyscallError(error) = error else {
            unreachable!("{error}")
        };
        assert_eq!(
            error.io_error.raw_os_error(),
            Some(libc::EINVAL),
            "{length} bytes"
        );
        // The program would pass it, had it to: so says the host's build of its parser.
        assert_eq!(
            host_source(&whole[..length]),
            Err(NoSource::NotIp),
            "{length} bytes"
        );
    }
    assert_eq!(
        filter.counters().map(|counter| counter.packets),
        [0; Verdict::COUNT]
    );
}

#[test]
fn a_third_tag_hides_the_source_and_passes() {
    let filter = filter_with_bans();
    for inner in [ETHERTYPE_VLAN, ETHERTYPE_QINQ] {
        for source in [IpAddr::V4(BANNED_V4), IpAddr::V6(BANNED_V6)] {
            let packet = frames::datagram_from(source, &[ETHERTYPE_QINQ, ETHERTYPE_VLAN, inner]);
            assert_eq!(verdict_on(&filter, &packet), Verdict::NotIp, "{source}");
        }
    }
}

#[test]
fn protocols_other_than_ip_pass() {
    let filter = filter_with_bans();
    // A request of the banned address for the target's hardware address (RFC 826).
    let mut request = vec![0, 1, 0x08, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2];
    request.extend(BANNED_V4.octets());
    request.extend([0; 6]);
    request.extend(TARGET_V4.octets());
    for tags in [&[][..], &[ETHERTYPE_VLAN]] {
        assert_eq!(
            verdict_on(&filter, &frames::ethernet(tags, ETHERTYPE_ARP, &request)),
            Verdict::NotIp
        );
    }
    for ethertype in [0x0000, 0x05dc, 0x88cc, 0x8847, 0xffff] {
        let packet = frames::ethernet(
            &[],
            ethertype,
            &frames::ipv4(BANNED_V4, TARGET_V4, 0, 17, &[0; 30]),
        );
        assert_eq!(verdict_on(&filter, &packet), Verdict::NotIp, "{ethertype:#06x}");
    }
}

#[test]
fn every_fragment_of_a_banned_ipv4_source_is_dropped() {
    let filter = filter_with_bans();
    // The first, one in the middle, the last, and one that may not be fragmented.
    for fragment in [0x2000, 0x2000 | 185, 370, 0x4000] {
        let packet = frames::ipv4(BANNED_V4, TARGET_V4, fragment, 17, &[0x5e; 64]);
        let packet = frames::ethernet(&[], ETHERTYPE_IPV4, &packet);
        assert_eq!(
            verdict_on(&filter, &packet),
            Verdict::Banned,
            "flags and offset {fragment:#06x}"
        );
    }
}

#[test]
fn ipv4_options_do_not_hide_the_source() {
    let filter = filter_with_bans();
    for words in 5..=15_u8 {
        let mut packet = frames::ipv4(BANNED_V4, TARGET_V4, 0, 17, &[1; 60]);
        packet[0] = 0x40 | words;
        let packet = frames::ethernet(&[], ETHERTYPE_IPV4, &packet);
        assert_eq!(
            verdict_on(&filter, &packet),
            Verdict::Banned,
            "a header of {words} words"
        );
    }
}

#[test]
fn ipv6_extension_headers_do_not_hide_the_source() {
    let filter = filter_with_bans();
    let options = [17, 0, 1, 4, 0, 0, 0, 0];
    let fragment = [17, 0, 0x05, 0xa8, 0, 0, 0, 1];
    // Hop-by-hop, routing, fragment, destination options, none, and one that nobody has heard of.
    for (next_header, header) in [
        (0, options),
        (43, options),
        (44, fragment),
        (60, options),
        (59, options),
        (253, options),
    ] {
        let packet = frames::ipv6(
            BANNED_V6,
            TARGET_V6,
            next_header,
            &[&header[..], &[0x5e; 24]].concat(),
        );
        let packet = frames::ethernet(&[], ETHERTYPE_IPV6, &packet);
        assert_eq!(
            verdict_on(&filter, &packet),
            Verdict::Banned,
            "next header {next_header}"
        );
    }
}

#[test]
fn an_ip_header_under_the_wrong_ethertype_is_malformed() {
    let filter = filter_with_bans();
    let v4 = frames::ipv4(BANNED_V4, TARGET_V4, 0, 17, &[0; 40]);
    let v6 = frames::ipv6(BANNED_V6, TARGET_V6, 17, &[0; 40]);
    assert_eq!(
        verdict_on(&filter, &frames::ethernet(&[], ETHERTYPE_IPV6, &v4)),
        Verdict::Malformed
    );
    assert_eq!(
        verdict_on(&filter, &frames::ethernet(&[], ETHERTYPE_IPV4, &v6)),
        Verdict::Malformed
    );
}

#[test]
fn a_header_length_under_20_bytes_is_malformed() {
    let filter = filter_with_bans();
    for words in 0..5_u8 {
        let mut packet = frames::ipv4(BANNED_V4, TARGET_V4, 0, 17, &[0; 40]);
        packet[0] = 0x40 | words;
        assert_eq!(
            verdict_on(&filter, &frames::ethernet(&[], ETHERTYPE_IPV4, &packet)),
            Verdict::Malformed,
            "{words}"
        );
    }
}

#[test]
fn a_banned_address_as_the_target_passes() {
    let filter = filter_with_bans();
    let v4 = frames::ethernet(
        &[],
        ETHERTYPE_IPV4,
        &frames::ipv4(TARGET_V4, BANNED_V4, 0, 17, &[0; 40]),
    );
    let v6 = frames::ethernet(
        &[],
        ETHERTYPE_IPV6,
        &frames::ipv6(TARGET_V6, BANNED_V6, 17, &[0; 40]),
    );
    assert_eq!(verdict_on(&filter, &v4), Verdict::Clean);
    assert_eq!(verdict_on(&filter, &v6), Verdict::Clean);
}
