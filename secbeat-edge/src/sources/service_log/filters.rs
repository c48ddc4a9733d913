//! Places of filters: those that are shipped, and files of the host.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use secbeat_daemon::program;
use secbeat_logs::services::{Filter, shipped, shipped_names};

/// All filters of this host. A file takes the place of a shipped filter of its name.
#[derive(Clone, Debug)]
pub(crate) struct Filters(pub(crate) PathBuf);

/// A filter, or what is wrong with it.
pub(crate) struct Known {
    pub(crate) name: String,
    /// `None` for one that is shipped.
    pub(crate) file: Option<PathBuf>,
    pub(crate) filter: Result<Filter, String>,
}

impl Filters {
    /// The filter `name`.
    ///
    /// # Errors
    ///
    /// That there is none, or the first thing that is wrong with it: file, key, and what.
    pub(crate) fn load(&self, name: &str) -> Result<Filter, String> {
        let file = self.0.join(format!("{name}.toml"));
        // A name is not a path.
        if !name.contains('/')
            && let Some(filter) = read(&file)?
        {
            return Ok(filter);
        }
        match shipped(name) {
            Some(filter) => filter.map_err(|error| format!("the shipped filter {name}: {error}")),
            None => Err(format!(
                "there is no filter `{name}`: {} does not exist, and `{} filter list` shows those that are shipped",
                file.display(),
                program::of_host()
            )),
        }
    }

    /// All filters by name. A bad one keeps no other from being found.
    ///
    /// # Errors
    ///
    /// Returns an error if the folder is there and cannot be read.
    pub(crate) fn all(&self) -> io::Result<Vec<Known>> {
        let mut files = Vec::new();
        match fs::read_dir(&self.0) {
            Ok(entries) => {
                for entry in entries {
                    files.push(entry?.path());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
        let own = files.into_iter().filter_map(|file| {
            let name = file.file_stem()?.to_str()?.to_owned();
            Some((name, Some(file)))
        });
        let mut names: Vec<(String, Option<PathBuf>)> = own.collect();
        for name in shipped_names() {
            if !names.iter().any(|(own, _)| own == name) {
                names.push((name.to_owned(), None));
            }
        }
        names.sort();
        let known = names.into_iter().map(|(name, file)| Known {
            filter: self.load(&name),
            name,
            file,
        });
        Ok(known.collect())
    }
}

/// The filter in `file`, `None` if there is no such file.
fn read(file: &Path) -> Result<Option<Filter>, String> {
    let shown = file.display();
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("reading {shown}: {error}")),
    };
    let filter = Filter::parse(&text).map_err(|error| format!("{shown}: {error}"))?;
    if file.file_stem().and_then(|stem| stem.to_str()) != Some(&filter.name) {
        return Err(format!(
            "{shown}: name: a file is called as its filter, {}.toml",
            filter.name
        ));
    }
    Ok(Some(filter))
}
