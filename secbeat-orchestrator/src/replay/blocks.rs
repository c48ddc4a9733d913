//! A log that several threads read: blocks of whole lines, parsed out of order and given out in order.
//!
//! A block is parsed as if no line of an earlier one went on in it. Where one does (a line longer than a block, or one that a
//! container's runtime divided), the block is parsed again, with what is known of that line. So the lines are the same, whatever
//! the number of threads.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    mem,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use memchr::{memchr, memrchr};
use parking_lot::{Condvar, Mutex};
use secbeat_common::prefix::Prefix;
use secbeat_logs::{Formats, LogError, LogLine, MAX_LINE, OpenLines, Piece};

use super::{
    ReplayError,
    answer::{Answer, Told, status_of},
};

/// Bytes of a block, if a line ends in it.
const BLOCK: usize = 1 << 17;
/// Blocks that are parsed and wait for their turn.
const AHEAD: u64 = 64;
/// In which a block of a file is read.
const SHORT_READ: Duration = Duration::from_micros(200);
/// Bytes of a short line: so many lines of a block have room at once.
const SHORT_LINE: usize = 100;

/// Threads that may be started beside the one that judges, for all logs together.
#[derive(Clone, Debug)]
pub(super) struct Helpers(Arc<AtomicUsize>);

impl Helpers {
    /// So many.
    fn new(count: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(count)))
    }

    /// As many as there are further cores.
    pub(super) fn of_this_machine() -> Self {
        Self::new(thread::available_parallelism().map_or(0, |cores| cores.get() - 1))
    }

    /// All that are left.
    fn take(&self) -> usize {
        self.0.swap(0, Relaxed)
    }

    fn give_back(&self, count: usize) {
        self.0.fetch_add(count, Relaxed);
    }
}

/// Bytes of a log up to the end of a line, mostly.
#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    /// Whether it begins within a line.
    continues: bool,
    /// Whether it ends within a line.
    goes_on: bool,
}

impl Block {
    fn pieces(&self) -> Pieces<'_> {
        Pieces {
            rest: &self.bytes,
            within_line: self.continues,
            long: None,
            goes_on: self.goes_on,
        }
    }
}

struct Pieces<'a> {
    rest: &'a [u8],
    /// Whether `rest` begins within a line that an earlier block began.
    within_line: bool,
    /// The text after the beginning of a long line.
    long: Option<&'a [u8]>,
    goes_on: bool,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if let Some(end) = self.long.take() {
            return Some(Piece::End(end));
        }
        let end = memchr(b'\n', self.rest);
        if self.rest.is_empty() && !self.within_line {
            return None;
        }
        let (line, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &b""[..]),
        };
        self.rest = rest;
        let is_open = end.is_none() && self.goes_on;
        Some(match (mem::take(&mut self.within_line), is_open) {
            (true, true) => Piece::More(line),
            (true, false) => Piece::End(line),
            (false, true) => Piece::Begin(line),
            (false, false) if line.len() > MAX_LINE => {
                self.long = Some(&line[MAX_LINE..]);
                Piece::Begin(&line[..MAX_LINE])
            }
            (false, false) => Piece::Line(line),
        })
    }
}

/// Result of a piece of a log.
#[derive(Debug)]
pub(super) struct Step<'l> {
    /// Whether a line began.
    pub(super) begins: bool,
    /// The answer of the line that ended, or why it tells of none.
    pub(super) read: Option<Result<Answer<'l>, &'l LogError>>,
}

/// As a [`Step`], in a fraction of the room of a line: one thread writes it, and another one reads it.
#[derive(Clone, Copy, Debug)]
struct Noted {
    begins: bool,
    kept: Kept,
}

#[derive(Clone, Copy, Debug)]
enum Kept {
    Nothing,
    Answer {
        client: IpAddr,
        at_ms: i64,
        status: u16,
    },
    /// The place of a line that is kept.
    Line(u32),
    /// The place of an error.
    Error(u32),
}

