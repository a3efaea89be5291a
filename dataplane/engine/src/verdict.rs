//! What becomes of a frame once somebody knows. The follower says it to a [`Verdicts`]; a regular file only marks
//! ([`Marks`]), a pipe or a wire holds the frames themselves ([`crate::hold::Hold`]).

use crate::frames::{Bitmap, FrameNo};

/// Receives decisions about frames. A frame nobody holds and nobody selected is filtered.
pub trait Verdicts {
    /// Whether undecided frames are to be remembered: all decisions stand already where they are not.
    const WAITS: bool = true;
    /// The frame belongs to something selected.
    fn select(&mut self, frame: FrameNo);
    /// One more undecided owner has the frame in its list.
    fn hold(&mut self, frame: FrameNo);
    /// One owner lets go of it without selecting it.
    fn release(&mut self, frame: FrameNo);
    /// As `hold`, and the decision is near (a part of a message or datagram): later frames wait for it.
    fn block(&mut self, frame: FrameNo);
    /// Ends `block`, without selecting.
    fn unblock(&mut self, frame: FrameNo);
    /// How long undecided frames are remembered, ns of packet time.
    fn horizon(&self) -> u64;
    /// `n` frames of a call were forgotten before it was selected.
    fn missed(&mut self, n: u64);
    /// The frame, which is selected, belongs to this call; said once or more for each of its calls, now or later.
    #[inline]
    fn own(&mut self, _: FrameNo, _: u32) {}
    /// The frame carries a part of an RTP packet in fragments.
    fn speech(&mut self, _: FrameNo) {}
}

/// One bit a frame: the first pass over a regular file.
#[derive(Default, Debug)]
pub struct Marks(pub Bitmap);

impl Verdicts for Marks {
    fn select(&mut self, frame: FrameNo) {
        self.0.set(frame);
    }
    fn hold(&mut self, _: FrameNo) {}
    fn release(&mut self, _: FrameNo) {}
    fn block(&mut self, _: FrameNo) {}
    fn unblock(&mut self, _: FrameNo) {}
    fn horizon(&self) -> u64 {
        u64::MAX
    }
    fn missed(&mut self, _: u64) {}
}

/// Takes no decisions: the second pass, when records are wanted and the marks already stand.
#[derive(Default, Debug)]
pub struct Decided;

impl Verdicts for Decided {
    const WAITS: bool = false;
    fn select(&mut self, _: FrameNo) {}
    fn hold(&mut self, _: FrameNo) {}
    fn release(&mut self, _: FrameNo) {}
    fn block(&mut self, _: FrameNo) {}
    fn unblock(&mut self, _: FrameNo) {}
    fn horizon(&self) -> u64 {
        u64::MAX
    }
    fn missed(&mut self, _: u64) {}
}
