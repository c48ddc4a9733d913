//! `LISTS`: the table of all static lists, and `LIST_COUNTS`, what met each of them.

use std::net::IpAddr;

use anyhow::{Context, anyhow, ensure};
use aya::{
    maps::{Map, MapData, MapInfo, PerCpuArray, PerCpuValues},
    programs::Xdp,
    util::nr_cpus,
};
use secbeat_common::{
    lists::{self, ALLOWS, BANS, Described, Entry, GROUP, List, MAX_LISTS, NEVER, Stretch, View, verdict},
    maps::{self, Counter, nets},
    prefix::Prefix,
    table::Line,
};
use secbeat_edge_core::BootTime;

use super::{
    Pins, SettingsMap,
    swapped::{Kind, Staged, Swapped, key_of},
};

const KIND: Kind = Kind {
    map: maps::LISTS,
    pin: maps::LIST_TABLE,
    noun: "table of lists",
    is_valid: |words| View::new(words).is_some(),
};

/// The table of lists that is in force, if one is.
pub struct ListTables {
    swapped: Swapped,
    settings: SettingsMap,
    counts: PerCpuArray<MapData, Counter>,
}

/// A list in the kernel.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Its bit.
    pub slot: usize,
    pub described: Described,
    /// What met it.
    pub counted: Counter,
}

/// The addresses that lists allow, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowing(Vec<Stretch>);

impl Allowing {
    /// Those of a table.
    #[must_use]
    pub fn of(view: &View<'_>) -> Self {
        let allows = |stretch: &Stretch| view.terms(stretch.class).any(|(lists, _)| lists & ALLOWS != 0);
        Self(view.stretches().filter(allows).collect())
    }

    /// Whether one of them is in `net`.
    #[must_use]
    pub fn touches(&self, net: &Prefix) -> bool {
        let (is_v4, first, last) = lists::range(net);
        let behind = self
            .0
            .partition_point(|it| (!it.is_v4, it.last) < (!is_v4, first));
        self.0
            .get(behind)
            .is_some_and(|it| it.is_v4 == is_v4 && it.first <= last)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Staged {
    /// Returns what lists allow in it; `None` if it is not a table of lists.
    #[must_use]
    pub fn allowing(&self) -> Option<Allowing> {
        Some(Allowing::of(&View::new(self.words())?))
    }
}

impl ListTables {
    /// Opens the pinned maps; works without the daemon.
    ///
    /// # Errors
    ///
    /// Returns an error if they are not pinned, or not of this release.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        let swapped = Swapped::open(pins, KIND)?;
        Ok(Self {
            swapped: swapped.with_context(|| format!("{} is not pinned", maps::LISTS))?,
            settings: SettingsMap::open(pins)?,
            counts: open_counts(pins)?,
        })
    }

    /// The table in force.
    #[must_use]
    pub fn view(&self) -> Option<View<'_>> {
        View::new(self.swapped.words()?)
    }

