//! Whatever takes part in a round, and the XDP programs among it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    rc::Rc,
};

use crate::bench::{
    subject::{Fate, Subject},
    syscall,
    tally::Reach,
    track::{Run, Track},
};

/// Test-runs of a sample, of which the shorter half counts: whatever disturbs one makes it longer.
const TEST_RUNS: usize = 20;
/// Packets of one.
const TEST_RUN_PACKETS: u32 = 200_000;
/// Enough that setting up and taking down a run, which wait for RCU grace periods of several ms, are lost in it.
pub(super) const FRAMES_DROPPED_BY_XDP: u32 = 64 * 65_536;
/// Fewer, since each goes on into the stack.
pub(super) const FRAMES_INTO_STACK: u32 = 64 * 16_384;

/// What one round says about a contender, in nanoseconds per packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// `None` where there is no program to run by itself.
    pub test_run: Option<f64>,
    pub live: f64,
}

/// Something that frames are sent to.
pub trait Contender {
    fn name(&self) -> &'static str;

    /// Whether its time in live frames can be set beside that of the program that always drops: nothing passes, and the
    /// frames come from the same generator on one CPU.
    fn is_plain_drop(&self) -> bool;

    /// Measures once.
    ///
    /// # Errors
    ///
    /// When it could not be measured, or did not do with every frame what it should.
    fn sample(&self) -> Result<Sample, String>;
}

/// Contenders by name, or why one cannot be measured on this machine.
pub(super) type Rows = Vec<(&'static str, Result<Box<dyn Contender>, String>)>;

/// An XDP program, attached for the length of a run to a track that others use too.
#[derive(Debug)]
pub(super) struct OnTrack {
    pub subject: Rc<Subject>,
    pub track: Rc<Track>,
}

impl Contender for OnTrack {
    fn name(&self) -> &'static str {
        self.subject.name
    }

    fn is_plain_drop(&self) -> bool {
        self.subject.fate == Fate::Dropped
    }

    fn sample(&self) -> Result<Sample, String> {
        let Subject { program, frame, .. } = &*self.subject;
        let test_run = shorter_test_runs(program.as_fd(), frame)
            .map_err(|error| format!("running it by itself: {error}"))?;
        let _link = self
            .track
            .attach(program.as_fd())
            .map_err(|error| format!("attaching it: {error}"))?;
        let (count, reach) = match self.subject.fate {
            Fate::Dropped => (FRAMES_DROPPED_BY_XDP, Reach::Interface),
            Fate::Passed => (FRAMES_INTO_STACK, Reach::Socket),
        };
        let live = self.track.time(&Run {
            generator: self.track.repeating(),
            frame,
            count,
            reach,
            counted: &|| Ok(self.subject.counted()),
        })?;
        Ok(Sample {
            test_run: Some(test_run),
            live,
        })
    }
}

/// Nanoseconds per packet: the mean of the shorter half, which also sees fractions of the whole ones that the kernel tells.
fn shorter_test_runs(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<f64> {
    let runs: io::Result<Vec<u32>> = (0..TEST_RUNS)
        .map(|_| syscall::test_run(program, frame, TEST_RUN_PACKETS))
        .collect();
    let mut runs = runs?;
    runs.sort_unstable();
    let shorter = &runs[..TEST_RUNS / 2];
    Ok(shorter.iter().copied().map(f64::from).sum::<f64>() / shorter.len() as f64)
}
