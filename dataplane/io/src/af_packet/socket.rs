//! What is asked of a packet socket that was passed to us. Nothing here needs a privilege, and nothing widens what the
//! socket captures.

use std::fs::File;
use std::io;
use std::mem::{size_of, MaybeUninit};
use std::os::fd::AsRawFd;

use super::{Geometry, Version};

/// What the kernel counted since the last reading; reading zeroes it for every duplicate of the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    /// Frames that passed the socket's filter, dropped ones included.
    pub packets: u64,
    /// Frames for which the ring had no room.
    pub drops: u64,
    /// How often the ring was full (TPACKET_V3).
    pub freezes: u64,
}

fn option<T: Copy>(socket: &File, level: libc::c_int, name: libc::c_int) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, the size of `value`; T is a plain number or struct of numbers.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &mut len) };
    if result == 0 {
        // SAFETY: zeroed before, so initialized whatever the kernel wrote.
        Ok(unsafe { value.assume_init() })
    } else {
        Err(io::Error::last_os_error())
    }
}

fn set<T>(socket: &File, name: libc::c_int, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    let at = std::ptr::from_ref(value).cast();
    // SAFETY: the kernel reads `len` bytes, the size of `value`.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, name, at, len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The ring's header version, as the other side chose it.
pub(super) fn version(socket: &File) -> io::Result<libc::c_int> {
    option(socket, libc::SOL_PACKET, libc::PACKET_VERSION)
}

/// Counters since the last call.
pub(super) fn statistics(socket: &File) -> io::Result<Statistics> {
    let s: libc::tpacket_stats_v3 = option(socket, libc::SOL_PACKET, libc::PACKET_STATISTICS)?;
    let [packets, drops, freezes] = [s.tp_packets, s.tp_drops, s.tp_freeze_q_cnt].map(u64::from);
    Ok(Statistics { packets, drops, freezes })
}

/// Takes the socket's pending error, 0 for none.
pub(super) fn pending_error(socket: &File) -> io::Result<i32> {
    option(socket, libc::SOL_SOCKET, libc::SO_ERROR)
}

/// The interface the socket is bound to: 0 for all, -1 when it was deleted.
pub(super) fn bound_to(socket: &File) -> io::Result<i32> {
    let mut address = MaybeUninit::<libc::sockaddr_ll>::zeroed();
    let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, the size of `address`, which is plain numbers.
    match unsafe { libc::getsockname(socket.as_raw_fd(), address.as_mut_ptr().cast(), &mut len) } {
        // SAFETY: zeroed before, so initialized whatever the kernel wrote.
        0 => Ok(unsafe { address.assume_init() }.sll_ifindex),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes the ring, where nobody else has (tests, tools): then this process needs no helper for it.
///
/// # Errors
/// The kernel refuses the geometry, or has no memory.
pub fn create_ring(socket: &File, geometry: &Geometry) -> io::Result<()> {
    let frame_size = geometry.frame_size as libc::c_uint;
    let frames = (geometry.len() / geometry.frame_size) as libc::c_uint;
    let (size, count) = (geometry.block_size as libc::c_uint, geometry.block_count as libc::c_uint);
    let version = match geometry.version {
        Version::V2 => libc::tpacket_versions::TPACKET_V2,
        Version::V3 => libc::tpacket_versions::TPACKET_V3,
    } as libc::c_int;
    set(socket, libc::PACKET_VERSION, &version)?;
    match geometry.version {
        Version::V2 => {
            let request = libc::tpacket_req {
                tp_block_size: size,
                tp_block_nr: count,
                tp_frame_size: frame_size,
                tp_frame_nr: frames,
            };
            set(socket, libc::PACKET_RX_RING, &request)
        }
        Version::V3 => {
            let request = libc::tpacket_req3 {
                tp_block_size: size,
                tp_block_nr: count,
                tp_frame_size: frame_size,
                tp_frame_nr: frames,
                tp_retire_blk_tov: geometry.retire_ms,
                tp_sizeof_priv: 0,
                tp_feature_req_word: 0,
            };
            set(socket, libc::PACKET_RX_RING, &request)
        }
    }
}
