//! What must hold of every request.

use std::sync::OnceLock;

use crate::{Matcher, Request, Scratch, shipped};

/// Looks into a line as each field of a request, with all shipped signatures.
///
/// # Panics
///
/// When a search that follows another one finds something else than a first one, or when hits are out of order.
pub fn check(line: &[u8]) {
    static MATCHER: OnceLock<Matcher> = OnceLock::new();
    let matcher = MATCHER.get_or_init(|| Matcher::build(&shipped(), &[]).0);
    let mut scratch = Scratch::new();
    let request = Request {
        method: b"GET",
        target: line,
        status: 404,
        user_agent: line,
        referer: line,
        host: line,
        content_type: line,
        headers: &[(b"x-header", line)],
    };
    let first = matcher.find(&request, &mut scratch);
    let second = matcher.find(&request, &mut scratch);
    if first != second || !first.is_sorted() {
        panic!("{first:?} and then {second:?}");
    }
    // Whoever pads a request does not hide what is in it, up to the bound.
    if matcher.find(&request, &mut Scratch::new()) != first {
        panic!("another search finds something else than {first:?}");
    }
}
