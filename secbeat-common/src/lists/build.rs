//! Building a table from the lists in it.

use std::{
    collections::{BTreeMap, HashMap, hash_map},
    hash::{BuildHasher as _, Hasher as _, RandomState},
};

use super::{
    ALLOWS, BANS, BUILT, CLASS_COUNT, CLASSES, DESCRIPTIONS, Entry, FRONT_V4, GENERATION, GROUP, INDEX_V4,
    INDEX_V6, KEYS_IN_LINE, LINES_V6, MAGIC, MAX_CLASSES, MAX_LISTS, NEVER, NEXT_SHIFT, verdict,
    view::Described,
};
use crate::table::{Line, WORDS, bounds};

/// Prefixes of all lists together.
pub const MAX_PREFIXES: usize = 2_000_000;

/// A list that goes into a table.
#[derive(Clone, Debug)]
pub struct List {
    /// Its bit, below [`MAX_LISTS`].
    pub slot: usize,
    pub described: Described,
    pub entries: Vec<Entry>,
}

/// The reason why there can be no table of these lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error("the lists hold {0} prefixes, more than {MAX_PREFIXES}")]
    Prefixes(usize),
    #[error("the lists overlap in more than {MAX_CLASSES} ways")]
    Classes,
    #[error("their entries end at more than {0} different times")]
    Ends(usize),
}

/// A table, ready to be copied into the kernel.
#[derive(Clone, Debug)]
pub struct Table {
    pub lines: Vec<Line>,
    /// The earliest end of an entry, in nanoseconds since boot.
    pub next_end: Option<u64>,
}

/// Ends are numbered in this many bits while the prefixes are sorted.
const MAX_ENDS: usize = 1 << 16;

/// Builds the table of these lists: 3.1 MiB, 8 bytes for each IPv4 prefix that nothing touches, 26 for such a one of IPv6 up to a /64, 64
/// for a longer one.
///
/// # Errors
///
/// [`BuildError`].
pub fn build(lists: &[List], now_ms: u64) -> Result<Table, BuildError> {
    let total = lists.iter().map(|list| list.entries.len()).sum();
    if total > MAX_PREFIXES {
        return Err(BuildError::Prefixes(total));
    }
    let ends: BTreeMap<u64, ()> = lists
        .iter()
        .flat_map(|list| &list.entries)
        .map(|entry| (entry.ends, ()))
        .collect();
    let ends: Vec<u64> = ends.into_keys().collect();
    if ends.len() > MAX_ENDS {
        return Err(BuildError::Ends(MAX_ENDS));
    }
    let mut classes = Classes::new(lists, &ends);
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for list in lists {
        for entry in &list.entries {
            let end = ends.partition_point(|end| *end < entry.ends) as u64;
            let tag = u64::from(entry.net.len()) << 32 | (list.slot as u64) << 16 | end;
            let (first, last) = bounds(&entry.net);
            match entry.net.addr().is_ipv4() {
                // The wider one comes first of two that begin alike; its last address follows from its length.
                true => v4.push((first as u64) << 32 | tag >> 32 << 24 | tag & 0xff_ffff),
                false => v6.push((first, tag, last)),
            }
        }
    }
    v4.sort_unstable();
    v6.sort_unstable();
    let v4 = cut(
        v4.iter().map(|packed| {
            let (first, len) = (packed >> 32, packed >> 24 & 0xff);
            let last = first | u64::from(u32::MAX).checked_shr(len as u32).unwrap_or(0) & u64::from(u32::MAX);
            (
                u128::from(first),
                u128::from(last),
                (packed >> 16 & 0xff) as u8,
                (packed & 0xffff) as u32,
            )
        }),
        u128::from(u32::MAX),
        &mut classes,
    )?;
    let v6 = cut(
        v6.iter()
            .map(|(first, tag, last)| (*first, *last, (tag >> 16 & 0xff) as u8, (tag & 0xffff) as u32)),
        u128::MAX,
        &mut classes,
    )?;
    classes.shrink()?;
    Ok(Table {
        lines: lay_out(lists, &classes, &v4, &v6, now_ms),
        next_end: ends.first().copied().filter(|end| *end != NEVER),
    })
}

