//! Clients that open a connection every millisecond, to see when they are not answered any more.

use std::{
    net::{IpAddr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::lab::netns::Namespace;

const PACE: Duration = Duration::from_millis(1);
/// Whoever was not answered for so long is not answered.
const SILENCE: Duration = Duration::from_millis(300);

/// A client's attempts to connect: each succeeds at once, unless it is dropped or rejected.
#[derive(Debug)]
pub(crate) struct Knocking<'a> {
    pub(crate) clients: &'a Namespace,
    pub(crate) client: IpAddr,
    pub(crate) server: SocketAddr,
}

struct Knock {
    socket: Socket,
    sent: Instant,
}

impl Knocking<'_> {
    /// Knocks, does `act`, and returns how long after that the first knock was made that nobody answered; `None` if all were within
    /// `patience`.
    ///
    /// # Panics
    ///
    /// When no connection can be tried.
    pub(crate) fn until_dropped(&self, patience: Duration, act: impl FnOnce() + Send) -> Option<Duration> {
        self.clients.enter(|| {
            let mut waiting: Vec<Knock> = Vec::new();
            let mut act = Some(act);
            let begun = Instant::now();
            let mut acted = None;
            loop {
                if begun.elapsed() > Duration::from_millis(50)
                    && let Some(act) = act.take()
                {
                    acted = Some(Instant::now());
                    act();
                }
                waiting.push(self.knock());
                thread::sleep(PACE);
                waiting.retain(|knock| !knock.is_answered());
                let oldest = waiting.first().map(|knock| knock.sent);
                match (acted, oldest) {
                    (Some(acted), Some(sent)) if sent.elapsed() > SILENCE => {
                        return Some(sent.saturating_duration_since(acted));
                    }
                    (Some(acted), _) if acted.elapsed() > patience => return None,
                    _ => {}
                }
            }
        })
    }

    /// Whether a single knock is answered.
    #[must_use]
    pub(crate) fn is_answered(&self) -> bool {
        self.clients.enter(|| {
            let knock = self.knock();
            while knock.sent.elapsed() < SILENCE {
                if knock.is_answered() {
                    return true;
                }
                thread::sleep(PACE);
            }
            false
        })
    }

    fn knock(&self) -> Knock {
        let socket = Socket::new(Domain::for_address(self.server), Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        socket
            .bind(&SocketAddr::new(self.client, 0).into())
            .expect("an address of the clients");
        let sent = Instant::now();
        // It is under way; what came of it is asked later.
        let _ = socket.connect(&self.server.into());
        Knock { socket, sent }
    }
}

impl Knock {
    /// Not by an error, with which a firewall may reject it.
    fn is_answered(&self) -> bool {
        self.socket.peer_addr().is_ok()
    }
}
