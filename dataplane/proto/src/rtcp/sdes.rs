//! SDES (RFC 3550 §6.5): the canonical names of sources.

use super::report::word;

/// Longest name that is given, bytes (an item has at most 255).
pub const MAX_CNAME: usize = 255;
const CNAME: u8 = 1;

/// (SSRC, CNAME) of the chunks that have one.
pub fn cnames(chunks: &[u8], count: u8) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = chunks;
    let mut left = count;
    std::iter::from_fn(move || {
        while left > 0 && rest.len() >= 4 {
            left -= 1;
            let ssrc = word(rest, 0);
            let (name, len) = items(&rest[4..]);
            // a chunk ends on a word
            rest = rest.get((4 + len).next_multiple_of(4)..).unwrap_or_default();
            if let Some(name) = name {
                return Some((ssrc, name));
            }
        }
        None
    })
}

/// The CNAME among a chunk's items, and their length with the null that ends them.
fn items(b: &[u8]) -> (Option<&[u8]>, usize) {
    let (mut at, mut name) = (0, None);
    while let [kind, len, rest @ ..] = b.get(at..).unwrap_or_default() {
        if *kind == 0 {
            break;
        }
        let Some(value) = rest.get(..usize::from(*len)) else { return (name, b.len()) };
        if *kind == CNAME {
            // some senders count the null that ends their string
            name.get_or_insert(value.split(|c| *c == 0).next().unwrap_or_default());
        }
        at += 2 + value.len();
    }
    (name, (at + 1).min(b.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_two_chunks() {
        // a tool item before the name; the second chunk is aligned; the third has no name
        let b = b"\0\0\0\x01\x06\x02xy\x01\x04a@b\0\0\0\0\0\0\x02\x01\x01z\0\0\0\0\x03\0\0\0\0";
        let all: Vec<_> = cnames(b, 3).collect();
        assert_eq!(all, [(1, &b"a@b"[..]), (2, &b"z"[..])]);
    }

    #[test]
    fn what_is_cut_ends_it() {
        assert_eq!(cnames(b"\0\0\0\x01\x01\xffabc", 9).count(), 0);
        assert_eq!(cnames(b"\0\0\0", 1).count(), 0);
        assert_eq!(cnames(b"", 31).count(), 0);
    }
}
