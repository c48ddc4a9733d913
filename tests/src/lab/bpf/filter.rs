//! The XDP program, loaded for one test alone.

use std::{collections::BTreeMap, net::IpAddr, path::Path, time::Duration};

use aya::{
    Ebpf, EbpfLoader, TestRun, TestRunOptions,
    maps::{Array, HashMap, LpmTrie, Map, MapData, PerCpuArray, RingBuf, lpm_trie::Key},
    programs::{Program, ProgramInfo, SchedClassifier, Xdp},
};
use secbeat_common::{
    lane,
    maps::{self, Allow, Ban, ClockReading, Counter, DropEvent, Flood, Settings, Sieved, mode},
    prefix::Prefix,
};

use super::net_table::NetTable;
use super::tables::{Counters, SourceKey, ban_in, counters_in, sieved, source_key};
use crate::lab::paths;

/// Slots of each ban map in a test: many more than bans, since an LRU map starts to evict before it is full.
const TEST_BAN_SLOTS: u32 = 16_384;

/// What nearly every test needs. The others are left out where they are not asked for: an emulated processor verifies each for seconds.
const PLAIN: [&str; 4] = [
    maps::PROGRAM,
    maps::CLOCK_PROBE,
    maps::TABLE_PROBE,
    maps::LIST_PROBE,
];

fn load(ebpf: &mut Ebpf, is_wanted: impl Fn(&str) -> bool) {
    for (name, program) in ebpf.programs_mut().filter(|(name, _)| is_wanted(name)) {
        match program {
            Program::Xdp(program) => program.load(),
            Program::SchedClassifier(program) => program.load(),
            _ => panic!("program {name} is of another type"),
        }
        .unwrap_or_else(|error| panic!("loading program {name}: {error}"));
    }
}

/// What the program did with one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `XDP_DROP` is 1, `XDP_PASS` is 2.
    pub action: u32,
    /// The packet afterwards.
    pub packet: Vec<u8>,
}

/// The program with maps of its own, pinned nowhere, so that tests do not meet.
#[derive(Debug)]
pub struct Filter {
    ebpf: Ebpf,
    net_table: Option<NetTable>,
}

impl Filter {
    /// Loads the object that `cargo xtask build-ebpf` built, and its [`PLAIN`] programs into the kernel.
    #[must_use]
    pub fn load() -> Self {
        Self::load_object(&paths::bpf_object(), TEST_BAN_SLOTS)
    }

    /// The same with every program.
    #[must_use]
    pub fn load_whole() -> Self {
        let mut filter = Self::load();
        filter.load_rest();
        filter
    }

    /// Loads `object` with `slots` in each ban map, and its [`PLAIN`] programs into the kernel.
    #[must_use]
    pub fn load_object(object: &Path, slots: u32) -> Self {
        Self::load_with_lane(object, slots, lane::map_lines(slots))
    }

    /// [`load_object`](Self::load_object), with so many lines in the express lane's map.
    #[must_use]
    pub fn load_with_lane(object: &Path, slots: u32, lines: u32) -> Self {
        let sieve = maps::sieve_words(slots);
        let shift = maps::sieve_shift(sieve);
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(maps::BANNED_V4, slots)
            .map_max_entries(maps::BANNED_V6, slots)
            .map_max_entries(maps::SIEVE, sieve)
            .map_max_entries(maps::LANE, lines)
            .override_global(maps::SIEVE_SHIFT, &shift, true)
            .load_file(object)
            .unwrap_or_else(|error| {
                panic!(
                    "loading {} (built by `cargo xtask build-ebpf`): {error}",
                    object.display()
                )
            });
        load(&mut ebpf, |name| PLAIN.contains(&name));
        Self {
            ebpf,
            net_table: None,
        }
    }

    /// Loads the programs, too, that are not [`PLAIN`].
    pub fn load_rest(&mut self) {
        load(&mut self.ebpf, |name| !PLAIN.contains(&name));
    }

    /// Pins every map in `folder`, where an edge would look for them.
    pub fn pin_maps(&self, folder: &Path) {
        for name in maps::ALL {
            let map = self.map(name);
            map.pin(folder.join(name))
                .unwrap_or_else(|error| panic!("pinning {name}: {error}"));
        }
    }

