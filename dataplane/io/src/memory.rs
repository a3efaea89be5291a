//! Memory that the allocator keeps for later goes back to the system.

/// Gives back what is free, at the end of the heap and within it. Takes some milliseconds for a large heap.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim takes a number and touches only the allocator's own, locked state.
    unsafe {
        libc::malloc_trim(0);
    }
}
