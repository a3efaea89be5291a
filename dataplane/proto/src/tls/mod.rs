//! TLS 1.2 (RFC 5246) and 1.3 (RFC 8446), read with the secrets of a key log.
//!
//! A [`Session`] takes the records of both directions, each in its order, and gives what they carry.

mod cipher;
mod keylog;
#[cfg(test)]
mod tests;

use cipher::{Keys, Suite};
pub use keylog::{KeyLog, Random, MAX_CONNECTIONS};

/// Record header length, bytes.
const HEADER: usize = 5;
/// The longest body of a record, bytes (RFC 5246 §6.2.3).
const MAX_BODY: usize = (1 << 14) + 2048;
/// The longest handshake message that is put together, bytes: certificates.
const MAX_HANDSHAKE: usize = 128 << 10;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION: u8 = 23;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const FINISHED: u8 = 20;
const KEY_UPDATE: u8 = 24;
const SUPPORTED_VERSIONS: u16 = 43;
/// The random number of a server hello that asks for another client hello (RFC 8446 §4.1.3).
const RETRY: Random = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Why a connection is not read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Refusal {
    /// No record of TLS.
    Record,
    /// A handshake message is damaged or too long.
    Handshake,
    /// A suite or a version that is not read.
    Suite,
    /// The key log does not have it.
    NoKeys,
    /// A record's tag is wrong: other keys, or bytes are missing.
    Tag,
}

impl Refusal {
    /// Every case, in the order of the counters.
    pub const ALL: [Self; 5] = [Self::Record, Self::Handshake, Self::Suite, Self::NoKeys, Self::Tag];

    /// As the metric `decode_refusals_total` labels it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Handshake => "handshake",
            Self::Suite => "suite",
            Self::NoKeys => "no_keys",
            Self::Tag => "tag",
        }
    }
}

/// What the next bytes of a direction are.
#[derive(PartialEq, Eq, Debug)]
pub enum Step {
    /// Less than a record.
    NeedMore,
    /// A record that cannot be read yet: its keys, or the other direction's hello, may come.
    Waits,
    /// A record of so many bytes, and the application's bytes in it.
    Record(usize, Vec<u8>),
    /// They cannot be read, and nothing after them can.
    Refused(Refusal),
}

/// Whether a stream begins as a client's or server's handshake does; none: too few bytes to say it.
#[must_use]
pub fn begins(b: &[u8]) -> Option<bool> {
    let fits = |at: usize, ok: &dyn Fn(u8) -> bool| b.get(at).is_none_or(|byte| ok(*byte));
    let record = fits(0, &|t| t == HANDSHAKE) && fits(1, &|v| v == 3) && fits(2, &|v| v <= 4);
    let hello = fits(5, &|t| t == CLIENT_HELLO || t == SERVER_HELLO) && fits(6, &|n| n == 0);
    match (record && hello, b.len() > 6) {
        (false, _) => Some(false),
        (true, true) => Some(true),
        (true, false) => None,
    }
}

/// Which keys a direction's records have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Epoch {
    #[default]
    Plain,
    Handshake,
    Application,
}

#[derive(Debug, Default)]
struct Half {
    epoch: Epoch,
    keys: Option<Keys>,
    /// The traffic secret in use, TLS 1.3.
    secret: Box<[u8]>,
    sequence: u64,
    handshake: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Server {
    random: Random,
    suite: Suite,
    thirteen: bool,
}

/// One connection.
#[derive(Debug, Default)]
pub struct Session {
    /// Which direction is the client's.
    client: Option<usize>,
    random: Option<Random>,
    server: Option<Server>,
    halves: [Half; 2],
}

impl Session {
    /// The client's random number, once its hello was seen.
    #[must_use]
    pub fn random(&self) -> Option<&Random> {
        self.random.as_ref()
    }

    /// Heap, bytes.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.halves.iter().map(|h| h.handshake.capacity() + h.secret.len() + 1024 * usize::from(h.keys.is_some())).sum()
    }

    /// Reads the record at the beginning of a direction's bytes.
    pub fn record(&mut self, side: usize, b: &[u8], log: &KeyLog) -> Step {
        let Some(header) = b.first_chunk::<HEADER>() else { return Step::NeedMore };
        let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if !(CHANGE_CIPHER_SPEC..=APPLICATION).contains(&header[0]) || header[1] != 3 || len > MAX_BODY {
            return Step::Refused(Refusal::Record);
        }
        let Some(body) = b.get(HEADER..HEADER + len) else { return Step::NeedMore };
        match self.body(side, header, body, log) {
            Ok(Some(plain)) => Step::Record(HEADER + len, plain),
            Ok(None) => Step::Waits,
            Err(why) => Step::Refused(why),
        }
    }

