use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use tokio::time::Instant;

use super::*;
use crate::{make_all, memory::MemoryServer};

/// What the server's clock says at the start of the test.
const START_MS: i64 = 1_795_168_800_000;

/// Clocks of one test: they count with tokio's, which the test stops.
macro_rules! clocks {
    ($clocks:ident, $ahead_us:ident) => {
        static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        static DIFFERENCE_US: AtomicI64 = AtomicI64::new(i64::MIN);
        /// How far the host's wall clock is ahead.
        static $ahead_us: AtomicI64 = AtomicI64::new(0);
        fn boot_us() -> i64 {
            let begun = BEGUN.get_or_init(Instant::now);
            7_000_000 + i64::try_from(begun.elapsed().as_micros()).unwrap()
        }
        fn wall_us() -> i64 {
            boot_us() - 7_000_000 + START_MS * 1000 + $ahead_us.load(Relaxed)
        }
        let $clocks = Clocks {
            boot_us,
            wall_us,
            now_us: || match DIFFERENCE_US.load(Relaxed) {
                i64::MIN => wall_us(),
                difference_us => boot_us() + difference_us,
            },
            follow: |measure| DIFFERENCE_US.store(measure.difference_us, Relaxed),
        };
        boot_us();
    };
}

#[tokio::test(start_paused = true)]
async fn a_wrong_wall_clock_is_replaced_by_the_buss_and_told() {
    clocks!(clocks, AHEAD_US);
    AHEAD_US.store(600_000_000, Relaxed);
    let server = MemoryServer::new(START_MS);
    let bus = server.join().bus();
    make_all(&bus, Duration::from_secs(60)).await.unwrap();
    let clock = BusClock::new(&bus, clocks);
    let steps = clock.steps();
    assert_eq!(clock.offset(), None);
    assert_eq!((clocks.now_us)(), wall_us(), "the wall clock is all there is");
    assert!(clock.ready().await);
    let off_us = (clocks.now_us)() - server.now_ms() * 1000;
    assert!(off_us.abs() < 1_000, "{off_us} µs off the server");
    assert_eq!(*steps.borrow(), 1);
    let offset = clock.offset().unwrap();
    assert_eq!((offset.ahead_ms, offset.is_wrong()), (600_000, true));
    // Somebody sets the wall clock: the process's time does not change.
    AHEAD_US.store(0, Relaxed);
    assert!(((clocks.now_us)() - server.now_ms() * 1000).abs() < 1_000);
    assert_eq!(clock.offset().map(|offset| offset.is_wrong()), Some(false));
}

#[tokio::test(start_paused = true)]
async fn while_the_bus_is_away_the_last_difference_holds_and_then_it_is_measured_anew() {
    clocks!(clocks, AHEAD_US);
    let server = MemoryServer::new(START_MS);
    let member = server.join();
    let bus = member.bus();
    let clock = BusClock::new(&bus, clocks);
    assert!(!clock.ready().await, "there is no bucket yet");
    make_all(&bus, Duration::from_secs(60)).await.unwrap();
    assert!(clock.ready().await);
    tokio::spawn(clock.clone().run());
    let mut steps = clock.steps();
    member.disconnect();
    AHEAD_US.store(-300_000_000, Relaxed);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(((clocks.now_us)() - server.now_ms() * 1000).abs() < 1_000);
    // What runs there next has another clock.
    server.set_clock(START_MS + 60_000);
    member.reconnect();
    steps.changed().await.unwrap();
    assert!(((clocks.now_us)() - server.now_ms() * 1000).abs() < 1_000);
}
