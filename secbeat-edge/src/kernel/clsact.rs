//! The stack's ingress hook of kernels before 6.6: filters of the kind `bpf` in the qdisc `clsact` (tc-bpf(8)).
//!
//! The kernel keeps a filter as long as the interface stays in its network namespace, without a pin. Each has a name, and that of
//! SecBeat's own says to which pins it belongs. The qdisc stays where it is when the filter goes: others may have filters in it.

use std::{
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use anyhow::Context as _;
use netlink_packet_core::NetlinkBuffer;
use nix::{
    errno::Errno,
    libc::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
        RTM_DELTFILTER, RTM_GETTFILTER, RTM_NEWQDISC, RTM_NEWTFILTER,
    },
    net::if_::if_nameindex,
};
use thiserror::Error;

use super::rtnetlink::{MAX_ANSWER, Question, attribute, nested, said};

/// Of `linux/pkt_sched.h`: `TC_H_CLSACT`, the same as the number of a qdisc, and `TC_H_MIN_INGRESS` in it.
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
const INGRESS: u32 = 0xffff_fff2;
/// Of `linux/rtnetlink.h`.
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
/// Of `linux/pkt_cls.h`, inside [`TCA_OPTIONS`].
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_ID: u16 = 11;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
/// Before all others, and for packets of every protocol (`ETH_P_ALL`).
const FIRST_OF_ALL: u32 = (1 << 16) | 3_u16.to_be() as u32;
/// Beside filters of others with the same priority, which mostly begin to count at 1. Any number will do.
const HANDLE: u32 = 0x5ec;
/// `struct tcmsg`.
const HEADER: usize = 20;
/// Netlink messages begin at multiples of it.
const ALIGNMENT: usize = 4;

/// A filter that sees packets as they come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    ifindex: u32,
    handle: u32,
    /// Priority and protocol.
    info: u32,
    name: Vec<u8>,
    /// The number of its program; 0 if it is of another kind than `bpf`.
    pub(super) program: u32,
}

/// What the kernel does not do, and why.
#[derive(Debug, Error)]
#[error("{}", .text.as_deref().unwrap_or(.errno.desc()))]
struct Refusal {
    errno: Errno,
    text: Option<String>,
}

