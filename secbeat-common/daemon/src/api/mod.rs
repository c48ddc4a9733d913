//! What the HTTP APIs of both daemons share: how they are served, how they fail, how they ask the owner of a state, whom
//! they refuse, and their client.

mod ask;
mod client;
mod guard;
mod problem;
mod serve;

pub use self::{
    ask::{Unanswered, ask},
    client::{ApiClient, CallError, Remote, Scheme},
    guard::no_browsers,
    problem::{Failure, PROBLEM_JSON, Problem, as_problems, bad_request},
    serve::serve,
};
