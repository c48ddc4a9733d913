//! A ban map as an imaginary other release laid it out: other fields, in another order and of other sizes, named by BTF.

use std::{
    ffi::CString,
    fs::{self, Permissions},
    io,
    net::Ipv4Addr,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
};

use secbeat_common::maps;

const MAP_CREATE: libc::c_long = 0;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const OBJ_PIN: libc::c_long = 6;
const BTF_LOAD: libc::c_long = 18;

const LRU_HASH: u32 = 9;
const KEY_TYPE: u32 = 4;
const VALUE_TYPE: u32 = 5;
const SLOTS: u32 = 1024;

/// A ban of that release.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OldBan {
    pub reason: u32,
    pub dropped_packets: u32,
    pub expires_boot_ns: u64,
    pub note: [u8; 8],
}

#[repr(C)]
struct BtfAttr {
    btf: u64,
    log: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    _pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct CreateAttr {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    name: [u8; 16],
    ifindex: u32,
    btf_fd: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
    _pad: u32,
}

#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct PinAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

/// Makes `BANNED_V4` of that release with `bans` in it, and pins it in `folder`, which is made.
///
/// # Panics
///
/// When the kernel refuses.
pub fn pin_old_bans(folder: &Path, bans: &[(Ipv4Addr, OldBan)]) {
    fs::create_dir(folder).expect("making a pin folder");
    fs::set_permissions(folder, Permissions::from_mode(0o700)).expect("closing the pin folder");
    let map = create();
    for (source, ban) in bans {
        let key = source.octets();
        bpf(
            MAP_UPDATE_ELEM,
            &ElementAttr {
                map_fd: map.as_raw_fd() as u32,
                _pad: 0,
                key: key.as_ptr() as u64,
                value: std::ptr::from_ref(ban) as u64,
                flags: 0,
            },
        );
    }
    let path = folder.join(maps::BANNED_V4);
    let path = CString::new(path.to_str().expect("a path in UTF-8")).expect("a path without NUL");
    bpf(
        OBJ_PIN,
        &PinAttr {
            path: path.as_ptr() as u64,
            fd: map.as_raw_fd() as u32,
            flags: 0,
        },
    );
}

fn create() -> OwnedFd {
    let btf = btf();
    let btf_fd = bpf(
        BTF_LOAD,
        &BtfAttr {
            btf: btf.as_ptr() as u64,
            log: 0,
            size: btf.len() as u32,
            log_size: 0,
            log_level: 0,
            _pad: 0,
        },
    );
    // SAFETY: a descriptor that the kernel has just given to us alone.
    let btf_fd = unsafe { OwnedFd::from_raw_fd(btf_fd) };
    let mut attr = CreateAttr {
        kind: LRU_HASH,
        key_size: 4,
        value_size: size_of::<OldBan>() as u32,
        max_entries: SLOTS,
        btf_fd: btf_fd.as_raw_fd() as u32,
        btf_key_type_id: KEY_TYPE,
        btf_value_type_id: VALUE_TYPE,
        ..CreateAttr::default()
    };
    attr.name[..maps::BANNED_V4.len()].copy_from_slice(maps::BANNED_V4.as_bytes());
    let map = bpf(MAP_CREATE, &attr);
    // SAFETY: as above.
    unsafe { OwnedFd::from_raw_fd(map) }
}

/// Types (`Documentation/bpf/btf.rst`): 1 to 3 integers of 1, 4 and 8 bytes, 4 the key, 5 the value.
fn btf() -> Vec<u8> {
    const INT: u32 = 1 << 24;
    const ARRAY: u32 = 3 << 24;
    const STRUCT: u32 = 4 << 24;
    let mut strings = vec![0];
    let mut name = |text: &str| {
        let at = strings.len() as u32;
        strings.extend(text.bytes());
        strings.push(0);
        at
    };
    let mut words = Vec::new();
    for (text, bytes) in [("u8", 1), ("u32", 4), ("u64", 8)] {
        words.extend([name(text), INT, bytes, bytes * 8]);
    }
    words.extend([0, ARRAY, 0, 1, 2, 4]);
    words.extend([name("OldBan"), STRUCT | 3, size_of::<OldBan>() as u32]);
    for (text, kind, bit) in [
        ("reason", 2, 0),
        ("dropped_packets", 2, 32),
        ("expires_boot_ns", 3, 64),
    ] {
        words.extend([name(text), kind, bit]);
    }
    let types: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect();
    let mut btf = [0xeb9f_u16.to_ne_bytes().as_slice(), &[1, 0]].concat();
    let (types_len, strings_len) = (types.len() as u32, strings.len() as u32);
    for word in [24, 0, types_len, types_len, strings_len] {
        btf.extend(word.to_ne_bytes());
    }
    [btf, types, strings].concat()
}

fn bpf<T>(command: libc::c_long, attr: &T) -> i32 {
    // SAFETY: the kernel reads `attr` and what it points to, which live through the call and are as large as it says.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attr),
            size_of::<T>() as u32,
        )
    };
    assert!(answer >= 0, "bpf({command}): {}", io::Error::last_os_error());
    answer as i32
}