    /// The names of the object's programs, sorted.
    #[must_use]
    pub fn programs(&self) -> Vec<String> {
        let mut names: Vec<_> = self.ebpf.programs().map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names
    }

    /// What the kernel says of a loaded program.
    #[must_use]
    pub fn info(&self, name: &str) -> ProgramInfo {
        let info = match self.ebpf.program(name) {
            Some(Program::Xdp(program)) => program.info(),
            Some(Program::SchedClassifier(program)) => program.info(),
            _ => panic!("no program {name}"),
        };
        info.expect("what the kernel says of a program")
    }

    /// A loaded XDP program of the object.
    #[must_use]
    pub fn program(&self, name: &str) -> &Xdp {
        self.ebpf
            .program(name)
            .unwrap_or_else(|| panic!("no program {name}"))
            .try_into()
            .expect("an XDP program")
    }

    /// The program of this name, to attach it.
    pub fn program_mut(&mut self, name: &str) -> &mut Xdp {
        self.ebpf
            .program_mut(name)
            .unwrap_or_else(|| panic!("no program {name}"))
            .try_into()
            .expect("an XDP program")
    }

    /// A loaded program of the object for the stack's hook, to attach it.
    pub fn classifier_mut(&mut self, name: &str) -> &mut SchedClassifier {
        self.ebpf
            .program_mut(name)
            .unwrap_or_else(|| panic!("no program {name}"))
            .try_into()
            .expect("a program for the stack's hook")
    }

    fn map(&self, name: &str) -> &Map {
        self.ebpf.map(name).unwrap_or_else(|| panic!("no map {name}"))
    }

    fn map_mut(&mut self, name: &str) -> &mut Map {
        self.ebpf.map_mut(name).unwrap_or_else(|| panic!("no map {name}"))
    }

    /// Bans the source that `address` belongs to, and sets its bit first, as whoever writes a ban must.
    pub fn ban(&mut self, address: IpAddr, ban: Ban) {
        let mut sieve: Array<_, u64> = self.map_mut(maps::SIEVE).try_into().expect(maps::SIEVE);
        let Sieved { word, bits } = sieved(address, sieve.len());
        let before = sieve.get(&word, 0).expect("reading the sieve");
        sieve.set(word, before | bits, 0).expect("writing the sieve");
        match source_key(address) {
            SourceKey::V4(key) => {
                let mut table: HashMap<_, [u8; 4], Ban> =
                    self.map_mut(maps::BANNED_V4).try_into().expect(maps::BANNED_V4);
                table.insert(key, ban, 0).expect("banning");
            }
            SourceKey::V6(key) => {
                let mut table: HashMap<_, [u8; 8], Ban> =
                    self.map_mut(maps::BANNED_V6).try_into().expect(maps::BANNED_V6);
                table.insert(key, ban, 0).expect("banning");
            }
        }
    }

    /// The ban of the source that `address` belongs to, as it is in the map.
    #[must_use]
    pub fn ban_of(&self, address: IpAddr) -> Option<Ban> {
        ban_in(self.map(maps::BANNED_V4), self.map(maps::BANNED_V6), address)
    }

    /// Lifts the ban of the source that `address` belongs to.
    pub fn unban(&mut self, address: IpAddr) {
        match source_key(address) {
            SourceKey::V4(key) => {
                let mut table: HashMap<_, [u8; 4], Ban> =
                    self.map_mut(maps::BANNED_V4).try_into().expect(maps::BANNED_V4);
                table.remove(&key).expect("lifting a ban");
            }
            SourceKey::V6(key) => {
                let mut table: HashMap<_, [u8; 8], Ban> =
                    self.map_mut(maps::BANNED_V6).try_into().expect(maps::BANNED_V6);
                table.remove(&key).expect("lifting a ban");
            }
        }
    }

    fn banned_nets(&mut self) -> LpmTrie<&mut MapData, [u8; 16], Ban> {
        self.map_mut(maps::BANNED_NETS)
            .try_into()
            .expect(maps::BANNED_NETS)
    }

    /// Bans a whole network; [`Settings::nets_in_use`] says whether the program looks.
    pub fn ban_net(&mut self, net: Prefix, ban: Ban) {
        let key = net.net_key();
        self.banned_nets()
            .insert(&Key::new(key.prefix_len, key.addr), ban, 0)
            .expect("banning a network");
    }

