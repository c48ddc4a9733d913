use axum::http::StatusCode;

use super::*;

const NOW: i64 = 1_795_168_807_000;

fn request(network: &str, duration: Option<&str>, until: Option<&str>) -> Result<AllowEntry, String> {
    let request = AllowRequest {
        network: network.to_owned(),
        comment: "office".to_owned(),
        duration: duration.map(str::to_owned),
        until: until.map(str::to_owned),
        list: None,
    };
    request.entry("ci".to_owned(), NOW).map_err(|failure| {
        assert_eq!(failure.status(), StatusCode::BAD_REQUEST);
        failure.detail().to_owned()
    })
}

#[test]
fn an_entry_holds_for_a_duration_until_a_time_or_for_ever() {
    let until = |duration, until| request("192.0.2.0/24", duration, until).unwrap().until_ms;
    assert_eq!(until(None, None), None);
    assert_eq!(until(Some("permanent"), None), None);
    assert_eq!(until(Some("4h"), None), Some(NOW + 4 * 3_600_000));
    assert_eq!(until(None, Some("2026-11-20T10:00:08Z")), Some(NOW + 1_000));
    let entry = request("2001:db8::5", None, None).unwrap();
    assert_eq!(entry.network.to_string(), "2001:db8::/64");
    assert_eq!((entry.added_by.as_str(), entry.added_at_ms), ("ci", NOW));
    assert_eq!(entry.comment, "office");
}

#[test]
fn what_cannot_be_an_entry_is_refused_by_the_key_that_is_wrong() {
    let refusal = |network, duration, until| request(network, duration, until).unwrap_err();
    for network in ["0.0.0.0/0", "::/0"] {
        assert_eq!(
            refusal(network, None, None),
            format!("network: {network} covers all addresses: no client could be banned any more")
        );
    }
    assert!(
        refusal("::/64", None, None)
            .starts_with("network: ::/64 holds addresses that stand for IPv4 clients")
    );
    assert!(refusal("office", None, None).starts_with("network: "));
    assert!(
        refusal("192.0.2.7/24", None, None).starts_with("network: 192.0.2.7 with the length of its network")
    );
    let net = "192.0.2.0/24";
    assert!(refusal(net, Some("soon"), None).starts_with("duration: invalid duration `soon`"));
    assert_eq!(
        refusal(net, None, Some("soon")),
        "until: invalid time `soon`: expected one such as 2026-11-20T10:00:00Z"
    );
    assert_eq!(
        refusal(net, None, Some("2026-11-20T10:00:07Z")),
        "until: it is in the past"
    );
    assert_eq!(
        refusal(net, Some("4h"), Some("2026-11-20T10:00:08Z")),
        "until: there is a duration already"
    );
    assert_eq!(
        refusal(net, None, Some("2200-01-01T00:00:00Z")),
        "until: over a hundred years away; leave it out for an entry without end"
    );
    let long = AllowRequest {
        network: net.to_owned(),
        comment: "x".repeat(MAX_COMMENT + 1),
        duration: None,
        until: None,
        list: None,
    };
    let failure = long.entry("ci".to_owned(), NOW).unwrap_err();
    assert_eq!(failure.detail(), "comment: 257 bytes, 256 at most");
}
