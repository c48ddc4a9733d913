//! The benchmark notices frames that come further than they should, or not as far.

use std::{
    net::Ipv4Addr,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use secbeat_tests::{
    bench::{
        Reach,
        map::LruHash,
        programs::{self, bare, generator},
        track::{Run, Track},
    },
    lab::{frames, wait::wait_until},
};

const FIRST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 0);
const FRAMES: u32 = 64 * 64;

/// Sends frames with this generator to this program; `reach` is what is claimed of them.
fn run(
    track: &Track,
    program: BorrowedFd<'_>,
    generator: BorrowedFd<'_>,
    reach: Reach,
) -> Result<f64, String> {
    let mut link = None;
    // A process that another test starts holds the link of the program before until it runs its own code.
    wait_until("the program is attached", Duration::from_secs(10), || {
        link = track.attach(program).ok();
        link.is_some()
    });
    track.time(&Run {
        generator,
        frame: &frames::datagram_from(FIRST.into(), &[]),
        count: FRAMES,
        reach,
        counted: &|| Ok(None),
    })
}

#[test]
fn frames_are_followed_to_where_they_end() {
    let track = Track::new();
    let programs = [
        (programs::always_drop().unwrap(), Reach::Interface),
        (programs::empty().unwrap(), Reach::Socket),
    ];
    for (program, right) in &programs {
        for claimed in [Reach::Interface, Reach::Ip, Reach::Socket] {
            let timed = run(&track, program.as_fd(), track.repeating(), claimed);
            assert_eq!(
                timed.is_ok(),
                claimed == *right,
                "{right:?}, claimed {claimed:?}: {timed:?}"
            );
        }
    }
}

#[test]
fn a_count_that_is_not_the_frames_is_an_error() {
    let (track, program) = (Track::new(), programs::always_drop().unwrap());
    let _link = track.attach(program.as_fd()).unwrap();
    let timed = track.time(&Run {
        generator: track.repeating(),
        frame: &frames::datagram_from(FIRST.into(), &[]),
        count: FRAMES,
        reach: Reach::Interface,
        counted: &|| Ok(Some(7)),
    });
    assert_eq!(timed, Err(format!("{FRAMES} frames were sent, it counted 0")));
}

#[test]
fn sources_are_drawn_from_the_whole_range_and_not_beyond() {
    let track = Track::new();
    let drawing = generator::drawing(track.sender_ifindex(), FIRST, 4).unwrap();
    let map = LruHash::new(4, 8, 1024).unwrap();
    let program = bare::lookup(map.as_fd()).unwrap();
    for last in 0..4 {
        let timed = run(&track, program.as_fd(), drawing.as_fd(), Reach::Interface);
        assert!(timed.is_err(), "only {last} of 4 sources are banned");
        map.insert(&[198, 51, 100, last]).unwrap();
    }
    let timed = run(&track, program.as_fd(), drawing.as_fd(), Reach::Interface);
    assert!(timed.is_ok(), "{timed:?}");
}
