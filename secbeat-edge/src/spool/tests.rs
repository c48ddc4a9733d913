use std::{fs, io::Write as _, path::Path};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const BOOT: Uuid = Uuid::from_u128(7);
const MAX_AGE_MS: u64 = 120_000;

fn batch(n: u64, size: usize) -> EncodedBatch {
    EncodedBatch {
        partition: (n % 16) as u16,
        closed_ms: 1_000 + n,
        answers: n + 1,
        // Never zero, so that zeros in the place of lost data are not what was lost.
        payload: vec![n as u8 | 0x80; size].into(),
    }
}

struct Lab {
    folder: TempDir,
    max_bytes: u64,
    stats: Arc<TelemetryStats>,
}

impl Lab {
    fn new(max_bytes: u64) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            max_bytes,
            stats: Arc::default(),
        }
    }

    fn config(&self) -> SpoolConfig {
        SpoolConfig {
            folder: self.folder.path().join("edge/spool"),
            max_bytes: self.max_bytes,
            max_age: Duration::from_millis(MAX_AGE_MS),
        }
    }

    fn open_at(&self, boot: Uuid, now_ms: u64) -> Store {
        Store::open(&self.config(), boot, now_ms, self.stats.clone()).unwrap()
    }

    fn open(&self) -> Store {
        self.open_at(BOOT, 2_000)
    }

    fn lost(&self, loss: Loss) -> u64 {
        self.stats.lost(loss)
    }

    /// The segments, oldest first.
    fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.config().folder).unwrap();
        let mut paths: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
            .collect();
        paths.sort();
        paths
    }

    fn bytes_on_disk(&self) -> u64 {
        self.segments()
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum()
    }
}

fn drain(store: &mut Store, now_ms: u64) -> Vec<EncodedBatch> {
    std::iter::from_fn(|| store.next(now_ms)).collect()
}

#[test]
fn what_goes_in_comes_out_in_order_also_after_a_restart_and_leaves_nothing_behind() {
    let lab = Lab::new(1 << 20);
    let batches: Vec<_> = (0..200).map(|n| batch(n, 1_000)).collect();
    let mut store = lab.open();
    batches[..150]
        .iter()
        .for_each(|batch| store.append(batch, 2_000).unwrap());
    assert!(lab.segments().len() > 1);
    let before: Vec<_> = (0..10).map(|_| store.next(2_000).unwrap()).collect();
    assert_eq!(before, batches[..10]);
    drop(store);

    let mut store = lab.open();
    assert_eq!(
        lab.stats.spool().batches(),
        150,
        "a segment that was begun counts anew"
    );
    batches[150..]
        .iter()
        .for_each(|batch| store.append(batch, 2_000).unwrap());
    assert_eq!(drain(&mut store, 2_000), batches);
    assert_eq!((lab.stats.spool().batches(), lab.stats.dropped()), (0, 0));
    assert!(lab.segments().is_empty());
}

#[test]
fn a_full_spool_gives_up_the_oldest_and_counts_their_answers() {
    let lab = Lab::new(64 * 1024);
    let mut store = lab.open();
    for n in 0..200 {
        store.append(&batch(n, 1_000), 2_000).unwrap();
        assert!(lab.bytes_on_disk() <= 64 * 1024, "after {n}");
        assert_eq!(lab.bytes_on_disk(), lab.stats.spool().bytes());
    }
    let left = drain(&mut store, 2_000);
    let first = left[0].closed_ms - 1_000;
    assert!((50..200).contains(&left.len()), "{} are left", left.len());
    assert_eq!(
        left,
        (first..200).map(|n| batch(n, 1_000)).collect::<Vec<_>>(),
        "the youngest"
    );
    assert_eq!(lab.lost(Loss::SpoolFull), (0..first).map(|n| n + 1).sum::<u64>());
}

