//! What `bench-detector` is made of: a module for each part.

mod import;
mod intake;
mod join;
mod journal;
mod memory;
mod observe;
mod signatures;

use std::{net::Ipv4Addr, sync::LazyLock};

use secbeat_common::{prefix::Prefix, wire::LearnedFrom};
use secbeat_orchestrator_core::analyzers::{Request, Sighting, UpstreamId};

use crate::bench::parts::Part;

/// All of them, in the order in which they run: memory is measured while the process has none to give back.
pub const PARTS: &[Part] = &[
    Part {
        name: "memory",
        measure: memory::measure,
    },
    Part {
        name: "observe",
        measure: observe::measure,
    },
    Part {
        name: "journal",
        measure: journal::measure,
    },
    Part {
        name: "intake",
        measure: intake::measure,
    },
    Part {
        name: "signatures",
        measure: signatures::measure,
    },
    Part {
        name: "join",
        measure: join::measure,
    },
    Part {
        name: "import",
        measure: import::measure,
    },
];

/// 2026-11-20T10:00:00Z.
const START_MS: i64 = 1_795_168_800_000;

/// Paths that scanners ask for, of as many shapes: what most clients of an upstream get counts against nobody.
static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let letters = || 'a'..='p';
    let pairs = letters().flat_map(|one| letters().map(move |other| (one, other)));
    pairs
        .map(|(one, other)| format!("/wp-content/plugins/revslider-{one}{other}/readme"))
        .collect()
});

/// What a scanner asks for the `n`th time.
fn missing(n: usize) -> Request<'static> {
    Request {
        status: 404,
        method: "GET",
        path: &PATHS[n % PATHS.len()],
        host: "www.example.org",
        user_agent: "Mozilla/5.0",
        signatures: &[],
    }
}

/// The `n`th source: neighbours in number are far apart in the address space, and no two are the same.
fn source(n: u32) -> Prefix {
    Prefix::single(Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b1)).into())
}

fn sighting(n: u32, at_ms: i64, upstream: UpstreamId) -> Sighting {
    Sighting {
        source: source(n),
        at_ms,
        upstream,
        learned_from: LearnedFrom::Peer,
    }
}
