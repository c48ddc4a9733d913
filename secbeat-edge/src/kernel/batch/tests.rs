use std::cell::RefCell;

use super::*;

/// A kernel of buckets, each a list of entries, that refuses what it is told to.
#[derive(Default)]
struct Fake {
    buckets: Vec<Vec<(u32, u32)>>,
    refused_keys: Vec<u32>,
    refusal: Option<Errno>,
    batches: bool,
    calls: RefCell<Vec<&'static str>>,
    written: Vec<u32>,
}

impl Fake {
    fn with_batches() -> Self {
        Self {
            batches: true,
            refusal: Some(Errno::ENOMEM),
            ..Self::default()
        }
    }

    fn write(&mut self, key: u32) -> io::Result<()> {
        if self.refused_keys.contains(&key) {
            return Err(error(self.refusal.unwrap_or(Errno::ENOMEM)));
        }
        self.written.push(key);
        Ok(())
    }
}

fn error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno as i32)
}

impl Calls<u32, u32> for Fake {
    fn update_batch(&mut self, keys: &[u32], _: &[u32]) -> (usize, io::Result<()>) {
        self.calls.borrow_mut().push("update_batch");
        if !self.batches {
            // As the kernel does: the number stays what it was.
            return (keys.len(), Err(io::Error::from_raw_os_error(NOT_SUPPORTED)));
        }
        for (at, key) in keys.iter().enumerate() {
            if let Err(error) = self.write(*key) {
                return (at, Err(error));
            }
        }
        (keys.len(), Ok(()))
    }

    fn update(&mut self, key: &u32, _: &u32) -> io::Result<()> {
        self.write(*key)
    }

    fn lookup_batch(
        &self,
        from: Option<u32>,
        keys: &mut [u32],
        values: &mut [u32],
    ) -> (usize, u32, io::Result<()>) {
        let (mut bucket, mut found) = (from.unwrap_or(0) as usize, 0);
        while bucket < self.buckets.len() {
            let entries = &self.buckets[bucket];
            if entries.len() > keys.len() - found {
                let outcome = if found == 0 {
                    Err(error(Errno::ENOSPC))
                } else {
                    Ok(())
                };
                return (found, bucket as u32, outcome);
            }
            for (key, value) in entries {
                (keys[found], values[found]) = (*key, *value);
                found += 1;
            }
            bucket += 1;
        }
        (found, bucket as u32, Err(error(Errno::ENOENT)))
    }
}

fn numbers(count: usize) -> Vec<u32> {
    (0..count as u32).collect()
}

#[test]
fn everything_is_written_in_chunks() {
    let mut kernel = Fake::with_batches();
    let keys = numbers(2 * CHUNK + 1);
    update(&mut kernel, &keys, &keys).unwrap();
    assert_eq!(kernel.written, keys);
    assert_eq!(kernel.calls.borrow().len(), 3);
}

#[test]
fn a_refused_entry_is_named_and_keeps_nobody_else_out() {
    let mut kernel = Fake::with_batches();
    let last = (2 * CHUNK) as u32;
    kernel.refused_keys = vec![0, 7, 8, CHUNK as u32, last];
    let keys = numbers(2 * CHUNK + 1);
    let unwritten = update(&mut kernel, &keys, &keys).unwrap_err();
    assert_eq!(unwritten.at, [0, 7, 8, CHUNK, last as usize]);
    assert_eq!(unwritten.error.raw_os_error(), Some(Errno::ENOMEM as i32));
    assert_eq!(kernel.written.len(), keys.len() - 5);
}

#[test]
fn without_batches_entries_are_written_one_by_one() {
    for refusal in [Errno::EINVAL, Errno::EFAULT, Errno::ENOMEM] {
        let mut kernel = Fake {
            refused_keys: vec![5],
            refusal: Some(refusal),
            ..Fake::default()
        };
        let keys = numbers(10);
        assert_eq!(update(&mut kernel, &keys, &keys).unwrap_err().at, [5]);
        assert_eq!(kernel.written, [0, 1, 2, 3, 4, 6, 7, 8, 9]);
    }
}

#[test]
fn where_a_batch_got_stuck_unseen_all_of_it_is_written_again_one_by_one() {
    let mut kernel = Fake::with_batches();
    (kernel.refused_keys, kernel.refusal) = (vec![3], Some(Errno::EFAULT));
    let keys = numbers(6);
    assert_eq!(update(&mut kernel, &keys, &keys).unwrap_err().at, [3]);
    assert_eq!(kernel.written, [0, 1, 2, 0, 1, 2, 4, 5]);
}

#[test]
fn writing_nothing_asks_the_kernel_nothing() {
    let mut kernel = Fake::with_batches();
    update(&mut kernel, &[], &[]).unwrap();
    assert!(kernel.calls.borrow().is_empty());
}

fn walk(kernel: &Fake) -> (Vec<u32>, usize) {
    let (mut cursor, mut all, mut steps) = (Cursor::Start, Vec::new(), 0);
    while cursor != Cursor::End {
        let (keys, values) = lookup(kernel, &mut cursor, (0, 0)).unwrap();
        assert_eq!(keys, values);
        all.extend(keys);
        steps += 1;
    }
    (all, steps)
}

#[test]
fn a_walk_sees_every_bucket_once() {
    let entries: Vec<_> = numbers(3 * CHUNK).into_iter().map(|n| (n, n)).collect();
    let buckets = entries.chunks(3).map(<[_]>::to_vec).collect();
    let kernel = Fake {
        buckets,
        ..Fake::default()
    };
    let (seen, steps) = walk(&kernel);
    assert_eq!(seen, numbers(3 * CHUNK));
    assert!(steps > 3, "{steps} steps");
    assert_eq!(walk(&Fake::default()), (vec![], 1));
}

#[test]
fn a_bucket_larger_than_a_chunk_is_read_whole() {
    let large: Vec<_> = numbers(CHUNK * 2 + 5).into_iter().map(|n| (n, n)).collect();
    let kernel = Fake {
        buckets: vec![vec![(1, 1)], large.clone(), vec![(2, 2)]],
        ..Fake::default()
    };
    assert_eq!(walk(&kernel).0.len(), large.len() + 2);
}
