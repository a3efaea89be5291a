//! Lists and sets of frame numbers, small enough to keep for whole files.

/// A frame's position in the line, from 0: merged order over all sources.
pub type FrameNo = u64;

/// Frame numbers in the order they came, one or two bytes each (zigzag deltas, LEB128).
#[derive(Default, Debug, Clone)]
pub struct FrameList {
    bytes: Vec<u8>,
    last: u64,
    len: u32,
}

impl FrameList {
    /// Adds a frame.
    #[inline]
    pub fn push(&mut self, frame: FrameNo) {
        let delta = frame.wrapping_sub(self.last) as i64;
        let mut zigzag = ((delta << 1) ^ (delta >> 63)) as u64;
        while zigzag >= 0x80 {
            self.bytes.push((zigzag & 0x7f) as u8 | 0x80);
            zigzag >>= 7;
        }
        self.bytes.push(zigzag as u8);
        self.last = frame;
        self.len += 1;
    }

    /// How many are in.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether none is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The frames, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = FrameNo> + '_ {
        let (mut at, mut last) = (0, 0u64);
        std::iter::from_fn(move || {
            let (mut zigzag, mut shift) = (0u64, 0);
            loop {
                let byte = *self.bytes.get(at)?;
                at += 1;
                zigzag |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            last = last.wrapping_add((zigzag >> 1) ^ (zigzag & 1).wrapping_neg());
            Some(last)
        })
    }
}

/// Frames that wait for a decision, in two generations: what is older than two horizons is forgotten, and counted.
#[derive(Default, Debug)]
#[repr(C)]
pub struct Waiting {
    new: FrameList,
    since: u64,
    old: FrameList,
    /// How many were forgotten.
    pub forgotten: u32,
}

impl Waiting {
    /// Adds a frame at packet time `now`; `horizon` in ns, `u64::MAX` keeps all.
    #[inline]
    pub fn push(&mut self, frame: FrameNo, now: u64, horizon: u64) {
        if now.saturating_sub(self.since) > horizon && !self.new.is_empty() {
            self.forgotten += self.old.len();
            self.old = std::mem::take(&mut self.new);
        }
        if self.new.is_empty() {
            self.since = now;
        }
        self.new.push(frame);
    }

    /// All frames still known, oldest first; the list is empty afterwards.
    pub fn take(&mut self) -> impl Iterator<Item = FrameNo> {
        let both = [std::mem::take(&mut self.old), std::mem::take(&mut self.new)];
        let frames: Vec<FrameNo> = both.iter().flat_map(FrameList::iter).collect();
        frames.into_iter()
    }

    /// The same, while they stay.
    pub fn iter(&self) -> impl Iterator<Item = FrameNo> + '_ {
        self.old.iter().chain(self.new.iter())
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.old.is_empty() && self.new.is_empty()
    }
}

/// One bit a frame.
#[derive(Default, Debug)]
pub struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    /// Marks a frame.
    #[inline]
    pub fn set(&mut self, n: u64) {
        let word = (n >> 6) as usize;
        if word >= self.words.len() {
            self.words.resize((word + 1).next_power_of_two().max(1024), 0);
        }
        self.words[word] |= 1 << (n & 63);
    }

    /// Whether a frame is marked.
    #[inline]
    #[must_use]
    pub fn get(&self, n: u64) -> bool {
        self.words.get((n >> 6) as usize).is_some_and(|w| w >> (n & 63) & 1 == 1)
    }

    /// How many are marked.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.words.iter().map(|w| u64::from(w.count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_gives_back_what_went_in() {
        let frames = [0, 1, 5, 4, 1_000_000, 3, u64::from(u32::MAX) * 9];
        let mut list = FrameList::default();
        frames.iter().for_each(|f| list.push(*f));
        assert_eq!(list.iter().collect::<Vec<_>>(), frames);
        assert_eq!(list.len(), 7);
    }

    #[test]
    fn waiting_forgets_old_generations() {
        let mut w = Waiting::default();
        for (frame, now) in [(1, 0), (2, 5), (3, 20), (4, 40)] {
            w.push(frame, now, 10);
        }
        assert_eq!((w.take().collect::<Vec<_>>(), w.forgotten), (vec![3, 4], 2));
    }

    #[test]
    fn bitmap() {
        let mut b = Bitmap::default();
        b.set(70_000);
        assert!(b.get(70_000) && !b.get(69_999) && !b.get(1 << 40));
    }
}
