//! What can be wrong with a SIP message: reasons to refuse it, and problems of one that is still read.

use std::fmt;

/// Why bytes are no SIP message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Refusal {
    /// Nothing, or blank lines only.
    Empty,
    /// No method, or one over [`super::MAX_METHOD`] bytes, or no space after it.
    Method,
    /// The Request-URI is missing or has no scheme.
    RequestUri,
    /// The line does not say SIP and a version.
    Version,
    /// A response without a number for its status.
    StatusCode,
}

impl Refusal {
    /// Every case.
    pub const ALL: [Self; 5] = [Self::Empty, Self::Method, Self::RequestUri, Self::Version, Self::StatusCode];

    /// The reason as counters name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "sip_empty",
            Self::Method => "sip_method",
            Self::RequestUri => "sip_request_uri",
            Self::Version => "sip_version",
            Self::StatusCode => "sip_status_code",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! problems {
    ($($(#[$doc:meta])* $case:ident = $name:literal,)*) => {
        /// One thing that is wrong with a message that is read nevertheless.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        pub enum Problem { $($(#[$doc])* $case,)* }

        impl Problem {
            /// Every case, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$case,)*];

            /// The name that records use.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$case => $name,)* }
            }
        }
    };
}

problems! {
    /// White space in the start line that must not be there (RFC 4475 §3.1.2.7 to 3.1.2.9).
    StartLineSpace = "start_line_space",
    /// The Request-URI stands in angle brackets, holds control characters, or has something else than a port after its host.
    RequestUri = "request_uri",
    /// Another version than SIP/2.0.
    Version = "version",
    /// A status that is not three digits from 100; it is given as 0.
    StatusCode = "status_code",
    /// A line that ends without CR, or a CR without LF after the start line.
    LineEnding = "line_ending",
    /// No empty line after the header.
    HeadUnterminated = "head_unterminated",
    /// A header line without a name and a colon.
    HeaderSyntax = "header_syntax",
    /// No Call-ID.
    CallIdMissing = "call_id_missing",
    /// More than one Call-ID, From, To, CSeq; the first one counts.
    Repeated = "repeated",
    /// No From.
    FromMissing = "from_missing",
    /// A From that is no name and address.
    From = "from",
    /// No To.
    ToMissing = "to_missing",
    /// A To that is no name and address.
    To = "to",
    /// No CSeq.
    CSeqMissing = "cseq_missing",
    /// A CSeq without a number below 2^31 or without a method.
    CSeq = "cseq",
    /// A request whose CSeq names another method.
    CSeqMethod = "cseq_method",
    /// No Via.
    ViaMissing = "via_missing",
    /// A Via with parameters or values that are empty (RFC 4475 §3.1.2.1).
    Via = "via",
    /// A Contact with empty parameters, or headers of its URI outside of brackets (RFC 3261 §20.10).
    Contact = "contact",
    /// A Date that is not in GMT (RFC 3261 §20.17).
    Date = "date",
    /// A Content-Length that is no number.
    ContentLength = "content_length",
    /// Content-Lengths that differ; the first one counts.
    ContentLengthConflict = "content_length_conflict",
    /// Fewer bytes than Content-Length says.
    BodyShort = "body_short",
    /// More bytes than Content-Length says (in a datagram; RFC 3261 §18.3 discards them).
    TrailingBytes = "trailing_bytes",
}

/// A set of problems.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Problems(u32);

impl Problems {
    /// Adds one.
    #[inline]
    pub fn add(&mut self, p: Problem) {
        self.0 |= 1 << p as u8;
    }

    /// Adds one where a condition holds.
    #[inline]
    pub fn add_if(&mut self, condition: bool, p: Problem) {
        self.0 |= u32::from(condition) << p as u8;
    }

    /// Takes one out.
    #[inline]
    pub fn remove(&mut self, p: Problem) {
        self.0 &= !(1 << p as u8);
    }

    /// Whether it is in the set.
    #[inline]
    #[must_use]
    pub fn has(self, p: Problem) -> bool {
        self.0 & (1 << p as u8) != 0
    }

    /// Whether nothing is wrong.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The problems, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Problem> {
        Problem::ALL.iter().copied().filter(move |p| self.has(*p))
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Problem::as_str)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_lists_what_was_added() {
        let mut p = Problems::default();
        assert!(p.is_empty());
        p.add(Problem::To);
        p.add(Problem::Version);
        p.add_if(false, Problem::From);
        assert_eq!(p.iter().map(Problem::as_str).collect::<Vec<_>>(), ["version", "to"]);
        assert_eq!(Problem::ALL.len(), Problem::TrailingBytes as usize + 1);
        assert!(Problem::ALL.len() <= 32);
    }
}
