//! Characters of SIP (RFC 3261 §25.1).

const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let extra = b"-.!%*_+`'~";
    let mut i = 0;
    while i < 256 {
        table[i] = (i as u8).is_ascii_alphanumeric();
        i += 1;
    }
    i = 0;
    while i < extra.len() {
        table[extra[i] as usize] = true;
        i += 1;
    }
    table
}

static TOKEN: [bool; 256] = token_table();

/// Whether a byte may stand in a token: methods, header names, parameter names.
#[inline]
pub(crate) fn is_token(c: u8) -> bool {
    TOKEN[usize::from(c)]
}

/// White space of a header value; CR and LF are left of folding.
#[inline]
pub(crate) fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\r' | b'\n')
}

/// Without white space at both ends.
#[inline]
pub(crate) fn trim(mut b: &[u8]) -> &[u8] {
    while let [c, rest @ ..] = b {
        if !is_space(*c) {
            break;
        }
        b = rest;
    }
    while let [rest @ .., c] = b {
        if !is_space(*c) {
            break;
        }
        b = rest;
    }
    b
}

/// Where a quoted string that starts at `b[0]` ends: the place after its closing quote. None when it is not closed.
pub(crate) fn after_quoted(b: &[u8]) -> Option<usize> {
    let mut at = 1;
    while at < b.len() {
        let i = at + memchr::memchr2(b'"', b'\\', &b[at..])?;
        if b[i] == b'"' {
            return Some(i + 1);
        }
        at = i + 2;
    }
    None
}

/// A whole number, without sign; none when there is another character, no digit, or it is over `u64`.
pub(crate) fn number(b: &[u8]) -> Option<u64> {
    if b.is_empty() {
        return None;
    }
    b.iter().try_fold(0u64, |n, c| {
        let digit = c.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_strings_with_escapes() {
        assert_eq!(after_quoted(b"\"a\" b"), Some(3));
        assert_eq!(after_quoted(br#""J \\\"" x"#), Some(8));
        assert_eq!(after_quoted(br#""a\""#), None);
        assert_eq!(after_quoted(br#""a\"#), None);
        assert_eq!(after_quoted(b"\""), None);
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"0009"), Some(9));
        assert_eq!(number(b""), None);
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(b"36893488147419103232"), None);
    }
}
