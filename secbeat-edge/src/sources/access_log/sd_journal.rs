//! The journal's files, read by systemd's own library.
//!
//! `libsystemd.so.0` is loaded when the first journal is opened: systemd comes with it, and a host without systemd needs none. What
//! the functions do is in sd-journal(3) and in the page of each.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    io,
    os::fd::BorrowedFd,
    ptr::{self, NonNull},
    slice,
};

use libloading::Library;

use super::config::Matches;

const LIBRARY: &str = "libsystemd.so.0";
/// `SD_JOURNAL_LOCAL_ONLY`: not what other machines have sent.
const LOCAL_ONLY: c_int = 1;

/// `sd_journal *`.
type Handle = *mut c_void;

/// The functions that are called, and the library that has them.
struct Calls {
    open: unsafe extern "C" fn(*mut Handle, c_int) -> c_int,
    close: unsafe extern "C" fn(Handle),
    add_match: unsafe extern "C" fn(Handle, *const c_void, usize) -> c_int,
    add_conjunction: unsafe extern "C" fn(Handle) -> c_int,
    add_disjunction: unsafe extern "C" fn(Handle) -> c_int,
    set_data_threshold: unsafe extern "C" fn(Handle, usize) -> c_int,
    seek_cursor: unsafe extern "C" fn(Handle, *const c_char) -> c_int,
    seek_realtime: unsafe extern "C" fn(Handle, u64) -> c_int,
    next: unsafe extern "C" fn(Handle) -> c_int,
    test_cursor: unsafe extern "C" fn(Handle, *const c_char) -> c_int,
    get_cursor: unsafe extern "C" fn(Handle, *mut *mut c_char) -> c_int,
    get_realtime: unsafe extern "C" fn(Handle, *mut u64) -> c_int,
    get_data: unsafe extern "C" fn(Handle, *const c_char, *mut *const c_void, *mut usize) -> c_int,
    get_fd: unsafe extern "C" fn(Handle) -> c_int,
    process: unsafe extern "C" fn(Handle) -> c_int,
    // Last, so that it goes after what is in it.
    _library: Library,
}

impl Calls {
    fn load() -> Result<Self, libloading::Error> {
        // SAFETY: systemd's library has no initializers that could harm; each type is that of its function in sd-journal.h, which is
        // the same in all releases with the number 0. The functions are not called after the library is dropped, with them.
        unsafe {
            let library = Library::new(LIBRARY)?;
            Ok(Self {
                open: *library.get(b"sd_journal_open\0")?,
                close: *library.get(b"sd_journal_close\0")?,
                add_match: *library.get(b"sd_journal_add_match\0")?,
                add_conjunction: *library.get(b"sd_journal_add_conjunction\0")?,
                add_disjunction: *library.get(b"sd_journal_add_disjunction\0")?,
                set_data_threshold: *library.get(b"sd_journal_set_data_threshold\0")?,
                seek_cursor: *library.get(b"sd_journal_seek_cursor\0")?,
                seek_realtime: *library.get(b"sd_journal_seek_realtime_usec\0")?,
                next: *library.get(b"sd_journal_next\0")?,
                test_cursor: *library.get(b"sd_journal_test_cursor\0")?,
                get_cursor: *library.get(b"sd_journal_get_cursor\0")?,
                get_realtime: *library.get(b"sd_journal_get_realtime_usec\0")?,
                get_data: *library.get(b"sd_journal_get_data\0")?,
                get_fd: *library.get(b"sd_journal_get_fd\0")?,
                process: *library.get(b"sd_journal_process\0")?,
                _library: library,
            })
        }
    }
}

/// A place in the journal, for one thread: it is opened, read and closed there.
pub(super) struct SdJournal {
    calls: Calls,
    journal: NonNull<c_void>,
}

impl SdJournal {
    /// Opens this host's journal for entries that match `matches`. Of what is longer than `longest` bytes, no more need be told.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no library, or the journal cannot be opened.
    pub(super) fn open(matches: &Matches, longest: usize) -> io::Result<Self> {
        let calls = Calls::load().map_err(io::Error::other)?;
        let mut journal = ptr::null_mut();
        // SAFETY: the call writes a handle to where it is told to, which lives.
        checked(unsafe { (calls.open)(&raw mut journal, LOCAL_ONLY) })?;
        let journal = NonNull::new(journal).ok_or(io::ErrorKind::InvalidData)?;
        let opened = Self { calls, journal };
        for list in &matches.any {
            for text in list {
                opened.add_match(text)?;
            }
            // SAFETY: the handle is open.
            checked(unsafe { (opened.calls.add_disjunction)(opened.handle()) })?;
        }
        // SAFETY: the handle is open.
        checked(unsafe { (opened.calls.add_conjunction)(opened.handle()) })?;
        opened.add_match(&matches.all)?;
        // SAFETY: the handle is open.
        checked(unsafe { (opened.calls.set_data_threshold)(opened.handle(), longest) })?;
        // From here on, changes are told.
        opened.changes()?;
        Ok(opened)
    }

