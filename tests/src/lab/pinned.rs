//! The program and its maps, pinned in a folder of their own, so that the edge's own code can open them without an edge.

use std::path::Path;

use secbeat_common::maps;
use secbeat_edge::kernel::{
    AllowedNets, BanMaps, Floods, JiffyClock, ListTables, Pins, SettingsMap, jiffy_clock,
};
use tempfile::TempDir;

use crate::lab::{bpf::Filter, paths};

/// A filter whose maps are pinned as long as it lives.
#[derive(Debug)]
pub struct PinnedFilter {
    pub filter: Filter,
    folder: TempDir,
}

impl PinnedFilter {
    /// Loads the object with `slots` in each ban map for sources.
    #[must_use]
    pub fn load(slots: u32) -> Self {
        Self::of(Filter::load_object(&paths::bpf_object(), slots))
    }

    /// [`load`](Self::load), with so many lines in the express lane's map.
    #[must_use]
    pub fn load_with_lane(slots: u32, lines: u32) -> Self {
        Self::of(Filter::load_with_lane(&paths::bpf_object(), slots, lines))
    }

    fn of(filter: Filter) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("secbeat-maps-")
            .tempdir_in("/sys/fs/bpf")
            .expect("making a pin folder");
        filter.pin_maps(folder.path());
        Self { filter, folder }
    }

    /// The filter alone, whose maps are no longer pinned.
    #[must_use]
    pub fn into_filter(self) -> Filter {
        self.filter
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn pins(&self) -> Pins {
        Pins::at(self.folder.path())
    }

    /// The ban maps, through the edge's code.
    #[must_use]
    pub fn bans(&self) -> BanMaps {
        BanMaps::open(&self.pins()).expect("opening the ban maps")
    }

    /// The kernel's allowlist, through the edge's code.
    #[must_use]
    pub fn allowed(&self) -> AllowedNets {
        AllowedNets::open(&self.pins()).expect("opening the allowlist")
    }

    /// The ban maps, which may make tables of networks.
    #[must_use]
    pub fn bans_with_tables(&self) -> BanMaps {
        let mut bans = self.bans();
        bans.prove_tables(self.filter.program(maps::TABLE_PROBE))
            .expect("the program reads tables");
        bans
    }

    /// The tables of lists, through the edge's code, which may make some.
    #[must_use]
    pub fn lists(&self) -> ListTables {
        let mut lists = ListTables::open(&self.pins()).expect("opening the tables of lists");
        lists
            .prove(self.filter.program(maps::LIST_PROBE))
            .expect("the program reads tables of lists");
        lists
    }

    /// The program's settings, through the edge's code.
    #[must_use]
    pub fn settings(&self) -> SettingsMap {
        SettingsMap::open(&self.pins()).expect("opening the settings")
    }

    /// The memory of floods, through the edge's code.
    #[must_use]
    pub fn floods(&self) -> Floods {
        Floods::open(&self.pins()).expect("opening the memory of floods")
    }

    /// The kernel's clocks, through the edge's code.
    #[must_use]
    pub fn clock(&self) -> JiffyClock {
        jiffy_clock().expect("reading the kernel's clocks")
    }
}
