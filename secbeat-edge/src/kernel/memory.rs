//! Kernel memory that the pinned maps take.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::maps::MapData;
use secbeat_common::maps;

use super::Pins;

/// Bytes by the name of the map, as the kernel accounts for them (`memlock` in `/proc/self/fdinfo`). Maps that are not pinned, or that
/// cannot be opened, are left out.
#[must_use]
pub fn memory(pins: &Pins) -> BTreeMap<String, u64> {
    let maps = maps::ALL.into_iter().chain([maps::NET_TABLE, maps::LIST_TABLE]);
    maps.filter_map(|name| Some((name.to_owned(), of_map(pins, name)?)))
        .collect()
}

fn of_map(pins: &Pins, name: &str) -> Option<u64> {
    let map = MapData::from_pin(pins.map(name)).ok()?;
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd())).ok()?;
    told.lines()
        .find_map(|line| line.strip_prefix("memlock:"))
        .and_then(|bytes| bytes.trim().parse().ok())
}
