//! A DNS server that says of names what a test says.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, rdata},
};
use socket2::Type;

use crate::lab::netns::Namespace;

/// A server at work; dropped, it stops.
#[derive(Debug)]
pub struct DnsServer {
    stop: Arc<AtomicBool>,
    work: Option<thread::JoinHandle<()>>,
}

impl DnsServer {
    /// Answers at `address` of `namespace` that each of these addresses has this name, and that the name leads to these addresses. There
    /// are no other names.
    ///
    /// # Panics
    ///
    /// When the address is taken.
    #[must_use]
    pub fn start(namespace: &Namespace, address: SocketAddr, hosts: &[(IpAddr, &str, &[IpAddr])]) -> Self {
        let mut records: HashMap<Name, Vec<RData>> = HashMap::new();
        for (owner, host, leads_to) in hosts {
            let host = Name::from_ascii(format!("{host}.")).expect("a name");
            let pointer = RData::PTR(rdata::PTR(host.clone()));
            let mut reverse = Name::from(*owner);
            reverse.set_fqdn(true);
            records.entry(reverse).or_default().push(pointer);
            let leads_to = leads_to.iter().map(|address| match address {
                IpAddr::V4(v4) => RData::A((*v4).into()),
                IpAddr::V6(v6) => RData::AAAA((*v6).into()),
            });
            records.entry(host).or_default().extend(leads_to);
        }
        let socket = namespace.socket(address.ip(), Type::DGRAM);
        socket.bind(&address.into()).expect("binding the DNS server");
        let socket: UdpSocket = socket.into();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("setting a timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = thread::spawn(move || {
            let mut buffer = [0; 1500];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let query = Message::from_vec(&buffer[..length]).expect("a query");
                let answer = answer(&query, &records).to_vec().expect("an answer");
                socket.send_to(&answer, from).expect("answering");
            }
        });
        Self {
            stop,
            work: Some(work),
        }
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.work.take().map(thread::JoinHandle::join);
    }
}

fn answer(query: &Message, records: &HashMap<Name, Vec<RData>>) -> Message {
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata.recursion_available = true;
    let question = query.queries.first().expect("a question").clone();
    let name = question.name().clone();
    match records.get(&name) {
        None => answer.metadata.response_code = ResponseCode::NXDomain,
        Some(data) => {
            let asked = data
                .iter()
                .filter(|data| data.record_type() == question.query_type());
            answer
                .answers
                .extend(asked.map(|data| Record::from_rdata(name.clone(), 60, data.clone())));
        }
    }
    answer.queries.push(question);
    answer
}