    /// Asks for entries with this `FIELD=value`. Of several without a junction between them, an entry needs one value of each field.
    fn add_match(&self, text: &str) -> io::Result<()> {
        // SAFETY: the handle is open, and the call reads and copies so many bytes.
        checked(unsafe { (self.calls.add_match)(self.handle(), text.as_ptr().cast(), text.len()) }).map(drop)
    }

    fn handle(&self) -> Handle {
        self.journal.as_ptr()
    }

    /// Goes before the first entry of this time or later, microseconds since the Unix epoch.
    pub(super) fn seek_time(&mut self, at_us: u64) -> io::Result<()> {
        // SAFETY: the handle is open.
        checked(unsafe { (self.calls.seek_realtime)(self.handle(), at_us) }).map(drop)
    }

    /// Goes to the first entry after this one. Returns whether there is one.
    pub(super) fn seek_after(&mut self, cursor: &str) -> io::Result<bool> {
        let cursor = CString::new(cursor)?;
        // SAFETY: the handle is open, and the text ends with a zero byte.
        checked(unsafe { (self.calls.seek_cursor)(self.handle(), cursor.as_ptr()) })?;
        if !self.next()? {
            return Ok(false);
        }
        // SAFETY: as above; the handle stands on an entry.
        let is_this = checked(unsafe { (self.calls.test_cursor)(self.handle(), cursor.as_ptr()) })? > 0;
        // The entry itself may have been vacuumed.
        if is_this { self.next() } else { Ok(true) }
    }

    /// Goes to the next entry. Returns whether there is one.
    pub(super) fn next(&mut self) -> io::Result<bool> {
        // SAFETY: the handle is open.
        checked(unsafe { (self.calls.next)(self.handle()) }).map(|entries| entries > 0)
    }

    /// Returns what [`seek_after`](Self::seek_after) takes, of the entry that it stands on.
    pub(super) fn cursor(&self) -> io::Result<String> {
        let mut text = ptr::null_mut();
        // SAFETY: the handle is open, and the call writes a text to where it is told to, which lives.
        checked(unsafe { (self.calls.get_cursor)(self.handle(), &raw mut text) })?;
        // SAFETY: the call has succeeded, so it has made a text that ends with a zero byte, and is the caller's.
        let cursor = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
        // SAFETY: it was made by malloc(3), and is not used any more.
        unsafe { libc::free(text.cast()) };
        Ok(cursor)
    }

    /// Returns when it was written, microseconds since the Unix epoch.
    pub(super) fn realtime_us(&self) -> io::Result<u64> {
        let mut at_us = 0;
        // SAFETY: the handle is open, and the call writes a number to where it is told to, which lives.
        checked(unsafe { (self.calls.get_realtime)(self.handle(), &raw mut at_us) })?;
        Ok(at_us)
    }

    /// The first value of this field; `None` if there is none.
    pub(super) fn field(&mut self, name: &CStr) -> io::Result<Option<&[u8]>> {
        let (mut start, mut length) = (ptr::null(), 0);
        // SAFETY: the handle is open, the name ends with a zero byte, and the call writes to where it is told to, which lives.
        let answer =
            unsafe { (self.calls.get_data)(self.handle(), name.as_ptr(), &raw mut start, &raw mut length) };
        match checked(answer) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        // SAFETY: the call has succeeded, so there are so many bytes until the next call with this handle, for which it has to be
        // borrowed again.
        let data = unsafe { slice::from_raw_parts(start.cast::<u8>(), length) };
        // `NAME=value`.
        Ok(data.get(name.to_bytes().len() + 1..))
    }

    /// Can be read when something has changed: some time after that, for journald tells of its entries 250 ms late.
    pub(super) fn changes(&self) -> io::Result<BorrowedFd<'_>> {
        // SAFETY: the handle is open.
        let fd = checked(unsafe { (self.calls.get_fd)(self.handle()) })?;
        // SAFETY: the call has succeeded, so this is an open descriptor, which is closed with the handle.
        Ok(unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// Takes note of the changes: of files that came and went.
    pub(super) fn take_changes(&mut self) -> io::Result<()> {
        // SAFETY: the handle is open.
        checked(unsafe { (self.calls.process)(self.handle()) }).map(drop)
    }
}

impl Drop for SdJournal {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and not used any more.
        unsafe { (self.calls.close)(self.handle()) };
    }
}

/// Returns what a function has answered: an error's number is negative.
fn checked(answer: c_int) -> io::Result<c_int> {
    match answer {
        0.. => Ok(answer),
        error => Err(io::Error::from_raw_os_error(error.saturating_neg())),
    }
}