/// The filters of an interface in the order in which they see packets; none without a qdisc for them.
///
/// # Errors
///
/// Returns an error if the kernel does not tell.
pub(super) fn filters(ifindex: u32) -> io::Result<Vec<Filter>> {
    let body = head(ifindex, 0, INGRESS, 0);
    let question = Question::new(RTM_GETTFILTER, NLM_F_REQUEST | NLM_F_DUMP, &body);
    let socket = question.send()?;
    let mut filters = Vec::new();
    let mut buffer = Vec::with_capacity(MAX_ANSWER);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
            match i32::from(message.message_type()) {
                NLMSG_DONE | NLMSG_ERROR => {
                    return match said(message.payload()) {
                        // A kernel without filters at all.
                        None | Some((Errno::EOPNOTSUPP | Errno::EINVAL, _)) => Ok(filters),
                        Some((errno, _)) => Err(errno.into()),
                    };
                }
                _ => filters.extend(Filter::read(message.payload())),
            }
            let length = (message.length() as usize).next_multiple_of(ALIGNMENT);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// The names of the interfaces on which there are filters that belong to the pins in `dir`, each with its filter.
///
/// # Errors
///
/// Returns an error if the kernel does not tell.
pub(super) fn held(dir: &Path) -> io::Result<Vec<(String, Filter)>> {
    let mut held = Vec::new();
    for interface in &if_nameindex()? {
        if let Some(filter) = own(interface.index(), dir)? {
            held.push((interface.name().to_string_lossy().into_owned(), filter));
        }
    }
    Ok(held)
}

/// The filter of an interface that belongs to the pins in `dir`.
///
/// # Errors
///
/// Returns an error if the kernel does not tell.
pub(super) fn own(ifindex: u32, dir: &Path) -> io::Result<Option<Filter>> {
    let is_own =
        |filter: &Filter| (filter.handle, filter.info) == (HANDLE, FIRST_OF_ALL) && filter.name == name(dir);
    Ok(filters(ifindex)?.into_iter().find(is_own))
}

/// Lets `program` see the packets of an interface before all filters that are there; in one atomic step if a filter that belongs to the
/// pins in `dir` has another one.
///
/// # Errors
///
/// Returns an error if the kernel refuses, since it has no `clsact`, or others have the first place and do not share it.
pub(super) fn attach(ifindex: u32, program: BorrowedFd<'_>, dir: &Path) -> anyhow::Result<()> {
    let mut qdisc = head(ifindex, CLSACT_HANDLE, CLSACT, 0);
    qdisc.extend(nested(TCA_KIND, b"clsact\0"));
    match change(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &qdisc)? {
        Err(Refusal {
            errno: Errno::EEXIST, ..
        }) => {}
        made => made.context("adding the qdisc clsact")?,
    }
    // Never another's, should it have the same place and number.
    let is_there = own(ifindex, dir)?.is_some();
    let exclusive = if is_there { 0 } else { NLM_F_EXCL };
    let options = [
        nested(TCA_BPF_FD, &program.as_raw_fd().to_ne_bytes()),
        nested(TCA_BPF_NAME, &[name(dir).as_slice(), b"\0"].concat()),
        nested(TCA_BPF_FLAGS, &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes()),
    ]
    .concat();
    let mut filter = head(ifindex, HANDLE, INGRESS, FIRST_OF_ALL);
    filter.extend(nested(TCA_KIND, b"bpf\0"));
    filter.extend(nested(TCA_OPTIONS, &options));
    change(RTM_NEWTFILTER, NLM_F_CREATE | exclusive, &filter)?
        .context("adding a filter in front of the others in the qdisc clsact")
}

/// Removes a filter; one that is gone is fine.
///
/// # Errors
///
/// Returns an error if the kernel refuses.
pub(super) fn remove(filter: &Filter) -> anyhow::Result<()> {
    let mut body = head(filter.ifindex, filter.handle, INGRESS, filter.info);
    body.extend(nested(TCA_KIND, b"bpf\0"));
    match change(RTM_DELTFILTER, 0, &body)? {
        Err(Refusal {
            errno: Errno::ENOENT | Errno::ENODEV,
            ..
        }) => Ok(()),
        removed => removed.context("removing a filter from the qdisc clsact"),
    }
}

impl Filter {
    /// Reads an answer: a `tcmsg`, and attributes. `None` where it is not a filter that packets meet: of filters of other kinds,
    /// which may be many, the first entry stands for all of one priority.
    fn read(payload: &[u8]) -> Option<Self> {
        let (head, attributes) = payload.split_at_checked(HEADER)?;
        let number = |bytes: &[u8]| Some(u32::from_ne_bytes(bytes.try_into().ok()?));
        let handle = number(&head[8..12])?;
        let chain = attribute(attributes, TCA_CHAIN).and_then(|chain| number(&chain));
        let is_bpf = attribute(attributes, TCA_KIND)?.strip_suffix(b"\0") == Some(&b"bpf"[..]);
        if chain.unwrap_or(0) != 0 || is_bpf != (handle != 0) {
            return None;
        }
        let options = attribute(attributes, TCA_OPTIONS).unwrap_or_default();
        let name = attribute(&options, TCA_BPF_NAME)
            .filter(|_| is_bpf)
            .unwrap_or_default();
        let program = attribute(&options, TCA_BPF_ID).filter(|_| is_bpf);
        Some(Self {
            ifindex: number(&head[4..8])?,
            handle,
            info: number(&head[16..20])?,
            name: name.strip_suffix(b"\0").unwrap_or(&name).to_vec(),
            program: program.and_then(|id| number(&id)).unwrap_or(0),
        })
    }

    /// The number of its interface.
    pub(super) const fn ifindex(&self) -> u32 {
        self.ifindex
    }
}

/// Returns what a filter is called that belongs to the pins in `dir`.
fn name(dir: &Path) -> Vec<u8> {
    [&b"secbeat "[..], dir.as_os_str().as_bytes()].concat()
}

/// A `tcmsg`.
fn head(ifindex: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    [0, ifindex, handle, parent, info].map(u32::to_ne_bytes).concat()
}

/// Asks the kernel to change something; the inner error is its refusal.
fn change(kind: u16, flags: i32, body: &[u8]) -> io::Result<Result<(), Refusal>> {
    let answer = Question::new(kind, NLM_F_REQUEST | NLM_F_ACK | flags, body).ask()?;
    let message = NetlinkBuffer::new_checked(answer.as_slice()).map_err(io::Error::other)?;
    Ok(match said(message.payload()) {
        None => Ok(()),
        Some((errno, text)) => Err(Refusal { errno, text }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(handle: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        [head(7, handle, INGRESS, FIRST_OF_ALL), attributes.concat()].concat()
    }

    #[test]
    fn filters_are_read_as_packets_meet_them() {
        let kind = |name: &[u8]| nested(TCA_KIND, name);
        let options = [
            nested(TCA_BPF_NAME, b"secbeat /pins\0"),
            nested(TCA_BPF_ID, &77_u32.to_ne_bytes()),
        ]
        .concat();
        let options = nested(TCA_OPTIONS, &options);
        let found = Filter::read(&answer(HANDLE, &[kind(b"bpf\0"), options.clone()])).unwrap();
        assert_eq!((found.ifindex, found.handle, found.program), (7, HANDLE, 77));
        assert_eq!(found.name, name(Path::new("/pins")));
        // The head of a priority stands for filters of other kinds, and for none of the kind `bpf`.
        assert_eq!(Filter::read(&answer(0, &[kind(b"bpf\0")])), None);
        assert_eq!(Filter::read(&answer(0, &[kind(b"flower\0")])).unwrap().program, 0);
        assert_eq!(
            Filter::read(&answer(9, &[kind(b"flower\0"), options.clone()])),
            None
        );
        // Packets get to other chains by the first one alone.
        let chain = nested(TCA_CHAIN, &4_u32.to_ne_bytes());
        assert_eq!(
            Filter::read(&answer(HANDLE, &[kind(b"bpf\0"), chain, options])),
            None
        );
        assert_eq!(Filter::read(&[0; 19]), None);
    }

    #[test]
    fn an_interface_without_the_qdisc_has_no_filters() {
        assert_eq!(filters(1).unwrap(), []);
        assert_eq!(own(1, Path::new("/pins")).unwrap(), None);
    }
}
