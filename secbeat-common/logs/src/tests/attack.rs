//! Clients that write what other fields of a line look like.

use proptest::prelude::*;

use crate::check_attack;

/// Pieces of lines, of which attackers make their fields.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&[u8]; 37] = [
        b"198.51.100.66",
        b"198.51.100.66",
        b"2001:db8::66",
        b"198.51.100.66:80",
        b" - - ",
        b" - ",
        b" ",
        b" ",
        b", ",
        b",",
        b"-",
        b"\"",
        b"\" ",
        b"\\",
        b"\\\"",
        b"[",
        b"] ",
        b"] \"",
        b"[11/Oct/2023:11:06:56 +0200] ",
        b"[2023-10-11T11:06:56Z] ",
        b"\"GET / HTTP/1.1\" 200 1 ",
        b" 200 ",
        b"\t",
        b"\t200\t",
        b"|",
        b"} {",
        b"x",
        b"example.org",
        b"HTTP/1.1",
        b"2026-01-24T01:34:36Z stdout F ",
        b"2026-01-24T01:34:36Z stdout P ",
        b"<190>Nov 21 11:06:56 web1 nginx: ",
        b"web-1  | ",
        b"[pod/a/b] ",
        b"2026-01-24T01:34:36.743000000Z ",
        b"HTTP/1.1\" 200 ",
        b"\xff",
    ];
    prop_oneof![
        8 => prop::sample::select(&PIECES[..]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    let some = prop::collection::vec(piece(), 0..7).prop_map(|pieces| pieces.concat());
    some.prop_map(|field| field.into_iter().filter(|byte| *byte != b'\n').collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_client_chooses_who_is_blamed(fields in prop::collection::vec(field(), 6)) {
        check_attack(&fields.join(&b'\n'));
    }
}

#[test]
fn what_most_clients_send_is_understood() {
    for plain in ["", "example.org\n/a/b.html\nMozilla\n\nuser\n", "a\n/\nb\nc\n\n"] {
        check_attack(plain.as_bytes());
    }
}

#[test]
fn known_attacks_blame_nobody_else() {
    for host in [
        "198.51.100.66 -",
        "198.51.100.66 - -",
        "198.51.100.66",
        "x, 198.51.100.67",
        "198.51.100.68 x",
        "x 198.51.100.67 -",
        "203.0.113.9 - - [28/Nov/2026:08:44:00 +0000] 404",
        "web-1  | 198.51.100.66 - x",
        "2026-01-24T01:34:36Z stdout F 198.51.100.66 -",
    ] {
        for user in ["", "x", "198.51.100.66 - -"] {
            for forwarded in [
                "198.51.100.66 x",
                "198.51.100.67 - x",
                "a b",
                "198.51.100.66",
                "web-1  | 198.51.100.67 - x",
                "2026-01-24T01:34:36Z stdout F 198.51.100.67 - x",
            ] {
                check_attack(format!("{host}\n/\n\n\n{user}\n{forwarded}").as_bytes());
            }
        }
    }
}
