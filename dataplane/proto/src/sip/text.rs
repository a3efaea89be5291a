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
    c <= b' ' && matches!(c, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether a byte up to the space is among them; without branches, for the vector unit.
#[inline]
pub(crate) fn has_blank_or_control(b: &[u8]) -> bool {
    b.iter().fold(false, |found, c| found | (*c <= b' '))
}

/// Without white space at both ends.
#[inline]
pub(crate) fn trim(b: &[u8]) -> &[u8] {
    let (mut start, mut end) = (0, b.len());
    while start < end && is_space(b[start]) {
        start += 1;
    }
    while end > start && is_space(b[end - 1]) {
        end -= 1;
    }
    &b[start..end]
}

/// Where the first of some bytes is. For short text, where a vector search does not pay: eight bytes a step, by the
/// carry-free zero-byte test (Mycroft 1987); its lowest hit is exact.
#[inline]
pub(crate) fn find<const N: usize>(b: &[u8], needles: [u8; N]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let mut at = 0;
    while let Some(eight) = b[at..].first_chunk() {
        let word = u64::from_le_bytes(*eight);
        let hits = needles.iter().fold(0, |hits, n| {
            let zero = word ^ (u64::from(*n) * ONES);
            hits | (zero.wrapping_sub(ONES) & !zero & HIGH)
        });
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    while at < b.len() {
        if needles.contains(&b[at]) {
            return Some(at);
        }
        at += 1;
    }
    None
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
    fn find_is_position() {
        for len in 0..40 {
            for at in 0..len {
                let mut b = vec![b'9'; len];
                b[at] = b':';
                b[len - 1] = if at == len - 1 { b':' } else { b';' };
                b.iter_mut().take(at).step_by(3).for_each(|c| *c = 0xba);
                assert_eq!(find(&b, [b';', b':']), Some(at));
                assert_eq!(find(&b, [b'!']), None);
            }
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"0009"), Some(9));
        assert_eq!(number(b""), None);
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(b"36893488147419103232"), None);
    }
}