#[test]
fn what_is_too_old_is_discarded_and_counted() {
    let lab = Lab::new(1 << 20);
    let mut store = lab.open();
    let (old, young) = (batch(0, 100), batch(30_000, 100));
    store.append(&old, 1_000).unwrap();
    store.append(&young, 31_000).unwrap();
    assert_eq!(drain(&mut store, 1_000 + MAX_AGE_MS + 1), [young]);
    assert_eq!((lab.lost(Loss::TooOld), lab.stats.dropped()), (1, 1));
}

#[test]
fn a_long_outage_keeps_no_more_than_what_is_young_enough() {
    let lab = Lab::new(1 << 20);
    let mut store = lab.open();
    for n in 0..2_000 {
        let batch = EncodedBatch {
            closed_ms: n * 1_000,
            ..batch(n, 4_000)
        };
        store.append(&batch, n * 1_000).unwrap();
    }
    // 120 of them and what shares a segment with the oldest.
    assert!(
        lab.stats.spool().batches() <= 120 + 17,
        "{}",
        lab.stats.spool().batches()
    );
    assert_eq!(lab.lost(Loss::SpoolFull), 0);
    assert!(lab.lost(Loss::TooOld) > 0);
}

#[test]
fn what_was_spooled_before_the_boot_is_of_unknown_age_and_discarded() {
    let lab = Lab::new(1 << 20);
    lab.open().append(&batch(5, 100), 2_000).unwrap();
    let mut store = lab.open_at(Uuid::from_u128(8), 2_000);
    assert_eq!(store.next(2_000), None);
    assert_eq!(lab.lost(Loss::TooOld), 6);
    assert!(lab.segments().is_empty());
}

#[test]
fn a_foreign_file_is_left_alone_and_an_empty_segment_goes() {
    let lab = Lab::new(1 << 20);
    drop(lab.open());
    let folder = lab.config().folder;
    fs::write(folder.join("README"), "mine").unwrap();
    fs::write(folder.join("00000000000000000003.seg"), "").unwrap();
    let mut store = lab.open();
    store.append(&batch(1, 10), 2_000).unwrap();
    assert_eq!(drain(&mut store, 2_000), [batch(1, 10)]);
    assert!(folder.join("README").exists());
    assert!(lab.segments().is_empty());
}

#[test]
fn a_torn_tail_ends_its_segment_and_is_counted() {
    let lab = Lab::new(1 << 20);
    let mut store = lab.open();
    store.append(&batch(1, 100), 2_000).unwrap();
    store.append(&batch(2, 100), 2_000).unwrap();
    drop(store);
    let path = &lab.segments()[0];
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    let mut store = lab.open();
    store.append(&batch(3, 100), 2_000).unwrap();
    assert_eq!(drain(&mut store, 2_000), [batch(1, 100), batch(3, 100)]);
    assert_eq!(lab.stats.spool().torn(), 1);
}

#[test]
fn two_edges_do_not_share_a_spool() {
    let lab = Lab::new(1 << 20);
    let _first = lab.open();
    let error = Store::open(&lab.config(), BOOT, 2_000, Arc::default()).unwrap_err();
    assert!(error.to_string().contains("another edge"), "{error}");
}

#[tokio::test]
async fn the_thread_hands_out_what_it_was_given_and_finishes_what_it_has() {
    let lab = Lab::new(1 << 20);
    let at_now = |n| EncodedBatch {
        closed_ms: boot_ms(),
        ..batch(n, 100)
    };
    let (first, second) = (at_now(1), at_now(2));
    let spool = Spool::start(lab.config(), lab.stats.clone()).unwrap();
    spool.put(first.clone());
    spool.put(second.clone());
    assert_eq!(spool.next().await, Some(first));
    // Nobody waits for this answer: the batch is not lost.
    drop(spool.next());
    spool.finish();
    let spool = Spool::start(lab.config(), lab.stats.clone()).unwrap();
    let mut rest = Vec::new();
    while let Some(batch) = spool.next().await {
        rest.push(batch);
    }
    assert!(rest.contains(&second), "{rest:?}");
    assert_eq!(lab.stats.dropped(), 0);
}

