//! `NET_TABLES`: the table of the banned networks that are too many for a trie. What is in force is changed in place: ends, stamps, and
//! networks that are lifted.

use std::collections::BTreeMap;

use anyhow::ensure;
use aya::programs::Xdp;
use secbeat_common::{
    maps::{self, Ban},
    prefix::Prefix,
    table::{self, View},
};

use super::{
    Pins,
    swapped::{Kind, Swapped, key_of},
};

const KIND: Kind = Kind {
    map: maps::NET_TABLES,
    pin: maps::NET_TABLE,
    noun: "table of banned networks",
    is_valid: |words| View::new(words).is_some(),
};

/// The table that is in force, if one is.
pub(super) struct NetTables(Swapped);

impl NetTables {
    /// `None` where another release has made the maps, which knows no tables.
    pub(super) fn open(pins: &Pins) -> anyhow::Result<Option<Self>> {
        Ok(Swapped::open(pins, KIND)?.map(Self))
    }

    pub(super) fn refresh(&mut self) -> anyhow::Result<()> {
        self.0.refresh()
    }

    pub(super) fn view(&self) -> Option<View<'_>> {
        View::new(self.0.words()?)
    }

    pub(super) fn may_build(&self) -> bool {
        self.0.may_build()
    }

    /// Brings the table of these networks into force, or none for none.
    pub(super) fn replace(&mut self, nets: &BTreeMap<Prefix, Ban>) -> anyhow::Result<()> {
        if nets.is_empty() {
            return self.0.clear();
        }
        let staged = self.0.stage(&table::build(nets))?;
        self.0.bring(staged)
    }

    /// Brings the table into force again if something else has taken it out. Says whether that was so.
    pub(super) fn keep(&mut self) -> anyhow::Result<bool> {
        // Who lifts the last of its bans takes it out of force, too.
        let is_due = self.view().is_some_and(|view| view.count() > 0);
        if is_due && self.0.in_force()?.is_none() {
            self.0.restore()?;
            return Ok(true);
        }
        self.0.refresh()?;
        Ok(false)
    }

    pub(super) fn keep_pinned(&mut self) -> anyhow::Result<()> {
        self.0.keep_pinned()
    }

    /// Has the program look up what is known of a small table. Only if it finds just that are tables made.
    ///
    /// # Errors
    ///
    /// What it found else.
    pub(super) fn prove(&mut self, probe: &Xdp) -> anyhow::Result<()> {
        let known = [
            "198.51.100.0/24",
            "198.51.100.8/29",
            "2001:db8::/32",
            "2001:db8:0:1::/64",
        ];
        let nets: Result<Vec<Prefix>, _> = known.iter().map(|net| net.parse()).collect();
        let nets: BTreeMap<_, _> = nets?.into_iter().map(|net| (net, Ban::default())).collect();
        let lines = table::build(&nets);
        let asked = [
            ("198.51.100.7", Some(known[0])),
            ("198.51.100.8", Some(known[1])),
            ("198.51.101.0", None),
            ("2001:db8:0:2::1", Some(known[2])),
            ("2001:db8:0:1::1", Some(known[3])),
            ("2001:db9::1", None),
        ];
        let keys = asked.iter().map(|(address, _)| key_of(address));
        let addresses: Vec<_> = keys.collect::<Result<_, _>>()?;
        self.0.prove(probe, &lines, &addresses, |number, packet| {
            let (address, wanted) = asked[number];
            let [a, b, c, d, ..] = packet;
            let found = u32::from_ne_bytes([a, b, c, d]);
            let record = lines.get(found as usize).filter(|_| found != 0);
            let net = record.and_then(|line| table::Record::from_line(line).net());
            ensure!(
                net == wanted.map(str::parse).transpose()?,
                "this kernel reads tables wrongly: {address} is found in {net:?}"
            );
            Ok(())
        })
    }
}
