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
        let whole = added(path, &text, &entries, UnitUser::find(UNIT).as_ref())?;
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

/// The `text` of the config at `path` with `entries`, tables of lists, at its end, which the daemon takes.
///
/// # Errors
///
/// Returns an error if it would not be a config any more.
pub(crate) fn added(
    path: &Path,
    text: &str,
    entries: &str,
    reader: Option<&UnitUser>,
) -> anyhow::Result<String> {
    let whole = format!("{}\n{entries}", text.trim_end());
    match check(&whole, reader) {
        Ok(_) => Ok(whole),
        Err(error) => bail!(Coded::usage(format!(
            "{} cannot be added to as it is ({error:#}); add by hand:\n{entries}",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secbeat.toml");
        let text = "# Mine.\n[ban]\nduration = \"5m\"   # short\n";
        let whole = added(&path, text, "\n[[service_log]]\nfilter = \"sshd\"\n", None).unwrap();
        assert!(whole.starts_with(text.trim_end()), "{whole}");
        write(&path, &whole).unwrap();
        assert!(Config::load(&path).unwrap().edge.follows_service("sshd"));
    }

    #[test]
    fn what_cannot_be_added_is_said_and_nothing_is_written() {
        let path = Path::new("secbeat.toml");
        let text = "service_log = [{ filter = \"dovecot\" }]\n";
        let error = added(path, text, "\n[[service_log]]\nfilter = \"sshd\"\n", None).unwrap_err();
        assert!(error.to_string().contains("add by hand"), "{error}");
    }
}