    /// The application's bytes in a record; none: it waits.
    fn body(&mut self, side: usize, header: &[u8; 5], body: &[u8], log: &KeyLog) -> Result<Option<Vec<u8>>, Refusal> {
        let thirteen = self.server.is_some_and(|s| s.thirteen);
        let secret = match self.halves[side].epoch {
            Epoch::Plain => header[0] == APPLICATION,
            _ => !thirteen || header[0] == APPLICATION,
        };
        if !secret {
            match header[0] {
                HANDSHAKE => self.messages(side, body)?,
                CHANGE_CIPHER_SPEC if !thirteen => {
                    // in TLS 1.3 it means nothing, and which of the two it is the server says
                    if self.server.is_none() {
                        return Ok(None);
                    }
                    self.halves[side].epoch = Epoch::Application;
                }
                _ => {}
            }
            return Ok(Some(Vec::new()));
        }
        let Some(server) = self.server else { return Ok(None) };
        if self.halves[side].epoch == Epoch::Plain {
            if !server.thirteen {
                return Err(Refusal::Record); // application data before the keys
            }
            self.halves[side].epoch = Epoch::Handshake;
        }
        if !self.ready(side, server, log)? {
            return Ok(None);
        }
        let half = &mut self.halves[side];
        let keys = half.keys.as_ref().ok_or(Refusal::NoKeys)?;
        let mut plain = keys.open(header, body, half.sequence, server.thirteen).ok_or(Refusal::Tag)?;
        half.sequence += 1;
        if !server.thirteen {
            return Ok(Some(if header[0] == APPLICATION { plain } else { Vec::new() }));
        }
        while plain.last() == Some(&0) {
            plain.pop(); // padding (RFC 8446 §5.4)
        }
        match plain.pop() {
            Some(APPLICATION) => Ok(Some(plain)),
            Some(HANDSHAKE) => self.messages(side, &plain).map(|()| Some(Vec::new())),
            Some(ALERT | CHANGE_CIPHER_SPEC) => Ok(Some(Vec::new())),
            _ => Err(Refusal::Record),
        }
    }

    /// Whether a direction has the keys of its epoch.
    fn ready(&mut self, side: usize, server: Server, log: &KeyLog) -> Result<bool, Refusal> {
        if self.halves[side].keys.is_some() {
            return Ok(true);
        }
        let (Some(random), Some(client)) = (self.random, self.client) else { return Err(Refusal::NoKeys) };
        let of_server = side != client;
        let found = log.get(&random);
        let half = &mut self.halves[side];
        half.keys = if server.thirteen {
            let secret = found.and_then(|s| s.traffic(half.epoch == Epoch::Application, of_server));
            half.secret = secret.unwrap_or_default().into();
            secret.and_then(|s| server.suite.keys_13(s))
        } else {
            let master = found.and_then(|s| s.master());
            master.and_then(|m| server.suite.keys_12(m, &random, &server.random, of_server))
        };
        half.sequence = 0;
        match half.keys {
            Some(_) => Ok(true),
            None if log.grows => Ok(false),
            None => Err(Refusal::NoKeys),
        }
    }

    /// Handshake messages, which records may cut anywhere.
    fn messages(&mut self, side: usize, bytes: &[u8]) -> Result<(), Refusal> {
        let mut buffer = std::mem::take(&mut self.halves[side].handshake);
        buffer.extend_from_slice(bytes);
        let mut at = 0;
        while let Some([kind, high, middle, low]) = buffer.get(at..at + 4) {
            let (kind, len) = (*kind, usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low));
            if len > MAX_HANDSHAKE {
                return Err(Refusal::Handshake);
            }
            let Some(body) = buffer.get(at + 4..at + 4 + len) else { break };
            self.message(side, kind, body)?;
            at += 4 + len;
        }
        buffer.drain(..at);
        self.halves[side].handshake = buffer;
        Ok(())
    }

    fn message(&mut self, side: usize, kind: u8, body: &[u8]) -> Result<(), Refusal> {
        let thirteen = self.server.is_some_and(|s| s.thirteen);
        let half = &mut self.halves[side];
        match (kind, half.epoch) {
            (CLIENT_HELLO, Epoch::Plain) => {
                let random = body.get(2..34).ok_or(Refusal::Handshake)?;
                self.random = random.try_into().ok();
                self.client = Some(side);
            }
            (SERVER_HELLO, Epoch::Plain) => {
                if let Some(server) = hello(body)? {
                    self.server = Some(server);
                    self.client.get_or_insert(1 - side);
                }
            }
            (FINISHED, Epoch::Handshake) => {
                (half.epoch, half.keys) = (Epoch::Application, None);
            }
            (KEY_UPDATE, Epoch::Application) if thirteen => {
                let suite = self.server.map(|s| s.suite).ok_or(Refusal::Handshake)?;
                half.secret = suite.next(&half.secret).ok_or(Refusal::Handshake)?;
                (half.keys, half.sequence) = (suite.keys_13(&half.secret), 0);
            }
            _ => {}
        }
        Ok(())
    }
}

/// A server hello (RFC 8446 §4.1.3, RFC 5246 §7.4.1.3); none where it asks for another client hello.
fn hello(b: &[u8]) -> Result<Option<Server>, Refusal> {
    let word = |at: usize| b.get(at..at + 2).map(|w| u16::from_be_bytes([w[0], w[1]])).ok_or(Refusal::Handshake);
    let mut version = word(0)?;
    let random: Random = b.get(2..34).and_then(|r| r.try_into().ok()).ok_or(Refusal::Handshake)?;
    if random == RETRY {
        return Ok(None);
    }
    let at = 35 + usize::from(*b.get(34).ok_or(Refusal::Handshake)?);
    let number = word(at)?;
    let (mut at, end) = (at + 5, b.len());
    while at + 4 <= end {
        let (kind, len) = (word(at)?, usize::from(word(at + 2)?));
        if kind == SUPPORTED_VERSIONS {
            version = word(at + 4)?;
        }
        at += 4 + len;
    }
    let suite = cipher::suite(number).ok_or(Refusal::Suite)?;
    match (version, number >> 8) {
        (0x0304, 0x13) => Ok(Some(Server { random, suite, thirteen: true })),
        (0x0303, other) if other != 0x13 => Ok(Some(Server { random, suite, thirteen: false })),
        _ => Err(Refusal::Suite),
    }
}
