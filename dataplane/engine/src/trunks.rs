//! Which trunk or peer a call runs over: by its addresses, or by the hosts that it names.

use std::net::IpAddr;

use lc_proto::sip::{Message, Uri};
use lc_wire::Addr;

use crate::record::Ends;

/// Trunks at most.
pub const MAX_TRUNKS: usize = 64;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Member {
    /// A network: its first address, and how many of 128 bits count.
    Network(Addr, u32),
    /// A host name, in small letters.
    Host(Box<[u8]>),
}

/// The trunks of a configuration; the first that fits is a call's.
#[derive(Clone, Debug, Default)]
pub struct Trunks {
    names: Vec<String>,
    members: Vec<(u8, Member)>,
}

impl Trunks {
    /// From names with their networks (`203.0.113.0/24`, `2001:db8::/32`), addresses and host names.
    ///
    /// # Errors
    /// One line for what cannot be.
    #[allow(clippy::cast_possible_truncation)] // at most 64
    pub fn new(described: &[(String, Vec<String>)]) -> Result<Self, String> {
        let mut trunks = Self::default();
        if described.len() > MAX_TRUNKS {
            return Err(format!("{} trunks are too many: {MAX_TRUNKS} at most", described.len()));
        }
        for (at, (name, members)) in described.iter().enumerate() {
            if name == "other" || trunks.names.contains(name) {
                return Err(format!("the trunk name {name} is taken"));
            }
            trunks.names.push(name.clone());
            for text in members {
                let member = member(text).ok_or_else(|| format!("{name}: {text} is no network, address or host"))?;
                trunks.members.push((at as u8, member));
            }
        }
        Ok(trunks)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name of a trunk, as labels have it; `other` for a call of none.
    #[must_use]
    pub fn name(&self, trunk: u8) -> &str {
        self.names.get(usize::from(trunk)).map_or("other", String::as_str)
    }

    /// Whose a call is, by its first message; beyond the last one for nobody's.
    #[must_use]
    pub fn of(&self, m: &Message<'_>, ends: &Ends) -> u8 {
        let hosts = [Uri::new(m.request_uri()).host, m.from.host, m.to.host];
        let fits = |member: &Member| match member {
            Member::Network(net, bits) => [ends.src, ends.dst].iter().any(|a| common(*net, *a) >= *bits),
            Member::Host(name) => hosts.iter().any(|h| h.eq_ignore_ascii_case(name)),
        };
        self.members.iter().find(|(_, member)| fits(member)).map_or(u8::MAX, |(at, _)| *at)
    }
}

/// Leading bits that two addresses share.
fn common(a: Addr, b: Addr) -> u32 {
    (a.0 ^ b.0).leading_zeros()
}

fn member(text: &str) -> Option<Member> {
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    if let Ok(ip) = address.parse::<IpAddr>() {
        let (most, before) = if ip.is_ipv4() { (32, 96) } else { (128, 0) };
        let bits = length.map_or(Some(most), |l| l.parse::<u32>().ok()).filter(|n| *n <= most)?;
        let addr = Addr::from(ip);
        let kept = before + bits;
        let mask = if kept == 0 { 0 } else { u128::MAX << (128 - kept) };
        return (addr.0 & !mask == 0).then_some(Member::Network(addr, kept));
    }
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'.' || c == b'-';
    let host = length.is_none() && !text.is_empty() && text.bytes().all(word);
    host.then(|| Member::Host(text.to_ascii_lowercase().into_bytes().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunks(described: &[(&str, &[&str])]) -> Result<Trunks, String> {
        let owned = |(name, members): &(&str, &[&str])| {
            ((*name).to_owned(), members.iter().map(|m| (*m).to_owned()).collect::<Vec<_>>())
        };
        Trunks::new(&described.iter().map(owned).collect::<Vec<_>>())
    }

    #[test]
    fn by_network_address_and_host_the_first_that_fits() {
        let t = trunks(&[("a", &["192.0.2.0/25", "Sip.A.example"]), ("b", &["192.0.2.9", "2001:db8::/32"])]).unwrap();
        let ends = |src: &str, dst: &str| {
            let addr = |a: &str| Addr::from(a.parse::<IpAddr>().unwrap());
            Ends { src: addr(src), sport: 5060, dst: addr(dst), dport: 5060 }
        };
        let of = |uri: &str, src, dst| {
            let text = format!("INVITE {uri} SIP/2.0\r\nFrom: <sip:x@y>\r\nTo: <sip:x@z>\r\n\r\n");
            let m = lc_proto::sip::parse(text.as_bytes()).unwrap();
            t.name(t.of(&m, &ends(src, dst))).to_owned()
        };
        let found = [
            of("sip:1@h", "10.0.0.1", "192.0.2.9"),
            of("sip:1@h", "192.0.2.200", "10.0.0.1"),
            of("sip:1@h", "::1", "2001:db8:1::1"),
            of("sip:1@SIP.a.example;x=y", "10.0.0.1", "10.0.0.2"),
        ];
        assert_eq!(found, ["a", "other", "b", "a"]);
    }

    #[test]
    fn what_is_no_trunk() {
        for bad in ["192.0.2.1/24", "192.0.2.0/33", "a b", "", "2001:db8::/129", "host/3"] {
            assert!(trunks(&[("a", &[bad])]).is_err(), "{bad}");
        }
        assert!(trunks(&[("a", &["x"]), ("a", &["y"])]).is_err() && trunks(&[("other", &["x"])]).is_err());
    }
}
