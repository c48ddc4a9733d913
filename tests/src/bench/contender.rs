//! Whatever takes part in a round, and the XDP programs among it.

use std::{os::fd::AsFd, rc::Rc};

use crate::bench::{
    subject::{Fate, Subject},
    syscall,
    track::{Reach, Run, Track},
};

const TEST_RUNS: u32 = 1_000_000;
/// Enough that setting up and taking down a run, which wait for RCU grace periods of several ms, are lost in it.
pub const FRAMES_DROPPED_BY_XDP: u32 = 64 * 65_536;
/// Fewer, since each goes on into the stack.
pub const FRAMES_INTO_STACK: u32 = 64 * 16_384;

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
pub type Rows = Vec<(&'static str, Result<Box<dyn Contender>, String>)>;

/// An XDP program, attached for the length of a run to a track that others use too.
#[derive(Debug)]
pub struct OnTrack {
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
        let test_run = syscall::test_run(program.as_fd(), frame, TEST_RUNS)
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
            test_run: Some(f64::from(test_run)),
            live,
        })
    }
}
