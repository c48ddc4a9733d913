//! A million prefixes, and packets whose sources are drawn at random from them: on static lists, and in a set of nftables that holds
//! the same.

use std::{
    net::Ipv4Addr,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
};

use secbeat_common::{maps, verdict::Verdict};

use crate::{
    bench::{
        contender::{Contender, FRAMES_DROPPED_BY_XDP, FRAMES_INTO_STACK, Rows, Sample},
        lists, peers,
        programs::generator,
        sources::{BANNED_V4, frame_of},
        tally::Reach,
        track::{Run, Track},
    },
    lab::bpf::Filter,
};

pub(super) const OURS: &str = "secbeat, 1 M prefixes";
pub(super) const NFT_INTERVALS: &str = "nft interval set, 1 M";

/// What drops them, and the generator that draws their sources.
struct Drawn {
    name: &'static str,
    /// `None` where the host drops them by itself.
    ours: Option<(OwnedFd, Filter)>,
    count: u32,
    generator: OwnedFd,
    track: Rc<Track>,
}

/// The rows, or the reason why they cannot be measured here.
pub(super) fn all(track: &Rc<Track>) -> Rows {
    [(OURS, ours(track)), (NFT_INTERVALS, nft_intervals())]
        .map(|(name, drawn)| (name, drawn.map(|drawn| Box::new(drawn) as Box<dyn Contender>)))
        .into()
}

fn drawing(track: &Track) -> Result<OwnedFd, String> {
    generator::drawing(track.sender_ifindex(), Ipv4Addr::UNSPECIFIED, lists::HALF)
        .map_err(|error| format!("loading the generator: {error}"))
}

fn ours(track: &Rc<Track>) -> Result<Drawn, String> {
    let mut pinned = lists::banning_every_21();
    pinned.filter.load_rest();
    let filter = pinned.into_filter();
    let program = filter
        .program(maps::PROGRAM_FRAGS)
        .fd()
        .expect("a loaded program");
    let program = program.as_fd().try_clone_to_owned();
    Ok(Drawn {
        name: OURS,
        ours: Some((program.map_err(|error| error.to_string())?, filter)),
        count: FRAMES_DROPPED_BY_XDP,
        generator: drawing(track)?,
        track: Rc::clone(track),
    })
}

fn nft_intervals() -> Result<Drawn, String> {
    let track = Rc::new(Track::new());
    peers::install_nft_intervals(track.receiver(), lists::every_21())?;
    Ok(Drawn {
        name: NFT_INTERVALS,
        ours: None,
        count: FRAMES_INTO_STACK,
        generator: drawing(&track)?,
        track,
    })
}

impl Contender for Drawn {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_plain_drop(&self) -> bool {
        false
    }

    fn sample(&self) -> Result<Sample, String> {
        let attached = self
            .ours
            .as_ref()
            .map(|(program, _)| self.track.attach(program.as_fd()))
            .transpose();
        let _link = attached.map_err(|error| format!("attaching it: {error}"))?;
        let banned = |(_, filter): &(_, Filter)| filter.counters()[Verdict::Banned as usize].packets;
        let live = self.track.time(&Run {
            generator: self.generator.as_fd(),
            frame: &frame_of(BANNED_V4),
            count: self.count,
            reach: Reach::Interface,
            counted: &|| Ok(self.ours.as_ref().map(banned)),
        })?;
        Ok(Sample { test_run: None, live })
    }
}
