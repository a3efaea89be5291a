//! The directory of the files: everything is opened relative to it, part by part, and never through a symbolic link.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags};

const FILE: Mode = Mode::from_raw_mode(0o640);
const DIRECTORY: Mode = Mode::from_raw_mode(0o750);

/// A directory with what lies below it.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// The directory that was opened last.
    last: Option<(String, OwnedFd)>,
}

/// A file as it lies there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// Seconds since 1970.
    pub modified: i64,
    /// Below the directory.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl Tree {
    pub fn new(root: OwnedFd) -> Self {
        Self { root, last: None }
    }

    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::new(self.root.try_clone()?))
    }

    /// The directory below the root; `make`: made where it is not there.
    fn directory(&mut self, path: &str, make: bool) -> io::Result<&OwnedFd> {
        if path.is_empty() {
            return Ok(&self.root);
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let mut at = None;
            for part in path.split('/') {
                let above = at.as_ref().unwrap_or(&self.root);
                at = Some(enter(above, part, make)?);
            }
            let at = at.ok_or(io::ErrorKind::InvalidInput)?;
            self.last = Some((path.to_owned(), at));
        }
        self.last.as_ref().map(|(_, at)| at).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Makes a file that was not there, and its directories.
    pub fn create(&mut self, path: &str) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::APPEND;
        let (directory, name) = split(path);
        let made = fs::openat(self.directory(directory, true)?, name, flags, FILE);
        if made.as_ref().err() == Some(&rustix::io::Errno::NOENT) {
            self.last = None; // the directory was removed
            return Ok(fs::openat(self.directory(directory, true)?, name, flags, FILE)?.into());
        }
        Ok(made?.into())
    }

    /// Opens a file to write on at its end.
    pub fn append(&mut self, path: &str) -> io::Result<File> {
        let (directory, name) = split(path);
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fs::openat(self.directory(directory, false)?, name, flags, FILE)?.into())
    }

    /// Whether there is something with this name.
    pub fn exists(&mut self, path: &str) -> bool {
        let (directory, name) = split(path);
        self.directory(directory, false).is_ok_and(|d| fs::statat(d, name, AtFlags::SYMLINK_NOFOLLOW).is_ok())
    }

    /// Gives a file its name, which nothing has.
    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (directory, old) = split(from);
        let new = split(to).1;
        let directory = self.directory(directory, false)?;
        Ok(fs::renameat_with(directory, old, directory, new, RenameFlags::NOREPLACE)?)
    }

    /// The names in the directory of `path` are on the disk when this returns.
    pub fn sync(&mut self, path: &str) -> io::Result<()> {
        Ok(fs::fsync(self.directory(split(path).0, false)?)?)
    }

    /// Removes a file, and its directories as far as they are empty.
    pub fn remove(&mut self, path: &str) -> io::Result<()> {
        self.last = None;
        let (mut directory, name) = split(path);
        fs::unlinkat(self.directory(directory, false)?, name, AtFlags::empty())?;
        self.last = None;
        while !directory.is_empty() {
            let (above, name) = split(directory);
            if fs::unlinkat(self.directory(above, false)?, name, AtFlags::REMOVEDIR).is_err() {
                break;
            }
            self.last = None;
            directory = above;
        }
        Ok(())
    }

    /// The files so many directories down, as far as they can be read.
    pub fn list(&mut self, depth: usize) -> Vec<Found> {
        let mut found = Vec::new();
        if let Ok(root) = self.root.try_clone() {
            walk(&root, "", depth, &mut found);
        }
        found
    }
}

fn enter(above: &OwnedFd, part: &str, make: bool) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(above, part, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) if make => {}
        other => return Ok(other?),
    }
    match fs::mkdirat(above, part, DIRECTORY) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(fs::openat(above, part, flags, Mode::empty())?)
}

fn walk(at: &OwnedFd, prefix: &str, depth: usize, found: &mut Vec<Found>) {
    let Ok(mut entries) = fs::Dir::read_from(at) else { return };
    while let Some(Ok(entry)) = entries.read() {
        let Ok(name) = entry.file_name().to_str() else { continue };
        let Ok(state) = fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let kind = fs::FileType::from_raw_mode(state.st_mode);
        if kind == fs::FileType::Directory && depth > 0 && name != "." && name != ".." {
            if let Ok(below) = enter(at, name, false) {
                walk(&below, &format!("{prefix}{name}/"), depth - 1, found);
            }
        } else if kind == fs::FileType::RegularFile && depth == 0 {
            let (modified, size) = (state.st_mtime, u64::try_from(state.st_size).unwrap_or(0));
            found.push(Found { modified, name: format!("{prefix}{name}"), size });
        }
    }
}