    /// The lists that an address is on at `now`, as bits, with [`BANS`] and [`ALLOWS`]: what the program finds, by the same search.
    #[must_use]
    #[expect(
        unsafe_code,
        reason = "a table of lists is written once, before it comes into force"
    )]
    pub fn lists_of(&self, address: IpAddr, now: BootTime) -> u64 {
        // SAFETY: nothing is counted in a table of lists, and one that changes is another table.
        let Some(lines) = (unsafe { self.swapped.lines() }) else {
            return 0;
        };
        let line = |number: u32| lines.get(number as usize);
        let class = match address {
            IpAddr::V4(address) => lists::find_v4(line, address.to_bits()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                let owner = lists::find_v6(line, (bits >> 64) as u64);
                match owner {
                    Some(owner) if owner & GROUP != 0 => lists::find_in_group(line, owner, bits as u64),
                    owner => owner,
                }
            }
        };
        let class = class.filter(|class| *class != 0);
        class
            .and_then(|class| lists::lists_of(line, class, || now.0))
            .unwrap_or(0)
    }

    /// The kernel's number of the table in force.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.swapped.id()
    }

    /// Opens what is in force if that is another table than before.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn refresh(&mut self) -> anyhow::Result<()> {
        self.swapped.refresh()
    }

    /// Returns what lists allow now.
    #[must_use]
    pub fn allowing(&self) -> Allowing {
        self.view().map(|view| Allowing::of(&view)).unwrap_or_default()
    }

    /// Makes a table of these lines, which is not in force yet.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn stage(&self, lines: &[Line]) -> anyhow::Result<Staged> {
        self.swapped.stage(lines)
    }

    /// Brings a table into force in which lists allow these addresses. The program is told to look before there is anything to see.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn bring(&mut self, table: Staged, allowing: &Allowing) -> anyhow::Result<()> {
        ensure!(
            self.swapped.may_build(),
            "this kernel was not seen to read tables of lists rightly; the log says at the start what it found"
        );
        let allows = if allowing.is_empty() { 0 } else { nets::ALLOWING };
        let bits = switches(View::new(table.words()).as_ref()) | nets::LISTS | allows;
        self.settings.add_nets_in_use(bits)?;
        self.swapped.bring(table)?;
        self.settings.set_nets_in_use(nets::LISTS | nets::ALLOWING, bits)
    }

    /// Takes all lists out of force.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn clear(&mut self) -> anyhow::Result<()> {
        self.swapped.clear()?;
        self.settings.set_nets_in_use(nets::LISTS | nets::ALLOWING, 0)
    }

    /// Sees to it that the table in force is the one of this process, is looked into, and is pinned.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        self.keep()?;
        self.swapped.keep_pinned()
    }

    /// Has the program read the table that this process has put in force, whatever else has written there. Says whether it did not.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn keep(&mut self) -> anyhow::Result<bool> {
        let is_lost = self.swapped.in_force()? != self.id();
        if is_lost {
            self.swapped.restore()?;
        }
        let bits = switches(self.view().as_ref());
        let is_passed_over = self
            .settings
            .keep_nets_in_use(nets::LISTS | nets::ALLOWING, bits)?;
        Ok(is_lost || is_passed_over)
    }

    /// Lets what met the list at `slot` begin at zero.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn reset_count(&mut self, slot: usize) -> anyhow::Result<()> {
        let cpus = nr_cpus().map_err(|(_, error)| anyhow!(error).context("counting the CPUs"))?;
        let zeros = PerCpuValues::try_from(vec![Counter::default(); cpus]).context("counting the CPUs")?;
        self.counts
            .set(slot as u32, zeros, 0)
            .context("setting the count of a list to zero")
    }

    /// Has the program look up what is known of a small table. Only if it finds just that may tables come into force. `probe` is the
    /// loaded program [`maps::LIST_PROBE`].
    ///
    /// # Errors
    ///
    /// What it found else.
    pub fn prove(&mut self, probe: &Xdp) -> anyhow::Result<()> {
        let list = |slot, verdict, nets: &[&str]| -> anyhow::Result<List> {
            let entries = nets.iter().map(|net| {
                let net = net.parse()?;
                anyhow::Ok(Entry { net, ends: NEVER })
            });
            Ok(List {
                slot,
                described: Described {
                    name: "proof".to_owned(),
                    verdict,
                    ..Described::default()
                },
                entries: entries.collect::<Result<_, _>>()?,
            })
        };
        let lists = [
            list(
                0,
                verdict::BAN,
                &["198.51.100.0/24", "2001:db8::/32", "2001:db8:0:1::7/128"],
            )?,
            list(31, verdict::ALLOW, &["198.51.100.8/29", "2001:db8:0:1::/64"])?,
        ];
        let (ban, allow) = (BANS | 1, ALLOWS | 1 << 31);
        let asked = [
            ("198.51.100.7", ban),
            ("198.51.100.8", ban | allow),
            ("198.51.101.0", 0),
            ("2001:db8:0:2::1", ban),
            ("2001:db8:0:1::7", ban | allow),
            ("2001:db9::1", 0),
        ];
        let table = lists::build(&lists, 0)?;
        let keys = asked.iter().map(|(address, _)| key_of(address));
        let addresses: Vec<_> = keys.collect::<Result<_, _>>()?;
        self.swapped.prove(probe, &table.lines, &addresses, |number, packet| {
            let (address, wanted) = asked[number];
            let [a, b, c, d, e, f, g, h, ..] = packet;
            let found = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
            ensure!(
                found == wanted,
                "this kernel reads tables of lists wrongly: {address} is on {found:#x}, and not on {wanted:#x}"
            );
            Ok(())
        })
    }

    /// The lists in force, with what met them.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn listings(&self) -> anyhow::Result<Vec<Listing>> {
        let lists = self.view().into_iter().flat_map(|view| view.lists());
        let listing = |(slot, described)| {
            let per_cpu = self.counts.get(&(slot as u32), 0);
            let per_cpu = per_cpu.context("reading the counts of lists")?;
            let add = |sum: Counter, one: &Counter| Counter {
                packets: sum.packets + one.packets,
                bytes: sum.bytes + one.bytes,
            };
            Ok(Listing {
                slot,
                described,
                counted: per_cpu.iter().fold(Counter::default(), add),
            })
        };
        lists.map(listing).collect()
    }
}

/// Returns where the program is to look for a table of lists, as bits of [`nets`].
fn switches(table: Option<&View<'_>>) -> u32 {
    let is_allow = |(_, described): (usize, Described)| described.verdict == verdict::ALLOW;
    match table.map(|view| view.lists().any(is_allow)) {
        None => 0,
        Some(false) => nets::LISTS,
        Some(true) => nets::LISTS | nets::ALLOWING,
    }
}

fn open_counts(pins: &Pins) -> anyhow::Result<PerCpuArray<MapData, Counter>> {
    let path = pins.map(maps::LIST_COUNTS);
    let data =
        MapData::from_pin(&path).with_context(|| format!("opening the pinned map {}", path.display()))?;
    let counts = Map::PerCpuArray(data).try_into();
    counts.with_context(|| format!("{} is not of this release", maps::LIST_COUNTS))
}

/// The tables of lists as the kernel has them; works without the daemon. `None` where another release has made the maps.
///
/// # Errors
///
/// Returns an error if the kernel refuses.
pub fn read_lists(pins: &Pins) -> anyhow::Result<Option<ListTables>> {
    match MapInfo::from_pin(pins.map(maps::LISTS)) {
        Ok(_) => ListTables::open(pins).map(Some),
        Err(_) => Ok(None),
    }
}

const _: () = assert!(MAX_LISTS <= 32, "a set of lists is the lower half of a word");
