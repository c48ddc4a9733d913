//! Shapes of paths: what many clients ask for together, though each by another name.

use std::hash::{BuildHasher, Hasher as _};

use ahash::RandomState;
use secbeat_common::rules::{Target, is_aborted};

/// Longest extension of a file's name, in bytes.
const MAX_EXTENSION: usize = 8;

/// Failure of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Failure {
    /// With a status of 400–498.
    Client(u16),
    /// With a status of 500–599.
    Server,
    /// The client gave up.
    Aborted,
}

impl Failure {
    /// Returns what `status` is, if not an answer of another kind.
    pub(super) const fn of(status: u16) -> Option<Self> {
        match status {
            _ if is_aborted(status) => Some(Self::Aborted),
            400..=499 => Some(Self::Client(status)),
            500..=599 => Some(Self::Server),
            _ => None,
        }
    }
}

/// A failure and the shape of the path on which it came, as a keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape(u64);

/// Tells shapes apart.
#[derive(Default, Debug)]
pub(super) struct Shapes(RandomState);

impl Shapes {
    /// The shape of a request's path. Of a file with an extension, that and the first folder: `/assets/*.js`. Of another path,
    /// all of its segments; those with a digit in them are one: `/users/#/photo`.
    pub(super) fn of(&self, failure: Failure, target: &Target<'_>) -> Shape {
        let path = target.path();
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let mut hasher = self.0.build_hasher();
        let (kind, status) = match failure {
            Failure::Client(status) => (0, status),
            Failure::Server => (1, 0),
            Failure::Aborted => (2, 0),
        };
        hasher.write_u8(kind);
        hasher.write_u16(status);
        let mut segment = |segment: &[u8]| {
            hasher.write_u8(b'/');
            match segment.iter().any(u8::is_ascii_digit) {
                true => hasher.write(b"#"),
                false => hasher.write(segment),
            }
        };
        match extension(name) {
            Some(extension) => {
                let folder = path.split(|byte| *byte == b'/').next().unwrap_or_default();
                // A file at the top is in no folder.
                let folder = if folder.len() == path.len() { b"" } else { folder };
                segment(folder);
                hasher.write_u8(b'.');
                hasher.write(extension);
            }
            None if !path.iter().any(u8::is_ascii_digit) => hasher.write(path),
            None => path.split(|byte| *byte == b'/').for_each(segment),
        }
        Shape(hasher.finish())
    }
}

/// Returns what follows the last dot of a file's name; of `.env`, nothing.
fn extension(name: &[u8]) -> Option<&[u8]> {
    let dot = name.iter().rposition(|byte| *byte == b'.')?;
    let extension = &name[dot + 1..];
    let is_one = dot > 0
        && (1..=MAX_EXTENSION).contains(&extension.len())
        && extension.iter().all(u8::is_ascii_alphanumeric);
    is_one.then_some(extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        let shapes = Shapes::default();
        let of = |path| shapes.of(Failure::Client(404), &Target::new(path));
        of(one) == of(other)
    }

    #[test]
    fn files_of_one_kind_in_one_folder_have_one_shape() {
        assert!(same("/assets/app-4f3a.js?v=1", "/assets/js/vendor.js"));
        assert!(same("/main.4f3a.css", "/other.css"));
        assert!(same("/tiles/12/0/7.png", "/tiles/13/9/8.png"));
        assert!(same("/v1/a.js", "/v2/b.js"));
        assert!(!same("/assets/a.js", "/assets/a.css"));
        assert!(!same("/assets/a.js", "/static/a.js"));
        assert!(!same("/assets/a.js", "/a.js"));
    }

    #[test]
    fn other_paths_have_one_shape_but_for_numbers() {
        assert!(same("/api/jobs/4711", "/api/jobs/4712"));
        assert!(same("/api/1f3c/photo", "//api/./2e/photo;x"));
        assert!(!same("/api/jobs/4711", "/api/users/4711"));
        assert!(!same("/api/jobs", "/api/jobs/4711"));
        assert!(!same("/.env", "/.git"));
        assert!(!same("/admin", "/login"));
        assert!(!same("/ab", "/a/b"));
    }

    #[test]
    fn failures_are_told_apart_by_what_they_say() {
        let shapes = Shapes::default();
        let of = |status| Failure::of(status).map(|failure| shapes.of(failure, &Target::new("/a")));
        for good in [100, 200, 304, 399, 600] {
            assert_eq!(of(good), None);
        }
        assert_eq!(of(502), of(500));
        assert_eq!(of(499), of(0));
        assert_ne!(of(404), of(403));
        assert_ne!(of(404), of(499));
        assert_ne!(of(404), of(504));
    }
}
