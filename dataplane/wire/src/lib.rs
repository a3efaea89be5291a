//! Headers of the wire. One file a header: constants, a checked view over bytes, tests on literal bytes.
//!
//! Nothing here but [`build`] allocates, and nothing here keeps state between frames. [`decode`] walks from the link layer to
//! the payload above IP; every reason to stop is a case of [`Refusal`].
#![forbid(unsafe_code)]

pub mod addr;
pub mod build;
pub mod capture;
pub mod checksum;
pub mod decode;
pub mod esp;
pub mod ethernet;
pub mod gre;
pub mod gtp;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod l2tp;
pub mod link;
pub mod mpls;
pub mod ppp;
pub mod refusal;
pub mod tcp;
pub mod teredo;
pub mod tunnel;
pub mod tzsp;
pub mod udp;
pub mod vxlan;

pub use addr::Addr;
pub use capture::{LinkType, Packet};
pub use decode::{decode, ip_offset};
pub use ip::{Context, Fragment, Ip};
pub use refusal::Refusal;
