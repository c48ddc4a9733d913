//! Two CPUs that drop packets of the same source at the same time, and so write to the same ban.

use std::{os::fd::AsFd, rc::Rc, sync::Barrier, thread, time::Duration};

use crate::bench::{
    contender::{Contender, FRAMES_DROPPED_BY_XDP, Rows, Sample},
    cpus,
    subject::{ALWAYS_DROP, HIT_V4, Subject},
    tally::{Reach, check_counted},
    track::Track,
};

/// The limit with two CPUs at work.
pub(super) const LIMIT: &str = "two CPUs, always drop";
/// The program as it is, with two CPUs at work on one ban.
pub(super) const OURS: &str = "two CPUs, secbeat hit v4";

const WARM_UP: u32 = 64 * 1024;
/// Ample for the last batch of each CPU on its way through the receiver's softirq.
const STRAGGLERS: Duration = Duration::from_millis(100);

/// A link for each CPU.
struct Lane {
    track: Track,
    cpu: usize,
}

/// A program on both links, with the same maps.
struct Shared {
    name: &'static str,
    subject: Rc<Subject>,
    lanes: Rc<[Lane; 2]>,
}

/// The rows, or the reason why they cannot be measured on these CPUs.
pub(super) fn all(subjects: &[Rc<Subject>], cpus: &[usize]) -> Rows {
    let &[first, second, ..] = cpus else {
        let missing = |name| (name, Err("it needs two CPUs".to_owned()));
        return [LIMIT, OURS].map(missing).into();
    };
    let lanes = Rc::new([first, second].map(|cpu| Lane {
        track: Track::new(),
        cpu,
    }));
    let row = |(name, program)| {
        let subject = subjects.iter().find(|subject| subject.name == program);
        let shared = Shared {
            name,
            subject: Rc::clone(subject.expect("a subject of that name")),
            lanes: Rc::clone(&lanes),
        };
        (name, Ok(Box::new(shared) as Box<dyn Contender>))
    };
    [(LIMIT, ALWAYS_DROP), (OURS, HIT_V4)].map(row).into()
}

impl Shared {
    /// Sends frames on both CPUs at once; returns each one's time.
    fn send(&self, count: u32) -> [Duration; 2] {
        let (barrier, frame) = (Barrier::new(2), &self.subject.frame);
        let send_on = |lane: &Lane| {
            cpus::stay_on(&[lane.cpu]);
            barrier.wait();
            lane.track.send(lane.track.repeating(), frame, count)
        };
        let [first, second] = &*self.lanes;
        thread::scope(|scope| {
            let other = scope.spawn(|| send_on(second));
            let one = scope.spawn(|| send_on(first));
            [one, other].map(|thread| thread.join().expect("sending on a CPU"))
        })
    }
}

impl Contender for Shared {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_plain_drop(&self) -> bool {
        false
    }

    fn sample(&self) -> Result<Sample, String> {
        let attach = |lane: &Lane| lane.track.attach(self.subject.program.as_fd());
        let _links = self
            .lanes
            .iter()
            .map(attach)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("attaching it: {error}"))?;
        let tallies = || self.lanes.each_ref().map(|lane| lane.track.tally());
        self.send(WARM_UP);
        thread::sleep(STRAGGLERS);
        let (before, counted) = (tallies(), self.subject.counted());
        let elapsed = self.send(FRAMES_DROPPED_BY_XDP);
        thread::sleep(STRAGGLERS);
        for (after, before) in tallies().into_iter().zip(before) {
            after
                .since(before)
                .check(FRAMES_DROPPED_BY_XDP, Reach::Interface)?;
        }
        check_counted(
            self.subject.counted(),
            counted,
            2 * u64::from(FRAMES_DROPPED_BY_XDP),
        )?;
        let both: Duration = elapsed.iter().sum();
        Ok(Sample {
            test_run: None,
            live: both.as_nanos() as f64 / f64::from(FRAMES_DROPPED_BY_XDP) / 2.0,
        })
    }
}
