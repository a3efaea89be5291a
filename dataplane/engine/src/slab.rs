//! A vector whose free places are used again; references carry a serial, so an old one finds nothing.

/// A place in a [`Slab`] and the serial of what was put there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Ref {
    /// Place.
    pub slot: u32,
    /// Serial: counts what was ever inserted, from 0. The same input gives the same serials.
    pub serial: u32,
}

/// Begins with a cache line: what stands first in a value is read with its serial.
#[derive(Debug)]
#[repr(C, align(64))]
struct Place<T> {
    serial: u32,
    value: Option<T>,
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
            self.places[slot as usize] = Place { serial, value: Some(value) };
            slot
        } else {
            self.places.push(Place { serial, value: Some(value) });
            (self.places.len() - 1) as u32
        };
        Ref { slot, serial }
    }

    /// What `at` refers to, if it is still there.
    #[inline]
    #[must_use]
    pub fn get(&self, at: Ref) -> Option<&T> {
        let place = self.places.get(at.slot as usize)?;
        place.value.as_ref().filter(|_| place.serial == at.serial)
    }

    /// The same, to change it.
    #[inline]
    pub fn get_mut(&mut self, at: Ref) -> Option<&mut T> {
        let place = self.places.get_mut(at.slot as usize)?;
        place.value.as_mut().filter(|_| place.serial == at.serial)
    }

    /// Takes one out.
    pub fn remove(&mut self, at: Ref) -> Option<T> {
        self.get(at)?;
        self.free.push(at.slot);
        self.places[at.slot as usize].value.take()
    }

    /// What is in a place, with its reference; for tables that keep places alone.
    #[inline]
    #[must_use]
    pub fn place(&self, slot: u32) -> Option<(Ref, &T)> {
        let place = self.places.get(slot as usize)?;
        Some((Ref { slot, serial: place.serial }, place.value.as_ref()?))
    }

    /// All that are in, by place.
    pub fn iter(&self) -> impl Iterator<Item = (Ref, &T)> {
        self.places.iter().enumerate().filter_map(|(slot, place)| {
            let value = place.value.as_ref()?;
            Some((Ref { slot: u32::try_from(slot).ok()?, serial: place.serial }, value))
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
    }
}
