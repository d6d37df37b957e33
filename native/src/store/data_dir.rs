//! The data directory: created if it is missing, and locked against a second process.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process,
};

use super::StoreError;
use crate::files;

const LOCK: &str = "chanwire.lock";

/// A data directory, locked by this process until dropped.
pub(super) struct DataDir {
    path: PathBuf,
    /// The locked file. The lock ends when it is closed, also by a crash. The file is never removed, since two
    /// processes could then lock two files of the same name.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if it is missing, accessible for this user only, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        // Absolute, so that no path begins with `file:`, which SQLite would take for a URI.
        let path = std::path::absolute(path).map_err(StoreError::file("find the directory", path))?;
        create(&path)?;
        keep_others_out(&path)?;
        let lock = lock(&path)?;
        let directory = Self { path, _lock: lock };
        directory.sync()?;
        Ok(directory)
    }

    /// Returns the path of a file in the directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Syncs the directory.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        sync(&self.path)
    }
}

fn create(path: &Path) -> Result<(), StoreError> {
    let missing: Vec<&Path> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        let cause = if path.is_file() { io::ErrorKind::NotADirectory.into() } else { error };
        StoreError::file("use the data directory", path)(cause)
    })?;
    missing.iter().filter_map(|created| created.parent()).try_for_each(sync)
}

/// Removes other users' write permission: they could replace files, or create links where this process writes.
fn keep_others_out(path: &Path) -> Result<(), StoreError> {
    const WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let failed = || StoreError::file("use the data directory", path);
    let directory = File::open(path).map_err(failed())?;
    let found = directory.metadata().map_err(failed())?;
    let mode = found.mode() & 0o7777;
    let is_own = found.uid() == rustix::process::geteuid().as_raw();
    if mode & WRITE == 0 {
        if !is_own {
            tracing::warn!(path = %path.display(), uid = found.uid(), "the data directory belongs to another user, who can change its contents");
        }
        return Ok(());
    }
    // A directory with the sticky bit, such as /tmp, is shared on purpose.
    if !is_own || mode & STICKY != 0 {
        return Err(StoreError::Shared { directory: path.to_owned(), mode });
    }
    let new_mode = mode & !WRITE;
    directory.set_permissions(Permissions::from_mode(new_mode)).map_err(failed())?;
    tracing::warn!(path = %path.display(), "others could write the data directory (mode {mode:o}); its mode is {new_mode:o} now");
    Ok(())
}

/// Syncs a directory.
pub(super) fn sync(directory: &Path) -> Result<(), StoreError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(StoreError::file("sync the directory", directory))
}

fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK);
    let failed = || StoreError::file("open the lock file", &path);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = files::open_regular(&mut options, &path).map_err(failed())?;
    if file.metadata().map_err(failed())?.nlink() > 1 {
        return Err(failed()(io::Error::other("it has more than one hard link")));
    }
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)
                .and_then(|()| writeln!(file, "{}", process::id()))
                .map_err(StoreError::file("write the lock file", &path))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Without a readable pid the error does not name the process.
            let _ = file.read_to_string(&mut holder);
            Err(StoreError::InUse { directory: directory.to_owned(), holder: holder.trim().parse().ok() })
        }
        Err(TryLockError::Error(cause)) => Err(StoreError::file("lock the file", path)(cause)),
    }
}

/// Keeps servers from starting in a directory that this process only reads, until the file is dropped. `None` if no
/// server ever used it.
pub(super) fn hold(directory: &Path) -> Result<Option<File>, StoreError> {
    let path = directory.join(LOCK);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::file("open the lock file", path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { directory: directory.to_owned(), holder: None }),
        Err(TryLockError::Error(cause)) => Err(StoreError::file("lock the file", path)(cause)),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn created_files_are_private_to_the_user() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let directory = DataDir::open(&path).unwrap();
        for (path, mode) in [(parent.path().join("a"), 0o700), (path, 0o700), (directory.file(LOCK), 0o600)] {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
        }
    }

    #[test]
    fn a_directory_that_exists_keeps_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o750)).unwrap();
        DataDir::open(directory.path()).unwrap();
        assert_eq!(fs::metadata(directory.path()).unwrap().permissions().mode() & 0o777, 0o750);
    }

    #[test]
    fn write_permission_of_others_is_removed_from_a_directory_of_this_user() {
        for (before, after) in [(0o777, 0o755), (0o770, 0o750), (0o2775, 0o2755), (0o702, 0o700)] {
            let directory = tempfile::tempdir().unwrap();
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(before)).unwrap();
            DataDir::open(directory.path()).unwrap();
            assert_eq!(fs::metadata(directory.path()).unwrap().permissions().mode() & 0o7777, after, "{before:o}");
        }
    }

    #[test]
    fn a_directory_with_the_sticky_bit_is_refused_and_not_changed() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        let error = DataDir::open(directory.path()).err().unwrap().to_string();
        assert!(error.contains("can be written by other users (mode 1777)"), "{error}");
        assert_eq!(fs::metadata(directory.path()).unwrap().permissions().mode() & 0o7777, 0o1777);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_lock_file_that_is_a_link_is_refused_and_its_target_not_changed() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("precious"), directory.path().join(LOCK));
        let refused = |says: &str| {
            let error = DataDir::open(directory.path()).err().unwrap().to_string();
            assert!(error.contains(says) && error.contains(LOCK), "{error}");
            fs::remove_file(&link).unwrap();
        };
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        refused("it is a symbolic link, which is not followed");
        fs::hard_link(&target, &link).unwrap();
        refused("it has more than one hard link");
        std::os::unix::fs::symlink(directory.path().join("nothing"), &link).unwrap();
        refused("it is a symbolic link, which is not followed");
        assert!(!directory.path().join("nothing").exists());
        assert_eq!(fs::read(&target).unwrap(), b"precious");
    }

    #[test]
    fn the_error_for_a_locked_directory_names_the_process_that_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataDir::open(directory.path()).unwrap();
        let error = DataDir::open(directory.path()).err().unwrap();
        let StoreError::InUse { holder, .. } = &error else { panic!("{error}") };
        assert_eq!(*holder, Some(process::id()));
        let says = format!("is in use by another chanwire process (pid {}); stop that process", process::id());
        assert!(error.to_string().contains(&says), "{error}");
        drop(first);
        DataDir::open(directory.path()).unwrap();
    }

    #[test]
    fn the_lock_file_is_truncated_before_the_pid_is_written() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(LOCK), "99999999999999\n").unwrap();
        let opened = DataDir::open(directory.path()).unwrap();
        assert_eq!(fs::read_to_string(opened.file(LOCK)).unwrap(), format!("{}\n", process::id()));
    }

    #[test]
    fn a_file_in_place_of_the_directory_is_refused_and_not_changed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        fs::write(&path, "precious").unwrap();
        for path in [path.clone(), path.join("below")] {
            let error = DataDir::open(&path).err().unwrap().to_string();
            let says = format!("cannot use the data directory {}: not a directory", path.display());
            assert!(error.to_lowercase().contains(&says.to_lowercase()), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
