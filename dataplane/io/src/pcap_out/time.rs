//! File names with a time in them: strftime(3) in local time, as tcpdump's `-G` has it.

use std::io;
use std::path::{Path, PathBuf};

/// Formats the whole path. The time zone must have been read before a sandbox hides it: importing Python's `time`
/// does, as does tzset(3).
#[cfg(unix)]
pub(super) fn format(path: &Path, second: u64) -> io::Result<PathBuf> {
    use std::ffi::{CString, OsStr};
    use std::os::unix::ffi::OsStrExt;
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "is no strftime format, or becomes too long");
    let text = CString::new(path.as_os_str().as_bytes()).map_err(|_| invalid())?;
    let second = libc::time_t::try_from(second).map_err(|_| invalid())?;
    let mut out = [0u8; 4096];
    // SAFETY: an all-zero tm is a valid value of that plain struct.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right type.
    if unsafe { libc::localtime_r(&second, &mut local) }.is_null() {
        return Err(invalid());
    }
    // SAFETY: `out` has the length that is given, `text` ends with NUL, `local` was filled in above.
    let len = unsafe { libc::strftime(out.as_mut_ptr().cast(), out.len(), text.as_ptr(), &local) };
    if len == 0 {
        return Err(invalid());
    }
    Ok(PathBuf::from(OsStr::from_bytes(&out[..len])))
}

#[cfg(not(unix))]
pub(super) fn format(_: &Path, _: u64) -> io::Result<PathBuf> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "rotation by time is not possible on this system"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_time() {
        // The same second in the same zone, by date(1).
        let date =
            std::process::Command::new("date").args(["-d", "@1700000000", "+x-%Y%m%d-%H%M%S.pcap"]).output().unwrap();
        let expected = String::from_utf8(date.stdout).unwrap();
        assert_eq!(format(Path::new("x-%Y%m%d-%H%M%S.pcap"), 1_700_000_000).unwrap(), Path::new(expected.trim()));
    }
}
