//! Errors that well-behaved programs get in numbers, and that tell a prober nothing.

use secbeat_common::rules::Exclusion;

use super::filter;

/// Methods of WebDAV, CalDAV and CardDAV (RFC 4918, 3253, 4791, 5323).
const DAV_METHODS: &[&str] = &[
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "MKCALENDAR",
    "ACL",
];
/// Nextcloud's `/remote.php/dav` among them, and `/.well-known/caldav`.
const DAV_PATHS: &[&str] = &[
    "*/dav",
    "*/webdav",
    "*/caldav",
    "*/carddav",
    "*/dav.php",
    "*/caldav.php",
    "*/radicale",
];

/// Previews of files and images of media, which Nextcloud, Jellyfin and Emby answer with 404 where there is none: a page asks for one of
/// each file.
const PREVIEW_PATHS: &[&str] = &[
    "*/core/preview",
    "*/core/preview.png",
    "*/apps/photos/api/v1/preview",
    "*/apps/mail/api/avatars",
    "*/apps/files_trashbin/preview",
    "*/apps/files_versions/preview",
    "*/apps/files_sharing/publicpreview",
    "*/Items/*/Images",
];

/// Errors that well-behaved programs get in numbers, and that tell a prober nothing.
pub(super) fn harmless() -> Vec<Exclusion> {
    let filters = [
        // Clients of DAV ask without a password first, each time, and whether something is there before they make or delete it.
        filter(&["401"], DAV_METHODS, &[]),
        filter(&["404"], DAV_METHODS, &["/*"]),
        filter(&["401", "404"], &[], DAV_PATHS),
        // Developer tools ask for the source map of every script.
        filter(&["404"], &[], &["*.map"]),
        // Container registries: a push asks for each layer whether it is there, and without a token first.
        filter(&["401", "404"], &[], &["/v2/*/blobs", "/v2/*/manifests"]),
        filter(&["401"], &[], &["/v2"]),
        filter(&["404"], &[], PREVIEW_PATHS),
    ];
    let excluded = |filter| Exclusion {
        filter,
        ..Exclusion::default()
    };
    filters.into_iter().map(excluded).collect()
}

#[cfg(test)]
mod tests {
    use secbeat_common::rules::{Method, PathPattern, Target};

    use super::{super::list, *};

    #[test]
    fn every_text_says_something() {
        for paths in [DAV_PATHS, PREVIEW_PATHS] {
            assert_eq!(list::<PathPattern>(paths).len(), paths.len());
        }
        assert_eq!(list::<Method>(DAV_METHODS).len(), DAV_METHODS.len());
        let statuses: Vec<_> = harmless()
            .iter()
            .map(|exclusion| exclusion.filter.statuses.len())
            .collect();
        assert_eq!(statuses, [1, 1, 2, 1, 2, 1, 1]);
    }

    #[test]
    fn what_a_page_asks_for_by_itself_is_harmless() {
        for (path, status, expected) in [
            ("/index.php/core/preview?fileId=1000&x=250", 404, true),
            ("/cloud/core/preview.png?file=/a.jpg", 404, true),
            ("/apps/photos/api/v1/preview/7?x=256", 404, true),
            ("/index.php/apps/mail/api/avatars/url/a@example.org", 404, true),
            ("/Items/00000000000000000001eef/Images/Primary", 404, true),
            ("/emby/Items/1/Images/Primary", 404, true),
            ("/index.php/core/preview?fileId=1000", 403, false),
            ("/core/previews/.env", 404, false),
            ("/Items/../.env", 404, false),
            ("/core/preview/../../.env", 404, false),
            ("/.env", 404, false),
            ("/remote.php/dav/files/u/x7", 404, true),
            ("/cloud/remote.php/webdav/x7", 404, true),
            ("/.well-known/caldav", 404, true),
            ("/baikal/dav.php/calendars/a", 404, true),
            ("/static/js/main.7.js.map", 404, true),
            ("/app.js.map", 404, true),
            ("/nextcloud/index.php/core/preview?fileId=1", 404, true),
            // Below a script, or where a server may decode or pass over what follows its name.
            ("/x7.php/dav", 404, false),
            ("/davx7.php/dav", 404, false),
            ("/x7.php/x.map", 404, false),
            ("/x7.php/..;/y.map", 404, false),
            ("/x7.php%3f.map", 404, false),
            ("/x7.php%00.map", 404, false),
            ("/x7.php/core/preview", 404, false),
            ("/.env7;/dav", 404, false),
        ] {
            let target = Target::new(path);
            let is_harmless = harmless()
                .iter()
                .any(|exclusion| exclusion.matches(status, "GET", &target, "", ""));
            assert_eq!(is_harmless, expected, "{path} {status}");
        }
        let propfind = |status, path: &str| {
            let (target, all) = (Target::new(path), harmless());
            let mut all = all.iter();
            all.any(|exclusion| exclusion.matches(status, "PROPFIND", &target, "", ""))
        };
        assert!(propfind(401, "/contacts/7"));
        assert!(propfind(404, "/dav/7") && propfind(404, "/files/7.txt"));
        // Copies of a project, and macOS.
        assert!(propfind(404, "/remote.php/dav/files/u/p/.git/objects/ab/cd"));
        assert!(propfind(404, "/share/p/.git/objects/ab/cd"));
        assert!(propfind(404, "/share/._NAME") && propfind(404, "/._NAME") && propfind(404, "/.DS_Store"));
        assert!(!propfind(404, "/x7.php") && !propfind(404, "/.env"));
    }
}
