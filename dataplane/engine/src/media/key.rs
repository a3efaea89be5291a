//! What names a flow: endpoints in their VLANs.

use std::hash::{Hash, Hasher};

use lc_wire::{Addr, Context};

/// An exact endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct End {
    /// VLANs around it.
    pub context: Context,
    /// Address.
    pub addr: Addr,
    /// UDP port.
    pub port: u16,
}

/// One direction between two endpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowKey {
    /// VLANs around it.
    pub context: Context,
    /// Sender.
    pub src: Addr,
    /// Receiver.
    pub dst: Addr,
    /// Sender's port.
    pub sport: u16,
    /// Receiver's port.
    pub dport: u16,
}

impl Hash for FlowKey {
    /// Few words: this is done once a media packet.
    #[inline]
    fn hash<H: Hasher>(&self, h: &mut H) {
        h.write_u128(self.src.0);
        h.write_u128(self.dst.0);
        h.write_u64(self.context ^ (u64::from(self.sport) << 48 | u64::from(self.dport) << 32));
    }
}

impl FlowKey {
    /// Sender and receiver.
    #[must_use]
    pub fn ends(self) -> [End; 2] {
        let end = |addr, port| End { context: self.context, addr, port };
        [end(self.src, self.sport), end(self.dst, self.dport)]
    }
}

/// What a datagram is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// RTP.
    Rtp,
    /// RTCP.
    Rtcp,
}
