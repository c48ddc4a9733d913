//! Reads the values of some keys out of one JSON object that comes in pieces, in constant memory.
//!
//! What is not asked for is passed over: its strings have to end and its brackets to be as many as they were opened, and
//! nothing else is looked at. So a line with an unquoted variable that is empty, or a list of numbers, is still read.

use std::{borrow::Cow, mem};

use super::{
    keys::{Place, Role, Tree},
    order::Order,
    peer::{Of, Passed},
    text::{End, find_end, find_next_end, unescape},
    values::{MAX_ADDRESS, Values, is_address},
};
use crate::{marks::Specials, time::Zone};

/// Bytes that are kept of a string that lies in several pieces: enough for the longest value with every byte escaped.
pub(super) const MAX_RAW: usize = 6 * super::values::MAX_VALUE + 16;
/// Longest number that is read, in bytes.
const MAX_SCALAR: usize = 64;
/// Objects within each other that can be asked for.
const MAX_DEPTH: usize = super::keys::MAX_SEGMENTS;

/// The reason why text is not a JSON object, and the offset of the byte that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotJson {
    pub(super) at: u64,
    pub(super) what: &'static str,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The object of the line.
    #[default]
    Begin,
    /// A key, or the end of an object without any.
    FirstKey,
    Key,
    Colon,
    Value,
    /// A value of a list, or its end.
    First,
    /// A comma, or the end of an object.
    AfterValue,
    /// The rest of a key.
    InKey,
    /// The rest of a string that is asked for.
    InString,
    /// The rest of one that is not.
    InSkippedString,
    /// The rest of a number, `true`, `false` or `null`.
    InScalar,
    /// The rest of a list or object that is not asked for.
    InSkipped,
    /// Nothing but space.
    End,
}

/// How far an object was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan<'a> {
    state: State,
    /// The keys of the objects that the next byte is in, the innermost last.
    objects: [u16; MAX_DEPTH],
    depth: usize,
    /// The key of the value that is being read, if it is asked for.
    key: Option<Place>,
    /// Whose address that value may be, by the key's name.
    of: Of,
    /// Open brackets of what is passed over.
    skipped: u32,
    passed: Passed,
    /// The rank of the client's key whose list is passed over, if its texts are one list.
    joins: Option<u8>,
    /// What came before of a key, string or number that lies in several pieces.
    carried: Vec<u8>,
    /// The last byte was a backslash that escapes the next one.
    after_backslash: bool,
    /// Keys read so far, but for those in what is passed over.
    nth: usize,
    /// Bytes before this piece.
    before: u64,
    pub(super) values: Values<'a>,
}

/// What a scan needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'t> {
    pub(super) keys: &'t Tree,
    pub(super) zone: &'t Zone,
}

impl Asked<'_> {
    /// Returns whose address the value of a key may be, where that counts.
    fn of(&self, name: &[u8]) -> Of {
        match self.keys.has_forwarded {
            true => Of::name(name),
            false => Of::Unknown,
        }
    }
}

