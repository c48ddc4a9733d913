//! Shared parts of both daemons' HTTP APIs: how they are served, how they fail, how they ask the owner of a state, whom
//! they refuse, and their client.

mod ask;
mod client;
mod guard;
mod listeners;
mod peer;
mod problem;
mod serve;
mod socket;

pub use self::{
    ask::{Unanswered, ask},
    client::{ApiClient, CallError, Remote, Scheme},
    guard::{Act, Ways, refuse},
    peer::LocalPeer,
    problem::{Failure, PROBLEM_JSON, Problem, as_problems, bad_request, named_target},
    serve::{Listener, serve},
    socket::{LocalSocket, Occupant, SocketPath},
};
