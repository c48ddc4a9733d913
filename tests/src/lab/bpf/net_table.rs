//! A table of banned networks, as a filter has one in force.

use std::{collections::BTreeMap, fmt};

use aya::maps::{Array, ArrayOfMaps, Map, MapData};
use secbeat_common::{
    maps::{self, Ban},
    prefix::Prefix,
    table::{Line, Record, build},
};
use secbeat_edge::kernel::new_table;

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

impl NetTable {
    /// Brings a table of these networks into force in the map `NET_TABLES`.
    pub(super) fn set(tables: &mut Map, nets: &BTreeMap<Prefix, Ban>) -> Self {
        let lines = build(nets);
        let count = u32::try_from(lines.len()).expect("fewer lines");
        let data = new_table(count).expect("making a table");
        let map = Map::from_map_data(data).and_then(TryInto::try_into);
        let mut map: Array<MapData, Line> = map.expect("an array");
        for (number, line) in (0..).zip(&lines) {
            if *line != Line::default() {
                map.set(number, *line, 0).expect("writing a table");
            }
        }
        let mut tables: ArrayOfMaps<_, Array<MapData, Line>> = tables.try_into().expect(maps::NET_TABLES);
        tables
            .set(maps::IN_FORCE, &map, 0)
            .expect("bringing a table into force");
        let records = nets.keys().copied().zip(count - nets.len() as u32..).collect();
        Self { map, records }
    }

    /// The ban of exactly this network.
    pub(super) fn ban(&self, net: Prefix) -> Option<Ban> {
        let line = self.map.get(self.records.get(&net)?, 0).expect("reading a table");
        Some(Record::from_line(&line).ban)
    }
}
