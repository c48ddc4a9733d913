//! What sources answer.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use super::{look::look, *};

fn looked(answers: Vec<Vec<u8>>, more: &str) -> Looked {
    let (address, _told) = serve(answers);
    look(&entry(&address, more), None, false)
}

fn networks(looked: &Looked) -> Vec<String> {
    match looked {
        Looked::Taken(taken) => taken.sifted.networks.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_unreadable(looked: &Looked, what: &str) {
    match looked {
        Looked::Unreadable(why) => assert!(why.contains(what), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_refused(looked: &Looked, what: &str) {
    match looked {
        Looked::Refused(why) => assert!(why.contains(what), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_list_is_taken_plain_and_compressed() {
    let list = "# bad\n198.51.100.7\n2001:db8::/32\n";
    let expected = ["198.51.100.7/32", "2001:db8::/32"];
    assert_eq!(networks(&looked(vec![ok(list)], "")), expected);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(list.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let whole = answer("200 OK", &["content-encoding: gzip"], &gzip);
    assert_eq!(networks(&looked(vec![whole], "")), expected);
    let cut = answer("200 OK", &[], &gzip[..gzip.len() - 9]);
    assert_refused(&looked(vec![cut], ""), "cannot be unpacked");
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nd\r\n198.51.100.7\n\r\n0\r\n\r\n";
    assert_eq!(networks(&looked(vec![chunked.to_vec()], "")), ["198.51.100.7/32"]);
}

#[test]
fn what_breaks_off_or_is_no_list_is_not_taken() {
    let cut = answer("200 OK", &["content-length: 100"], b"198.51.100.7\n");
    assert_unreadable(&looked(vec![cut], ""), "the connection broke off");
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nd\r\n198.51.100.7\n\r\n";
    assert_unreadable(&looked(vec![chunked.to_vec()], ""), "the connection broke off");
    assert_unreadable(
        &looked(vec![answer("500 Oops", &[], b"198.51.100.7\n")], ""),
        "it answered 500",
    );
    // Nobody said that it has anything.
    assert_unreadable(
        &looked(vec![answer("304 Not Modified", &[], b"")], ""),
        "it answered 304",
    );
    assert_unreadable(
        &looked(vec![ok(&addresses(100))], "max_bytes = 100"),
        "more than 100 bytes",
    );
    assert_refused(
        &looked(vec![ok("<!DOCTYPE html><p>198.51.100.7")], ""),
        "a page of HTML",
    );
    assert_refused(
        &looked(vec![ok(" <HTML>\n198.51.100.7\n")], "format = \"list\""),
        "a page of HTML",
    );
    assert_refused(&looked(vec![ok("")], ""), "it has no entry");
    assert_refused(&looked(vec![ok("# none today\n")], ""), "it has no entry");
}

#[test]
fn a_source_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let slow = look(&entry(&address, "timeout = \"200ms\""), None, false);
    assert_unreadable(&slow, "no answer within 0.2 s");
    drop(listener);
    let Looked::Unreadable(_) = look(&entry(&address, ""), None, false) else {
        panic!("nobody listens");
    };
}

#[test]
fn redirects_are_followed_where_nobody_can_listen() {
    let (address, _) = serve(vec![ok("198.51.100.7\n")]);
    let there = format!("location: http://{address}/other");
    let moved = |there: &str| answer("302 Found", &[there], b"");
    assert_eq!(networks(&looked(vec![moved(&there)], "")), ["198.51.100.7/32"]);
    let plain = "location: http://lists.example/drop.txt";
    assert_unreadable(
        &looked(vec![moved(plain)], ""),
        "http://lists.example is not encrypted",
    );
    assert_unreadable(
        &looked(vec![moved("location: file:///etc/passwd")], ""),
        "is not encrypted",
    );
    assert_unreadable(&looked(vec![moved("x: y")], ""), "without a Location");
    let again = vec![moved("location: /list"); 6];
    assert_unreadable(&looked(again, ""), "redirects more than 5 times");
}

#[test]
fn a_file_is_read_once_until_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let entry: FeedEntry =
        toml::from_str(&format!("name = \"drop\"\nfile = \"{}\"", path.display())).unwrap();
    assert_unreadable(&look(&entry, None, false), "No such file");
    std::fs::write(&path, "198.51.100.7\n").unwrap();
    let Looked::Taken(taken) = look(&entry, None, false) else {
        panic!("there is a list");
    };
    let known = secbeat_common::wire::FleetFeed {
        content: Some(taken.content(&secbeat_common::wire::FeedContent::default(), &[], 0)),
        etag: taken.validators.etag.clone(),
        ..Default::default()
    };
    assert_eq!(look(&entry, Some(&known), false), Looked::Unchanged);
    std::fs::write(&path, "198.51.100.7\n198.51.100.9\n").unwrap();
    assert_eq!(networks(&look(&entry, Some(&known), false)).len(), 2);
}
