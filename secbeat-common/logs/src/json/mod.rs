//! Access logs of one JSON object a line: which key says what is in [`tables`].
//!
//! Text need not be UTF-8, since a client could otherwise make its own lines unreadable.

pub(crate) mod key_map;
pub(crate) mod keys;
mod order;
mod peer;
mod scan;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod values;

use std::mem;

use memchr::memmem;

use self::{
    keys::{Role, Tree},
    order::Order,
    scan::{Asked, NotJson, Scan},
};
use super::{LogError, LogLine, time::Zone};

/// A server's JSON.
#[derive(Debug)]
pub(crate) struct Table {
    keys: Tree,
    /// What the message is, where one is logged, if the line is about a request that was answered.
    message: Option<&'static [u8]>,
    /// Whether an object without a time may follow time, level, logger and message, with tabs between them.
    after_tabs: bool,
    /// Whether two keys with different addresses make a line nobody's, unless the first key is there.
    one_client: bool,
    /// Whether a line without the server's [mark](Role::Mark) is another's.
    needs_mark: bool,
    /// Whether paths may lack the slash at their beginning, as Akamai's do.
    bare_paths: bool,
}

impl Table {
    /// Keys and what they say; of several that say the same, the first one that is there and not empty counts.
    fn new(keys: &[(&str, Role)]) -> Self {
        Self {
            keys: Tree::new(keys.iter().map(|(path, role)| (*role, *path))),
            message: None,
            after_tabs: false,
            one_client: false,
            needs_mark: false,
            bare_paths: false,
        }
    }
}

/// Longest line that is read, in bytes.
const MAX_OBJECT: u64 = 16 * 1024 * 1024;

impl Table {
    const fn asked<'t>(&'t self, zone: &'t Zone) -> Asked<'t> {
        Asked {
            keys: &self.keys,
            zone,
        }
    }

    /// Reads what stands before the object. Returns the object.
    #[inline]
    fn begin<'a>(&self, line: &'a [u8], scan: &mut Scan<'a>, zone: &Zone) -> &'a [u8] {
        if !self.after_tabs || line.starts_with(b"{") {
            return line;
        }
        let Some(tab) = memmem::find(line, b"\t{") else {
            return line;
        };
        let mut fields = line[..tab].split(|byte| *byte == b'\t');
        if let (Some(time), Some(_level), Some(message)) = (fields.next(), fields.next(), fields.next_back())
        {
            scan.values.text(Role::Time, 0, time.into(), zone);
            scan.values.text(Role::Message, 0, message.into(), zone);
        }
        &line[tab + 1..]
    }
}

/// Parses one line without surrounding space.
pub(super) fn parse<'a>(line: &'a [u8], table: &Table, zone: &Zone) -> Result<LogLine<'a>, LogError> {
    Order::of(table.keys.id, |order| parse_after(line, table, zone, order))
}

/// As [`parse`], after lines with the keys of `order`.
#[inline]
fn parse_after<'a>(
    line: &'a [u8],
    table: &Table,
    zone: &Zone,
    order: &mut Order,
) -> Result<LogLine<'a>, LogError> {
    match order.usual.read(line, table, zone) {
        Some(line) => Ok(line),
        None => parse_any(line, table, zone, order),
    }
}

#[inline(never)]
fn parse_any<'a>(
    line: &'a [u8],
    table: &Table,
    zone: &Zone,
    order: &mut Order,
) -> Result<LogLine<'a>, LogError> {
    let mut scan = Scan::default();
    let object = table.begin(line, &mut scan, zone);
    scan.feed(object, table.asked(zone), order)?;
    order.learn(scan.keys(), &table.keys);
    finish(&mut scan, table)
}

#[inline]
fn finish<'a>(scan: &mut Scan<'a>, table: &Table) -> Result<LogLine<'a>, LogError> {
    if scan.is_whole() {
        return scan.values.finish(table);
    }
    let error = scan.ends_early();
    if scan.is_in_list_of_client() {
        return Err(error.into());
    }
    scan.values.finish_unreadable(table).ok_or_else(|| error.into())
}

/// An object that comes in pieces.
#[derive(Debug)]
pub(super) struct LongObject(Result<Scan<'static>, NotJson>);

impl LongObject {
    pub(super) fn begin(head: &[u8], table: &Table, zone: &Zone) -> Self {
        let mut scan = Scan::default();
        let object = table.begin(head, &mut scan, zone);
        let fed = scan.feed(object, table.asked(zone), &mut Order::default());
        Self(fed.map(|()| scan.into_owned()))
    }

    /// Reads the next piece, unless so much was read that nothing more is looked for.
    pub(super) fn feed(&mut self, piece: &[u8], table: &Table, zone: &Zone) {
        let Ok(scan) = &mut self.0 else { return };
        if scan.read() > MAX_OBJECT {
            return;
        }
        let mut next: Scan<'_> = mem::take(scan);
        let fed = next.feed(piece, table.asked(zone), &mut Order::default());
        self.0 = fed.map(|()| next.into_owned());
    }

    /// Whether it is an object as far as it was read.
    pub(super) const fn is_one(&self) -> bool {
        self.0.is_ok()
    }

    pub(super) fn finish(self, table: &Table) -> Result<LogLine<'static>, LogError> {
        finish(&mut self.0?, table)
    }
}

/// What `nginx-json` reads of a line is the same in pieces of any length, and what `serde_json` takes for an object is one.
///
/// # Panics
///
/// When that is not so.
#[cfg(any(test, feature = "fuzzing"))]
#[expect(clippy::expect_used, reason = "an oracle of tests")]
pub(super) fn check(line: &[u8]) {
    let zone = Zone::UTC;
    let asked = tables::NGINX.asked(&zone);
    let read = |length: usize| {
        let mut scan = Scan::default();
        for piece in line.chunks(length) {
            let mut next: Scan<'_> = scan;
            next.feed(piece, asked, &mut Order::default())?;
            scan = next.into_owned();
        }
        Ok::<_, NotJson>((scan.is_whole(), scan.values))
    };
    let whole = read(line.len().max(1));
    let mut order = Order::default();
    for _ in 0..2 {
        let mut scan = Scan::default();
        let fed = scan.feed(line, asked, &mut order);
        assert_eq!(
            fed.map(|()| (scan.is_whole(), scan.values)),
            whole,
            "with its keys known"
        );
    }
    let mut order = Order::default();
    let [first, second] = [(); 2].map(|()| parse_after(line, &tables::NGINX, &zone, &mut order));
    assert_eq!(first, second, "with the members that are usual");
    for length in [1, 3, 20] {
        assert_eq!(read(length), whole, "in pieces of {length}");
    }
    let is_object = line.trim_ascii_start().starts_with(b"{");
    if is_object && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok() {
        let (is_whole, _) = whole.expect("an object");
        assert!(is_whole);
    }
}

impl From<NotJson> for LogError {
    fn from(NotJson { at, what }: NotJson) -> Self {
        Self::Json { at, what }
    }
}
