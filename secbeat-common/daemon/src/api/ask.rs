//! Questions of a request's handler to the one task that owns a state.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{mpsc, oneshot};

use super::Failure;

/// The reason why an owner gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    #[error("the daemon is shutting down")]
    Ended,
    #[error("another order for the same target came in between")]
    Superseded,
    /// The order is still carried out.
    #[error("timed out after {0:?}; the operation continues in the background")]
    Late(Duration),
}

impl Unanswered {
    /// The code in a [`Problem`](super::Problem).
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ended => "shutting_down",
            Self::Superseded => "superseded",
            Self::Late(_) => "timed_out",
        }
    }
}

impl From<Unanswered> for Failure {
    fn from(why: Unanswered) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, why.to_string()).with_code(why.code())
    }
}

/// Sends `owner` what `question` makes of the place for the answer, and waits for that.
///
/// # Errors
///
/// Returns an error if none comes within `patience`.
pub async fn ask<Q, A>(
    owner: &mpsc::Sender<Q>,
    patience: Duration,
    question: impl FnOnce(oneshot::Sender<A>) -> Q,
) -> Result<A, Unanswered> {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        owner.send(question(reply)).await.map_err(|_| Unanswered::Ended)?;
        answer.await.map_err(|_| {
            if owner.is_closed() {
                Unanswered::Ended
            } else {
                Unanswered::Superseded
            }
        })
    };
    tokio::time::timeout(patience, asked)
        .await
        .unwrap_or(Err(Unanswered::Late(patience)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn an_answer_comes_or_the_reason_why_none_does() {
        let (owner, mut questions) = mpsc::channel::<oneshot::Sender<u8>>(1);
        let (answer, _) = tokio::join!(ask(&owner, PATIENCE, |reply| reply), async {
            questions.recv().await.map(|reply| reply.send(7))
        });
        assert_eq!(answer, Ok(7));
        let (answer, _) = tokio::join!(ask(&owner, PATIENCE, |reply| reply), async {
            drop(questions.recv().await)
        });
        assert_eq!(answer, Err(Unanswered::Superseded));
        assert_eq!(
            ask(&owner, PATIENCE, |reply| reply).await,
            Err(Unanswered::Late(PATIENCE))
        );
        drop(questions);
        assert_eq!(ask(&owner, PATIENCE, |reply| reply).await, Err(Unanswered::Ended));
    }
}
