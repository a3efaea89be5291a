//! Text with wildcards.

/// What has to be found, in this order: the first piece at the start, the last one at the end, the others between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(Vec<Vec<u8>>);

impl Glob {
    /// From pieces between stars; one piece is text without a star.
    pub fn new(pieces: Vec<Vec<u8>>) -> Self {
        Self(pieces)
    }

    /// The pieces.
    pub fn pieces(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// Whether it is nothing but a star.
    pub fn is_any(&self) -> bool {
        self.0.len() > 1 && self.0.iter().all(Vec::is_empty)
    }

    /// Whether all of a text is covered. Linear: the leftmost place is the best one for every piece but the last.
    pub fn matches(&self, text: &[u8]) -> bool {
        let [first, between @ .., last] = &self.0[..] else { return self.0.first().is_some_and(|only| only == text) };
        let Some(rest) = text.strip_prefix(&first[..]) else { return false };
        let Some(mut rest) = rest.strip_suffix(&last[..]) else { return false };
        for piece in between {
            let Some(at) = memchr::memmem::find(rest, piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_anywhere() {
        let glob = |s: &str| Glob::new(s.split('*').map(|p| p.as_bytes().to_vec()).collect());
        for (pattern, yes, no) in [
            ("abc", &["abc"][..], &["abcd", "ab", ""][..]),
            ("al*ce", &["alice", "alce", "al*ce"], &["alc", "alicex", "xalice"]),
            ("ab*ba", &["abba", "abxba"], &["aba"]),
            ("*a*b*", &["ab", "xaxbx"], &["ba", ""]),
            ("*", &["", "x"], &[]),
            ("a**b", &["ab", "axb"], &["a"]),
        ] {
            yes.iter().for_each(|t| assert!(glob(pattern).matches(t.as_bytes()), "{pattern} {t}"));
            no.iter().for_each(|t| assert!(!glob(pattern).matches(t.as_bytes()), "{pattern} {t}"));
        }
        assert!(glob("**").is_any() && !glob("").is_any() && !glob("*a").is_any());
    }
}
