//! Counts, slows and logs requests with unknown tokens.
//!
//! The answers to the wrong tokens of an address go out one after the other, however many connections it opens. A right token never
//! waits, since others may ask from the same address: it is 256 random bits, so nobody guesses one.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::http::StatusCode;
use parking_lot::Mutex;
use secbeat_common::prefix::Prefix;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::Failure;

/// From one line of the log about wrong tokens to the next.
const TELL: Duration = Duration::from_secs(10);
/// From one answer to a wrong token of an address to the next one.
const PAUSE: Duration = Duration::from_secs(1);
/// Answers to the wrong tokens of an address that wait at a time.
const MAX_WAITING: u32 = 8;
/// Addresses that are told apart at a time. All others are one. So what waits leaves half of the API's connections to others.
const MAX_ADDRESSES: usize = 63;

/// Counts requests with unknown tokens, slows and logs them.
#[derive(Clone, Debug, Default)]
pub(crate) struct WrongTokens(Arc<Mutex<Wrong>>);

#[derive(Debug, Default)]
struct Wrong {
    count: u64,
    /// Number of those in the log, and the time of the last one.
    told: u64,
    told_at: Option<Instant>,
    /// Time of the last answer to each address, or to each /64 of IPv6. `None` stands for sockets and for all that have no place.
    answers: HashMap<Option<Prefix>, Instant>,
}

impl WrongTokens {
    /// Returns how many there were.
    pub(crate) fn seen(&self) -> u64 {
        self.0.lock().count
    }

    /// Counts a request of `peer`, and waits until it is to be answered.
    ///
    /// # Errors
    ///
    /// Returns an error, which is to be answered at once, if too many requests of `peer` wait.
    pub(super) async fn slow(&self, peer: Option<SocketAddr>) -> Result<(), Failure> {
        let turn = self.0.lock().turn(peer);
        let Some(turn) = turn else {
            let why = format!(
                "this token or link is unknown, and {MAX_WAITING} such requests wait for an answer: try again in 10 s"
            );
            return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, why));
        };
        sleep_until(turn).await;
        Ok(())
    }
}

impl Wrong {
    /// Counts a request of `peer`. Returns when it is to be answered; `None` if too many wait.
    fn turn(&mut self, peer: Option<SocketAddr>) -> Option<Instant> {
        let now = Instant::now();
        self.count += 1;
        self.tell(peer, now);
        let mut address = peer.map(|peer| Prefix::single(peer.ip()));
        if self.answers.len() >= MAX_ADDRESSES {
            self.answers.retain(|_, last| *last > now);
        }
        if self.answers.len() >= MAX_ADDRESSES && !self.answers.contains_key(&address) {
            address = None;
        }
        let last = self.answers.entry(address).or_insert(now);
        let turn = now.max(*last) + PAUSE;
        if turn > now + PAUSE * MAX_WAITING {
            return None;
        }
        *last = turn;
        Some(turn)
    }

    fn tell(&mut self, peer: Option<SocketAddr>, now: Instant) {
        if self.told_at.is_some_and(|at| now - at < TELL) {
            return;
        }
        let since = self.count - self.told;
        (self.told, self.told_at) = (self.count, Some(now));
        let peer = peer.map_or_else(|| "the socket".to_owned(), |peer| peer.ip().to_string());
        warn!(
            from = peer,
            wrong_tokens = since,
            "a request shows a token that the API does not know"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().unwrap(), 40_000))
    }

    /// Seconds until each of `requests` wrong tokens of `address` is answered, all shown at once; `None` if it is refused at once.
    async fn waits(wrong: &WrongTokens, address: &str, requests: u32) -> Vec<Option<u64>> {
        let began = Instant::now();
        let ask = |_| {
            let (wrong, peer) = (wrong.clone(), from(address));
            tokio::spawn(async move { wrong.slow(peer).await.is_ok().then(|| began.elapsed().as_secs()) })
        };
        let asked: Vec<_> = (0..requests).map(ask).collect();
        let mut waits = Vec::new();
        for answer in asked {
            waits.push(answer.await.unwrap());
        }
        waits.sort_unstable();
        waits
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_gets_one_answer_a_second_however_many_it_asks_for_at_once() {
        let wrong = WrongTokens::default();
        let one_a_second: Vec<Option<u64>> = (1..=8).map(Some).collect();
        assert_eq!(waits(&wrong, "192.0.2.1", 8).await, one_a_second);
        let (crowd, other, neighbour) = tokio::join!(
            waits(&wrong, "2001:db8::1", 20),
            waits(&wrong, "192.0.2.2", 2),
            async {
                sleep_until(Instant::now() + Duration::from_millis(500)).await;
                waits(&wrong, "2001:db8::2", 1).await
            }
        );
        assert_eq!(crowd, [vec![None; 12], one_a_second].concat());
        assert_eq!(other, [Some(1), Some(2)], "another address does not wait for it");
        assert_eq!(neighbour, [None], "it is of the same /64");
        assert_eq!(waits(&wrong, "2001:db8::3", 1).await, [Some(1)], "it is over");
        assert_eq!(wrong.seen(), 32);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_that_are_told_apart_do_not_wait_for_all_others() {
        let wrong = WrongTokens::default();
        let turns = |address: String, requests: usize| {
            let mut wrong = wrong.0.lock();
            let turns = (0..requests).filter_map(|_| wrong.turn(from(&address)));
            turns.count()
        };
        for n in 0..63 {
            assert_eq!(turns(format!("10.0.0.{n}"), 1), 1, "{n}");
        }
        // An address of IPv4 that is written as one of IPv6 is the same.
        assert_eq!(turns("::ffff:10.0.0.1".to_owned(), 9), 7);
        assert_eq!(turns("10.0.1.1".to_owned(), 9), 8);
        assert_eq!(turns("10.0.1.2".to_owned(), 1), 0, "all others wait as one");
        assert_eq!(turns("10.0.0.2".to_owned(), 9), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_addresses_make_half_of_the_connections_wait_at_most() {
        let wrong = WrongTokens::default();
        let address = |n: u32| format!("10.0.{}.{}", n / 250, n % 250);
        let mut waiting = 0;
        for n in (0..10).flat_map(|_| 0..10_000) {
            waiting += u32::from(wrong.0.lock().turn(from(&address(n))).is_some());
        }
        assert_eq!(waiting, 512);
        assert!(wrong.0.lock().answers.len() <= MAX_ADDRESSES + 1);
        sleep_until(Instant::now() + PAUSE * MAX_WAITING).await;
        assert_eq!(waits(&wrong, &address(9_999), 2).await, [Some(1), Some(2)]);
    }
}
