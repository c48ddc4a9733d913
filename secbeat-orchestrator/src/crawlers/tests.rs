//! The DNS is a server on loopback.

use std::collections::HashMap;

use hickory_resolver::proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{Record, rdata},
};
use secbeat_common::prefix::Prefix;
use tokio::net::UdpSocket;

use super::*;

/// What a server knows of a name.
#[derive(Clone, Debug)]
enum Known {
    Name(&'static str),
    Address(&'static str),
    /// It says that it cannot say.
    Fails,
    /// It says nothing.
    Silent,
}

/// A server that knows `records`; of all else it says that there is no such name.
async fn server(records: &[(&'static str, Known)]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let records: HashMap<_, _> = records.iter().cloned().collect();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let Some(answer) = answer(&query, &records) else {
                continue;
            };
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

fn answer(query: &Message, records: &HashMap<&'static str, Known>) -> Option<Message> {
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata.message_type = MessageType::Response;
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    let question = query.queries.first().unwrap().clone();
    let name = question.name().clone();
    let key = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
    answer.queries.push(question.clone());
    let data = match records.get(key.as_str()) {
        None => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            return Some(answer);
        }
        Some(Known::Fails) => {
            answer.metadata.response_code = ResponseCode::ServFail;
            return Some(answer);
        }
        Some(Known::Silent) => return None,
        Some(Known::Name(host)) => RData::PTR(rdata::PTR(Name::from_ascii(host).unwrap())),
        Some(Known::Address(address)) => match address.parse().unwrap() {
            IpAddr::V4(v4) => RData::A(v4.into()),
            IpAddr::V6(v6) => RData::AAAA(v6.into()),
        },
    };
    if data.record_type() == question.query_type() {
        answer.answers.push(Record::from_rdata(name, 60, data));
    }
    Some(answer)
}

fn suspect(address: &str, claims: Option<&str>) -> Suspect {
    let address = address.parse().unwrap();
    Suspect {
        source: Prefix::single(address),
        address,
        claims: claims.map(ToOwned::to_owned),
    }
}

async fn desk(records: &[(&'static str, Known)]) -> Desk {
    Desk {
        resolver: resolver(&[server(records).await]).unwrap(),
        crawlers: Crawlers::default().all(),
    }
}

#[tokio::test]
async fn a_crawler_is_one_whose_name_leads_back_to_it() {
    let desk = desk(&[
        (
            "1.66.249.66.in-addr.arpa",
            Known::Name("crawl-66-249-66-1.googlebot.com."),
        ),
        ("crawl-66-249-66-1.googlebot.com", Known::Address("66.249.66.1")),
        // The owner of an address gives it any name.
        (
            "7.2.0.192.in-addr.arpa",
            Known::Name("crawl-66-249-66-1.googlebot.com."),
        ),
        ("8.2.0.192.in-addr.arpa", Known::Name("nothing.googlebot.com.")),
        (
            "9.2.0.192.in-addr.arpa",
            Known::Name("crawl.googlebot.com.evil.example."),
        ),
        ("crawl.googlebot.com.evil.example", Known::Address("192.0.2.9")),
        ("10.2.0.192.in-addr.arpa", Known::Name("evilgooglebot.com.")),
        ("evilgooglebot.com", Known::Address("192.0.2.10")),
        ("11.2.0.192.in-addr.arpa", Known::Name("googlebot.com.")),
        ("googlebot.com", Known::Address("192.0.2.11")),
        ("7.7.0.192.in-addr.arpa", Known::Name("MSNBOT-7.Search.MSN.com.")),
        ("msnbot-7.search.msn.com", Known::Address("192.0.7.7")),
        (
            "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            Known::Name("17-58-7.applebot.apple.com."),
        ),
        ("17-58-7.applebot.apple.com", Known::Address("2001:db8:7::7")),
    ])
    .await;
    let google = Some("Googlebot");
    for (address, claims, expected) in [
        (
            "66.249.66.1",
            google,
            Ok("Googlebot crawl-66-249-66-1.googlebot.com"),
        ),
        (
            "66.249.66.1",
            None,
            Ok("Googlebot crawl-66-249-66-1.googlebot.com"),
        ),
        ("66.249.66.1", Some("bingbot"), Err("is not one of bingbot's")),
        (
            "192.0.7.7",
            Some("bingbot"),
            Ok("bingbot msnbot-7.search.msn.com"),
        ),
        (
            "2001:db8:7::7",
            Some("Applebot"),
            Ok("Applebot 17-58-7.applebot.apple.com"),
        ),
        (
            "192.0.2.7",
            google,
            Err("crawl-66-249-66-1.googlebot.com does not lead back to 192.0.2.7"),
        ),
        (
            "192.0.2.8",
            google,
            Err("nothing.googlebot.com does not lead back to 192.0.2.8"),
        ),
        (
            "192.0.2.9",
            google,
            Err("crawl.googlebot.com.evil.example is not one of Googlebot's"),
        ),
        (
            "192.0.2.10",
            google,
            Err("evilgooglebot.com is not one of Googlebot's"),
        ),
        (
            "192.0.2.11",
            None,
            Err("googlebot.com is not one of a known crawler's"),
        ),
        ("192.0.2.12", google, Err("192.0.2.12 has no name in the DNS")),
    ] {
        let (checked, outcome) = desk.check(suspect(address, claims)).await;
        let found = match &checked.identity {
            Identity::Verified { crawler, host } => Ok(format!("{crawler} {host}")),
            Identity::NotVerified { why } => Err(why.clone()),
        };
        match expected {
            Ok(expected) => {
                assert_eq!(found, Ok(expected.to_owned()), "{address}");
                assert_eq!(outcome, Outcome::Verified);
            }
            Err(expected) => {
                let why = found.unwrap_err();
                assert!(why.contains(expected), "{address}: {why}");
                assert_eq!(outcome, Outcome::Refused);
                assert_eq!(checked.until_ms - checked.at_ms, 3_600_000);
            }
        }
    }
}

#[tokio::test]
async fn no_answer_verifies_nobody_and_keeps_nobody_waiting() {
    let desk = desk(&[
        ("7.2.0.192.in-addr.arpa", Known::Silent),
        ("8.2.0.192.in-addr.arpa", Known::Fails),
        ("9.2.0.192.in-addr.arpa", Known::Name("slow.googlebot.com.")),
        ("slow.googlebot.com", Known::Silent),
    ])
    .await;
    let check = |address| desk.check(suspect(address, Some("Googlebot")));
    let all = tokio::join!(check("192.0.2.7"), check("192.0.2.8"), check("192.0.2.9"));
    for (checked, outcome) in [all.0, all.1, all.2] {
        assert_eq!(outcome, Outcome::Unanswered);
        let Identity::NotVerified { why } = &checked.identity else {
            panic!("{checked:?}");
        };
        assert!(why.starts_with("the DNS could not be asked: "), "{why}");
        // Asked again soon.
        assert_eq!(checked.until_ms - checked.at_ms, 60_000);
    }
}

#[tokio::test]
async fn who_says_to_be_a_crawler_is_looked_up_first_and_the_engine_is_told() {
    let records = [
        ("1.66.249.66.in-addr.arpa", Known::Name("crawl-1.googlebot.com.")),
        ("crawl-1.googlebot.com", Known::Address("66.249.66.1")),
    ];
    let config = Crawlers {
        servers: vec![server(&records).await],
        ..Crawlers::default()
    };
    let (inputs, mut told) = mpsc::channel(16);
    let (verifier, suspects) = Verifier::new(&config, inputs.downgrade());
    for _ in 0..=WAITING_UNNAMED {
        suspects.tell(suspect("192.0.2.7", None));
    }
    suspects.tell(suspect("66.249.66.1", Some("Googlebot")));
    let running = tokio::spawn(verifier.unwrap().run());
    let mut found = Vec::new();
    while found.len() < 2 {
        let Some(Input::Event(Event::Crawler(checked))) = told.recv().await else {
            panic!("something else was told");
        };
        let is_new = !found.contains(&checked.suspect.claims);
        if is_new {
            found.push(checked.suspect.claims);
        }
    }
    assert!(found.contains(&Some("Googlebot".to_owned())));
    let counts: HashMap<_, _> = suspects.counts().read().into_iter().collect();
    assert_eq!((counts["verified"], counts["crowded"]), (1, 1));
    running.abort();
}
