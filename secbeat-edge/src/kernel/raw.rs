//! Maps whose layout is not known at compile time, through `bpf(2)` itself: aya's maps are typed.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use anyhow::Context;
use aya::maps::MapData;

use super::syscall::{Command, ElementAttributes, bpf};

/// `union bpf_attr` for [`Command::ObjectInfo`].
#[repr(C)]
struct InfoAttr {
    fd: u32,
    len: u32,
    info: u64,
}

/// `struct bpf_map_info` as far as it is read: Linux 5.15 has more.
#[repr(C)]
#[derive(Default)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    btf_vmlinux_value_type_id: u32,
    netns_dev: u64,
    netns_ino: u64,
    btf_id: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
    _pad: u32,
}

/// `struct bpf_btf_info`, the same.
#[repr(C)]
#[derive(Default)]
struct BtfInfo {
    btf: u64,
    btf_size: u32,
    id: u32,
}

/// A pinned map of any layout.
pub(super) struct RawMap {
    map: MapData,
    info: MapInfo,
}

impl RawMap {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let map =
            MapData::from_pin(path).with_context(|| format!("opening the pinned map {}", path.display()))?;
        let mut info = MapInfo::default();
        get_info(map.fd().as_fd().as_raw_fd(), &mut info)
            .with_context(|| format!("reading the layout of {}", path.display()))?;
        Ok(Self { map, info })
    }

    /// The kernel's number of it, and the bytes of a value.
    pub(super) fn id_and_value_size(&self) -> (u32, u32) {
        (self.info.id, self.info.value_size)
    }

    /// The BTF that the map was made with, and the number of its values' type in it; `None` if it was made without.
    pub(super) fn value_type(&self) -> io::Result<Option<(Vec<u8>, u32)>> {
        if self.info.btf_id == 0 || self.info.btf_value_type_id == 0 {
            return Ok(None);
        }
        let id = self.info.btf_id;
        // The attribute begins with the id; the rest is zero.
        // SAFETY: nothing is pointed to.
        let fd = unsafe { bpf(Command::BtfById, &mut [id, 0, 0, 0])? };
        // SAFETY: a descriptor that the kernel has just given to us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut info = BtfInfo::default();
        get_info(fd.as_raw_fd(), &mut info)?;
        let mut btf = vec![0_u8; info.btf_size as usize];
        let mut info = BtfInfo {
            btf: btf.as_mut_ptr() as u64,
            ..info
        };
        get_info(fd.as_raw_fd(), &mut info)?;
        Ok(Some((btf, self.info.btf_value_type_id)))
    }

    /// Every key and value. Keys come first, so that entries which come and go meanwhile cannot make the walk start over.
    pub(super) fn entries(&self) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        while keys.len() < self.info.max_entries as usize {
            match self.next_key(keys.last().map(Vec::as_slice))? {
                Some(key) => keys.push(key),
                None => break,
            }
        }
        let mut entries = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(value) = self.lookup(&key)? {
                entries.push((key, value));
            }
        }
        Ok(entries)
    }

    fn next_key(&self, key: Option<&[u8]>) -> io::Result<Option<Vec<u8>>> {
        let mut next = vec![0; self.info.key_size as usize];
        let found = self.element(
            Command::NextKey,
            key.map_or(0, |key| key.as_ptr() as u64),
            &mut next,
        )?;
        Ok(found.then_some(next))
    }

    /// The value of `key`, as long as the map's keys are.
    pub(super) fn lookup(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.info.value_size as usize];
        let found = self.element(Command::LookupElement, key.as_ptr() as u64, &mut value)?;
        Ok(found.then_some(value))
    }

    /// Removes `key`, as long as the map's keys are; one that is not there is fine.
    pub(super) fn delete(&self, key: &[u8]) -> io::Result<()> {
        let mut attributes = ElementAttributes {
            map_fd: self.map.fd().as_fd().as_raw_fd() as u32,
            key: key.as_ptr() as u64,
            ..ElementAttributes::default()
        };
        // SAFETY: a key of this map is readable until the return; the kernel wants nothing else to be named.
        match unsafe { bpf(Command::DeleteElement, &mut attributes) } {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Runs a command that fills `output`, as large as the map's keys or values (not those of per-CPU maps, which are
    /// larger); tells whether there was anything.
    fn element(&self, command: Command, key: u64, output: &mut [u8]) -> io::Result<bool> {
        let mut attributes = ElementAttributes {
            map_fd: self.map.fd().as_fd().as_raw_fd() as u32,
            key,
            value: output.as_mut_ptr() as u64,
            ..ElementAttributes::default()
        };
        // SAFETY: `key` is 0 or a key of this map, and `output` has room for what the command writes.
        match unsafe { bpf(command, &mut attributes) } {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// `union bpf_attr` for [`Command::ObjectGet`].
#[repr(C)]
#[derive(Default)]
struct ObjectAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

/// `struct bpf_link_info` of a link to an interface.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    _pad: u32,
    ifindex: u32,
    _rest: [u32; 11],
}

/// `BPF_LINK_TYPE_XDP` and `BPF_LINK_TYPE_TCX`.
const INTERFACE_LINKS: [u32; 2] = [6, 11];

/// What a link to an interface is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkFacts {
    /// 0 once the interface is gone. In the interface's network namespace, which need not be this one.
    pub(super) ifindex: u32,
    pub(super) program: u32,
}

/// Reads the link pinned at `path`.
///
/// # Errors
///
/// Returns an error if there is none, or none to an interface.
pub(super) fn link_facts(path: &Path) -> io::Result<LinkFacts> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = ObjectAttr {
        path: name.as_ptr() as u64,
        ..ObjectAttr::default()
    };
    // SAFETY: the path is a C string that lives until the return.
    let fd = unsafe { bpf(Command::ObjectGet, &mut attr)? };
    // SAFETY: a descriptor that the kernel has just given to us alone.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut info = LinkInfo::default();
    get_info(fd.as_raw_fd(), &mut info)?;
    match INTERFACE_LINKS.contains(&info.kind) {
        true => Ok(LinkFacts {
            ifindex: info.ifindex,
            program: info.program,
        }),
        false => Err(io::Error::other("no link to an interface")),
    }
}

/// Detaches every link to an interface whose program is one that is `meant`, wherever it is pinned, and returns the numbers of the
/// interfaces. Only root may do so.
///
/// # Errors
///
/// Returns an error if the kernel refuses.
pub(super) fn detach_links(meant: impl Fn(u32) -> bool) -> io::Result<Vec<u32>> {
    let (mut freed, mut id) = (Vec::new(), 0);
    loop {
        // The number before it, and its own; the rest is zero.
        let mut next = [id, 0_u32, 0, 0];
        // SAFETY: nothing is pointed to.
        match unsafe { bpf(Command::NextLink, &mut next) } {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(freed),
            Err(error) => return Err(error),
            Ok(_) => id = next[1],
        }
        // SAFETY: nothing is pointed to.
        let fd = match unsafe { bpf(Command::LinkById, &mut [id, 0, 0, 0]) } {
            // It has gone since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            fd => fd?,
        };
        // SAFETY: a descriptor that the kernel has just given to us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut info = LinkInfo::default();
        get_info(fd.as_raw_fd(), &mut info)?;
        let is_attached = INTERFACE_LINKS.contains(&info.kind) && info.ifindex != 0;
        if is_attached && meant(info.program) {
            // SAFETY: nothing is pointed to.
            let detached = unsafe { bpf(Command::DetachLink, &mut [fd.as_raw_fd() as u32, 0]) };
            detached?;
            freed.push(info.ifindex);
        }
    }
}

/// `union bpf_attr` for [`Command::ProgramQuery`].
#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    _pad: u32,
    _unread: [u64; 4],
}

