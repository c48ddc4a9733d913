//! `setup --add`: what is new goes to the end of the config, which otherwise stays as its operator wrote it.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use secbeat_daemon::{exit::Coded, say};
use secbeat_edge::unit_user::UnitUser;

use super::{Setup, UNIT, agreed, check, start, unwatched::unwatched, write};
use crate::config::Config;

impl Setup {
    pub(super) fn add_what_is_new(&self, path: &Path) -> anyhow::Result<()> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("reading {}, which `secbeat setup` writes", path.display()))?;
        let config = Config::load(path)?;
        let new = unwatched(Path::new("/"), &text, &config);
        if new.is_empty() {
            say!("All that was found is in {} already.", path.display());
            return Ok(());
        }
        for service in &new {
            say!("{service}");
        }
        let entries: String = new.iter().map(|service| service.entry(&config)).collect();
        let whole = format!("{}\n{entries}", text.trim_end());
        if let Err(error) = check(&whole, UnitUser::find(UNIT).as_ref()) {
            bail!(Coded::usage(format!(
                "{} cannot be added to as it is ({error:#}); add by hand:\n{entries}",
                path.display()
            )));
        }
        say!(
            "\nThis would be added to {}:\n{}",
            path.display(),
            entries.trim_end()
        );
        if self.dry_run {
            return Ok(());
        }
        if !self.yes && !agreed("\nAdd it and restart? [Y/n] ")? {
            say!("Nothing was changed.");
            return Ok(());
        }
        write(path, &whole)?;
        say!("\nAdded.");
        start(path)
    }
}
