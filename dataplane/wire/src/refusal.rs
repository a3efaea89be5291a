//! Why a frame was not decoded to its payload: every reason is a case, every case is a counter (law 6).

/// A reason to stop decoding. `NotIp` is no fault of the frame and is not counted as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the names say it, and `reason` spells it
pub enum Refusal {
    NotIp,
    LinkUnsupported,
    LinkShort,
    VlanShort,
    TooManyTags,
    PppShort,
    PppoeShort,
    PppoeHeader,
    MplsShort,
    MplsPayload,
    TooManyLabels,
    Ip4Short,
    Ip4Version,
    Ip4HeaderLength,
    Ip4TotalLength,
    Ip6Short,
    Ip6Version,
    Ip6Extension,
    Ip6TooManyExtensions,
    UdpShort,
    UdpLength,
    TcpShort,
    TcpHeaderLength,
    GreShort,
    GreVersion,
    ErspanShort,
    ErspanVersion,
    TooManyTunnels,
}

impl Refusal {
    /// Every case, in the order of the counters.
    pub const ALL: [Self; 28] = [
        Self::NotIp,
        Self::LinkUnsupported,
        Self::LinkShort,
        Self::VlanShort,
        Self::TooManyTags,
        Self::PppShort,
        Self::PppoeShort,
        Self::PppoeHeader,
        Self::MplsShort,
        Self::MplsPayload,
        Self::TooManyLabels,
        Self::Ip4Short,
        Self::Ip4Version,
        Self::Ip4HeaderLength,
        Self::Ip4TotalLength,
        Self::Ip6Short,
        Self::Ip6Version,
        Self::Ip6Extension,
        Self::Ip6TooManyExtensions,
        Self::UdpShort,
        Self::UdpLength,
        Self::TcpShort,
        Self::TcpHeaderLength,
        Self::GreShort,
        Self::GreVersion,
        Self::ErspanShort,
        Self::ErspanVersion,
        Self::TooManyTunnels,
    ];

    /// (layer, reason) as the metric `decode_refusals_total` labels them.
    #[must_use]
    pub fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::NotIp => ("link", "not_ip"),
            Self::LinkUnsupported => ("link", "unsupported"),
            Self::LinkShort => ("link", "short"),
            Self::VlanShort => ("vlan", "short"),
            Self::TooManyTags => ("vlan", "too_many_tags"),
            Self::PppShort => ("ppp", "short"),
            Self::PppoeShort => ("pppoe", "short"),
            Self::PppoeHeader => ("pppoe", "header"),
            Self::MplsShort => ("mpls", "short"),
            Self::MplsPayload => ("mpls", "payload"),
            Self::TooManyLabels => ("mpls", "too_many_labels"),
            Self::Ip4Short => ("ipv4", "short"),
            Self::Ip4Version => ("ipv4", "version"),
            Self::Ip4HeaderLength => ("ipv4", "header_length"),
            Self::Ip4TotalLength => ("ipv4", "total_length"),
            Self::Ip6Short => ("ipv6", "short"),
            Self::Ip6Version => ("ipv6", "version"),
            Self::Ip6Extension => ("ipv6", "extension"),
            Self::Ip6TooManyExtensions => ("ipv6", "too_many_extensions"),
            Self::UdpShort => ("udp", "short"),
            Self::UdpLength => ("udp", "length"),
            Self::TcpShort => ("tcp", "short"),
            Self::TcpHeaderLength => ("tcp", "header_length"),
            Self::GreShort => ("gre", "short"),
            Self::GreVersion => ("gre", "version"),
            Self::ErspanShort => ("erspan", "short"),
            Self::ErspanVersion => ("erspan", "version"),
            Self::TooManyTunnels => ("tunnel", "too_many"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_case_at_its_number() {
        for (i, r) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*r as usize, i);
        }
    }
}
