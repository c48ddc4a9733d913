//! Maps whose layout is not known at compile time, through `bpf(2)` itself: aya's maps are typed.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    path::Path,
};

use anyhow::Context;
use aya::maps::MapData;

// Commands of `enum bpf_cmd`.
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_GET_NEXT_KEY: libc::c_long = 4;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BTF_GET_FD_BY_ID: libc::c_long = 19;

/// `union bpf_attr` for the element commands.
#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    _pad: u32,
    key: u64,
    /// The value, or the next key.
    value: u64,
    flags: u64,
}

/// `union bpf_attr` for [`OBJ_GET_INFO_BY_FD`].
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

    /// The BTF that the map was made with, and the number of its values' type in it; `None` if it was made without.
    pub(super) fn value_type(&self) -> io::Result<Option<(Vec<u8>, u32)>> {
        if self.info.btf_id == 0 || self.info.btf_value_type_id == 0 {
            return Ok(None);
        }
        let id = self.info.btf_id;
        // The attribute begins with the id; the rest is zero.
        let fd = bpf(BTF_GET_FD_BY_ID, &mut [id, 0, 0, 0])?;
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
            MAP_GET_NEXT_KEY,
            key.map_or(0, |key| key.as_ptr() as u64),
            &mut next,
        )?;
        Ok(found.then_some(next))
    }

    fn lookup(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.info.value_size as usize];
        let found = self.element(MAP_LOOKUP_ELEM, key.as_ptr() as u64, &mut value)?;
        Ok(found.then_some(value))
    }

    /// Runs a command that fills `output`, as large as the map's keys or values (not those of per-CPU maps, which are
    /// larger); tells whether there was anything.
    fn element(&self, command: libc::c_long, key: u64, output: &mut [u8]) -> io::Result<bool> {
        let mut attr = ElementAttr {
            map_fd: self.map.fd().as_fd().as_raw_fd() as u32,
            _pad: 0,
            key,
            value: output.as_mut_ptr() as u64,
            flags: 0,
        };
        match bpf(command, &mut attr) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn get_info<T>(fd: RawFd, info: &mut T) -> io::Result<()> {
    let mut attr = InfoAttr {
        fd: fd as u32,
        len: size_of::<T>() as u32,
        info: std::ptr::from_mut(info) as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr).map(|_| ())
}

/// `bpf(2)`. `attr` must be what `command` takes, and what it points to must be large enough.
fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<RawFd> {
    // SAFETY: the kernel reads and writes `attr` within its size, and what it points to within the sizes that the map or
    // the attribute states, which the callers in this file allocate.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<T>() as libc::c_uint,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as RawFd)
}