/// The sets of lists that there are, each with when it shrinks.
struct Classes<'a> {
    ends: &'a [u64],
    /// By their numbers: lists with the ends of their entries, by numbers in `ends`, sorted.
    sets: Vec<Vec<(u8, u32)>>,
    ids: HashMap<Vec<(u8, u32)>, u32>,
    /// What a class becomes within an entry of a list.
    within: HashMap<(u32, u8, u32), u32>,
    next: Vec<u32>,
    flags: [u64; MAX_LISTS],
}

impl<'a> Classes<'a> {
    fn new(lists: &[List], ends: &'a [u64]) -> Self {
        let mut flags = [0; MAX_LISTS];
        for list in lists {
            flags[list.slot] = match list.described.verdict {
                verdict::BAN => BANS,
                verdict::ALLOW => ALLOWS,
                _ => 0,
            };
        }
        Self {
            ends,
            sets: vec![Vec::new()],
            ids: HashMap::from([(Vec::new(), 0)]),
            within: HashMap::new(),
            next: Vec::new(),
            flags,
        }
    }

    fn id(&mut self, set: Vec<(u8, u32)>) -> Result<u32, BuildError> {
        match self.ids.entry(set) {
            hash_map::Entry::Occupied(known) => Ok(*known.get()),
            hash_map::Entry::Vacant(_) if self.sets.len() >= MAX_CLASSES => Err(BuildError::Classes),
            hash_map::Entry::Vacant(new) => {
                let id = self.sets.len() as u32;
                self.sets.push(new.key().clone());
                new.insert(id);
                Ok(id)
            }
        }
    }

    /// The class of what is in `class` and on one more list, until `end`.
    fn with(&mut self, class: u32, slot: u8, end: u32) -> Result<u32, BuildError> {
        if let Some(known) = self.within.get(&(class, slot, end)) {
            return Ok(*known);
        }
        let mut set = self.sets[class as usize].clone();
        match set.iter_mut().find(|(known, _)| *known == slot) {
            Some((_, known)) => *known = end.max(*known),
            None => {
                set.push((slot, end));
                set.sort_unstable();
            }
        }
        let id = self.id(set)?;
        self.within.insert((class, slot, end), id);
        Ok(id)
    }

    /// Adds what classes become when entries end.
    fn shrink(&mut self) -> Result<(), BuildError> {
        let mut class = 0;
        while class < self.sets.len() {
            let set = self.sets[class].clone();
            let next = match set.iter().map(|(_, end)| *end).min() {
                Some(first) if self.ends[first as usize] != NEVER => {
                    self.id(set.into_iter().filter(|(_, end)| *end != first).collect())?
                }
                _ => 0,
            };
            self.next.push(next);
            class += 1;
        }
        Ok(())
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        self.sets.iter().zip(&self.next).flat_map(|(set, next)| {
            let lists = set.iter().fold(0, |lists, (slot, _)| {
                lists | 1 << slot | self.flags[usize::from(*slot)]
            });
            let end = set.iter().map(|(_, end)| self.ends[*end as usize]).min();
            [lists | u64::from(*next) << NEXT_SHIFT, end.unwrap_or(NEVER)]
        })
    }
}

/// Cuts the address space up to `last` at the ends of prefixes (first and last address, list, number of the end), which are sorted: the
/// wider one first of two that begin alike. Two prefixes are one in the other, or apart.
fn cut(
    prefixes: impl Iterator<Item = (u128, u128, u8, u32)>,
    last: u128,
    classes: &mut Classes<'_>,
) -> Result<Vec<(u128, u32)>, BuildError> {
    fn begin(stretches: &mut Vec<(u128, u32)>, first: u128, class: u32) {
        if let Some(latest) = stretches.last_mut().filter(|(latest, _)| *latest == first) {
            latest.1 = class;
        } else {
            stretches.push((first, class));
        }
        if let [.., (_, before), (_, latest)] = stretches[..]
            && before == latest
        {
            stretches.pop();
        }
    }
    let mut stretches = vec![(0, 0)];
    // Those that the sweep is in, the innermost last: where each ends, and the class within it.
    let mut around: Vec<(u128, u32)> = Vec::new();
    let class = |around: &[(u128, u32)]| around.last().map_or(0, |(_, class)| *class);
    for (first, end, slot, until) in prefixes {
        while let Some((ended, _)) = around.pop_if(|(ended, _)| *ended < first) {
            begin(&mut stretches, ended + 1, class(&around));
        }
        let within = classes.with(class(&around), slot, until)?;
        begin(&mut stretches, first, within);
        around.push((end, within));
    }
    while let Some((ended, _)) = around.pop() {
        if ended < last {
            begin(&mut stretches, ended + 1, class(&around));
        }
    }
    Ok(stretches)
}

