//! One pattern: reading it, and what it means.

use std::fmt;

use super::glob::Glob;
use super::number::{international, is_normal, is_separator, normal, service_prefix};
use crate::sip::host;

/// A pattern that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    pattern: String,
    why: &'static str,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP user pattern {:?}: {}", self.pattern, self.why)
    }
}

impl std::error::Error for PatternError {}

/// A byte of a pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    Byte(u8),
    Star,
}

/// What a pattern means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Compare with the number that a user is, in its normal form; else with the user in small letters.
    pub number: bool,
    pub user: Glob,
    /// None: any host.
    pub host: Option<Glob>,
}

/// A user part in both forms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forms<'a> {
    /// Escapes decoded, in small letters.
    pub name: &'a [u8],
    /// The normal form of a number, when it is one.
    pub number: Option<&'a [u8]>,
}

impl Pattern {
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let wrong = |why| PatternError { pattern: pattern.to_string(), why };
        let (rest, is_uri) = without_scheme(pattern.trim());
        let (user, host_part) = split_host(rest);
        if user.is_empty() {
            let why =
                if host_part.is_some() { "no user before the @; *@host is everybody there" } else { "it is empty" };
            return Err(wrong(why));
        }
        let user = match (is_uri && host_part.is_none()).then(|| user.split_once(';')).flatten() {
            Some((user, _)) => user,
            None => user,
        };
        if user.contains(':') {
            return Err(wrong("a user part has no colon; leave the password or the scheme out"));
        }
        let host = match host_part {
            Some(h) if !is_uri || !is_telephone(h) => Some(units(host(h.as_bytes()))),
            _ => None,
        };
        if host.as_ref().is_some_and(Vec::is_empty) {
            return Err(wrong("no host after the @"));
        }
        let user = units(user.as_bytes());
        let (number, user) = number_units(&user).map_or((false, user), |n| (true, n));
        let host = host.map(|h| glob(&h)).filter(|h| !h.is_any());
        Ok(Self { number, user: glob(&user), host })
    }

    pub fn matches(&self, forms: Forms<'_>, host: &[u8]) -> bool {
        let user = if self.number { forms.number } else { Some(forms.name) };
        user.is_some_and(|u| self.user.matches(u))
            && self.host.as_ref().is_none_or(|h| h.matches(&host.to_ascii_lowercase()))
    }
}

/// Without `sip:`, `sips:`, `tel:`; and whether one was there.
fn without_scheme(pattern: &str) -> (&str, bool) {
    let Some((scheme, rest)) = pattern.split_once(':') else { return (pattern, false) };
    let known = ["sip", "sips", "tel"].iter().any(|s| scheme.eq_ignore_ascii_case(s));
    if known {
        (rest, true)
    } else {
        (pattern, false)
    }
}

fn split_host(rest: &str) -> (&str, Option<&str>) {
    rest.split_once('@').map_or((rest, None), |(user, host)| (user, Some(host)))
}

/// Whether the parameters after a host say that the user part is a telephone number: then the host does not count.
fn is_telephone(host: &str) -> bool {
    host.split(';').skip(1).any(|p| p.eq_ignore_ascii_case("user=phone"))
}

/// Escapes and backslashes resolved, in small letters.
fn units(b: &[u8]) -> Vec<Unit> {
    let mut out = Vec::with_capacity(b.len());
    let mut at = 0;
    while at < b.len() {
        let (unit, len) = match b[at..] {
            [b'\\', c @ (b'*' | b'\\'), ..] => (Unit::Byte(c), 2),
            [b'*', ..] => (Unit::Star, 1),
            _ => {
                let (c, len) = decoded(&b[at..]);
                (Unit::Byte(c), len)
            }
        };
        out.push(unit);
        at += len;
    }
    out
}

/// The first byte of `b`, an escape decoded, in small letters; and how many bytes it takes.
#[inline]
fn decoded(b: &[u8]) -> (u8, usize) {
    let hex = |c: u8| (c as char).to_digit(16).and_then(|d| u8::try_from(d).ok());
    if let [b'%', high, low, ..] = b {
        if let (Some(h), Some(l)) = (hex(*high), hex(*low)) {
            return ((h << 4 | l).to_ascii_lowercase(), 3);
        }
    }
    (b[0].to_ascii_lowercase(), 1)
}

/// The normal form of a pattern that is a number: digits, separators, `+`, stars.
fn number_units(user: &[Unit]) -> Option<Vec<Unit>> {
    let literal: Vec<u8> = user.iter().map_while(|u| if let Unit::Byte(c) = u { Some(*c) } else { None }).collect();
    let rest = &user[service_prefix(&literal)..];
    let mut out = Vec::with_capacity(rest.len());
    for unit in rest {
        match unit {
            Unit::Byte(c) if is_separator(*c) => {}
            Unit::Byte(b'+') if out.iter().any(|u| *u != Unit::Star) => return None,
            Unit::Byte(b'+' | b'0'..=b'9') | Unit::Star => out.push(*unit),
            Unit::Byte(b';') if out.contains(&Unit::Star) => return None,
            Unit::Byte(b';') => break,
            Unit::Byte(_) => return None,
        }
    }
    if !out.iter().any(|u| matches!(u, Unit::Byte(b'0'..=b'9'))) {
        return None;
    }
    let lead = out.iter().take_while(|u| **u != Unit::Star).count();
    let mut digits: Vec<u8> =
        out[..lead].iter().filter_map(|u| if let Unit::Byte(c) = u { Some(*c) } else { None }).collect();
    let mut normal: Vec<Unit> = international(&mut digits).iter().map(|c| Unit::Byte(*c)).collect();
    normal.extend(&out[lead..]);
    Some(normal)
}

fn glob(units: &[Unit]) -> Glob {
    let mut pieces = vec![Vec::new()];
    for unit in units {
        match (unit, pieces.last_mut()) {
            (Unit::Byte(c), Some(piece)) => piece.push(*c),
            _ => pieces.push(Vec::new()),
        }
    }
    Glob::new(pieces)
}

/// Longest user part that is compared without allocation, bytes.
const ROOM: usize = 128;

/// Calls `then` with both forms of a user part.
#[inline]
pub(super) fn with_forms<T>(user: &[u8], then: impl FnOnce(Forms<'_>) -> T) -> T {
    if is_normal(user) {
        then(Forms { name: user, number: Some(user) })
    } else if user.len() <= ROOM {
        forms(user, &mut [0; ROOM], &mut [0; ROOM], then)
    } else {
        forms(user, &mut vec![0; user.len()], &mut vec![0; user.len()], then)
    }
}

fn forms<T>(user: &[u8], name: &mut [u8], number: &mut [u8], then: impl FnOnce(Forms<'_>) -> T) -> T {
    let (mut at, mut len) = (0, 0);
    while at < user.len() {
        let (c, n) = decoded(&user[at..]);
        name[len] = c;
        len += 1;
        at += n;
    }
    let name = &name[..len];
    then(Forms { name, number: normal(name, number) })
}