    /// The ban of exactly this network.
    #[must_use]
    pub fn ban_of_net(&self, net: Prefix) -> Option<Ban> {
        let key = net.net_key();
        let table: LpmTrie<_, [u8; 16], Ban> =
            self.map(maps::BANNED_NETS).try_into().expect(maps::BANNED_NETS);
        table.get(&Key::new(key.prefix_len, key.addr), 0).ok()
    }

    /// Lifts the ban of exactly this network.
    pub fn unban_net(&mut self, net: Prefix) {
        let key = net.net_key();
        self.banned_nets()
            .remove(&Key::new(key.prefix_len, key.addr))
            .expect("lifting a network's ban");
    }

    /// Brings a table of these networks into force; [`Settings::nets_in_use`] says whether the program looks.
    pub fn set_net_table(&mut self, nets: &BTreeMap<Prefix, Ban>) {
        self.net_table = Some(NetTable::set(self.map_mut(maps::NET_TABLES), nets));
    }

    /// The ban of exactly this network in the table.
    #[must_use]
    pub fn ban_in_net_table(&self, net: Prefix) -> Option<Ban> {
        self.net_table.as_ref()?.ban(net)
    }

    /// The memories of floods: every slot of every CPU.
    #[must_use]
    pub fn floods(&self) -> Vec<Flood> {
        let table: PerCpuArray<_, Flood> = self.map(maps::FLOODS).try_into().expect(maps::FLOODS);
        (0..maps::FLOOD_SLOTS)
            .flat_map(|slot| table.get(&slot, 0).expect("reading a slot").to_vec())
            .collect()
    }

    /// What the CPUs hold back in their memories of floods, over all sources: packets and bytes.
    #[must_use]
    pub fn held_back(&self) -> (u64, u64) {
        self.floods().iter().fold((0, 0), |(packets, bytes), flood| {
            (packets + u64::from(flood.packets), bytes + flood.bytes)
        })
    }

    /// Whether the program would look for a ban of the source that `address` belongs to.
    #[must_use]
    pub fn is_sieved(&self, address: IpAddr) -> bool {
        let sieve: Array<_, u64> = self.map(maps::SIEVE).try_into().expect(maps::SIEVE);
        let Sieved { word, bits } = sieved(address, sieve.len());
        sieve.get(&word, 0).expect("reading the sieve") & bits == bits
    }

    /// Clears the whole sieve.
    pub fn clear_sieve(&mut self) {
        let mut sieve: Array<_, u64> = self.map_mut(maps::SIEVE).try_into().expect(maps::SIEVE);
        for word in 0..sieve.len() {
            sieve.set(word, 0, 0).expect("writing the sieve");
        }
    }

    /// Waits until the jiffy has passed, after which no CPU remembers what it saw before.
    pub fn wait_for_next_jiffy(&self) {
        let now = self.clocks().jiffies;
        while self.clocks().jiffies == now {}
    }

    /// The events that the program has sent since the last call.
    pub fn events(&mut self) -> Vec<DropEvent> {
        let mut ring: RingBuf<_> = self.map_mut(maps::EVENTS).try_into().expect(maps::EVENTS);
        let mut events = Vec::new();
        while let Some(bytes) = ring.next() {
            assert_eq!(bytes.len(), size_of::<DropEvent>());
            // SAFETY: as many bytes as a `DropEvent`, for which any bytes are a value.
            events.push(unsafe { bytes.as_ptr().cast::<DropEvent>().read_unaligned() });
        }
        events
    }

    /// Events that found no room.
    #[must_use]
    pub fn lost_events(&self) -> u64 {
        let table: PerCpuArray<_, Counter> = self.map(maps::COUNTERS).try_into().expect(maps::COUNTERS);
        let per_cpu = table.get(&maps::LOST_EVENTS, 0).expect("reading a counter");
        per_cpu.iter().map(|counter| counter.packets).sum()
    }

    /// Puts `prefix` on the allowlist.
    pub fn allow(&mut self, prefix: Prefix) {
        let key = prefix.net_key();
        let table = self.map_mut(maps::ALLOWED_NETS);
        let mut table: LpmTrie<_, [u8; 16], Allow> = table.try_into().expect(maps::ALLOWED_NETS);
        let allow = Allow {
            reason: maps::allow::CONFIGURED,
        };
        table
            .insert(&Key::new(key.prefix_len, key.addr), allow, 0)
            .expect("allowing");
    }

