//! Cases about what the fleet keeps on the bus.

mod allowlist;
mod audit;
mod bans;
mod directives;
mod feeds;
mod members;
mod signatures;
mod telemetry;

use secbeat_common::{
    prefix::Prefix,
    sign::{SecretKey, Signer, Trust},
};

pub use self::{
    allowlist::*, audit::*, bans::*, directives::*, feeds::*, members::*, signatures::*, telemetry::*,
};
use super::*;
use crate::make_all;

const NOW_MS: i64 = 1_800_000_000_000;
const WINDOW: Duration = Duration::from_secs(60);

/// A fleet with a key, which made its buckets and logs.
struct Fleet {
    bus: Bus,
    trust: Trust,
    signer: Signer,
}

impl Fleet {
    async fn new(lab: &impl Lab) -> Self {
        let bus = lab.join().await;
        make_all(&bus, WINDOW).await.expect("making everything");
        let key = SecretKey::generate().unwrap();
        Self {
            bus,
            trust: [key.public()].into_iter().collect(),
            signer: Some(key).into(),
        }
    }
}

fn network(n: u8) -> Prefix {
    format!("198.51.100.{n}").parse().unwrap()
}
