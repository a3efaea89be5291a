//! Whose a message is: patterns of SIP users.
//!
//! A pattern is compared with the user part of every URI that identifies a party ([`crate::sip::Message::identity_uris`]):
//! whole, without regard to case, escapes decoded. Two users that are numbers are the same when their digits are:
//! visual separators (RFC 3966 §5.1.1), parameters (`;npdi`) and service prefixes (`*31#`) are left out, and `00`
//! before a number says what `+` says. A number without either is another number than one with it. `*` stands for
//! anything, `\*` for itself; a host after `@` is compared too, without port and parameters.

mod glob;
mod number;
mod pattern;
mod tables;

use crate::sip::{Message, Uri};
use pattern::Pattern;
pub use pattern::PatternError;
use tables::Tables;

/// How patterns are matched. All give the same answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Backend {
    /// Hash tables for whole names, prefixes and suffixes, probed with SIMD; few steps however many patterns.
    #[default]
    CpuSimd,
    /// One pattern after the other.
    Disabled,
}

impl Backend {
    /// As the flag spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CpuSimd => "cpu-simd",
            Self::Disabled => "disabled",
        }
    }
}

/// A set of patterns, ready to match.
#[derive(Debug)]
pub struct Patterns(Engine);

#[derive(Debug)]
enum Engine {
    Tables(Box<Tables>),
    Linear(Vec<Pattern>),
}

impl Patterns {
    /// Compiles patterns for [`Backend::CpuSimd`].
    ///
    /// # Errors
    /// The first pattern that cannot be one: empty, or with a colon or nothing before its `@`.
    pub fn compile<S: AsRef<str>>(patterns: &[S]) -> Result<Self, PatternError> {
        Self::compile_for(patterns, Backend::default())
    }

    /// Compiles patterns for a backend.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_for<S: AsRef<str>>(patterns: &[S], backend: Backend) -> Result<Self, PatternError> {
        let read = patterns.iter().map(|p| Pattern::new(p.as_ref()));
        Ok(Self(match backend {
            Backend::CpuSimd => {
                let mut tables = Tables::default();
                for p in read {
                    tables.add(p?);
                }
                Engine::Tables(Box::new(tables.ready()))
            }
            Backend::Disabled => Engine::Linear(read.collect::<Result<_, _>>()?),
        }))
    }

    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Engine::Tables(t) => t.is_empty(),
            Engine::Linear(l) => l.is_empty(),
        }
    }

    /// How they are matched.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match self.0 {
            Engine::Tables(_) => Backend::CpuSimd,
            Engine::Linear(_) => Backend::Disabled,
        }
    }

    /// Whether a URI names one of the users.
    #[must_use]
    pub fn matches_uri(&self, uri: &[u8]) -> bool {
        self.matches_parts(Uri::new(uri))
    }

    /// Whether a bare user part, whose host is not known, names one of the users; a pattern with a host does not.
    #[must_use]
    pub fn matches_user(&self, user: &[u8]) -> bool {
        self.matches_parts(Uri { user, host: b"" })
    }

    /// Whether a message is one of the users'.
    #[must_use]
    pub fn matches(&self, m: &Message<'_>) -> bool {
        let from = Uri { user: m.from.user, host: m.from.host };
        let to = Uri { user: m.to.user, host: m.to.host };
        let request = Uri::new(m.request_uri());
        self.matches_parts(from)
            || self.matches_parts(to)
            || (request != to && self.matches_parts(request))
            || (m.has_other_identities()
                && m.other_identities().map(Uri::new).any(|u| u != from && self.matches_parts(u)))
    }

    fn matches_parts(&self, uri: Uri<'_>) -> bool {
        if uri.user.is_empty() {
            return false;
        }
        match &self.0 {
            Engine::Tables(t) => t.matches(uri),
            Engine::Linear(l) => pattern::with_forms(uri.user, |forms| l.iter().any(|p| p.matches(forms, uri.host))),
        }
    }
}

#[cfg(test)]
mod tests;
