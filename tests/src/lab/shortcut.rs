//! What the eBPF routing of a CNI, as Cilium's, does on a host of containers: what comes in by one interface is handed to the stack at
//! the other end of a veth, past the driver of that.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use super::netns::Namespace;

/// Of `enum bpf_cmd`.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;

/// The anonymous struct for `BPF_PROG_LOAD` of `union bpf_attr`, as far as it is needed.
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
}

/// `link_create` of `union bpf_attr`, as far as it is needed.
#[repr(C)]
struct Link {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// Packets are handed over as long as this lives.
#[derive(Debug)]
pub struct Shortcut {
    /// Closed, it detaches.
    _link: OwnedFd,
}

impl Shortcut {
    /// Hands all that `entry` receives to the other end of `veth`; both are interfaces of `namespace`. Needs Linux 6.6.
    ///
    /// # Panics
    ///
    /// When the kernel refuses.
    #[must_use]
    pub fn new(namespace: &Namespace, entry: &str, veth: &str) -> Self {
        const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
        const BPF_TCX_INGRESS: u32 = 46;
        let (entry, veth) = (namespace.ifindex(entry), namespace.ifindex(veth));
        // r1 = veth; r2 = 0; r0 = bpf_redirect_peer(r1, r2); exit. Encoded as in RFC 9669.
        let code: [u64; 4] = [0x1b7 | u64::from(veth) << 32, 0x2b7, 0x85 | 155 << 32, 0x95];
        let load = Load {
            kind: BPF_PROG_TYPE_SCHED_CLS,
            instructions: code.len() as u32,
            code: code.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
        };
        let program = bpf(BPF_PROG_LOAD, &load);
        let link = Link {
            program: program.as_raw_fd().cast_unsigned(),
            interface: entry,
            attach_type: BPF_TCX_INGRESS,
            flags: 0,
        };
        Self {
            _link: namespace.enter(|| bpf(BPF_LINK_CREATE, &link)),
        }
    }
}

/// Both commands answer with a new descriptor.
fn bpf<T>(command: libc::c_long, attributes: &T) -> OwnedFd {
    // SAFETY: the kernel reads `attributes` and what they point to, which live through the call and are as large as they say.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>() as u32,
        )
    };
    assert!(answer >= 0, "bpf({command}): {}", io::Error::last_os_error());
    // SAFETY: a new descriptor, which nobody else owns; descriptors fit in an int.
    unsafe { OwnedFd::from_raw_fd(answer as i32) }
}
