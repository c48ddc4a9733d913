//! Clients that look for what is not there, each until it is banned, and again afterwards.

use std::{net::IpAddr, thread::sleep, time::Duration};

use super::Busy;
use crate::lab::{
    client::Client,
    fleet::{Family, Fleet},
};

/// Attackers, each with an address of its own.
pub const ATTACKERS: u8 = 12;
/// Requests that one makes before it is another's turn.
const BURST: usize = 60;
/// How long one waits for an answer, and between two attempts in vain.
const PATIENCE: Duration = Duration::from_millis(200);

/// What they were answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attacks {
    pub answered: u64,
    pub in_vain: u64,
}

/// Lets them attack the fleet's proxy.
#[must_use]
pub fn attack(fleet: &Fleet) -> Busy<Attacks> {
    let addresses = (0..ATTACKERS).map(|n| IpAddr::from([198, 51, 100, 100 + n]));
    for address in addresses.clone() {
        fleet.attacker.add_address("eth0", &format!("{address}/24"));
    }
    let client = |address| {
        Client::new(&fleet.attacker)
            .with_source(address)
            .with_timeout(PATIENCE)
    };
    let mut clients: Vec<_> = addresses.map(client).collect();
    let url = format!("http://{}/missing", Family::V4.edge_for_attacker());
    let mut turn = 0;
    Busy::start(Attacks::default(), move |attacks| {
        let attackers = clients.len();
        let client = &mut clients[turn % attackers];
        turn += 1;
        for _ in 0..BURST {
            if client.get(&url).is_err() {
                client.disconnect();
                attacks.in_vain += 1;
                sleep(PATIENCE / 10);
                break;
            }
            attacks.answered += 1;
        }
    })
}
