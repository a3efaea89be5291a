//! Suites, and keys out of secrets: TLS 1.2 (RFC 5246 §6.3, RFC 5288, RFC 7905) and 1.3 (RFC 8446 §7.3, §5.3).

use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit, Nonce, Tag};
use chacha20poly1305::ChaCha20Poly1305;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Sha256, Sha384};

/// Length of every tag, bytes.
pub const TAG: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Aes128,
    Aes256,
    ChaCha,
}

/// A suite whose records can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suite {
    kind: Kind,
    sha384: bool,
}

/// The suite of a number (IANA registry); none for what is not read.
#[must_use]
pub fn suite(number: u16) -> Option<Suite> {
    let (kind, sha384) = match number {
        0x1301 | 0x009c | 0x009e | 0xc02b | 0xc02f => (Kind::Aes128, false),
        0x1302 | 0x009d | 0x009f | 0xc02c | 0xc030 => (Kind::Aes256, true),
        0x1303 | 0xcca8 | 0xcca9 | 0xccaa => (Kind::ChaCha, false),
        _ => return None,
    };
    Some(Suite { kind, sha384 })
}

enum Aead {
    Aes128(Box<Aes128Gcm>),
    Aes256(Box<Aes256Gcm>),
    ChaCha(Box<ChaCha20Poly1305>),
}

/// The keys of one direction.
pub struct Keys {
    aead: Aead,
    iv: [u8; 12],
    /// TLS 1.2 with AES: a part of the nonce travels with the record.
    explicit: bool,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Suite {
    fn key_len(self) -> usize {
        if self.kind == Kind::Aes128 {
            16
        } else {
            32
        }
    }

    fn aead(self, key: &[u8]) -> Option<Aead> {
        Some(match self.kind {
            Kind::Aes128 => Aead::Aes128(Box::new(Aes128Gcm::new_from_slice(key).ok()?)),
            Kind::Aes256 => Aead::Aes256(Box::new(Aes256Gcm::new_from_slice(key).ok()?)),
            Kind::ChaCha => Aead::ChaCha(Box::new(ChaCha20Poly1305::new_from_slice(key).ok()?)),
        })
    }

    /// Keys of TLS 1.2 from the master secret and both random numbers, of the client or the server.
    #[must_use]
    pub fn keys_12(self, master: &[u8], client: &[u8; 32], server: &[u8; 32], of_server: bool) -> Option<Keys> {
        let explicit = self.kind != Kind::ChaCha;
        let (key, iv) = (self.key_len(), if explicit { 4 } else { 12 });
        let seed = [&b"key expansion"[..], server, client].concat();
        let block = match self.sha384 {
            true => prf::<Hmac<Sha384>>(master, &seed, 2 * (key + iv))?,
            false => prf::<Hmac<Sha256>>(master, &seed, 2 * (key + iv))?,
        };
        let side = usize::from(of_server);
        let mut fixed = [0; 12];
        fixed[..iv].copy_from_slice(&block[2 * key + side * iv..][..iv]);
        Some(Keys { aead: self.aead(&block[side * key..][..key])?, iv: fixed, explicit })
    }

    /// Keys of TLS 1.3 from a traffic secret.
    #[must_use]
    pub fn keys_13(self, secret: &[u8]) -> Option<Keys> {
        let (mut key, mut iv) = (vec![0; self.key_len()], [0; 12]);
        self.expand(secret, b"key", &mut key)?;
        self.expand(secret, b"iv", &mut iv)?;
        Some(Keys { aead: self.aead(&key)?, iv, explicit: false })
    }

    /// The traffic secret after a key update (RFC 8446 §7.2).
    #[must_use]
    pub fn next(self, secret: &[u8]) -> Option<Box<[u8]>> {
        let mut next = vec![0; secret.len()];
        self.expand(secret, b"traffic upd", &mut next)?;
        Some(next.into())
    }

    /// HKDF-Expand-Label with an empty context (RFC 8446 §7.1).
    fn expand(self, secret: &[u8], label: &[u8], out: &mut [u8]) -> Option<()> {
        let length = (out.len() as u16).to_be_bytes();
        let info = [&length[..], &[6 + label.len() as u8], b"tls13 ", label, &[0]].concat();
        match self.sha384 {
            true => Hkdf::<Sha384>::from_prk(secret).ok()?.expand(&info, out).ok(),
            false => Hkdf::<Sha256>::from_prk(secret).ok()?.expand(&info, out).ok(),
        }
    }
}

/// The pseudorandom function (RFC 5246 §5).
fn prf<M: Mac + hmac::digest::KeyInit>(secret: &[u8], seed: &[u8], len: usize) -> Option<Vec<u8>> {
    let hash = |parts: &[&[u8]]| {
        let mut mac = <M as hmac::digest::KeyInit>::new_from_slice(secret).ok()?;
        parts.iter().for_each(|p| mac.update(p));
        Some(mac.finalize().into_bytes().to_vec())
    };
    let (mut a, mut out) = (seed.to_vec(), Vec::new());
    while out.len() < len {
        a = hash(&[&a])?;
        out.extend(hash(&[&a, seed])?);
    }
    Some(out)
}

impl Keys {
    /// The plaintext of a record's body; none where its tag is wrong. `sequence` is the record's number.
    #[must_use]
    pub fn open(&self, header: &[u8; 5], body: &[u8], sequence: u64, thirteen: bool) -> Option<Vec<u8>> {
        let start = if self.explicit { 8 } else { 0 };
        let len = body.len().checked_sub(start + TAG)?;
        let mut nonce = self.iv;
        if self.explicit {
            nonce[4..].copy_from_slice(&body[..8]);
        } else {
            nonce[4..].iter_mut().zip(sequence.to_be_bytes()).for_each(|(n, s)| *n ^= s);
        }
        let mut aad = Vec::with_capacity(13);
        if !thirteen {
            aad.extend(sequence.to_be_bytes());
        }
        aad.extend(header);
        if !thirteen {
            let at = aad.len() - 2;
            aad[at..].copy_from_slice(&(len as u16).to_be_bytes());
        }
        let (mut plain, tag) = (body[start..start + len].to_vec(), Tag::from_slice(&body[start + len..]));
        let nonce = Nonce::from_slice(&nonce);
        match &self.aead {
            Aead::Aes128(a) => a.decrypt_in_place_detached(nonce, &aad, &mut plain, tag),
            Aead::Aes256(a) => a.decrypt_in_place_detached(nonce, &aad, &mut plain, tag),
            Aead::ChaCha(a) => a.decrypt_in_place_detached(nonce, &aad, &mut plain, tag),
        }
        .ok()?;
        Some(plain)
    }
}
