//! New certificates and keys for a fleet that is there.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use nkeys::KeyPair;
use secbeat_daemon::{
    credentials::{Role, write_private},
    expiry::names,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{CA, CA_KEY, Fleet, SERVER, authority::Authority, certify};

impl Fleet {
    /// Makes new certificates for the servers and for the authority, which keeps its key, and writes what is made of the roster
    /// again. Anyone who trusts the authority before trusts the new ones.
    ///
    /// # Errors
    ///
    /// When something cannot be read or written.
    pub(crate) fn renew(&self) -> anyhow::Result<()> {
        let authority = Authority::again(&self.read(CA_KEY)?).with_context(|| self.shown(CA_KEY))?;
        write_private(&self.dir.join(CA), authority.certificate().as_bytes(), true)?;
        for folder in self.nats_folders() {
            let path = folder.join(SERVER);
            let shown = CertificateDer::from_pem_file(&path).map_err(anyhow::Error::from);
            let names = shown.and_then(|certificate| names(&certificate));
            let names = names.with_context(|| format!("reading {}", path.display()))?;
            certify(&authority, &folder, &names)?;
        }
        self.save()
    }

    /// Makes new credentials for a member, with a new key. The key before is let in until [`retire`](Self::retire).
    ///
    /// # Errors
    ///
    /// Returns an error if no member has that name, one was not retired, or something cannot be written.
    pub(crate) fn renew_member(&mut self, name: &str) -> anyhow::Result<(PathBuf, Role)> {
        let member = self.roster.member_mut(name)?;
        ensure!(
            member.retiring.is_none(),
            "an earlier key of {name} is still let in: `enroll --retire {name}` ends that first"
        );
        let (user, role) = (KeyPair::new_user(), member.role);
        member.retiring = Some(std::mem::replace(&mut member.nkey, user.public_key()));
        let path = self.write_credentials(name, role, &user, true)?;
        self.save()?;
        Ok((path, role))
    }

    /// Lets the key before that a member had no more in.
    ///
    /// # Errors
    ///
    /// Returns an error if there is none, or something cannot be written.
    pub(crate) fn retire(&mut self, name: &str) -> anyhow::Result<()> {
        let retired = self.roster.member_mut(name)?.retiring.take();
        ensure!(retired.is_some(), "{name} has no earlier key that is let in");
        self.save()
    }
}
