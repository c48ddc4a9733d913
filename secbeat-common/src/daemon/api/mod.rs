//! What the HTTP APIs of both daemons share: how they fail, how they ask the owner of a state, and their client.

mod ask;
mod client;
mod problem;

pub use self::{
    ask::{Unanswered, ask},
    client::{ApiClient, CallError},
    problem::{Failure, PROBLEM_JSON, Problem, as_problems, bad_request},
};
