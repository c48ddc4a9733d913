//! What may happen.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Errors {
        edge: usize,
        client: usize,
        n: usize,
        learned_from: LearnedFrom,
        age_ms: Option<u64>,
    },
    Requests {
        edge: usize,
        client: usize,
        n: u32,
    },
    Order {
        target: usize,
        seconds: i64,
    },
    Import(Vec<usize>),
    Unban(usize),
    /// Another orchestrator's ban, on all edges or on some.
    Theirs {
        target: usize,
        epoch: u64,
        edges: Option<usize>,
        layer: Layer,
    },
    Gone(usize),
    Spoiled(usize),
    Observed(usize),
    /// One of the bans that were to be written has this fate.
    Done(usize, Fate),
    Recheck(Vec<usize>),
    Hold(Tenure),
    Take(usize),
    Lose(usize),
    Tick,
    Pass(i64),
}

/// Any step.
pub(super) fn step() -> impl Strategy<Value = Step> {
    let (edge, client, any_target) = (|| 0..EDGES.len(), || 0..CLIENTS, || 0..TARGETS.len());
    let learned_from = prop_oneof![3 => Just(LearnedFrom::Peer), 1 => Just(LearnedFrom::Header)];
    let layer = prop_oneof![Just(Layer::Kernel), Just(Layer::L7)];
    let age_ms = prop_oneof![3 => Just(None), 1 => Just(Some(1_000))];
    let fate = prop_oneof![
        5 => Just(Fate::Written { revision: 0 }),
        1 => Just(Fate::Superseded),
        1 => Just(Fate::Fenced),
        1 => Just(Fate::Ended),
        1 => client().prop_map(|n| Fate::Outrun(Box::new(theirs(TARGETS[n], 7)))),
    ];
    let tenure = prop_oneof![
        3 => Just(Tenure::Owned { epoch: 3 }),
        1 => Just(Tenure::Lapsed),
        1 => Just(Tenure::None),
    ];
    prop_oneof![
        12 => (edge(), client(), 1..60_usize, learned_from, age_ms).prop_map(
            |(edge, client, n, learned_from, age_ms)| Step::Errors { edge, client, n, learned_from, age_ms }
        ),
        4 => (edge(), client(), 1..1_500_u32).prop_map(|(edge, client, n)| Step::Requests { edge, client, n }),
        3 => (any_target(), prop_oneof![Just(60), Just(3_600)])
            .prop_map(|(target, seconds)| Step::Order { target, seconds }),
        1 => prop::collection::vec(any_target(), 0..6).prop_map(Step::Import),
        4 => any_target().prop_map(Step::Unban),
        4 => (any_target(), 1..5_u64, prop::option::of(edge()), layer)
            .prop_map(|(target, epoch, edges, layer)| Step::Theirs { target, epoch, edges, layer }),
        2 => any_target().prop_map(Step::Gone),
        2 => any_target().prop_map(Step::Spoiled),
        2 => client().prop_map(Step::Observed),
        8 => (any::<usize>(), fate).prop_map(|(n, fate)| Step::Done(n, fate)),
        1 => prop::collection::vec(0..8_usize, 0..6).prop_map(Step::Recheck),
        2 => tenure.prop_map(Step::Hold),
        3 => client().prop_map(Step::Take),
        1 => client().prop_map(Step::Lose),
        2 => Just(Step::Tick),
        3 => prop_oneof![0..2_000_i64, 0..400_000_i64].prop_map(Step::Pass),
    ]
}
