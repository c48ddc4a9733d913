//! The writer beside another orchestrator, on a server that answers late, loses answers, and takes writes that were given up.
//!
//! Whatever happens, there is one operation per target under way, each fate is true, and in the end the bucket says what the
//! latest request says, or its fate explains why not. No ban ends a longer one that came in between, unless it shortens.

mod server;
mod world;

use proptest::prelude::*;

use self::world::World;
use super::*;

/// Targets; few, so that much happens to each.
const TARGETS: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Ban {
        target: u32,
        automatic: bool,
        urgency: Urgency,
        lasts_ms: i64,
        shortens: bool,
    },
    /// Of the latest ban of the target.
    Lift {
        target: u32,
    },
    /// The server carries out one of the operations under way; the answer is on its way.
    CarryOut(usize),
    /// An answer comes.
    Answer(usize),
    /// No answer comes; what was not carried out may be later.
    GiveUp(usize),
    /// The server carries out an operation that was given up.
    CarryOutLate(usize),
    TheirBan {
        target: u32,
        lasts_ms: i64,
    },
    TheirLift {
        target: u32,
    },
    /// The watch of the bucket comes to the present.
    Hear {
        target: u32,
    },
    Pass(i64),
    Lease(Tenure),
    TakesBatches(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let target = || 0..TARGETS;
    let urgency = prop_oneof![Just(Urgency::Now), Just(Urgency::Bulk)];
    let tenure = prop_oneof![
        4 => (9..12_u64).prop_map(|epoch| Tenure::Owned { epoch }),
        1 => Just(Tenure::Lapsed),
        1 => Just(Tenure::None),
    ];
    let lasts_ms = || prop_oneof![1..300_i64, Just(300_000), Just(600_000)];
    prop_oneof![
        6 => (target(), any::<(bool, bool)>(), urgency, lasts_ms()).prop_map(
            |(target, (automatic, shortens), urgency, lasts_ms)| {
                Step::Ban { target, automatic, urgency, lasts_ms, shortens }
            }
        ),
        3 => target().prop_map(|target| Step::Lift { target }),
        10 => any::<usize>().prop_map(Step::CarryOut),
        8 => any::<usize>().prop_map(Step::Answer),
        4 => any::<usize>().prop_map(Step::GiveUp),
        2 => any::<usize>().prop_map(Step::CarryOutLate),
        2 => (target(), lasts_ms()).prop_map(|(target, lasts_ms)| Step::TheirBan { target, lasts_ms }),
        1 => target().prop_map(|target| Step::TheirLift { target }),
        4 => target().prop_map(|target| Step::Hear { target }),
        4 => (0..2_500_i64).prop_map(Step::Pass),
        1 => tenure.prop_map(Step::Lease),
        1 => any::<bool>().prop_map(Step::TakesBatches),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_bucket_says_what_the_latest_request_says_or_its_fate_explains_why_not(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.finish();
        world.check_bucket();
        // What was given up comes too late to change that.
        while !world.given_up.is_empty() {
            world.step(&Step::CarryOutLate(0));
        }
        world.check_bucket();
    }
}