fn lay_out(
    lists: &[List],
    classes: &Classes<'_>,
    v4: &[(u128, u32)],
    v6: &[(u128, u32)],
    now_ms: u64,
) -> Vec<Line> {
    let mut words = vec![0_u64; CLASSES as usize];
    words.extend(classes.words());
    let first_v4 = words.len() * 2;
    lay_out_v4(&mut words, v4, first_v4);
    words.resize(words.len().next_multiple_of(WORDS), 0);
    let first_line = (words.len() / WORDS) as u32;
    let lines = lay_out_v6(&mut words, v6);
    words.resize(words.len().next_multiple_of(WORDS), 0);
    words[0] = MAGIC;
    words[LINES_V6] = u64::from(lines) << 32 | u64::from(first_line);
    words[CLASS_COUNT] = classes.sets.len() as u64;
    words[BUILT] = now_ms;
    // Keys of a hasher are random.
    words[GENERATION] = RandomState::new().build_hasher().finish();
    for list in lists {
        let at = DESCRIPTIONS as usize + list.slot * WORDS;
        words[at..at + WORDS].copy_from_slice(&list.described.to_words());
    }
    let (lines, _) = words.as_chunks::<WORDS>();
    lines.iter().map(|words| Line { words: *words }).collect()
}

fn lay_out_v4(words: &mut Vec<u64>, stretches: &[(u128, u32)], first: usize) {
    let mut halves: Vec<u32> = Vec::with_capacity(stretches.len() + (1 << 16));
    let (mut at, mut class) = (0, 0);
    for block in 0..1_u32 << 16 {
        let begin = halves.len();
        let mut owned = false;
        // The first one begins with the block, whatever goes on from the one before.
        halves.push(class);
        while let Some((from, next)) = stretches
            .get(at)
            .filter(|(from, _)| (*from >> 16) as u32 == block)
        {
            let offset = *from as u32 & 0xffff;
            class = *next;
            if offset == 0 {
                halves[begin] = class;
            } else {
                halves.push(offset << 16 | class);
            }
            at += 1;
        }
        for (number, half) in halves[begin..].iter().enumerate() {
            if half & 0xffff == 0 {
                continue;
            }
            owned = true;
            let end = halves
                .get(begin + number + 1)
                .map_or(0xffff, |next| (next >> 16) - 1);
            let (from, to) = (block << 8 | half >> 24, block << 8 | end >> 8);
            for net in from..=to {
                words[(FRONT_V4 + (net >> 6)) as usize] |= 1 << (net & 63);
            }
        }
        if owned {
            let range = (first + halves.len()) as u64;
            words[(INDEX_V4 + block) as usize] = range << 32 | (first + begin) as u64;
        } else {
            halves.truncate(begin);
        }
    }
    let pairs = halves
        .chunks(2)
        .map(|pair| u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(0)) << 32);
    words.extend(pairs);
}

/// Whose the addresses are from an upper half on.
#[derive(Clone, Copy)]
enum Owner {
    Class(u32),
    /// The stretches of one /64, by the number of their group.
    Group(usize),
}

/// The stretches within a /64.
struct Group {
    /// The class before the first one.
    before: u32,
    stretches: Vec<(u64, u32)>,
}

