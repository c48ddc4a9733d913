//! Lists from files: read at a start, and again when they change.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use jiff::tz::TimeZone;
use secbeat_common::{coverage::Coverage, wire::PERMANENT};
use secbeat_daemon::{
    geo::{GeoConfig, Select, networks_in},
    time::now_ms,
};
use secbeat_lists::{MAX_LIST_BYTES, Purpose, Request, read};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use tracing::{error, info};

use super::{ListConfig, ListName, ListVerdict, Listed, Lists, NewList, Origin, wall_ms};

/// Interval at which the files are looked at. One that has changed is read when it is the same at two looks: until then somebody
/// writes it.
const LOOK: Duration = Duration::from_secs(2);
/// A file with fewer of the prefixes in force than these many in a hundred is not taken without a word of the operator.
const LEAST_PERCENT: usize = 70;
/// A file with so many in a hundred of the IPv4 addresses that clients have would ban everybody.
const MOST_PERCENT: u128 = 90;

/// Follows the files of the `[[list]]` of the config.
pub(crate) struct Files {
    lists: Lists,
    config: watch::Receiver<Vec<ListConfig>>,
    /// The files with countries and providers; others take a restart.
    geo: GeoConfig,
    files: BTreeMap<ListName, File>,
}

/// What is known of one file.
#[derive(Debug, Default)]
struct File {
    /// With what it was taken, or refused.
    dealt_with: Option<(ListConfig, Stamp)>,
    seen: Option<Stamp>,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// Handle to change the config's lists while the daemon runs.
pub(crate) type Configured = watch::Sender<Vec<ListConfig>>;

impl Files {
    /// Those of `config`, with the countries and providers of `geo`, and where another config is told.
    pub(crate) fn new(lists: Lists, config: Vec<ListConfig>, geo: GeoConfig) -> (Self, Configured) {
        let (configured, config) = watch::channel(config);
        let files = Self {
            lists,
            config,
            geo,
            files: BTreeMap::new(),
        };
        (files, configured)
    }

    /// Follows them for as long as the daemon runs.
    pub(crate) async fn run(mut self) {
        self.keep_configured().await;
        // At a start, and when an operator says so, files are taken at once; only an operator's word takes one that has shrunk.
        let (mut at_once, mut is_ordered) = (true, false);
        loop {
            let lists = self.config.borrow().clone();
            let has_lists = !lists.is_empty();
            for list in lists {
                self.look(list, at_once, is_ordered).await;
            }
            (at_once, is_ordered) = (false, false);
            tokio::select! {
                () = sleep(LOOK), if has_lists => {}
                changed = self.config.changed() => match changed {
                    Ok(()) => {
                        self.keep_configured().await;
                        (at_once, is_ordered) = (true, true);
                    }
                    Err(_) => sleep(LOOK).await,
                },
            }
        }
    }

    /// Takes lists out of force that are not configured any more.
    async fn keep_configured(&mut self) {
        let lists = self.config.borrow_and_update().clone();
        self.files
            .retain(|name, _| lists.iter().any(|list| list.name == *name));
        for origin in [Origin::File, Origin::Geo] {
            let of_origin = lists.iter().filter(|list| list.origin() == origin);
            let names = of_origin.map(|list| list.name.clone()).collect();
            if let Err(error) = self.lists.keep_only(origin, names).await {
                error!("lists that are not configured any more are still in force: {error}");
            }
        }
    }

    async fn look(&mut self, config: ListConfig, at_once: bool, is_ordered: bool) {
        let known = self.files.entry(config.name.clone()).or_default();
        let path = match config.path(&self.geo) {
            Ok(path) => path.to_owned(),
            Err(key) => {
                let text = format!("{key} names no file: a change of [geo] takes a restart");
                if at_once {
                    error!(list = %config.name, "the earlier list stays in force: {text}");
                }
                return self.lists.note_problem(&config.name, &text, wall_ms());
            }
        };
        let stamp = match Stamp::of(&path) {
            Ok(stamp) => stamp,
            Err(error) => {
                let text = format!("{}: {error}", path.display());
                // Once, until it is back.
                if known.seen.take().is_some() || known.dealt_with.take().is_some() || at_once {
                    error!(list = %config.name, "the file of the list cannot be read, and the earlier list stays in force: {text}");
                }
                return self.lists.note_problem(&config.name, &text, wall_ms());
            }
        };
        let is_known = known
            .dealt_with
            .as_ref()
            .is_some_and(|(of, at)| (of, *at) == (&config, stamp));
        let is_settled = at_once || known.seen == Some(stamp);
        known.seen = Some(stamp);
        if (is_known && !is_ordered) || !is_settled {
            return;
        }
        known.dealt_with = Some((config.clone(), stamp));
        if let Err(text) = self.take(&config, path, is_ordered).await {
            error!(list = %config.name, "the file of the list is not taken, and the earlier list stays in force: {text}");
            self.lists.note_problem(&config.name, &text, wall_ms());
        }
    }

