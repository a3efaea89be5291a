//! The mapping of a ring that another process made on the socket: who owns which part, and when.

use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{mmap, munmap, MapFlags, ProtFlags};

/// The mapped ring. The kernel and we hand its parts to each other through status words.
#[derive(Debug)]
pub(super) struct Map {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and `Map` is its only user.
unsafe impl Send for Map {}

impl Map {
    /// Maps `len` bytes of the socket's ring.
    pub fn new(socket: &File, len: usize) -> io::Result<Self> {
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses a free place; the ring's pages live as long as the mapping.
        let base = unsafe { mmap(std::ptr::null_mut(), len, rights, MapFlags::SHARED, socket, 0) }?;
        let base = NonNull::new(base.cast::<u8>()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { base, len })
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at % 4 == 0 && at + 4 <= self.len, "status word outside the ring");
        // SAFETY: inside the mapping and aligned, as just checked; both sides access status words as whole words.
        unsafe { self.base.add(at).cast::<AtomicU32>().as_ref() }
    }

    /// A status word. Once it shows TP_STATUS_USER, all that the kernel wrote before is visible.
    #[inline]
    pub fn status(&self, at: usize) -> u32 {
        self.word(at).load(Ordering::Acquire)
    }

    /// Gives the part whose status word this is back to the kernel.
    #[inline]
    pub fn release(&self, at: usize) {
        self.word(at).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }

    /// A part of the ring.
    ///
    /// # Safety
    /// The part's status shows TP_STATUS_USER, and it is not released while the slice lives.
    #[inline]
    pub unsafe fn part(&self, at: usize, len: usize) -> &[u8] {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len), "part outside the ring");
        // SAFETY: inside the mapping, and the kernel does not write into a part that is ours.
        unsafe { std::slice::from_raw_parts(self.base.add(at).as_ptr(), len) }
    }

    /// The same, to write into.
    ///
    /// # Safety
    /// As [`Map::part`].
    #[inline]
    pub unsafe fn part_mut(&mut self, at: usize, len: usize) -> &mut [u8] {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len), "part outside the ring");
        // SAFETY: inside the mapping, ours, and `&mut self` excludes other slices.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(at).as_ptr(), len) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and no slice outlives `self`.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}
