//! A vector whose free places are used again; references carry a serial, so an old one finds nothing.

/// A place in a [`Slab`] and the serial of what was put there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Ref {
    /// Place.
    pub slot: u32,
    /// Serial: counts what was ever inserted, from 0. The same input gives the same serials.
    pub serial: u32,
}

impl Ref {
    /// Refers to nothing: no table is so large.
    pub const NONE: Self = Self { slot: u32::MAX, serial: u32::MAX };
}

/// Begins with a cache line, with what says whether it is taken: a lookup reads no more of a value than it needs.
/// (An `Option` would tell by some field of the value, which may lie on its last line.)
#[derive(Debug)]
#[repr(u32, align(64))]
enum Place<T> {
    Free,
    Taken { serial: u32, value: T },
}

/// Places with serials. Iteration is in order of places: deterministic.
#[derive(Debug)]
pub struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    serial: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new(), serial: 0 }
    }
}

impl<T> Slab<T> {
    /// How many are in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether none is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The serial that the next insertion gets.
    #[must_use]
    pub fn next_serial(&self) -> u32 {
        self.serial
    }

    /// Puts one in.
    #[allow(clippy::cast_possible_truncation)] // every table is limited far below 2^32
    pub fn insert(&mut self, value: T) -> Ref {
        let serial = self.serial;
        self.serial = self.serial.wrapping_add(1);
        let slot = if let Some(slot) = self.free.pop() {
            self.places[slot as usize] = Place::Taken { serial, value };
            slot
        } else {
            self.places.push(Place::Taken { serial, value });
            (self.places.len() - 1) as u32
        };
        Ref { slot, serial }
    }

    /// What `at` refers to, if it is still there.
    #[inline]
    #[must_use]
    pub fn get(&self, at: Ref) -> Option<&T> {
        match self.places.get(at.slot as usize) {
            Some(Place::Taken { serial, value }) if *serial == at.serial => Some(value),
            _ => None,
        }
    }

    /// The same, to change it.
    #[inline]
    pub fn get_mut(&mut self, at: Ref) -> Option<&mut T> {
        match self.places.get_mut(at.slot as usize) {
            Some(Place::Taken { serial, value }) if *serial == at.serial => Some(value),
            _ => None,
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, at: Ref) -> Option<T> {
        self.get(at)?;
        self.free.push(at.slot);
        match std::mem::replace(&mut self.places[at.slot as usize], Place::Free) {
            Place::Taken { value, .. } => Some(value),
            Place::Free => None,
        }
    }

    /// Gives the memory of free places behind the last one taken back.
    pub fn shrink(&mut self) {
        while matches!(self.places.last(), Some(Place::Free)) {
            self.places.pop();
        }
        let len = self.places.len();
        self.free.retain(|slot| (*slot as usize) < len);
        self.places.shrink_to_fit();
        self.free.shrink_to_fit();
    }

    /// What is in a place, with its reference; for tables that keep places alone.
    #[inline]
    #[must_use]
    pub fn place(&self, slot: u32) -> Option<(Ref, &T)> {
        match self.places.get(slot as usize) {
            Some(Place::Taken { serial, value }) => Some((Ref { slot, serial: *serial }, value)),
            _ => None,
        }
    }

    /// All that are in, by place.
    pub fn iter(&self) -> impl Iterator<Item = (Ref, &T)> {
        self.places.iter().enumerate().filter_map(|(slot, place)| {
            let Place::Taken { serial, value } = place else { return None };
            Some((Ref { slot: u32::try_from(slot).ok()?, serial: *serial }, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_reference_finds_nothing() {
        let mut s = Slab::default();
        let a = s.insert('a');
        assert_eq!(s.remove(a), Some('a'));
        let b = s.insert('b');
        assert_eq!((a.slot, s.get(a), s.get(b), s.len()), (b.slot, None, Some(&'b'), 1));
        assert_eq!(s.remove(a), None);
        let c = s.insert('c');
        s.remove(b);
        s.shrink(); // the place before c stays
        assert_eq!((s.places.len(), s.get(c), s.len()), (2, Some(&'c'), 1));
        s.remove(c);
        s.shrink();
        assert_eq!((s.places.capacity(), s.len(), s.insert('d').slot), (0, 0, 0));
    }
}