/// What the pieces of a block gave, in their order.
#[derive(Debug, Default)]
struct Steps<'a> {
    noted: Vec<Noted>,
    /// Of which more is told than whose answer it is, when, and its status.
    lines: Vec<LogLine<'a>>,
    errors: Vec<LogError>,
}

impl<'a> Steps<'a> {
    /// Keeps what is told of a line.
    #[inline]
    fn keep(&mut self, line: LogLine<'a>, told: Told) -> Kept {
        let status = status_of(&line);
        if told.is_all_of(status) {
            self.lines.push(line);
            return Kept::Line((self.lines.len() - 1) as u32);
        }
        Kept::Answer {
            client: line.client,
            at_ms: line.at_ms,
            status,
        }
    }

    #[cold]
    fn keep_error(&mut self, error: LogError) -> Kept {
        self.errors.push(error);
        Kept::Error((self.errors.len() - 1) as u32)
    }

    #[inline]
    fn get(&self, at: usize) -> Option<Step<'_>> {
        let Noted { begins, kept } = *self.noted.get(at)?;
        let read = match kept {
            Kept::Nothing => None,
            Kept::Answer {
                client,
                at_ms,
                status,
            } => Some(Ok(Answer {
                client,
                at_ms,
                status,
                line: None,
            })),
            Kept::Line(place) => self.lines.get(place as usize).map(|line| Ok(Answer::of(line))),
            Kept::Error(place) => self.errors.get(place as usize).map(Err),
        };
        Some(Step { begins, read })
    }
}

self_cell::self_cell!(
    /// A block and its lines.
    struct Lines {
        owner: Block,
        #[covariant]
        dependent: Steps,
    }
);

/// A block that was parsed.
struct Parsed {
    lines: Lines,
    /// Lines that go on after it.
    open: OpenLines,
}

/// Search for the client of a line.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    /// Proxies whose lists of addresses are believed.
    pub(super) trusted: Arc<[Prefix]>,
    /// The last address of a list is the client, as for an edge whose config does not say that clients come from a header.
    pub(super) are_last: bool,
}

impl Clients {
    /// Puts the client in its place, seen through trusted proxies.
    fn find(&self, line: &mut LogLine<'_>) -> Result<(), LogError> {
        if self.are_last {
            line.forwarded = None;
        }
        line.see_through(|address| self.trusted.iter().any(|proxy| proxy.contains(address)))
    }
}

/// Parser of blocks. Each thread has one of its own: what it reads for each line shares no line of the caches with what another
/// thread writes.
struct Parser {
    formats: Formats,
    clients: Clients,
    told: Told,
    /// As which each block begins that is parsed before its turn.
    begin: OpenLines,
}

impl Parser {
    /// One for another thread.
    fn another(&self) -> Self {
        Self {
            formats: self.formats.clone(),
            clients: self.clients.clone(),
            told: self.told,
            begin: self.begin.settled(),
        }
    }

    /// Parses a block before its turn.
    fn parse_ahead(&self, block: Block) -> Parsed {
        self.parse(block, self.begin.settled())
    }

    /// Parses a block after lines of which some may still be open.
    fn parse(&self, block: Block, mut open: OpenLines) -> Parsed {
        let lines = Lines::new(block, |block| {
            let mut steps = Steps {
                noted: Vec::with_capacity(block.bytes.len() / SHORT_LINE),
                lines: Vec::with_capacity(match self.told {
                    Told::All => block.bytes.len() / SHORT_LINE,
                    // A few of them are failures.
                    Told::Failures => block.bytes.len() / SHORT_LINE / 4,
                }),
                errors: Vec::new(),
            };
            for piece in block.pieces() {
                let begins = matches!(piece, Piece::Line(_) | Piece::Begin(_));
                let mut read = self.formats.read_apart(piece, &mut open);
                if let Some(Ok(line)) = &mut read
                    && let Err(error) = self.clients.find(line)
                {
                    read = Some(Err(error));
                }
                let kept = match read {
                    None => Kept::Nothing,
                    Some(Ok(line)) => steps.keep(line, self.told),
                    Some(Err(error)) => steps.keep_error(error),
                };
                steps.noted.push(Noted { begins, kept });
            }
            steps
        });
        Parsed { lines, open }
    }
}