#[test]
fn a_folder_that_cannot_be_made_costs_the_batches_and_nothing_else() {
    let lab = Lab::new(1 << 20);
    fs::write(
        lab.folder.path().join("edge"),
        "a file where the folder should be",
    )
    .unwrap();
    let spool = Spool::start(lab.config(), lab.stats.clone()).unwrap();
    spool.put(batch(4, 100));
    spool.finish();
    assert!(lab.stats.spool().is_failing());
    assert_eq!(lab.lost(Loss::Disk), 5);
}

#[test]
fn a_full_disk_costs_what_it_cannot_take_and_nothing_else() {
    // Its own process would be needed to fill a real disk; a limit on the file's size fails writes in the same place.
    let full = Path::new("/dev/full");
    let mut file = fs::OpenOptions::new().write(true).open(full).unwrap();
    assert!(file.write_all(&segment::record(&batch(1, 10))).is_err());
    let lab = Lab::new(1 << 20);
    let mut store = lab.open();
    store.append(&batch(1, 10), 2_000).unwrap();
    store.write_to(file);
    assert!(store.append(&batch(2, 10), 2_000).is_err());
    store.append(&batch(3, 10), 2_000).unwrap();
    assert_eq!(drain(&mut store, 2_000), [batch(1, 10), batch(3, 10)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_cut_or_flipped_what_is_read_is_a_prefix(
        sizes in prop::collection::vec(0..300usize, 1..20),
        cut in any::<prop::sample::Index>(),
        flip in prop::option::of(any::<prop::sample::Index>()),
        zeros in 0..64usize,
    ) {
        let batches: Vec<_> = sizes.iter().zip(0..).map(|(size, n)| batch(n, *size)).collect();
        let mut whole = segment::head(BOOT).to_vec();
        let mut ends = vec![whole.len()];
        for batch in &batches {
            whole.extend(segment::record(batch));
            ends.push(whole.len());
        }
        let cut = cut.index(whole.len() + 1).max(segment::HEAD);
        let mut bytes = whole[..cut].to_vec();
        if let Some(flip) = flip && cut > segment::HEAD {
            let at = segment::HEAD + flip.index(cut - segment::HEAD);
            bytes[at] ^= 0x40;
        }
        // A file system may leave zeros where data never came.
        bytes.extend(vec![0; zeros]);
        // Zeros may be what was cut.
        let sound = bytes.iter().zip(&whole).take_while(|(read, written)| read == written).count();
        let expected = ends.iter().filter(|end| **end <= sound).count() - 1;

        let lab = Lab::new(1 << 20);
        drop(lab.open());
        fs::write(lab.config().folder.join("00000000000000000000.seg"), bytes).unwrap();
        let mut store = lab.open();
        prop_assert_eq!(drain(&mut store, 2_000), &batches[..expected]);
        prop_assert!(lab.segments().is_empty());
    }

    #[test]
    fn the_bound_holds_and_every_answer_is_read_or_counted(
        steps in prop::collection::vec((0..5u8, 0..9_000usize), 1..120),
    ) {
        let lab = Lab::new(64 * 1024);
        let mut store = lab.open();
        let (mut written, mut read, mut last) = (0, 0, None);
        for ((step, size), n) in steps.into_iter().zip(0..) {
            match step {
                0..3 => {
                    let batch = batch(n, size);
                    store.append(&batch, 2_000).unwrap();
                    written += batch.answers;
                }
                _ => if let Some(batch) = store.next(2_000) {
                    prop_assert!(last < Some(batch.closed_ms), "out of order");
                    last = Some(batch.closed_ms);
                    read += batch.answers;
                }
            }
            prop_assert!(lab.bytes_on_disk() <= 64 * 1024);
        }
        read += drain(&mut store, 2_000).iter().map(|batch| batch.answers).sum::<u64>();
        prop_assert_eq!(read + lab.lost(Loss::SpoolFull), written);
    }
}
