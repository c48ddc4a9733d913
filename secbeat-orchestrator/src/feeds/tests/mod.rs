//! Feeds over loopback: their sources, faults included, and a fleet that keeps them.

mod keeping;
mod sifting;
mod sources;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use super::*;

/// A server that gives one of `answers` after the other, each exactly these bytes and then the end, and tells what it was asked.
fn serve(answers: Vec<Vec<u8>>) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let lines = reader.by_ref().lines().map(|line| line.unwrap());
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let _ = tell.send(head.join("\n").to_lowercase());
            let _ = reader.get_mut().write_all(&answer);
        }
    });
    (address, told)
}

/// An answer with `headers`, a line each.
fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
    for header in headers {
        head += &format!("{header}\r\n");
    }
    if !headers.iter().any(|header| header.starts_with("content-length")) {
        head += &format!("content-length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

fn ok(body: &str) -> Vec<u8> {
    answer("200 OK", &[], body.as_bytes())
}

/// A feed of the config, with `more` keys.
fn entry(address: &dyn std::fmt::Display, more: &str) -> FeedEntry {
    let text = format!("name = \"drop\"\nurl = \"http://{address}/list\"\n{more}");
    toml::from_str(&text).unwrap()
}

/// A plain list of so many addresses.
fn addresses(count: u32) -> String {
    let address = |n| std::net::Ipv4Addr::from_bits(0xc633_0000 + 2 * n);
    (0..count).map(|n| format!("{}\n", address(n))).collect()
}

/// How long anything may take.
const SOON: Duration = Duration::from_secs(20);
