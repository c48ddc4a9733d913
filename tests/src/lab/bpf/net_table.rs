//! A table of banned networks in a filter's maps.

use std::{collections::BTreeMap, fmt};

use aya::maps::{Array, ArrayOfMaps, MapData};
use secbeat_common::{
    maps::{self, Ban},
    prefix::Prefix,
    table::{Line, Record, build},
};

use super::Filter;

/// The table that is in force.
pub(super) struct NetTable {
    map: Array<MapData, Line>,
    /// The line of each network's record.
    records: BTreeMap<Prefix, u32>,
}

impl fmt::Debug for NetTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NetTable").field(&self.records).finish()
    }
}

impl Filter {
    /// Brings a table of these networks into force;
    /// [`Settings::nets_in_use`](secbeat_common::maps::Settings::nets_in_use) says whether the program looks.
    pub fn set_net_table(&mut self, nets: &BTreeMap<Prefix, Ban>) {
        let lines = build(nets);
        let count = u32::try_from(lines.len()).expect("fewer lines");
        let mut map = Array::<MapData, Line>::create(count, maps::TABLE_FLAGS).expect("making a table");
        for (number, line) in (0..).zip(&lines) {
            if *line != Line::default() {
                map.set(number, *line, 0).expect("writing a table");
            }
        }
        let mut tables: ArrayOfMaps<_, Array<MapData, Line>> =
            self.map_mut(maps::NET_TABLES).try_into().expect(maps::NET_TABLES);
        tables
            .set(maps::IN_FORCE, &map, 0)
            .expect("bringing a table into force");
        let records = nets.keys().copied().zip(count - nets.len() as u32..).collect();
        self.net_table = Some(NetTable { map, records });
    }

    /// The ban of exactly this network in the table.
    #[must_use]
    pub fn ban_in_net_table(&self, net: Prefix) -> Option<Ban> {
        let NetTable { map, records } = self.net_table.as_ref()?;
        let line = map.get(records.get(&net)?, 0).expect("reading a table");
        Some(Record::from_line(&line).ban)
    }
}
