//! Ending threads that wait in poll(2).

use std::{
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// Dropped, it ends everybody's waiting.
#[derive(Debug)]
pub(super) struct Stopper {
    _writer: PipeWriter,
}

/// What a reader's thread waits with.
#[derive(Clone, Debug)]
pub(super) struct Stop(Arc<PipeReader>);

/// The reason why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    Stopped,
    Readable,
    Timeout,
}

/// The two ends.
///
/// # Errors
///
/// Returns an error if there can be no more pipes.
pub(super) fn channel() -> io::Result<(Stopper, Stop)> {
    let (reader, writer) = io::pipe()?;
    Ok((Stopper { _writer: writer }, Stop(Arc::new(reader))))
}

impl Stop {
    /// Waits until `readable` can be read or has ended, or `timeout` is over, or the [`Stopper`] is gone.
    ///
    /// # Errors
    ///
    /// Returns the errors of poll(2) that a further call would meet again.
    pub(super) fn wait(&self, readable: Option<BorrowedFd<'_>>, timeout: Duration) -> io::Result<Woken> {
        let mut watched = vec![PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        watched.extend(readable.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        // Rounded up: a wait of less than a millisecond shall not spin.
        let timeout = PollTimeout::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX);
        match poll(&mut watched, timeout) {
            Ok(0) | Err(Errno::EINTR) => return Ok(Woken::Timeout),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let is_up = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
        Ok(if watched.first().is_some_and(is_up) {
            Woken::Stopped
        } else {
            Woken::Readable
        })
    }

    /// Whether the [`Stopper`] is gone.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.wait(None, Duration::ZERO), Ok(Woken::Stopped))
    }
}
