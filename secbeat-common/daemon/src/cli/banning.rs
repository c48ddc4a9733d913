//! Bans of several targets in one go.

use secbeat_common::prefix::Prefix;
use serde::Serialize;

use super::{Output, print_json};
use crate::{
    api::CallError,
    complain,
    exit::{self, Coded},
    say,
};

/// Has `ban` ban each of `targets`, and prints the line or the view that it returns; of several targets, the views are a list.
///
/// # Errors
///
/// That of a single target. Of several, an error that concerns one of them is said at once, and the others are banned all the same.
pub fn ban_each<V: Serialize>(
    targets: &[Prefix],
    output: Output,
    mut ban: impl FnMut(&Prefix) -> anyhow::Result<(V, String)>,
) -> anyhow::Result<()> {
    let (mut banned, mut failed, mut code) = (Vec::new(), 0, None);
    let mut ended = Ok(());
    for target in targets {
        match ban(target) {
            Ok((view, line)) => {
                if output == Output::Table {
                    say!("{line}");
                }
                banned.push(view);
            }
            Err(error) if targets.len() == 1 => return Err(error),
            Err(error) if concerns_all(&error) => {
                let so_far = banned.len();
                ended = Err(error.context(format!("after {so_far} of {} targets", targets.len())));
                break;
            }
            Err(error) => {
                complain!("{target}: {error:#}");
                failed += 1;
                code = code.or(Some(exit::code(&error)));
            }
        }
    }
    match (output, banned.as_slice()) {
        (Output::Table, _) => {}
        (Output::Json, [view]) if targets.len() == 1 => print_json(view)?,
        (Output::Json, views) => print_json(views)?,
    }
    ended?;
    match code {
        None => Ok(()),
        Some(code) => {
            let message = format!("not banned: {failed} of {} targets", targets.len());
            Err(Coded::new(code, message).into())
        }
    }
}

/// Whether the other targets would meet the same error.
fn concerns_all(error: &anyhow::Error) -> bool {
    let is_of_daemon = |cause: &CallError| match cause {
        CallError::Refused(problem) => problem.status >= 500,
        CallError::Unreachable(_) | CallError::Late(_) | CallError::Other(_) => true,
    };
    matches!(exit::code(error), exit::UNAVAILABLE | exit::NOT_ALLOWED)
        || error.downcast_ref::<CallError>().is_some_and(is_of_daemon)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn one_that_cannot_be_banned_stops_no_other_and_a_daemon_that_is_away_does() {
        let targets: [Prefix; 3] =
            ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|target| target.parse().unwrap());
        let mut asked = Vec::new();
        let error = ban_each(&targets, Output::Json, |target| {
            asked.push(target.to_string());
            match target.to_string().as_str() {
                "192.0.2.2/32" => Err(anyhow!("it is allowlisted")),
                other => Ok((other.to_owned(), String::new())),
            }
        });
        let error = error.unwrap_err();
        assert_eq!(asked, ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"]);
        assert_eq!(error.to_string(), "not banned: 1 of 3 targets");
        assert_eq!(exit::code(&error), exit::FAILURE);

        let mut asked = 0;
        let error = ban_each::<String>(&targets, Output::Table, |_| {
            asked += 1;
            Err(Coded::unavailable("gone".to_owned()).into())
        });
        let error = error.unwrap_err();
        assert_eq!(
            (asked, format!("{error:#}").as_str()),
            (1, "after 0 of 3 targets: gone")
        );
        assert_eq!(exit::code(&error), exit::UNAVAILABLE);
    }
}
