//! The descriptor that capture bytes go to.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use crate::counters::DropReason;
use crate::interrupt::{Direction, Interrupt};

/// Bytes that a pipe which is ready takes without blocking: PIPE_BUF.
const PIPE: usize = 4096;
/// How long a reader that is asked for nothing new may still hold up what it was promised.
const GRACE: Duration = Duration::from_millis(40);

/// An open file or pipe.
pub(super) struct Output {
    file: File,
    regular: bool,
    interrupt: Interrupt,
    /// Position at which the descriptor was given to us.
    origin: u64,
    /// Bytes of whole records written.
    size: u64,
}

/// What ended the writing: bytes that were still written, and why no more.
pub(crate) struct Failure {
    pub written: usize,
    pub error: io::Error,
}

impl Failure {
    /// How packets are counted that cannot be written because of it.
    pub fn reason(&self) -> DropReason {
        match self.error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                DropReason::NoSpace
            }
            io::ErrorKind::BrokenPipe => DropReason::Closed,
            io::ErrorKind::Interrupted => DropReason::Stopped,
            _ => DropReason::Error,
        }
    }
}

impl Output {
    /// Writes from the descriptor's present position on.
    pub fn new(mut file: File, interrupt: Interrupt) -> io::Result<Self> {
        let regular = file.metadata()?.is_file();
        let origin = if regular { file.stream_position()? } else { 0 };
        Ok(Self { file, regular, interrupt, origin, size: 0 })
    }

    /// Creates a file, mode 0640, or empties the one that is there; never through a symbolic link.
    pub fn create(path: &Path, interrupt: Interrupt) -> io::Result<Self> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o640).custom_flags(libc::O_NOFOLLOW);
        }
        Self::new(options.open(path)?, interrupt)
    }

    /// Bytes of whole records written.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes everything, or says how far it came.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut written = 0;
        while written < bytes.len() {
            match self.write(&bytes[written..]) {
                Ok(0) => return Err(Failure { written, error: io::ErrorKind::WriteZero.into() }),
                Ok(n) => written += n,
                Err(error) => return Err(Failure { written, error }),
            }
        }
        self.size += written as u64;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let step = if self.regular { bytes } else { &bytes[..bytes.len().min(PIPE)] };
            let waits = !self.regular && !self.interrupt.wait(&self.file, Direction::Write, None);
            if waits && !Interrupt::new().wait(&self.file, Direction::Write, Some(GRACE)) {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped while its reader did not read"));
            }
            match self.file.write(step) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// After a failure: keeps `whole` bytes of what was given last and cuts off what follows.
    pub fn keep(&mut self, whole: usize) -> io::Result<()> {
        self.size += whole as u64;
        if self.regular {
            self.file.set_len(self.origin + self.size)?;
            self.file.seek(SeekFrom::Start(self.origin + self.size))?;
        }
        Ok(())
    }
}

/// The error in one line that begins with the file's name.
pub(super) fn explain(name: &str, error: &io::Error) -> io::Error {
    let hint = match error.raw_os_error() {
        #[cfg(unix)]
        Some(libc::ELOOP) => "; a symbolic link is never written through",
        _ => "",
    };
    io::Error::new(error.kind(), format!("{name}: {error}{hint}"))
}

/// Whether files can be created in the directory of `path`.
pub(super) fn writable(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    #[cfg(unix)]
    {
        use rustix::fs::{access, Access};
        access(directory, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|e| io::Error::new(e.kind(), format!("no file can be created in {}: {e}", directory.display())))
    }
    #[cfg(not(unix))]
    {
        directory.metadata().map(|_| ())
    }
}
