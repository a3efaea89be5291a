//! Several captures as one, by time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::time::Duration;

use lc_wire::Packet;

use crate::files::{Damage, Input};

/// Merges inputs by timestamp; of packets with the same time the earlier input's comes first. Within an input the
/// file's order stays, also where its timestamps go back. A single input is passed through.
pub struct Merged {
    inputs: Vec<Input>,
    order: BinaryHeap<Reverse<(u64, usize)>>,
    /// The input whose packet was handed out: it goes on at the next call, so that its bytes stay until then.
    last: Option<usize>,
    begun: bool,
}

impl Merged {
    /// Inputs in the order that decides between equal times.
    #[must_use]
    pub fn new(inputs: Vec<Input>) -> Self {
        let order = BinaryHeap::with_capacity(inputs.len());
        Self { inputs, order, last: None, begun: false }
    }

    /// The next packet, `None` when every input has ended.
    #[inline]
    #[allow(clippy::should_implement_trait)] // the packet borrows from the input
    pub fn next(&mut self) -> Option<Packet<'_>> {
        if self.inputs.len() == 1 {
            return self.inputs[0].next();
        }
        self.merge()
    }

    fn merge(&mut self) -> Option<Packet<'_>> {
        if !self.begun {
            self.begun = true;
            (0..self.inputs.len()).for_each(|i| self.pull(i));
        }
        if let Some(last) = self.last.take() {
            self.pull(last);
        }
        let Reverse((_, i)) = self.order.pop()?;
        self.last = Some(i);
        Some(self.inputs[i].packet())
    }

    fn pull(&mut self, i: usize) {
        if self.inputs[i].advance() {
            self.order.push(Reverse((self.inputs[i].ts(), i)));
        }
    }

    /// Whether the next packet is expected without waiting; waits for that up to `limit`.
    pub fn ready(&self, limit: Duration) -> bool {
        match (self.inputs.as_slice(), self.last) {
            ([input], _) => input.ready(limit),
            (inputs, Some(last)) => inputs[last].ready(limit),
            (inputs, None) => self.begun || inputs.iter().all(|input| input.ready(limit)),
        }
    }

    /// Back to the first packet of every input.
    ///
    /// # Errors
    /// As [`Input::rewind`].
    pub fn rewind(&mut self) -> io::Result<()> {
        (self.last, self.begun) = (None, false);
        self.order.clear();
        self.inputs.iter_mut().try_for_each(Input::rewind)
    }

    /// The inputs, in their order.
    #[must_use]
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Whether all are regular files.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.inputs.iter().all(Input::is_regular)
    }

    /// Bytes as stored of all inputs together, if all are regular files.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.inputs.iter().map(Input::size).sum()
    }

    /// Bytes as stored that were used, of all inputs together.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.inputs.iter().map(Input::position).sum()
    }

    /// Whether any of them may hold secrets.
    #[must_use]
    pub fn may_have_secrets(&self) -> bool {
        self.inputs.iter().any(Input::may_have_secrets)
    }

    /// TLS key logs that came since the last call.
    #[inline]
    pub fn take_secrets(&mut self) -> Option<Vec<u8>> {
        self.inputs.iter_mut().find_map(Input::take_secrets)
    }

    /// The damage of every damaged input.
    pub fn damages(&self) -> impl Iterator<Item = &Damage> {
        self.inputs.iter().filter_map(Input::damage)
    }
}