/// Outcome of a step that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// Its turn has not come.
    NotYet,
}

/// Source of blocks.
struct Source {
    input: Box<dyn Read + Send>,
    /// Bytes of a block.
    size: usize,
    /// The beginning of a line whose end was not read.
    rest: Vec<u8>,
    within_line: bool,
    /// The number of the next block, from 0.
    next: u64,
    ended: bool,
}

impl Source {
    /// The next block and its number; `None` at the end.
    fn next_block(&mut self) -> io::Result<Option<(u64, Block)>> {
        if self.ended {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(self.size.max(self.rest.len()));
        bytes.append(&mut self.rest);
        let wanted = self.size.saturating_sub(bytes.len()) as u64;
        let read = self.input.by_ref().take(wanted).read_to_end(&mut bytes);
        self.ended = match read {
            Ok(read) => (read as u64) < wanted,
            Err(error) => {
                self.ended = true;
                return Err(error);
            }
        };
        if bytes.is_empty() && !self.within_line {
            return Ok(None);
        }
        let continues = self.within_line;
        self.within_line = false;
        if !self.ended {
            match memrchr(b'\n', &bytes) {
                Some(last) => self.rest = bytes.split_off(last + 1),
                None => self.within_line = true,
            }
        }
        let number = self.next;
        self.next += 1;
        let block = Block {
            bytes,
            continues,
            goes_on: self.within_line,
        };
        Ok(Some((number, block)))
    }
}

/// Blocks that were parsed and not taken.
#[derive(Default)]
struct Ready {
    blocks: BTreeMap<u64, io::Result<Parsed>>,
    /// Of the block that is taken next.
    next: u64,
    /// Number of blocks, once that is known.
    count: Option<u64>,
    /// Nobody takes any more.
    stopped: bool,
}

struct Shared {
    source: Mutex<Source>,
    ready: Mutex<Ready>,
    changed: Condvar,
}

impl Shared {
    /// Reads and parses one block. `false` at the end.
    fn work(&self, source: &mut Source) -> Option<(u64, Block)> {
        match source.next_block() {
            Ok(Some(block)) => return Some(block),
            Ok(None) => {
                let mut ready = self.ready.lock();
                ready.count = Some(source.next);
            }
            Err(error) => {
                let mut ready = self.ready.lock();
                ready.blocks.insert(source.next, Err(error));
                source.next += 1;
                ready.count = Some(source.next);
            }
        }
        self.changed.notify_all();
        None
    }

    fn put(&self, number: u64, parsed: Parsed) {
        self.ready.lock().blocks.insert(number, Ok(parsed));
        self.changed.notify_all();
    }

    /// Work of a helper: parses blocks until the end.
    fn help(&self, parser: &Parser) {
        loop {
            {
                let mut ready = self.ready.lock();
                while !ready.stopped && ready.blocks.len() as u64 >= AHEAD {
                    self.changed.wait(&mut ready);
                }
                if ready.stopped {
                    return;
                }
            }
            let block = self.work(&mut self.source.lock());
            match block {
                Some((number, block)) => self.put(number, parser.parse_ahead(block)),
                None => return,
            }
        }
    }
}

/// The lines of a log, in their order.
pub(super) struct Blocks {
    shared: Arc<Shared>,
    parser: Parser,
    helpers: Helpers,
    threads: Vec<thread::JoinHandle<()>>,
    /// The block whose lines are given out, and the place of the next one.
    current: Option<(Parsed, usize)>,
    /// Lines that were open at the end of the last block.
    open: OpenLines,
}

impl Blocks {
    /// Begins to read a log, with as many helpers as are left. `begin` is what is known of its lines.
    pub(super) fn of(
        input: Box<dyn Read + Send>,
        formats: Formats,
        clients: Clients,
        told: Told,
        begin: &OpenLines,
        helpers: &Helpers,
    ) -> Self {
        Self::of_size(BLOCK, input, formats, clients, told, begin, helpers)
    }

