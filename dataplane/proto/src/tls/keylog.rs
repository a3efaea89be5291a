//! Key logs: what clients and servers write with SSLKEYLOGFILE (draft-ietf-tls-keylogfile).

use std::fmt::Write;

use hashbrown::HashMap;

/// Connections whose secrets are kept.
pub const MAX_CONNECTIONS: usize = 200_000;
/// The longest secret, bytes: SHA-384's.
const MAX_SECRET: usize = 48;

/// A client's random number: what names a connection.
pub type Random = [u8; 32];

/// Labels, in the order of [`Secrets`].
const LABELS: [&str; 5] = [
    "CLIENT_RANDOM",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
];

/// The secrets of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets([Option<Box<[u8]>>; LABELS.len()]);

impl Secrets {
    /// The master secret of TLS 1.2.
    #[must_use]
    pub fn master(&self) -> Option<&[u8]> {
        self.0[0].as_deref()
    }

    /// The traffic secret of TLS 1.3, of the handshake or what follows, of the client or the server.
    #[must_use]
    pub fn traffic(&self, application: bool, server: bool) -> Option<&[u8]> {
        self.0[1 + 2 * usize::from(application) + usize::from(server)].as_deref()
    }
}

/// The secrets of many connections.
#[derive(Clone, Debug, Default)]
pub struct KeyLog {
    by_random: HashMap<Random, Secrets>,
    /// Whether more may come: keys that are missing are waited for.
    pub grows: bool,
    /// Lines that are no secrets, and secrets that found no place.
    pub refused: u64,
}

impl KeyLog {
    /// Adds the lines of a file or of a decryption secrets block; gives how many secrets they held. Comments, empty lines
    /// and labels of other protocols are passed over.
    pub fn add(&mut self, text: &[u8]) -> usize {
        let mut n = 0;
        for line in text.split(|b| *b == b'\n') {
            let line = line.trim_ascii();
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            match self.line(line) {
                Some(true) => n += 1,
                Some(false) => {}
                None => self.refused += 1,
            }
        }
        n
    }

    /// Whether the line was a secret of use; none: it makes no sense.
    fn line(&mut self, line: &[u8]) -> Option<bool> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
        let (label, random, secret) = (words.next()?, words.next()?, words.next()?);
        let random: Random = hex(random)?.try_into().ok()?;
        let secret = hex(secret).filter(|s| !s.is_empty() && s.len() <= MAX_SECRET)?;
        let Some(at) = LABELS.iter().position(|l| l.as_bytes() == label) else { return Some(false) };
        if self.by_random.len() >= MAX_CONNECTIONS && !self.by_random.contains_key(&random) {
            return None;
        }
        self.by_random.entry(random).or_default().0[at] = Some(secret.into());
        Some(true)
    }

    /// The secrets of a connection.
    #[must_use]
    pub fn get(&self, random: &Random) -> Option<&Secrets> {
        self.by_random.get(random)
    }

    /// Whether there is no secret, and none to come.
    #[must_use]
    pub fn is_useless(&self) -> bool {
        self.by_random.is_empty() && !self.grows
    }

    /// The lines of one connection, as a file has them.
    #[must_use]
    pub fn text(&self, random: &Random) -> String {
        let mut text = String::new();
        let digits = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut s, b| {
                let _ = write!(s, "{b:02x}");
                s
            })
        };
        for (label, secret) in LABELS.iter().zip(self.get(random).iter().flat_map(|s| &s.0)) {
            if let Some(secret) = secret {
                let _ = writeln!(text, "{label} {} {}", digits(random), digits(secret));
            }
        }
        text
    }
}

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    if digits.len() % 2 != 0 {
        return None;
    }
    let value = |c: &u8| char::from(*c).to_digit(16);
    digits.chunks(2).map(|c| Some((value(&c[0])? << 4 | value(&c[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_and_out() {
        let random = "ab".repeat(32);
        let one = format!("CLIENT_RANDOM {random} {}\n", "01".repeat(48));
        let text = format!("# made by hand\r\n\r\n{one}EXPORTER_SECRET {random} 0102\nnonsense\nCLIENT_RANDOM 00 00\n");
        let mut log = KeyLog::default();
        assert!(log.is_useless());
        assert_eq!((log.add(text.as_bytes()), log.refused), (1, 2));
        assert_eq!(log.get(&[0xab; 32]).unwrap().master(), Some(&[1; 48][..]));
        assert_eq!(log.get(&[0xab; 32]).unwrap().traffic(true, false), None);
        assert_eq!(log.text(&[0xab; 32]), one);
        assert_eq!(log.text(&[0; 32]), "");
    }
}
