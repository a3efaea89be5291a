//! Buffers for the bytes of segments that came too early: who gets one, and where it goes afterwards.

/// Bytes of a buffer of the pool; what is longer takes several.
pub const BUFFER: usize = 2 << 10;
/// Shorter bytes get an allocation of their own size, except from a fixed pool.
const SMALL: usize = 256;
/// Early bytes of one direction that [`Strategy::Ring`] keeps.
pub const RING: usize = 32 << 10;

/// How early bytes get their memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// As many buffers as are asked for; the pool recycles them.
    #[default]
    Adaptive,
    /// The buffers that were made at the start; where none is free, the bytes are refused.
    Fixed,
    /// As adaptive, but a direction keeps its latest [`RING`] bytes only; earlier ones are overwritten.
    Ring,
}

impl std::str::FromStr for Strategy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "adaptive" => Ok(Self::Adaptive),
            "fixed" => Ok(Self::Fixed),
            "ring" => Ok(Self::Ring),
            other => Err(format!("unknown buffer strategy {other}: adaptive, fixed or ring")),
        }
    }
}

/// The buffers.
#[derive(Debug)]
pub struct Pool {
    strategy: Strategy,
    size: usize,
    free: Vec<Vec<u8>>,
    lent: usize,
    /// Pieces of segments that got no buffer.
    pub refused: u64,
    /// Pieces of segments that later ones took the place of.
    pub overwritten: u64,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(Strategy::Adaptive, 1000)
    }
}

impl Pool {
    /// A pool that keeps so many buffers for their next use; a fixed one makes all of them now, and no other ever.
    #[must_use]
    pub fn new(strategy: Strategy, size: usize) -> Self {
        let free = match strategy {
            Strategy::Fixed => (0..size).map(|_| Vec::with_capacity(BUFFER)).collect(),
            Strategy::Adaptive | Strategy::Ring => Vec::new(),
        };
        Self { strategy, size, free, lent: 0, refused: 0, overwritten: 0 }
    }

    /// Buffers in use, and those that wait for their next use.
    #[must_use]
    pub fn levels(&self) -> (usize, usize) {
        (self.lent, self.free.len())
    }

    /// Early bytes of one direction at most.
    pub(crate) fn most(&self) -> usize {
        if self.strategy == Strategy::Ring {
            RING
        } else {
            usize::MAX
        }
    }

    /// A buffer with these bytes, [`BUFFER`] at most.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let fixed = self.strategy == Strategy::Fixed;
        let mut buffer = if fixed || bytes.len() > SMALL {
            match self.free.pop() {
                None if fixed => {
                    self.refused += 1;
                    return None;
                }
                found => found.unwrap_or_else(|| Vec::with_capacity(BUFFER)),
            }
        } else {
            Vec::with_capacity(bytes.len())
        };
        buffer.extend_from_slice(bytes);
        self.lent += 1;
        Some(buffer)
    }

    /// A buffer is done with.
    pub(crate) fn put(&mut self, mut buffer: Vec<u8>) {
        self.lent -= 1;
        if buffer.capacity() == BUFFER && self.free.len() < self.size {
            buffer.clear();
            self.free.push(buffer);
        }
    }

    /// Gives up what waits, but for what a fixed pool needs.
    pub(crate) fn trim(&mut self) {
        if self.strategy != Strategy::Fixed {
            self.free = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adaptive_pool_grows_and_keeps_so_many() {
        let mut pool = Pool::new(Strategy::Adaptive, 2);
        let taken: Vec<_> = (0..3).map(|_| pool.take(&[0; BUFFER]).unwrap()).collect();
        assert_eq!(pool.levels(), (3, 0));
        taken.into_iter().for_each(|b| pool.put(b));
        assert_eq!(pool.levels(), (0, 2));
        let small = pool.take(b"x").unwrap();
        assert_eq!((small.capacity(), pool.levels()), (1, (1, 2)));
        pool.put(small);
        pool.trim();
        assert_eq!(pool.levels(), (0, 0));
    }

    #[test]
    fn a_fixed_pool_refuses() {
        let mut pool = Pool::new(Strategy::Fixed, 2);
        let taken: Vec<_> = (0..3).filter_map(|_| pool.take(b"x")).collect();
        assert_eq!((taken.len(), pool.refused, pool.levels()), (2, 1, (2, 0)));
        taken.into_iter().for_each(|b| pool.put(b));
        pool.trim();
        assert_eq!(pool.levels(), (0, 2));
    }
}
