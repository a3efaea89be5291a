//! To which calls a selected frame belongs: what a file per call needs to know.

use hashbrown::HashMap;

use crate::frames::{Bitmap, FrameNo};
use crate::verdict::{Marks, Verdicts};

/// Calls of one frame that are told apart: the handshake of a connection belongs to all of its calls.
const MAX: usize = 65_536;

/// Whose a frame is that goes out.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// Serials of its calls, as far as they are wanted and known.
    pub owners: &'a [u32],
    /// It went out before, for others: these are calls that were selected since.
    pub again: bool,
    /// It is a part of an RTP packet in fragments.
    pub speech: bool,
}

impl Of<'_> {
    /// Nobody's, or nobody asked.
    pub const NONE: Of<'static> = Of { owners: &[], again: false, speech: false };
}

/// What there is to tell of a selected call, apart from its frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// From now on frames may belong to it.
    Began(Box<Began>),
    /// No frame is given to it any more, but for the close of its connection.
    Ended(u32),
}

/// A call that began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Began {
    /// Serial of the call.
    pub call: u32,
    /// Call-ID, as written.
    pub id: Box<[u8]>,
    /// User parts of From and To.
    pub users: [Box<[u8]>; 2],
    /// Capture time of its beginning, ns.
    pub ts: u64,
}

/// The owners of every marked frame of a file: four bytes a frame, and lists for those that have several.
#[derive(Debug, Default)]
pub struct OwnerMap {
    /// Serial of the call, counted from 1; 0: nobody's; [`SEVERAL`]: see `more`.
    words: Vec<u32>,
    more: HashMap<FrameNo, Vec<u32>>,
    /// Frames of each call.
    frames: HashMap<u32, u64>,
    speech: Bitmap,
}

const SEVERAL: u32 = u32::MAX;

impl OwnerMap {
    /// The frame belongs to this call too.
    pub fn add(&mut self, frame: FrameNo, call: u32) {
        let at = frame as usize;
        if at >= self.words.len() {
            self.words.resize((at + 1).next_power_of_two().max(4096), 0);
        }
        match self.words[at] {
            0 => self.words[at] = call.wrapping_add(1),
            found => {
                let list = self.more.entry(frame).or_insert_with(|| vec![found.wrapping_sub(1)]);
                if list.contains(&call) || list.len() >= MAX {
                    if list.len() == 1 {
                        self.more.remove(&frame);
                    }
                    return;
                }
                list.push(call);
                self.words[at] = SEVERAL;
            }
        }
        *self.frames.entry(call).or_default() += 1;
    }

    /// Whose a frame is; `room` is where a single owner is put.
    #[must_use]
    pub fn get<'a>(&'a self, frame: FrameNo, room: &'a mut [u32; 1]) -> Of<'a> {
        let owners = match self.words.get(frame as usize) {
            None | Some(0) => &[],
            Some(&SEVERAL) => self.more.get(&frame).map_or(&[][..], Vec::as_slice),
            Some(one) => {
                room[0] = one - 1;
                &room[..]
            }
        };
        Of { owners, again: false, speech: self.speech.get(frame) }
    }

    /// How many frames each call has.
    #[must_use]
    pub fn frames(&self) -> &HashMap<u32, u64> {
        &self.frames
    }
}

/// The marks of a first pass, with whose they are.
#[derive(Debug, Default)]
pub struct OwnedMarks {
    marks: Marks,
    owners: OwnerMap,
}

impl OwnedMarks {
    /// Both parts.
    #[must_use]
    pub fn into_parts(self) -> (Bitmap, OwnerMap) {
        (self.marks.0, self.owners)
    }
}

impl Verdicts for OwnedMarks {
    fn select(&mut self, frame: FrameNo) {
        self.marks.select(frame);
    }
    fn hold(&mut self, _: FrameNo) {}
    fn release(&mut self, _: FrameNo) {}
    fn block(&mut self, _: FrameNo) {}
    fn unblock(&mut self, _: FrameNo) {}
    fn horizon(&self) -> u64 {
        u64::MAX
    }
    fn missed(&mut self, _: u64) {}
    fn own(&mut self, frame: FrameNo, call: u32) {
        self.owners.add(frame, call);
    }
    fn speech(&mut self, frame: FrameNo) {
        self.owners.speech.set(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_or_several() {
        let mut map = OwnerMap::default();
        for (frame, call) in [(3, 0), (3, 0), (5, 9), (5, 9), (5, 0), (5, 9), (3, 0)] {
            map.add(frame, call);
        }
        let of = |frame| map.get(frame, &mut [0]).owners.to_vec();
        assert_eq!((of(3), of(5), of(4), of(1 << 40)), (vec![0], vec![9, 0], vec![], vec![]));
        assert_eq!((map.frames()[&0], map.frames()[&9]), (2, 1));
    }
}
