//! Failures of orders.

use axum::http::StatusCode;
use secbeat_daemon::api::Failure;
use secbeat_edge_core::{OrderError, Refusal};

use crate::{enforcer::Unfulfilled, kernel::moment_now, view::outlasted};

/// An order that was not carried out: 422 for a target that can never be banned, 409 for one that cannot be now, and 503
/// for what may succeed later.
pub(super) fn unfulfilled(error: &Unfulfilled) -> Failure {
    let (status, code) = match error {
        Unfulfilled::Unanswered(unanswered) => return (*unanswered).into(),
        Unfulfilled::Order(OrderError::NotWritten(_)) => (StatusCode::SERVICE_UNAVAILABLE, "kernel_failed"),
        Unfulfilled::Order(OrderError::Refused(refusal)) => match refusal {
            Refusal::Unbannable(..) => (StatusCode::UNPROCESSABLE_ENTITY, "unbannable"),
            Refusal::Allowlisted(_) => (StatusCode::CONFLICT, "allowlisted"),
            Refusal::TooManyNets(_) => (StatusCode::CONFLICT, "too_many_networks"),
            Refusal::Expired => (StatusCode::CONFLICT, "expired"),
            Refusal::OtherScope => (StatusCode::CONFLICT, "other_scope"),
            Refusal::Overridden => (StatusCode::CONFLICT, "overridden"),
            Refusal::Stale => (StatusCode::CONFLICT, "stale"),
            Refusal::Outlasted(target, ends) => {
                let why = outlasted(target, *ends, moment_now());
                return Failure::new(StatusCode::CONFLICT, why).with_code("banned_for_longer");
            }
        },
    };
    Failure::new(status, error.to_string()).with_code(code)
}

/// The same of a ban or its removal, which is tried again if the kernel does not take it.
pub(super) fn unfulfilled_yet(error: &Unfulfilled) -> Failure {
    match error {
        Unfulfilled::Order(OrderError::NotWritten(_)) => Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{error}; it is tried again"),
        )
        .with_code("kernel_failed"),
        _ => unfulfilled(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secbeat_daemon::api::Unanswered;
    use secbeat_edge_core::BootTime;

    use super::*;

    #[track_caller]
    fn assert_fails(error: impl Into<Unfulfilled>, status: u16, code: &str) {
        let failure = unfulfilled(&error.into());
        assert_eq!(
            (failure.status().as_u16(), failure.code().as_str()),
            (status, code)
        );
    }

    #[test]
    fn what_is_refused_and_what_is_unavailable_can_be_told_apart() {
        let target = "192.0.2.7".parse().unwrap();
        let refused = |refusal| OrderError::Refused(refusal);
        assert_fails(
            refused(Refusal::Unbannable(target, "loopback")),
            422,
            "unbannable",
        );
        assert_fails(refused(Refusal::Allowlisted(target)), 409, "allowlisted");
        assert_fails(refused(Refusal::TooManyNets(target)), 409, "too_many_networks");
        let outlasted = refused(Refusal::Outlasted(target, BootTime::NEVER));
        assert_fails(outlasted.clone(), 409, "banned_for_longer");
        let said = unfulfilled(&outlasted.into()).detail().to_owned();
        assert!(
            said.starts_with("192.0.2.7/32 is banned without end") && said.contains("--shorten"),
            "{said}"
        );
        let unwritten = OrderError::NotWritten("E2BIG".to_owned());
        assert_fails(unwritten.clone(), 503, "kernel_failed");
        let said = unfulfilled_yet(&unwritten.into()).detail().to_owned();
        assert!(said.ends_with("E2BIG; it is tried again"), "{said}");
        assert_fails(Unanswered::Ended, 503, "shutting_down");
        assert_fails(Unanswered::Late(Duration::from_secs(5)), 503, "timed_out");
    }
}
