//! Requests that pages of other sites made a client's browser send, as that says.

use secbeat_common::wire::{SeenEvent, SeenWhat};

/// Returns how many of the requests are such, in a sentence, if any are.
pub(super) fn sentence(events: &[SeenEvent]) -> Option<String> {
    let is_request = |event: &&SeenEvent| matches!(event.what, SeenWhat::Answer { .. });
    let requests = events.iter().filter(is_request);
    let embedded = requests.clone().filter(|event| event.cross_site).count();
    let requests = requests.count();
    (embedded > 0).then(|| {
        let percent = embedded * 100 / requests;
        format!(
            "{embedded} of the {requests} requests seen ({percent} %) say that a page of another site embeds them. Such a page can get \
             its visitors banned, but any client can say so."
        )
    })
}
