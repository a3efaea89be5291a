//! Frames that were seen on another interface a moment before: a bond and its members, a bridge and its ports, a veth
//! pair under `any`.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};

use hashbrown::HashMap;

/// How long a frame is remembered, ns of capture time: a busy machine forwards late (at a load of 16 on two processors one
/// frame in fifty crossed a bridge more than 20 ms after it had come in).
const WINDOW: u64 = 100_000_000;
/// Frames remembered at most.
const LIMIT: usize = 1 << 16;

/// Remembers frames by a hash of their bytes. The same bytes on another interface within the window are a duplicate;
/// the same bytes on the same interface were sent twice, and both are kept.
#[derive(Default)]
pub(super) struct Dedup {
    state: foldhash::fast::FixedState,
    /// Hash → time, and where it was seen first.
    seen: HashMap<u64, (u64, i32), foldhash::fast::FixedState>,
    order: VecDeque<(u64, u64)>,
}

impl Dedup {
    /// Whether the frame is a duplicate.
    pub fn is_duplicate(&mut self, data: &[u8], ts: u64, ifindex: i32) -> bool {
        while let Some((hash, at)) = self.order.front().copied() {
            if self.order.len() < LIMIT && ts.saturating_sub(at) <= WINDOW {
                break;
            }
            self.order.pop_front();
            if self.seen.get(&hash).is_some_and(|(seen, _)| *seen == at) {
                self.seen.remove(&hash);
            }
        }
        let mut hasher = self.state.build_hasher();
        hasher.write(data);
        let hash = hasher.finish();
        match self.seen.get(&hash) {
            Some((at, on)) if *on != ifindex && ts.abs_diff(*at) <= WINDOW => true,
            _ => {
                self.seen.insert(hash, (ts, ifindex));
                self.order.push_back((hash, ts));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_on_another_interface_soon_after() {
        let mut d = Dedup::default();
        assert!(!d.is_duplicate(b"frame", 1_000, 2));
        assert!(d.is_duplicate(b"frame", 1_500, 3)); // its twin on the bond
        assert!(!d.is_duplicate(b"frame", 2_000, 2)); // sent again
        assert!(d.is_duplicate(b"frame", 2_500, 3));
        assert!(!d.is_duplicate(b"other", 2_600, 3));
        assert!(!d.is_duplicate(b"frame", 2_500 + WINDOW + 1, 3));
    }

    #[test]
    fn memory_is_bounded() {
        let mut d = Dedup::default();
        for n in 0..3 * LIMIT as u64 {
            assert!(!d.is_duplicate(&n.to_be_bytes(), 0, 1));
        }
        assert!(d.seen.len() <= LIMIT && d.order.len() <= LIMIT);
    }
}
