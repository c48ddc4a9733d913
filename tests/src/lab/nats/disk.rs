//! A disk of a server's own, which can be full.

use std::{
    fs,
    io::{self, Write as _},
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{NatsServer, STORE};

const FILLER: &str = "filler";

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(disk) = &self.disk {
            self.daemon = None;
            let _ = umount2(disk, MntFlags::MNT_DETACH);
        }
    }
}

impl NatsServer {
    /// Starts it anew with nothing stored, on a disk of so many MiB.
    ///
    /// # Panics
    ///
    /// When there can be no such disk.
    pub fn move_to_disk_of(&mut self, mib: usize) {
        self.stop();
        let store = self.folder.path().join(STORE);
        fs::create_dir_all(&store).expect("making a folder for the store");
        let size = format!("size={mib}m");
        mount(
            None::<&str>,
            &store,
            Some("tmpfs"),
            MsFlags::empty(),
            Some(size.as_str()),
        )
        .expect("mounting a disk");
        self.disk = Some(store);
        self.restart();
    }

    /// Lets nothing more onto its disk.
    ///
    /// # Panics
    ///
    /// When it has none of its own.
    pub fn fill_disk(&self) {
        let disk = self.disk.as_ref().expect("a disk of its own");
        let mut file = fs::File::create(disk.join(FILLER)).expect("making a file");
        let full = std::iter::repeat_with(|| file.write_all(&[1; 4096])).find_map(Result::err);
        assert_eq!(full.map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    }

    /// Makes room on its disk again.
    ///
    /// # Panics
    ///
    /// When it is not full.
    pub fn free_disk(&self) {
        let disk = self.disk.as_ref().expect("a disk of its own");
        fs::remove_file(disk.join(FILLER)).expect("removing a file");
    }
}
