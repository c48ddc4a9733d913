//! Many entries of a hash map in one system call: `BPF_MAP_UPDATE_BATCH` and `BPF_MAP_LOOKUP_BATCH` of `bpf(2)`, which
//! aya does not have.
//!
//! Not for tries: theirs came with Linux 5.16 and look up in another way, and tries are kept small.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use anyhow::{Context as _, ensure};
use aya::{
    Pod,
    maps::{MapData, MapType},
};
use nix::errno::Errno;

use super::syscall::{Command, ElementAttributes, bpf};

/// Entries of one call: enough that the call itself costs nothing beside them, few enough that it takes a millisecond.
const CHUNK: usize = 4096;
/// What the kernel answers where it has no batches for a map: its own `ENOTSUPP`, which is not an error of `errno(3)`.
const NOT_SUPPORTED: i32 = 524;

/// Entries that could not be written.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// Their positions among those that were to be written.
    pub(super) at: Vec<usize>,
    /// What the kernel said to the first.
    pub(super) error: io::Error,
}

/// How far a walk through a map has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cursor {
    #[default]
    Start,
    /// The kernel's own mark: the next bucket.
    At(u32),
    End,
}

/// The calls that the helpers below are made of.
pub(super) trait Calls<K, V> {
    /// Writes entries in order; the number is how many were, as far as the kernel tells.
    fn update_batch(&mut self, keys: &[K], values: &[V]) -> (usize, io::Result<()>);
    /// Writes one entry.
    fn update(&mut self, key: &K, value: &V) -> io::Result<()>;
    /// Reads whole buckets from `from` on; the numbers are how many entries that were, and where to go on.
    fn lookup_batch(
        &self,
        from: Option<u32>,
        keys: &mut [K],
        values: &mut [V],
    ) -> (usize, u32, io::Result<()>);
}

/// Writes every entry that the kernel takes: one that it refuses does not keep the others out. There are as many values
/// as keys.
///
/// # Errors
///
/// [`Unwritten`] names those that it refused.
pub(super) fn update<K, V>(calls: &mut impl Calls<K, V>, keys: &[K], values: &[V]) -> Result<(), Unwritten> {
    let mut refused: Vec<usize> = Vec::new();
    let mut first = None;
    let mut refuse = |at, error| {
        refused.push(at);
        first.get_or_insert(error);
    };
    let mut next = 0;
    let all = keys.len().min(values.len());
    while next < all {
        let end = all.min(next + CHUNK);
        let (written, outcome) = calls.update_batch(&keys[next..end], &values[next..end]);
        match outcome {
            Ok(()) => next = end,
            Err(error) if says_how_many(&error) => {
                let stuck = (next + written).min(end - 1);
                refuse(stuck, error);
                next = stuck + 1;
            }
            // Refused before the first entry, or at an unknown one: writing an entry twice does no harm.
            Err(_) => {
                for at in next..end {
                    if let Err(error) = calls.update(&keys[at], &values[at]) {
                        refuse(at, error);
                    }
                }
                next = end;
            }
        }
    }
    match first {
        None => Ok(()),
        Some(error) => Err(Unwritten { at: refused, error }),
    }
}

/// Whether the kernel has said, beside this error of a batch, how many entries came before the one that it is about. It
/// leaves the number as it was when it refuses the call itself, and when it could not copy.
fn says_how_many(error: &io::Error) -> bool {
    let mute = [
        Errno::EINVAL as i32,
        Errno::EFAULT as i32,
        Errno::EBADF as i32,
        Errno::EPERM as i32,
        NOT_SUPPORTED,
    ];
    error.raw_os_error().is_some_and(|code| !mute.contains(&code))
}

