//! Frames that were seen on another interface a moment before: a bond and its members, a bridge and its ports, a veth
//! pair under `any`.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};

use hashbrown::HashMap;

/// How long a frame is remembered, ns of capture time.
const WINDOW: u64 = 20_000_000;
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
        hasher.write(without_padding(data));
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

/// A short Ethernet frame without what fills it up to 60 bytes: a bridge that filters takes that off (br_netfilter).
fn without_padding(data: &[u8]) -> &[u8] {
    const SHORT: usize = 60 + 2 * 4; // two tags at most
    if data.len() > SHORT {
        return data;
    }
    let word = |at: usize| data.get(at..at + 2).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    let mut at = 12;
    while matches!(word(at), 0x8100 | 0x88a8 | 0x9100) {
        at += 4;
    }
    let end = match word(at) {
        0x0800 if word(at + 4) >= 20 => at + 2 + word(at + 4),
        0x86dd => at + 2 + 40 + word(at + 6),
        _ => data.len(),
    };
    data.get(..end).unwrap_or(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_no_difference() {
        let mut d = Dedup::default();
        let mut frame = [0; 60];
        frame[12..18].copy_from_slice(&[0x08, 0x00, 0x45, 0, 0, 44]); // 58 bytes, and two that fill it up
        assert!(!d.is_duplicate(&frame, 0, 1));
        assert!(d.is_duplicate(&frame[..58], 0, 2));
        frame[57] = 1;
        assert!(!d.is_duplicate(&frame[..58], 0, 2));
        let mut tagged = [0; 64];
        tagged[12..22].copy_from_slice(&[0x81, 0, 0, 100, 0x86, 0xdd, 0x60, 0, 0, 0]);
        tagged[22..24].copy_from_slice(&[0, 4]);
        assert_eq!(without_padding(&tagged).len(), 62);
        for n in 0..frame.len() {
            assert!(without_padding(&frame[..n]).len() <= n); // cut anywhere
        }
    }

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
