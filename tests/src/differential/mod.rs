//! The XDP program in the kernel against a model of it: random packets, and changes of what is banned between them.
//!
//! Packets and changes are repeated by their seed. What is counted is compared after each batch, since reading it all
//! costs a hundred times a packet; upon a difference, halves of the batch run again until one packet is left.

pub mod changes;
pub mod packets;
pub mod pair;

use crate::lab::{model::Model, random::Random};
use changes::Changes;
use packets::Packet;
use pair::Pair;
use secbeat_common::verdict::Verdict;

/// Packets between two changes and comparisons.
const BATCH: usize = 250;

/// What a comparison without a difference came across.
#[derive(Clone, Debug)]
pub struct Report {
    /// At its end.
    pub model: Model,
    /// Packets made up.
    pub packets: usize,
    /// Packets sent: some of them many times.
    pub sent: usize,
    /// Batches after which packets were held back in the program's memories.
    pub with_memory: usize,
    pub batches: usize,
}

/// Compares at least `packets` packets.
///
/// # Errors
///
/// The first difference, with the packet where it can be told.
pub fn compare(seed: u64, packets: usize) -> Result<Report, String> {
    let corpus = packets::corpus();
    let mut random = Random::new(seed);
    let mut pair = Pair::of(Model::default());
    let mut changes = Changes::starting_at(pair.start());
    let (mut made, mut sent, mut batches, mut with_memory) = (0, 0, 0, 0);
    while made < packets {
        pair.change(changes.some(&mut random, &pair.model));
        let before = pair.model.clone();
        let batch = packets::batch(&mut random, &corpus, BATCH);
        if let Err(difference) = run(&mut pair, &batch) {
            return Err(format!(
                "seed {seed:#x}, among the packets after {sent}: {difference}\n{}",
                find(&before, &batch)
            ));
        }
        made += BATCH;
        sent += batch.len();
        batches += 1;
        with_memory += usize::from(pair.filter.held_back().0 > 0);
    }
    Ok(Report {
        model: pair.model,
        packets: made,
        sent,
        with_memory,
        batches,
    })
}

/// Compares, and makes sure that the packets met everything that the program can do.
///
/// # Panics
///
/// With the difference; also when some verdict hardly occurred, or the program's memory was hardly used.
#[must_use]
pub fn expect_no_difference(seed: u64, packets: usize) -> Report {
    let report = compare(seed, packets).unwrap_or_else(|difference| panic!("{difference}"));
    let met = report.model.counters.map(|counter| counter.packets);
    // Ports have tables of their own.
    let possible = Verdict::ALL
        .into_iter()
        .filter(|verdict| *verdict != Verdict::OtherPort);
    assert!(
        possible
            .map(|verdict| met[verdict as usize])
            .all(|count| count > report.sent as u64 / 200),
        "some verdicts hardly occurred among {} packets: {met:?}",
        report.sent
    );
    // A quarter on real hardware; an emulated one fits fewer packets into a jiffy.
    assert!(
        report.with_memory > report.batches / 40,
        "the program's memory of floods was hardly used: {} of {} batches",
        report.with_memory,
        report.batches
    );
    report
}

fn run(pair: &mut Pair, batch: &[Packet]) -> Result<(), String> {
    for packet in batch {
        pair.send(packet)
            .map_err(|difference| format!("{difference}: {packet:?}"))?;
    }
    pair.compare()
}

/// Finds the packet at which a batch starts to differ, on fresh programs that start as `before`. Beginnings of the batch
/// run at full speed, and not with a comparison after each packet: that would leave nothing for a jiffy to remember.
#[must_use]
pub fn find(before: &Model, batch: &[Packet]) -> String {
    let differs = |len: usize| run(&mut Pair::of(before.clone()), &batch[..len]).err();
    let Some(mut difference) = differs(batch.len()) else {
        return "not again on a fresh program: it depends on what was remembered from the batches before, or on the time"
            .to_owned();
    };
    let (mut alike, mut differing) = (0, batch.len());
    while differing - alike > 1 {
        let middle = alike.midpoint(differing);
        match differs(middle) {
            Some(earlier) => (differing, difference) = (middle, earlier),
            None => alike = middle,
        }
    }
    format!(
        "packet {differing} of its batch does it: {difference}\n{:?}\nwith {:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        batch[differing - 1],
        before.settings,
        before.bans,
        before.nets,
        before.tabled,
        before.allowed
    )
}
