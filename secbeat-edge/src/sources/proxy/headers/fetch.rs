//! What browsers say of the page that made them send a request (Fetch Metadata, W3C).

use hyper::{HeaderMap, header::HeaderName};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Whether a request says that a page of another site embeds what it asks for: a picture, a script, a frame. A link that a visitor follows
/// asks for a document.
pub(in crate::sources::proxy) fn is_cross_site(headers: &HeaderMap) -> bool {
    let says = |name: HeaderName, what: &str| headers.get(name).is_some_and(|value| value == what);
    says(SEC_FETCH_SITE, "cross-site") && !says(SEC_FETCH_DEST, "document")
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn what_another_sites_page_embeds_is_told_from_what_it_links_to() {
        for (site, wanted, expected) in [
            (Some("cross-site"), Some("image"), true),
            (Some("cross-site"), Some("iframe"), true),
            (Some("cross-site"), Some("empty"), true),
            (Some("cross-site"), None, true),
            (Some("cross-site"), Some("document"), false),
            (Some("same-site"), Some("image"), false),
            (Some("same-origin"), Some("image"), false),
            (Some("none"), Some("document"), false),
            (None, Some("image"), false),
            (None, None, false),
        ] {
            let field = |name, value: Option<&'static str>| {
                value.map(|value| (name, HeaderValue::from_static(value)))
            };
            let fields = field(SEC_FETCH_SITE, site)
                .into_iter()
                .chain(field(SEC_FETCH_DEST, wanted));
            let headers = HeaderMap::from_iter(fields);
            assert_eq!(is_cross_site(&headers), expected, "{site:?} {wanted:?}");
        }
    }
}