    /// Reads a file, and puts the list in force.
    async fn take(&self, config: &ListConfig, path: PathBuf, is_ordered: bool) -> Result<(), String> {
        let (name, verdict, select) = (&config.name, config.verdict, config.select());
        let before = self
            .lists
            .state()
            .in_force
            .get(name.as_str())
            .map_or(0, |list| list.prefixes as usize);
        let read = spawn_blocking(move || {
            let entries = match select {
                None => load(&path, verdict)?,
                Some(select) => of_areas(&path, &select)?,
            };
            if entries.len() * 100 < before * LEAST_PERCENT && !is_ordered {
                return Err(format!(
                    "{} holds {} prefixes, and {before} are in force: with so many fewer it is taken only after a reload (SIGHUP)",
                    path.display(),
                    entries.len()
                ));
            }
            Ok(entries)
        });
        let entries = read
            .await
            .map_err(|_| "the thread that reads it has died".to_owned())??;
        let prefixes = entries.len();
        let list = NewList {
            name: name.clone(),
            verdict,
            origin: config.origin(),
            entries,
        };
        // The owner has told of what it refuses.
        if self.lists.replace(list).await.is_ok() {
            info!(list = %name, prefixes, %verdict, "the list is in force");
        }
        Ok(())
    }
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

/// Everything on the list in a file.
fn load(path: &Path, verdict: ListVerdict) -> Result<Vec<Listed>, String> {
    let of = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let bytes = fs::metadata(path).map_err(|error| of(&error))?.len();
    if bytes > MAX_LIST_BYTES {
        return Err(of(&format!("{bytes} bytes; a list has at most {MAX_LIST_BYTES}")));
    }
    let bytes = fs::read(path).map_err(|error| of(&error))?;
    entries(&bytes, verdict, now_ms()).map_err(|why| of(&why))
}

/// All networks that `select` means in a file with countries or providers.
fn of_areas(path: &Path, select: &Select) -> Result<Vec<Listed>, String> {
    let of = |why: &str| format!("{}: {why}", path.display());
    let found = networks_in(path, select).map_err(|why| of(&why))?;
    // It may be a slip of the keyboard, and mean somebody else.
    if let [first, ..] = &found.missing[..] {
        return Err(of(&format!("it has no network of {first}")));
    }
    let networks = found.networks.into_iter();
    Ok(networks.map(|network| (network, None)).collect())
}

/// Everything on a list.
fn entries(bytes: &[u8], verdict: ListVerdict, now_ms: i64) -> Result<Vec<Listed>, String> {
    let purpose = match verdict {
        ListVerdict::Allow => Purpose::Allowlist,
        ListVerdict::Ban | ListVerdict::Observe => Purpose::Bans,
    };
    let request = Request {
        format: None,
        purpose,
        zone: TimeZone::UTC,
    };
    let reading = read(bytes, &request)?;
    if let [first, ..] = &reading.bad[..] {
        return Err(format!(
            "{} invalid lines, the first is {first}",
            reading.bad.len()
        ));
    }
    let mut entries = Vec::with_capacity(reading.entries.len());
    for entry in &reading.entries {
        if entry.network.is_empty() && verdict == ListVerdict::Ban {
            return Err(format!(
                "line {}: {} would ban all clients",
                entry.line, entry.network
            ));
        }
        let end = entry
            .about
            .end
            .map(|end| end.ms(now_ms))
            .filter(|end| *end != PERMANENT);
        // What has ended is left out where the list comes into force.
        entries.push((
            entry.network,
            end.map(|end| u64::try_from(end).unwrap_or_default()),
        ));
    }
    if verdict == ListVerdict::Ban {
        no_everybody(&entries)?;
    }
    match entries.is_empty() {
        true => Err("it holds no prefix".to_owned()),
        false => Ok(entries),
    }
}

/// That a list bans not all clients of a family, nor nearly all of IPv4. Of IPv6, most is nobody's, and lists of bogons have it.
fn no_everybody(entries: &[Listed]) -> Result<(), String> {
    for part in Coverage::of(entries.iter().map(|(network, _)| *network)) {
        let (family, percent) = (part.family, part.percent());
        if part.is_everybody() || (family == "IPv4" && percent >= MOST_PERCENT) {
            return Err(format!(
                "its prefixes together are {percent} % of the {family} addresses that clients have: it would ban all clients"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use secbeat_daemon::geo::{self, Area, Mmdb};

    use super::*;

    #[test]
    fn a_list_is_taken_whole_or_not_at_all() {
        let taken = |text: &str, verdict| entries(text.as_bytes(), verdict, 1000);
        assert_eq!(
            taken("192.0.2.0/24 # one\n2001:db8::/32\n", ListVerdict::Ban).unwrap(),
            [
                ("192.0.2.0/24".parse().unwrap(), None),
                ("2001:db8::/32".parse().unwrap(), None)
            ]
        );
        let bad = taken("192.0.2.0/24\n192.0.2.300\n", ListVerdict::Ban).unwrap_err();
        assert!(bad.starts_with("1 invalid lines, the first is 2: "), "{bad}");
        assert_eq!(
            taken("192.0.2.1\n::/0\n", ListVerdict::Ban).unwrap_err(),
            "line 2: ::/0 would ban all clients"
        );
        assert!(taken("192.0.2.1\n0.0.0.0/0\n", ListVerdict::Observe).is_ok());
        let halves = "0.0.0.0/1\n128.0.0.0/1\n";
        assert_eq!(
            taken(halves, ListVerdict::Ban).unwrap_err(),
            "its prefixes together are 100 % of the IPv4 addresses that clients have: it would ban all clients"
        );
        assert!(taken(halves, ListVerdict::Observe).is_ok());
        let public = (1..=223).filter(|net| ![10, 127].contains(net));
        let public: String = public.map(|net| format!("{net}.0.0.0/8\n")).collect();
        let refused = taken(&public, ListVerdict::Ban).unwrap_err();
        assert!(refused.contains("are 99 % of the IPv4 addresses"), "{refused}");
        // As lists of bogons have it.
        assert!(taken("2000::/4\n3000::/5\n", ListVerdict::Ban).is_ok());
        let except = taken("192.0.2.0/24\n!192.0.2.0/25\n", ListVerdict::Ban).unwrap();
        assert_eq!(except, [("192.0.2.128/25".parse().unwrap(), None)]);
        assert!(taken("# nothing\n", ListVerdict::Ban).is_err());
        assert!(taken("<html><body>Not found</body></html>\n", ListVerdict::Ban).is_err());
    }

    #[test]
    fn countries_become_their_networks_and_a_slip_of_the_keyboard_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("geo.mmdb");
        let mut mmdb = Mmdb::default();
        for (network, country) in [
            ("192.0.2.0/24", "DE"),
            ("2001:db8::/32", "FR"),
            ("198.51.100.0/24", "FR"),
        ] {
            let origin = geo::Origin {
                country: Some(country.to_owned()),
                ..geo::Origin::default()
            };
            mmdb.insert(network.parse().unwrap(), &origin).unwrap();
        }
        fs::write(&path, mmdb.to_bytes("Test", 0)).unwrap();
        let listed = |select: Select| {
            let mut entries = of_areas(&path, &select)?;
            entries.sort();
            Ok::<_, String>(
                entries
                    .iter()
                    .map(|(network, _)| network.to_string())
                    .collect::<Vec<_>>(),
            )
        };
        let country = |code: &str| Area::Country(code.to_owned());
        assert_eq!(listed(Select::In(vec![country("DE")])).unwrap(), ["192.0.2.0/24"]);
        let others = listed(Select::Except(vec!["DE".to_owned()])).unwrap();
        assert_eq!(others, ["198.51.100.0/24", "2001:db8::/32"]);
        let slip = listed(Select::Except(vec!["ED".to_owned()])).unwrap_err();
        assert!(slip.ends_with("geo.mmdb: it has no network of ED"), "{slip}");
        let wrong = listed(Select::In(vec![Area::Asn(64500)])).unwrap_err();
        assert!(wrong.contains("names no networks of providers"), "{wrong}");
    }

    #[test]
    fn ends_are_kept() {
        let set = "create bad hash:net family inet timeout 0\nadd bad 192.0.2.0/24 timeout 60\nadd bad 198.51.100.7 timeout 0\n";
        assert_eq!(
            entries(set.as_bytes(), ListVerdict::Ban, 1000).unwrap(),
            [
                ("192.0.2.0/24".parse().unwrap(), Some(61_000)),
                ("198.51.100.7".parse().unwrap(), None),
            ]
        );
    }
}