/// Reads the next entries, about [`CHUNK`] of them, and moves `cursor` on. An entry that is there all the time comes
/// exactly once, whatever else is written meanwhile: the walk goes by buckets, each of which is read at one instant.
///
/// # Errors
///
/// Returns an error if the kernel refuses; `cursor` stays then.
pub(super) fn lookup<K: Copy, V: Copy>(
    calls: &impl Calls<K, V>,
    cursor: &mut Cursor,
    (blank_key, blank_value): (K, V),
) -> io::Result<(Vec<K>, Vec<V>)> {
    let from = match *cursor {
        Cursor::Start => None,
        Cursor::At(bucket) => Some(bucket),
        Cursor::End => return Ok((Vec::new(), Vec::new())),
    };
    let mut room = CHUNK;
    loop {
        let (mut keys, mut values) = (vec![blank_key; room], vec![blank_value; room]);
        let (found, bucket, outcome) = calls.lookup_batch(from, &mut keys, &mut values);
        *cursor = match outcome {
            Ok(()) => Cursor::At(bucket),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT) => Cursor::End,
                // One bucket alone holds more than there is room for.
                Some(Errno::ENOSPC) if found == 0 && room < usize::MAX / 2 => {
                    room *= 2;
                    continue;
                }
                _ => return Err(error),
            },
        };
        keys.truncate(found);
        values.truncate(found);
        return Ok((keys, values));
    }
}

/// A hash map (`BPF_MAP_TYPE_HASH` or `…_LRU_HASH`) whose keys and values have the sizes of `K` and `V`.
#[derive(Debug)]
pub(super) struct HashMapFd<K, V> {
    fd: OwnedFd,
    _entries: PhantomData<(K, V)>,
}

impl<K: Pod, V: Pod> HashMapFd<K, V> {
    /// Shares `map`.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not a hash map of such keys and values.
    pub(super) fn new(map: &MapData) -> anyhow::Result<Self> {
        let info = map.info().context("asking the kernel about a map")?;
        let found = (info.map_type().ok(), info.key_size(), info.value_size());
        let fits = matches!(found.0, Some(MapType::Hash | MapType::LruHash))
            && (found.1 as usize, found.2 as usize) == (size_of::<K>(), size_of::<V>());
        ensure!(fits, "it is not a hash map of this release: {found:?}");
        Ok(Self {
            fd: map
                .fd()
                .as_fd()
                .try_clone_to_owned()
                .context("sharing a map's descriptor")?,
            _entries: PhantomData,
        })
    }

    fn number(&self) -> u32 {
        self.fd.as_raw_fd().cast_unsigned()
    }
}

impl<K: Pod, V: Pod> Calls<K, V> for HashMapFd<K, V> {
    fn update_batch(&mut self, keys: &[K], values: &[V]) -> (usize, io::Result<()>) {
        let mut attributes = BatchAttributes {
            keys: keys.as_ptr() as u64,
            values: values.as_ptr() as u64,
            count: entries(keys.len().min(values.len())),
            map_fd: self.number(),
            ..BatchAttributes::default()
        };
        // SAFETY: `count` keys and values of the map's sizes, which `new` has compared, are readable until the return.
        let outcome = unsafe { bpf(Command::UpdateBatch, &mut attributes).map(drop) };
        (attributes.count as usize, outcome)
    }

    fn update(&mut self, key: &K, value: &V) -> io::Result<()> {
        let mut attributes = ElementAttributes {
            map_fd: self.number(),
            key: (&raw const *key) as u64,
            value: (&raw const *value) as u64,
            ..ElementAttributes::default()
        };
        // SAFETY: a key and a value of the map's sizes are readable until the return.
        unsafe { bpf(Command::UpdateElement, &mut attributes).map(drop) }
    }

    fn lookup_batch(
        &self,
        from: Option<u32>,
        keys: &mut [K],
        values: &mut [V],
    ) -> (usize, u32, io::Result<()>) {
        let mut to = 0_u32;
        let mut attributes = BatchAttributes {
            in_batch: from.as_ref().map_or(0, |from| (&raw const *from) as u64),
            out_batch: (&raw mut to) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: entries(keys.len().min(values.len())),
            map_fd: self.number(),
            ..BatchAttributes::default()
        };
        // SAFETY: `count` keys and values of the map's sizes, for which any bytes are a value, are writable until the
        // return, as is the mark, which hash maps write as 32 bits.
        let outcome = unsafe { bpf(Command::LookupBatch, &mut attributes).map(drop) };
        // Whatever the kernel may answer, there is no more than there was room for.
        let found = (attributes.count as usize).min(keys.len());
        (found, to, outcome)
    }
}

fn entries(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// `struct { … } batch` of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct BatchAttributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

#[cfg(test)]
mod tests;
