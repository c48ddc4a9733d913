//! Sampled drop events.

use std::net::{IpAddr, Ipv6Addr};

use secbeat_common::{
    maps::{Ban, DropEvent, EVENT_BYTES, Settings, mode, origin, reason},
    verdict::Verdict,
};
use secbeat_tests::lab::{bpf::Filter, frames::datagram_from};

const EVERY: u32 = 256;

fn filter(settings: Settings) -> Filter {
    let mut filter = Filter::load();
    filter.set_settings(Settings {
        allow_generation: 1,
        event_every: EVERY,
        ..settings
    });
    filter
}

fn ban() -> Ban {
    Ban {
        expires_jiffies: u64::MAX,
        expires_boot_ns: u64::MAX,
        reason: reason::REQUEST_FLOOD,
        origin: origin::FLEET,
        unallowed_in: 1,
        ..Ban::default()
    }
}

fn send(filter: &Filter, source: &str, packets: usize) {
    let packet = datagram_from(source.parse().unwrap(), &[]);
    for _ in 0..packets {
        let _ = filter.test_run(&packet);
    }
}

fn source_of(event: &DropEvent) -> IpAddr {
    Ipv6Addr::from(event.source).to_canonical()
}

#[test]
fn the_first_drop_of_a_ban_sends_an_event() {
    for source in ["198.51.100.7", "2001:db8:bad:1::7"] {
        let mut filter = filter(Settings::default());
        let address: IpAddr = source.parse().unwrap();
        filter.ban(address, ban());
        let before = filter.clocks().boot_ns;
        send(&filter, source, 1);
        let events = filter.events();
        let [event] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(source_of(event), address);
        assert_eq!(event.dropped_packets, 1);
        assert_eq!(event.bytes as usize, datagram_from(address, &[]).len());
        assert_eq!(u32::from(event.verdict), Verdict::Banned as u32);
        assert_eq!(
            (event.reason, event.origin),
            (reason::REQUEST_FLOOD, origin::FLEET)
        );
        assert!((before..=filter.clocks().boot_ns).contains(&event.boot_ns));
    }
}

#[test]
fn a_flood_sends_one_event_for_every_so_many_packets() {
    let mut filter = filter(Settings::default());
    filter.ban("198.51.100.7".parse().unwrap(), ban());
    send(&filter, "198.51.100.7", 256 * 20);
    let held_back = filter.held_back().0;
    let counts: Vec<u64> = filter
        .events()
        .iter()
        .map(|event| event.dropped_packets)
        .collect();
    assert_eq!(counts[0], 1);
    // One for each multiple of 256 passed; the last may still be held back.
    let expected = (256 * 20 - held_back) / 256;
    assert_eq!(counts.len() as u64, 1 + expected, "{counts:?}");
    for (number, count) in counts.iter().enumerate().skip(1) {
        let multiple = number as u64 * 256;
        assert!((multiple..multiple + 64).contains(count), "{counts:?}");
    }
}

#[test]
fn observed_packets_send_events_too() {
    let mut filter = filter(Settings {
        mode: mode::OBSERVE,
        ..Settings::default()
    });
    filter.ban("198.51.100.7".parse().unwrap(), ban());
    send(&filter, "198.51.100.7", 1);
    let events = filter.events();
    assert_eq!(events.len(), 1);
    assert_eq!(u32::from(events[0].verdict), Verdict::Observed as u32);
}

#[test]
fn a_banned_network_names_the_address_that_was_dropped() {
    let mut filter = filter(Settings {
        nets_in_use: 1,
        ..Settings::default()
    });
    filter.ban_net("198.51.100.0/24".parse().unwrap(), ban());
    send(&filter, "198.51.100.77", 1);
    let events = filter.events();
    assert_eq!(
        events.iter().map(source_of).collect::<Vec<_>>(),
        [IpAddr::from([198, 51, 100, 77])]
    );
}

#[test]
fn no_events_are_sent_when_they_are_switched_off() {
    let mut filter = filter(Settings::default());
    filter.set_settings(Settings::default());
    filter.ban("198.51.100.7".parse().unwrap(), ban());
    send(&filter, "198.51.100.7", 1000);
    assert!(filter.events().is_empty());
}

#[test]
fn events_that_find_no_room_are_counted_and_the_packet_is_dropped_all_the_same() {
    let mut filter = filter(Settings::default());
    // 8 bytes of header for each event.
    let room = EVENT_BYTES as usize / (size_of::<DropEvent>() + 8);
    let sent = room + 100;
    for number in 0..sent {
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        let source = IpAddr::from([198, 18, high, low]);
        filter.ban(source, ban());
        let _ = filter.test_run(&datagram_from(source, &[]));
    }
    assert_eq!(filter.counters()[Verdict::Banned as usize].packets, sent as u64);
    let (lost, received) = (filter.lost_events(), filter.events().len() as u64);
    assert_eq!(received + lost, sent as u64);
    assert!(lost >= 99, "{lost} lost of {sent} with room for {room}");
}
