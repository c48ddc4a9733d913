//! Text of others on its way into messages: it shows what it is, and is never interpreted.

use secbeat_daemon::cli::printable;

/// Longest text of others in a message, in characters.
const MAX_TEXT: usize = 300;

/// `text` on one line, without controls or invisible characters, and cut to 300 characters.
pub(super) fn shown(text: &str) -> String {
    cut(&printable(text), MAX_TEXT)
}

/// At most the first `most` characters of `text`, and `…` if there are more.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => {
            let kept = text.chars().take(most.saturating_sub(1));
            kept.chain(['…']).collect()
        }
    }
}

/// `text` with each of `secrets` replaced: receivers and libraries may repeat what they were told.
pub(super) fn without(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() > 3) {
        text = text.replace(secret, "(secret)");
    }
    text
}
