//! Logs that are taken for lists.

use super::keys::plain;

/// What is said of a log in place of a list.
pub(super) const LOG: &str = "it looks like a line of an access log: each of its clients would be listed";

/// Whether fields with these names are a line of a log of requests or of connections, in JSON, CSV or behind `#Fields:`.
pub(super) fn are_of_log<'a>(keys: impl Iterator<Item = &'a str>) -> bool {
    const ANSWER: [&str; 12] = [
        "status",
        "statuscode",
        "responsecode",
        "downstreamstatus",
        "originstatus",
        "edgeresponsestatus",
        "originresponsestatus",
        "scstatus",
        "httpstatus",
        "elbstatuscode",
        "responsestatus",
        "code",
    ];
    const REQUEST: [&str; 26] = [
        "request",
        "requesturi",
        "requestmethod",
        "requestpath",
        "requesturl",
        "method",
        "httpmethod",
        "uri",
        "url",
        "path",
        "verb",
        "clientrequestmethod",
        "clientrequesturi",
        "clientrequestpath",
        "clientrequesthost",
        "csmethod",
        "csuri",
        "csuristem",
        "useragent",
        "csuseragent",
        "referer",
        "bytessent",
        "scbytes",
        "latency",
        "responsetime",
        "msg",
    ];
    const METHOD: [&str; 6] = [
        "method",
        "httpmethod",
        "requestmethod",
        "verb",
        "csmethod",
        "clientrequestmethod",
    ];
    const RESOURCE: [&str; 11] = [
        "requesturi",
        "requestpath",
        "requesturl",
        "uri",
        "url",
        "path",
        "clientrequesturi",
        "clientrequestpath",
        "clientrequesthost",
        "csuri",
        "csuristem",
    ];
    const FROM: [&str; 7] = [
        "srcip",
        "sourceip",
        "srcaddr",
        "sourceaddress",
        "src",
        "sourceipaddress",
        "clientip",
    ];
    const TO: [&str; 7] = [
        "destip",
        "dstip",
        "dstaddr",
        "destinationaddress",
        "dst",
        "destinationip",
        "serverip",
    ];
    let names: Vec<_> = keys.map(plain).collect();
    let has = |known: &[&str]| names.iter().any(|name| known.contains(&name.as_str()));
    (has(&ANSWER) && has(&REQUEST)) || (has(&METHOD) && has(&RESOURCE)) || (has(&FROM) && has(&TO))
}

/// Whether most of `lines` are requests: a method and a status, or the version of HTTP, are among their words.
pub(super) fn are_requests<'a>(lines: impl Iterator<Item = &'a str>) -> bool {
    const METHODS: [&str; 9] = [
        "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "CONNECT",
    ];
    let is_status = |word: &str| word.len() == 3 && matches!(word.parse(), Ok(100..=599_u16));
    let is_request = |line: &str| {
        let words = || line.split(|c: char| c.is_whitespace() || ",;|\"'".contains(c));
        words().any(|word| METHODS.contains(&word))
            && words().any(|word| is_status(word) || word.starts_with("HTTP/"))
    };
    let (mut all, mut requests) = (0, 0);
    for line in lines {
        all += 1;
        requests += usize::from(is_request(line));
    }
    requests * 2 > all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_known_by_their_names_and_by_their_words() {
        let names = |text: &'static str| are_of_log(text.split([',', ' ']));
        assert!(names(
            "ClientIP,ClientRequestMethod,ClientRequestURI,EdgeResponseStatus"
        ));
        assert!(names("date c-ip cs-method cs-uri-stem sc-status"));
        assert!(names("time,level,msg,remote_ip,latency,code"));
        assert!(names("event_type,src_ip,dest_ip"));
        assert!(names("Client IP,Method,Path"));
        assert!(!names("IP Address,Status,Last Seen"));
        assert!(!names("first_seen_utc,dst_ip,dst_port,c2_status"));
        assert!(are_requests(["192.0.2.100|-|GET / HTTP/1.1|200|612"].into_iter()));
        assert!(are_requests(
            ["2024-01-01T00:00:00+00:00\t192.0.2.100\tGET\t/\t200"].into_iter()
        ));
        assert!(!are_requests(
            ["198.51.100.7,scanner", "198.51.100.8,GET"].into_iter()
        ));
    }
}
