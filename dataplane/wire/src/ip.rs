//! An IP packet of either version, as the decoder hands it on.

use crate::addr::Addr;

/// Where a five-tuple lives: its stack of VLAN ids, its PPPoE session, its tunnels ([`crate::tunnel`] says what of them).
/// Two contexts never share endpoints. VLAN 0 (priority only) is the untagged network; MPLS labels differ by direction
/// and take no part.
pub type Context = u64;

/// Position of a fragment in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification: 16 bits in IPv4, 32 in IPv6.
    pub id: u32,
    /// Offset of the payload in the datagram, bytes.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
}

/// An IP packet of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip<'a> {
    /// VLANs, session and tunnels around it.
    pub context: Context,
    /// How many tunnels are around it.
    pub tunnels: u8,
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Protocol above (IANA protocol numbers).
    pub protocol: u8,
    /// Set when the packet is a fragment.
    pub fragment: Option<Fragment>,
    /// Whether the capture holds less than the packet's length says.
    pub truncated: bool,
    /// What it carries, without link padding.
    pub payload: &'a [u8],
}