/// Adds the stretches, from the start of a line on; tells how many lines their upper halves take.
fn lay_out_v6(words: &mut Vec<u64>, stretches: &[(u128, u32)]) -> u32 {
    let (keys, groups) = by_halves(stretches);
    let first_line = words.len() / WORDS;
    let lines = keys.len().div_ceil(KEYS_IN_LINE);
    let mut places = Vec::with_capacity(groups.len());
    let mut place = (first_line + lines) * WORDS;
    for group in &groups {
        places.push(place as u32);
        place += 1 + group.stretches.len() + group.stretches.len().div_ceil(2);
    }
    let owner = |owner: Owner| match owner {
        Owner::Class(class) => class,
        Owner::Group(number) => GROUP | places[number],
    };
    for keys in keys.chunks(KEYS_IN_LINE) {
        let mut line = [u64::MAX; WORDS];
        line[KEYS_IN_LINE..].fill(0);
        for number in 0..KEYS_IN_LINE {
            // What is behind the last one is as the last one is: an address may begin as no stretch does.
            let (key, whose) = keys
                .get(number)
                .copied()
                .unwrap_or((u64::MAX, keys[keys.len() - 1].1));
            line[number] = key;
            line[KEYS_IN_LINE + number / 2] |= u64::from(owner(whose)) << (number % 2 * 32);
        }
        words.extend(line);
    }
    for Group { before, stretches } in &groups {
        words.push(u64::from(*before) << 32 | stretches.len() as u64);
        words.extend(stretches.iter().map(|(first, _)| *first));
        let pairs = stretches.chunks(2);
        words.extend(pairs.map(|pair| {
            let second = pair.get(1).map_or(0, |(_, class)| *class);
            u64::from(second) << 32 | u64::from(pair[0].1)
        }));
    }
    index_v6(words, &keys, first_line);
    lines as u32
}

/// The stretches by their upper halves, and those that begin within a /64.
fn by_halves(stretches: &[(u128, u32)]) -> (Vec<(u64, Owner)>, Vec<Group>) {
    let (mut keys, mut groups): (Vec<(u64, Owner)>, Vec<Group>) = (Vec::new(), Vec::new());
    // The class up to here, and the /64 whose group is the last one.
    let (mut class, mut grouped) = (0, None);
    for (first, next) in stretches {
        let (upper, lower) = ((first >> 64) as u64, *first as u64);
        if let Some(open) = grouped.filter(|open| *open != upper) {
            // Never behind the last /64: something comes after it.
            let behind = open + 1;
            if (behind, 0) != (upper, lower) {
                keys.push((behind, Owner::Class(class)));
            }
            grouped = None;
        }
        match (lower, groups.last_mut().filter(|_| grouped.is_some())) {
            (_, Some(group)) => group.stretches.push((lower, *next)),
            (0, None) => keys.push((upper, Owner::Class(*next))),
            (_, None) => {
                let owner = Owner::Group(groups.len());
                match keys.last_mut().filter(|(key, _)| *key == upper) {
                    Some((_, known)) => *known = owner,
                    None => keys.push((upper, owner)),
                }
                groups.push(Group {
                    before: class,
                    stretches: vec![(lower, *next)],
                });
                grouped = Some(upper);
            }
        }
        class = *next;
    }
    if let Some(behind) = grouped.and_then(|open: u64| open.checked_add(1)) {
        keys.push((behind, Owner::Class(class)));
    }
    (keys, groups)
}

/// Notes for each /16 in which lines its stretches are, from the one that reaches into it on.
fn index_v6(words: &mut [u64], keys: &[(u64, Owner)], first_line: usize) {
    let mut low = 0;
    for block in 0..1_u64 << 16 {
        let begin = block << 48;
        let behind = low
            + keys[low..]
                .iter()
                .take_while(|(key, _)| key >> 48 == block)
                .count();
        let from = match keys.get(low) {
            Some((key, _)) if *key == begin => low,
            _ => low - 1,
        };
        let is_owned = |(_, owner): &(u64, Owner)| !matches!(owner, Owner::Class(0));
        if keys[from..behind].iter().any(is_owned) {
            let (first, last) = (from / KEYS_IN_LINE, (behind - 1) / KEYS_IN_LINE);
            let range = ((first_line + last + 1) as u64) << 32 | (first_line + first) as u64;
            words[(INDEX_V6 + block as u32) as usize] = range;
        }
        low = behind;
    }
}
