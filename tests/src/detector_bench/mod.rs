//! What `bench-detector` is made of: a module for each part.

mod import;
mod intake;
mod join;
mod journal;
mod memory;
mod observe;
mod signatures;

use std::net::Ipv4Addr;

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

/// What a scanner asks for.
const MISSING: Request<'_> = Request {
    status: 404,
    method: "GET",
    path: "/wp-content/plugins/revslider/readme.txt",
    host: "www.example.org",
};

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
