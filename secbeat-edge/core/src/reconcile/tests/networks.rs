//! Networks within networks, and how many.

use proptest::prelude::*;

use super::*;

/// Prefixes that often lie within each other, in both families.
pub(in crate::reconcile) fn crowded_prefix() -> impl Strategy<Value = Prefix> {
    let v4 = (0..4_u32, 6..=32_u8).prop_map(|(low, len)| {
        let address = 0xc633_6400 | (low * 0x55);
        Prefix::new(std::net::Ipv4Addr::from(address).into(), len).unwrap()
    });
    let v6 = (0..4_u128, 16..=128_u8).prop_map(|(low, len)| {
        let address = 0x2001_0db8 << 96 | (low * 0x5555) << 48 | low;
        Prefix::new(std::net::Ipv6Addr::from(address).into(), len).unwrap()
    });
    prop_oneof![v4, v6]
}

#[test]
fn an_inner_network_lasts_as_long_as_the_one_around_it_and_is_shortened_with_it() {
    let mut reconciler = reconciler();
    let mut trie = Trie::new();
    let (wide, inner) = (prefix("198.51.100.0/24"), prefix("198.51.100.8/29"));
    let short = reconciler.accept(&command("198.51.100.8/29", 60), NOW, nothing);
    carry_out(&mut reconciler, &[short.unwrap().unwrap()], &mut trie);
    assert_eq!(trie[&inner], at(60));
    let long = reconciler.accept(&command("198.51.100.0/24", 300), NOW, nothing);
    carry_out(&mut reconciler, &[long.unwrap().unwrap()], &mut trie);
    assert_eq!((trie[&wide], trie[&inner]), (at(300), at(300)));
    assert_eq!(
        reconciler.get(&inner).unwrap().ends,
        at(60),
        "its own end is kept"
    );
    let lifted = reconciler.withdraw(&wide).unwrap();
    carry_out(&mut reconciler, &[lifted], &mut trie);
    assert_eq!(trie, Trie::from([(inner, at(60))]));
}

#[test]
fn no_more_networks_are_taken_than_there_is_room_for() {
    const ROOM: u32 = 100;
    let mut reconciler = reconciler();
    reconciler.max_nets = ROOM as usize;
    let net = |n: u32| Prefix::new(std::net::Ipv4Addr::from(0xc612_0000 + n * 4).into(), 30).unwrap();
    let ban = |target| BlockCommand {
        target,
        ..command("198.18.0.0/30", 300)
    };
    for n in 0..ROOM {
        reconciler.accept(&ban(net(n)), NOW, nothing).unwrap();
    }
    let one_more = net(ROOM);
    assert_eq!(
        reconciler.accept(&ban(one_more), NOW, nothing),
        Err(Refusal::TooManyNets(one_more))
    );
    let locally = reconciler.ban_locally(local(one_more, 9, ""), NOW, nothing);
    assert_eq!(locally, Err(Refusal::TooManyNets(one_more)));
    let again = BlockCommand {
        id: Uuid::from_u128(99),
        ..ban(net(0))
    };
    assert!(reconciler.accept(&again, NOW, nothing).is_ok());
    assert!(
        reconciler
            .accept(&command("198.51.100.7", 300), NOW, nothing)
            .is_ok()
    );
    reconciler.withdraw(&net(1)).unwrap();
    assert!(reconciler.accept(&ban(one_more), NOW, nothing).is_ok());
}
