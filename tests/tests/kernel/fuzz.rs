//! The kernel against a model of the program, on random and mutated packets and on the fuzzer's corpus.

use secbeat_common::{
    maps::{Ban, Settings},
    prefix::Prefix,
};
use secbeat_tests::{
    differential::{
        self,
        changes::Change,
        packets::{self, Entry, Packet},
        pair::Pair,
    },
    lab::{
        frames::datagram_from,
        model::{Model, host_source},
    },
};

const LASTING: Ban = Ban {
    expires_jiffies: u64::MAX,
    expires_boot_ns: u64::MAX,
    dropped_packets: 0,
    dropped_bytes: 0,
    reason: 1,
    origin: 1,
    strikes: 0,
    unallowed_in: 0,
};

#[test]
fn the_kernel_agrees_with_the_host_on_twenty_thousand_frames() {
    let _ = differential::expect_no_difference(0x5ec_bea7, 20_000);
}

#[test]
fn the_kernel_agrees_with_the_host_on_the_fuzzers_corpus() {
    let corpus = packets::corpus();
    let mut sources = 0;
    let mut pair = Pair::of(Model::default());
    pair.change([Change::Settings(Settings {
        nets_in_use: 1,
        ..Settings::default()
    })]);
    for &frame in &corpus {
        // From now on its source is banned, whatever it is, or its network.
        if let Ok(source) = host_source(frame) {
            sources += 1;
            let net = if source.is_ipv4() { 24 } else { 48 };
            pair.change([if sources % 2 == 0 {
                Change::BanNet(Prefix::new(source, net).unwrap(), LASTING)
            } else {
                Change::Ban(Prefix::single(source), LASTING)
            }]);
        }
        for entry in [Entry::Linear, Entry::Frags] {
            let packet = Packet {
                entry,
                bytes: frame.to_vec(),
            };
            pair.send(&packet)
                .and_then(|()| pair.compare())
                .unwrap_or_else(|difference| panic!("{difference}: {packet:02x?}"));
        }
    }
    assert!(
        sources > 10,
        "only {sources} of {} frames have a source",
        corpus.len()
    );
}

#[test]
fn a_difference_is_found_and_its_packet_named() {
    let source = "198.51.100.7".parse().unwrap();
    let packet = |host: u8| Packet {
        entry: Entry::Linear,
        bytes: datagram_from([198, 51, 100, host].into(), &[]),
    };
    // A ban that only the model has shows in what becomes of the packet.
    let mut pair = Pair::of(Model::default());
    pair.change([Change::Ban(Prefix::host(source), LASTING)]);
    pair.filter.unban(source);
    assert_eq!(pair.send(&packet(6)), Ok(()));
    let difference = pair.send(&packet(7)).unwrap_err();
    assert!(difference.contains("the model says banned"), "{difference}");
    // One that counts otherwise, in the comparison alone.
    let mut pair = Pair::of(Model::default());
    pair.change([Change::Ban(Prefix::host(source), LASTING)]);
    pair.filter.ban(
        source,
        Ban {
            dropped_bytes: 1,
            ..LASTING
        },
    );
    assert_eq!(pair.send(&packet(7)), Ok(()));
    let difference = pair.compare().unwrap_err();
    assert!(
        difference.starts_with("the ban of 198.51.100.7/32:"),
        "{difference}"
    );
}