    /// Takes `prefix` off the allowlist.
    pub fn disallow(&mut self, prefix: Prefix) {
        let key = prefix.net_key();
        let table = self.map_mut(maps::ALLOWED_NETS);
        let mut table: LpmTrie<_, [u8; 16], Allow> = table.try_into().expect(maps::ALLOWED_NETS);
        table
            .remove(&Key::new(key.prefix_len, key.addr))
            .expect("taking off the allowlist");
    }

    /// Makes bans reach these ports alone.
    pub fn set_ports(&mut self, ports: &[u16]) {
        let mut table: Array<_, u64> = self.map_mut(maps::PORTS).try_into().expect(maps::PORTS);
        for word in 0..maps::PORT_WORDS {
            let bits = ports.iter().filter(|port| u32::from(**port >> 6) == word);
            let bits = bits.fold(0, |bits, port| bits | 1 << (port & 63));
            table.set(word, bits, 0).expect("writing the ports");
        }
        self.set_settings(Settings {
            ports_in_use: 1,
            ..Settings::default()
        });
    }

    /// Sets a [`maps::mode`]; the allowlist's generation is as in a map that no edge has written.
    pub fn set_mode(&mut self, mode: u32) {
        self.set_settings(Settings {
            mode,
            ..Settings::default()
        });
    }

    /// Makes packets that come in by these interfaces only be observed.
    pub fn observe_on(&mut self, interfaces: &[u32]) {
        let mut table: HashMap<_, u32, u32> =
            self.map_mut(maps::OBSERVING).try_into().expect(maps::OBSERVING);
        for interface in interfaces {
            table.insert(interface, 1, 0).expect("adding an interface");
        }
        self.set_mode(mode::SOME_OBSERVE);
    }

    /// Writes the program's settings.
    pub fn set_settings(&mut self, settings: Settings) {
        let mut table: Array<_, Settings> = self.map_mut(maps::SETTINGS).try_into().expect(maps::SETTINGS);
        table.set(0, settings, 0).expect("writing the settings");
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        counters_in(self.map(maps::COUNTERS))
    }

    /// Runs the filter on `packet`, which the kernel wants to be at least 14 bytes long (an Ethernet header).
    ///
    /// # Panics
    ///
    /// When the kernel refuses the run.
    #[track_caller]
    #[must_use]
    pub fn test_run(&self, packet: &[u8]) -> Outcome {
        self.try_test_run(maps::PROGRAM, packet)
            .unwrap_or_else(|error| panic!("running {} bytes: {error:?}", packet.len()))
    }

    /// Runs `program` on `packet`.
    ///
    /// # Errors
    ///
    /// When the kernel refuses: `EINVAL` for less than 14 bytes.
    pub fn try_test_run(&self, program: &str, packet: &[u8]) -> Result<Outcome, aya::programs::ProgramError> {
        let mut out = vec![0; packet.len() + 64];
        let options = TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut out),
            ..TestRunOptions::new()
        };
        let result = match self.ebpf.program(program) {
            Some(Program::Xdp(program)) => program.test_run(options)?,
            Some(Program::SchedClassifier(program)) => program.test_run(options)?,
            _ => panic!("no program {program}"),
        };
        out.truncate(result.data_size_out as usize);
        Ok(Outcome {
            action: result.return_value,
            packet: out,
        })
    }

    /// The kernel's average time for one of `repeat` runs of `program` on `packet`, in whole nanoseconds.
    #[must_use]
    pub fn time(&self, program: &str, packet: &[u8], repeat: u32) -> Duration {
        let options = TestRunOptions {
            data_in: Some(packet),
            repeat,
            ..TestRunOptions::new()
        };
        self.program(program)
            .test_run(options)
            .expect("timing a program")
            .duration
    }

    /// Both clocks of the kernel at one instant.
    #[must_use]
    pub fn clocks(&self) -> ClockReading {
        let outcome = self
            .try_test_run(maps::CLOCK_PROBE, &[0; 64])
            .expect("reading the clocks");
        let word =
            |at: usize| u64::from_ne_bytes(outcome.packet[at..at + 8].try_into().expect("eight bytes"));
        ClockReading {
            jiffies: word(0),
            boot_ns: word(8),
        }
    }
}