/// The programs in the stack's ingress hook of an interface, in their order; none on kernels without it.
///
/// # Errors
///
/// Returns an error if the kernel does not tell.
pub(super) fn tcx_programs(ifindex: u32) -> io::Result<Vec<u32>> {
    const BPF_TCX_INGRESS: u32 = 46;
    const BPF_MPROG_MAX: usize = 64;
    let mut programs = [0_u32; BPF_MPROG_MAX];
    let mut attr = QueryAttr {
        ifindex,
        attach_type: BPF_TCX_INGRESS,
        programs: programs.as_mut_ptr() as u64,
        count: programs.len() as u32,
        ..QueryAttr::default()
    };
    // SAFETY: there is room for as many numbers as it says.
    match unsafe { bpf(Command::ProgramQuery, &mut attr) } {
        Ok(_) => Ok(programs.into_iter().take(attr.count as usize).collect()),
        // Before Linux 6.6.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Vec::new()),
        // Nothing was ever attached there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn get_info<T>(fd: RawFd, info: &mut T) -> io::Result<()> {
    let mut attr = InfoAttr {
        fd: fd as u32,
        len: size_of::<T>() as u32,
        info: std::ptr::from_mut(info) as u64,
    };
    // SAFETY: `info` is writable for as many bytes as it has, and so is what a BTF's info points to: as many as it says.
    unsafe { bpf(Command::ObjectInfo, &mut attr).map(drop) }
}