impl<'a> Scan<'a> {
    /// As it is, without what was borrowed of the pieces.
    pub(super) fn into_owned(self) -> Scan<'static> {
        Scan {
            state: self.state,
            objects: self.objects,
            depth: self.depth,
            key: self.key,
            of: self.of,
            skipped: self.skipped,
            passed: self.passed,
            joins: self.joins,
            carried: self.carried,
            after_backslash: self.after_backslash,
            nth: self.nth,
            before: self.before,
            values: self.values.into_owned(),
        }
    }

    /// Whether the object has ended.
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::End
    }

    /// Whether the list is not whole whose last text is the client's.
    pub(super) const fn is_in_list_of_client(&self) -> bool {
        self.joins.is_some()
    }

    /// Keys that were read, but for those in what was passed over.
    pub(super) const fn keys(&self) -> usize {
        self.nth
    }

    /// Bytes that were read.
    pub(super) const fn read(&self) -> u64 {
        self.before
    }

    /// Returns what is wrong with a line that ends here.
    pub(super) fn ends_early(&self) -> NotJson {
        NotJson {
            at: self.before,
            what: "the line ends too early",
        }
    }

    /// Reads the next piece of the line.
    ///
    /// # Errors
    ///
    /// Returns an error if the line is not a JSON object, as far as that was looked at.
    #[inline]
    pub(super) fn feed(
        &mut self,
        piece: &'a [u8],
        asked: Asked<'_>,
        order: &mut Order,
    ) -> Result<(), NotJson> {
        match self.feed_from(piece, asked, order) {
            Ok(()) => {
                self.before += piece.len() as u64;
                Ok(())
            }
            Err((at, what)) => Err(NotJson {
                at: self.before + at as u64,
                what,
            }),
        }
    }

    fn feed_from(
        &mut self,
        piece: &'a [u8],
        asked: Asked<'_>,
        order: &mut Order,
    ) -> Result<(), (usize, &'static str)> {
        let mut at = self.go_on(piece, asked);
        let mut specials = Specials::default();
        while let Some(&byte) = piece.get(at) {
            if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') && self.state != State::InSkipped {
                at += 1;
                continue;
            }
            at = match (self.state, byte) {
                (State::Key | State::FirstKey, b'"') => self.members(piece, at, asked, order, &mut specials),
                (State::Colon, b':') => {
                    self.state = State::Value;
                    at + 1
                }
                (State::Value | State::First, b'"') => self.whole_string(piece, at, asked, &mut specials),
                (State::AfterValue, b',') => {
                    self.state = State::Key;
                    at + 1
                }
                (State::AfterValue | State::FirstKey, b'}') => {
                    self.close();
                    at + 1
                }
                (State::Begin, b'{') => {
                    self.state = State::FirstKey;
                    at + 1
                }
                (State::Value, b'{') => {
                    let inside = self.key.and_then(|key| asked.keys.entry(key).inside);
                    match inside {
                        Some(inside) if self.depth + 1 < MAX_DEPTH => {
                            self.depth += 1;
                            self.objects[self.depth] = inside;
                            self.state = State::FirstKey;
                        }
                        _ => self.skip(),
                    }
                    at + 1
                }
                (State::Value, b'[') => {
                    // Of a list of texts the first one counts; of the client's, all are one list: a server logs each line of
                    // `X-Forwarded-For` as one, and clients write the first.
                    let key = self.key;
                    let roles = match key {
                        Some(key) => asked.keys.entry(key).roles.as_slice(),
                        None => &[],
                    };
                    let of_client = roles
                        .iter()
                        .find(|(role, rank)| *role == Role::Client && self.values.wants(*role, *rank));
                    self.skip();
                    self.joins = of_client.map(|(_, rank)| *rank);
                    if !roles.is_empty() {
                        self.key = key;
                        self.state = State::First;
                    }
                    if roles.iter().any(|(role, _)| *role == Role::Forwarded) {
                        // A second address counts against the first.
                        self.passed = Passed::begin(Of::Peer);
                    }
                    at + 1
                }
                (State::First, _) => {
                    // What is not a text, or the end of the list, is passed over with the rest of it.
                    self.state = State::InSkipped;
                    at
                }
                // An empty variable without quotes.
                (State::Value, b',' | b'}') => {
                    self.state = State::AfterValue;
                    at
                }
                // The rest of a list of numbers in a variable without quotes.
                (State::Key, b'0'..=b'9' | b'-') => {
                    self.key = None;
                    self.scalar(piece, at, asked)
                }
                (State::Value, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'N' | b'I') => {
                    self.scalar(piece, at, asked)
                }
                (State::InSkipped, _) => self.pass_over(piece, at, asked),
                (state, _) => return Err((at, state.expected())),
            };
        }
        Ok(())
    }

    /// Reads members whose keys and values are strings without space between them, as most of a server's are, from the quote
    /// at `at` on. Returns where something else comes.
    #[inline]
    fn members(
        &mut self,
        piece: &'a [u8],
        mut at: usize,
        asked: Asked<'_>,
        order: &mut Order,
        specials: &mut Specials,
    ) -> usize {
        loop {
            let node = self.objects[self.depth];
            let (key, of, value) = match order.recognize(self.nth, node, &piece[at + 1..]) {
                Some((key, of, read)) => (key, of, at + 1 + read),
                None => {
                    let (end, escaped) = match find_next_end(specials, piece, at + 1) {
                        End::At(end, escaped) => (end, escaped),
                        beyond @ End::Beyond { .. } => {
                            return self.carry(State::InKey, piece, at + 1, beyond, asked);
                        }
                    };
                    let name = &piece[at + 1..end];
                    let (key, of) = (find_key(asked, node, name, escaped), asked.of(name));
                    if !escaped {
                        order.note(self.nth, node, name, key, of);
                    }
                    if piece.get(end + 1) != Some(&b':') {
                        self.named(key, of);
                        return end + 1;
                    }
                    (key, of, end + 2)
                }
            };
            self.named(key, of);
            if piece.get(value) != Some(&b'"') {
                self.state = State::Value;
                return value;
            }
            let (end, escaped) = match find_next_end(specials, piece, value + 1) {
                End::At(end, escaped) => (end, escaped),
                End::Beyond { .. } => return self.whole_string(piece, value, asked, specials),
            };
            let text = &piece[value + 1..end];
            match key {
                Some(key) => self.string(key, text, escaped, asked),
                None => self.unread(text, asked),
            }
            at = end + 1;
            if piece.get(at..at + 2) != Some(b",\"") {
                self.after_value();
                return at;
            }
            at += 1;
        }
    }

    /// Reads a string that is a value, from the quote at `at` on. Returns where it ends.
    #[inline]
    fn whole_string(
        &mut self,
        piece: &'a [u8],
        at: usize,
        asked: Asked<'_>,
        specials: &mut Specials,
    ) -> usize {
        let key = self.key;
        match find_next_end(specials, piece, at + 1) {
            End::At(end, escaped) => {
                let text = &piece[at + 1..end];
                match key {
                    Some(key) => self.string(key, text, escaped, asked),
                    None => self.unread(text, asked),
                }
                self.after_value();
                end + 1
            }
            beyond @ End::Beyond { .. } => {
                let state = key.map_or(State::InSkippedString, |_| State::InString);
                self.carry(state, piece, at + 1, beyond, asked)
            }
        }
    }

    /// Reads the rest of what the piece before ended in. Returns where that ends.
    fn go_on(&mut self, piece: &'a [u8], asked: Asked<'_>) -> usize {
        let state = self.state;
        match state {
            State::InKey | State::InString | State::InSkippedString if !piece.is_empty() => {}
            State::InScalar => return self.scalar(piece, 0, asked),
            _ => return 0,
        }
        let from = usize::from(mem::take(&mut self.after_backslash));
        let end = match find_end(piece, from) {
            End::At(end, _) => end,
            beyond @ End::Beyond { .. } => return self.carry(state, piece, 0, beyond, asked),
        };
        self.keep(&piece[..end], asked);
        let text = mem::take(&mut self.carried);
        match (state, self.key) {
            (State::InKey, _) => {
                let node = self.objects[self.depth];
                self.named(find_key(asked, node, &text, true), asked.of(&text));
            }
            (State::InString, Some(key)) => {
                let text: Cow<'a, [u8]> = Cow::Owned(unescape(&text).into_owned());
                for (role, rank) in &asked.keys.entry(key).roles {
                    if self.values.wants(*role, *rank) {
                        self.values.text(*role, *rank, text.clone(), asked.zone);
                    } else if self.values.has(*role, *rank) {
                        self.values.text_again(*role, text.clone(), asked.zone);
                    } else if *role == Role::Client {
                        self.values.see_other_client(&text);
                    }
                }
                self.after_value();
            }
            _ if self.skipped > 0 => {
                self.pass_string(&text, asked);
                self.after_value();
            }
            _ => {
                self.unread(&text, asked);
                self.after_value();
            }
        }
        end + 1
    }

    /// Keeps what there is of a string that does not end in its piece, which it is in from `from` on. Returns where that ends.
    fn carry(&mut self, state: State, piece: &[u8], from: usize, end: End, asked: Asked<'_>) -> usize {
        self.state = state;
        self.after_backslash = end
            == End::Beyond {
                after_backslash: true,
            };
        self.keep(&piece[from..], asked);
        piece.len()
    }

    /// Keeps what may be needed of a string: the end if it may be a list of addresses, otherwise the beginning; of one that is not
    /// asked for, as much as shows whether it is an address.
    fn keep(&mut self, text: &[u8], asked: Asked<'_>) {
        if self.state == State::InSkippedString && self.joins.is_none() {
            let room = (MAX_ADDRESS + 1).saturating_sub(self.carried.len());
            self.carried.extend_from_slice(&text[..text.len().min(room)]);
            return;
        }
        let is_list = self.state == State::InSkippedString
            || self.state == State::InString
                && self.key.is_some_and(|key| {
                    let roles = &asked.keys.entry(key).roles;
                    let may_be_list = |role: &Role| matches!(role, Role::Client | Role::Forwarded);
                    roles.iter().any(|(role, _)| may_be_list(role))
                });
        if !is_list {
            let room = MAX_RAW.saturating_sub(self.carried.len());
            self.carried.extend_from_slice(&text[..text.len().min(room)]);
            return;
        }
        let text = &text[text.len().saturating_sub(MAX_RAW)..];
        let surplus = (self.carried.len() + text.len()).saturating_sub(MAX_RAW);
        self.carried.drain(..surplus);
        self.carried.extend_from_slice(text);
    }

    /// The name of a key has ended, and this is the key if it is asked for.
    #[inline]
    fn named(&mut self, key: Option<Place>, of: Of) {
        self.nth += 1;
        (self.key, self.of) = (key, of);
        self.state = State::Colon;
    }

    /// A string that is asked for has ended.
    #[inline(always)]
    fn string(&mut self, key: Place, text: &'a [u8], escaped: bool, asked: Asked<'_>) {
        for (role, rank) in &asked.keys.entry(key).roles {
            if self.values.wants(*role, *rank) {
                let text = if escaped { unescape(text) } else { text.into() };
                self.values.text(*role, *rank, text, asked.zone);
            } else if self.values.has(*role, *rank) {
                let text = if escaped { unescape(text) } else { text.into() };
                self.values.text_again(*role, text, asked.zone);
            } else if *role == Role::Client {
                self.values.see_other_client(&unescape(text));
            }
        }
    }

    /// A string that is not asked for has ended.
    #[inline]
    fn unread(&mut self, text: &[u8], asked: Asked<'_>) {
        match self.of {
            Of::Peer | Of::Header if is_address(text) => {
                self.values.see_other_address();
                if self.of == Of::Peer {
                    self.values.see_peer(text);
                }
            }
            // A path begins with a slash, too.
            Of::Unknown
                if asked.keys.has_forwarded
                    && self.values.lacks_client()
                    && !text.starts_with(b"/")
                    && is_address(text) =>
            {
                self.values.see_unnamed(text);
            }
            _ => {}
        }
    }

    /// A string of what is passed over has ended.
    fn pass_string(&mut self, text: &[u8], asked: Asked<'_>) {
        if asked.keys.has_forwarded {
            self.passed.string(text);
        }
        if let Some(rank) = self.joins.filter(|_| self.skipped == 1) {
            self.values.join(rank, &unescape(text));
        }
    }

    /// The last string of what is passed over was a value, if there was one.
    fn passed_value(&mut self) {
        if self.passed.was_address() {
            self.values.see_other_address();
        }
    }

    /// A value has ended, or the one of a list that counts.
    #[inline]
    fn after_value(&mut self) {
        self.key = None;
        self.state = if self.skipped > 0 {
            State::InSkipped
        } else {
            State::AfterValue
        };
    }

    /// An object has ended.
    fn close(&mut self) {
        if self.depth == 0 {
            self.state = State::End;
        } else {
            self.depth -= 1;
            self.after_value();
        }
    }

    /// A list or an object that is not asked for begins.
    fn skip(&mut self) {
        self.key = None;
        self.skipped = 1;
        self.joins = None;
        self.passed = Passed::begin(self.of);
        self.state = State::InSkipped;
    }

    /// Reads on in a list or an object that is not asked for. Returns where to go on.
    fn pass_over(&mut self, piece: &[u8], from: usize, asked: Asked<'_>) -> usize {
        for (at, byte) in piece.iter().enumerate().skip(from) {
            match byte {
                b'"' => {
                    self.passed_value();
                    return match find_end(piece, at + 1) {
                        End::At(end, _) => {
                            self.pass_string(&piece[at + 1..end], asked);
                            end + 1
                        }
                        beyond @ End::Beyond { .. } => {
                            self.carry(State::InSkippedString, piece, at + 1, beyond, asked)
                        }
                    };
                }
                b':' => self.passed.colon(),
                b',' => self.passed_value(),
                b'[' | b'{' => self.skipped += 1,
                b']' | b'}' => {
                    self.passed_value();
                    self.skipped -= 1;
                    if self.skipped == 0 {
                        self.joins = None;
                        self.after_value();
                        return at + 1;
                    }
                }
                _ => {}
            }
        }
        piece.len()
    }

    /// Reads a number, `true`, `false` or `null` that begins or goes on at `from`. Returns where it ends.
    fn scalar(&mut self, piece: &[u8], from: usize, asked: Asked<'_>) -> usize {
        let is_end = |byte: &u8| {
            matches!(
                byte,
                b',' | b'}' | b']' | b'"' | b':' | b'{' | b'[' | b' ' | b'\t' | b'\n' | b'\r'
            )
        };
        let text = &piece[from..];
        let length = text.iter().position(is_end);
        let text = &text[..length.unwrap_or(text.len())];
        let end = from + text.len();
        if length.is_none() || !self.carried.is_empty() {
            let room = MAX_SCALAR.saturating_sub(self.carried.len());
            self.carried.extend_from_slice(&text[..text.len().min(room)]);
            self.state = State::InScalar;
            if length.is_some() {
                let text = mem::take(&mut self.carried);
                self.finish_scalar(&text, asked);
            }
        } else {
            self.finish_scalar(text, asked);
        }
        end
    }

    #[inline]
    fn finish_scalar(&mut self, text: &[u8], asked: Asked<'_>) {
        if let Some(key) = self.key {
            for (role, rank) in &asked.keys.entry(key).roles {
                self.values.scalar(*role, *rank, text);
            }
        }
        self.after_value();
    }
}

/// The key of that name in an object.
#[inline]
fn find_key(asked: Asked<'_>, node: u16, name: &[u8], escaped: bool) -> Option<Place> {
    match escaped {
        true => asked.keys.find(node, &unescape(name)),
        false => asked.keys.find(node, name),
    }
}

impl State {
    const fn expected(self) -> &'static str {
        match self {
            Self::Begin => "`{` is expected",
            Self::Key | Self::FirstKey => "a key in quotes is expected",
            Self::Colon => "`:` is expected",
            Self::AfterValue => "`,` or `}` is expected",
            Self::End => "the object has ended",
            _ => "a value is expected",
        }
    }
}