    fn of_size(
        size: usize,
        input: Box<dyn Read + Send>,
        formats: Formats,
        clients: Clients,
        told: Told,
        begin: &OpenLines,
        helpers: &Helpers,
    ) -> Self {
        let parser = Parser {
            formats,
            clients,
            told,
            begin: begin.settled(),
        };
        let shared = Arc::new(Shared {
            source: Mutex::new(Source {
                input,
                size,
                rest: Vec::new(),
                within_line: false,
                next: 0,
                ended: false,
            }),
            ready: Mutex::default(),
            changed: Condvar::new(),
        });
        let start = |_| {
            let (shared, parser) = (shared.clone(), parser.another());
            thread::Builder::new()
                .name("parser".to_owned())
                .spawn(move || shared.help(&parser))
        };
        let wanted = helpers.take();
        // Without one that cannot be started, reading is slower and the same.
        let threads: Vec<_> = (0..wanted).map_while(|n| start(n).ok()).collect();
        helpers.give_back(wanted - threads.len());
        Self {
            shared,
            parser,
            helpers: helpers.clone(),
            threads,
            current: None,
            open: begin.settled(),
        }
    }

    /// Shows what comes next, until `take` refuses it or the log ends. A step that was refused comes again. Returns whether the
    /// log has ended.
    ///
    /// # Errors
    ///
    /// Returns the errors of reading, as [`ReplayError::Read`] of `name`, and those of `take`.
    pub(super) fn each(
        &mut self,
        name: &str,
        mut take: impl FnMut(&Step<'_>) -> Result<Taken, ReplayError>,
    ) -> Result<bool, ReplayError> {
        loop {
            if let Some((parsed, at)) = &mut self.current {
                while let Some(step) = parsed.lines.borrow_dependent().get(*at) {
                    if take(&step)? == Taken::NotYet {
                        return Ok(false);
                    }
                    *at += 1;
                }
            }
            match self.next_block() {
                Ok(Some(parsed)) => self.current = Some((parsed, 0)),
                Ok(None) => return Ok(true),
                Err(source) => return Err(ReplayError::read(name, source)),
            }
        }
    }

    /// The next block, as what was before it makes it.
    fn next_block(&mut self) -> io::Result<Option<Parsed>> {
        if let Some((parsed, _)) = self.current.take() {
            self.open = parsed.open;
        }
        let Some(parsed) = self.take()? else {
            return Ok(None);
        };
        if self.open.is_as(&self.parser.begin) {
            return Ok(Some(parsed));
        }
        let open = mem::take(&mut self.open);
        Ok(Some(self.parser.parse(parsed.lines.into_owner(), open)))
    }

    /// Takes the next block, or parses blocks until it is there.
    fn take(&self) -> io::Result<Option<Parsed>> {
        let shared = &*self.shared;
        loop {
            {
                let mut ready = shared.ready.lock();
                let next = ready.next;
                if let Some(parsed) = ready.blocks.remove(&next) {
                    ready.next += 1;
                    shared.changed.notify_all();
                    return parsed.map(Some);
                }
                if ready.count.is_some_and(|count| next >= count) {
                    return Ok(None);
                }
            }
            // A helper that reads a file is done soon, one that reads a pipe may not be.
            if let Some(mut source) = shared.source.try_lock_for(SHORT_READ) {
                let block = shared.work(&mut source);
                drop(source);
                if let Some((number, block)) = block {
                    shared.put(number, self.parser.parse_ahead(block));
                    continue;
                }
            }
            let mut ready = shared.ready.lock();
            let next = ready.next;
            let is_there = |ready: &Ready| {
                ready.blocks.contains_key(&next) || ready.count.is_some_and(|count| next >= count)
            };
            if !is_there(&ready) {
                shared.changed.wait(&mut ready);
            }
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.shared.ready.lock().stopped = true;
        self.shared.changed.notify_all();
        let count = self.threads.len();
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
        self.helpers.give_back(count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secbeat_logs::Lines as Whole;

    use super::*;

    const LINE: &str = "203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] \"GET /x HTTP/1.1\" 404 12";

    /// Returns what a line gave, in words.
    fn shown(read: &Result<LogLine<'_>, LogError>) -> String {
        match read {
            Ok(line) => format!("{} {} {}", line.client, line.status, line.path.escape_ascii()),
            Err(error) => error.to_string(),
        }
    }

    fn formats() -> Formats {
        Formats::of(["combined", "iis"].map(|name| name.parse().unwrap())).unwrap()
    }

    /// The lines of a log, read by one.
    fn one_by_one(log: &[u8]) -> Vec<String> {
        let (mut lines, mut open, formats) = (Whole::new(log), OpenLines::default(), formats());
        let mut all = Vec::new();
        while let Some(piece) = lines.next_piece().unwrap() {
            all.extend(formats.read(piece, &mut open).as_ref().map(shown));
        }
        all
    }

    fn together(log: &[u8], size: usize, helpers: usize, told: Told) -> Vec<String> {
        let input = Box::new(io::Cursor::new(log.to_vec()));
        let (begin, helpers) = (OpenLines::default(), Helpers::new(helpers));
        let mut blocks = Blocks::of_size(size, input, formats(), Clients::default(), told, &begin, &helpers);
        let mut all = Vec::new();
        let mut waited = false;
        // Each step's turn comes only when it is asked for the second time.
        while !blocks
            .each("log", |step| {
                waited = !waited;
                if waited {
                    return Ok(Taken::NotYet);
                }
                all.extend(step.read.as_ref().map(|read| match read {
                    Ok(Answer { line: Some(line), .. }) => shown(&Ok((*line).clone())),
                    Ok(Answer { client, status, .. }) => format!("{client} {status}"),
                    Err(error) => error.to_string(),
                }));
                Ok(Taken::Yes)
            })
            .unwrap()
        {}
        all
    }

    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => Just(LINE.to_owned()),
            2 => Just(LINE.replace("/x", "/good").replace("404", "200")),
            1 => Just(String::new()),
            1 => Just("junk".to_owned()),
            // Longer than blocks, and than what comes in one piece.
            1 => (0..90_000usize).prop_map(|len| LINE.replace("/x", &format!("/{}", "x".repeat(len)))),
            1 => Just("2026-11-21T10:06:56.1Z stdout P 203.0.113.7 - - [21/Nov/2026".to_owned()),
            1 => Just("2026-11-21T10:06:56.1Z stdout F :11:06:56 +0100] \"GET /y HTTP/1.1\" 403 12".to_owned()),
            1 => Just("#Fields: date time c-ip cs-method cs-uri-stem sc-status".to_owned()),
            1 => Just("2026-11-21 10:06:56 203.0.113.8 GET /z 401".to_owned()),
            1 => Just(format!("Nov 21 11:06:56 web1 nginx: {LINE}")),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn lines_are_the_same_whatever_the_number_of_threads(
            lines in prop::collection::vec(line(), 0..40), size in 100..5000usize, helpers in 0..4usize, ends in any::<bool>(),
        ) {
            let mut log = lines.join("\n");
            if ends {
                log.push('\n');
            }
            let expected = one_by_one(log.as_bytes());
            prop_assert_eq!(&together(log.as_bytes(), size, helpers, Told::All), &expected);
            let untold = |line: String| match line.strip_suffix(" /good") {
                Some(rest) => rest.to_owned(),
                None => line,
            };
            let expected: Vec<_> = expected.into_iter().map(untold).collect();
            prop_assert_eq!(together(log.as_bytes(), size, helpers, Told::Failures), expected);
        }
    }
}
