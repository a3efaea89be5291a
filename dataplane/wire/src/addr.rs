//! An IP address of either family in one comparable, hashable word.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 or IPv6 address; IPv4 is held as its IPv4-mapped form (RFC 4291 §2.5.5.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Addr(pub u128);

const MAPPED: u128 = 0xffff_0000_0000;

impl Addr {
    /// From the four bytes of an IPv4 header field.
    #[must_use]
    pub fn v4(b: [u8; 4]) -> Self {
        Self(MAPPED | u128::from(u32::from_be_bytes(b)))
    }

    /// From the sixteen bytes of an IPv6 header field.
    #[must_use]
    pub fn v6(b: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(b))
    }

    /// The standard library's address; a mapped one comes back as IPv4.
    #[must_use]
    pub fn to_ip(self) -> IpAddr {
        let v6 = Ipv6Addr::from(self.0);
        v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
    }

    /// Whether this is 0.0.0.0 or `::`.
    #[must_use]
    pub fn is_unspecified(self) -> bool {
        self.0 == 0 || self.0 == MAPPED
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(a) => Self::v4(a.octets()),
            IpAddr::V6(a) => Self::v6(a.octets()),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_both_families_without_brackets() {
        assert_eq!(Addr::v4([10, 0, 0, 1]).to_string(), "10.0.0.1");
        let v6: IpAddr = "2001:db8::10".parse().unwrap();
        assert_eq!(Addr::from(v6).to_string(), "2001:db8::10");
        assert!(Addr::v4([0; 4]).is_unspecified() && Addr::v6([0; 16]).is_unspecified());
    }
}
