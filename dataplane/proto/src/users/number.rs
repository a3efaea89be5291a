//! Telephone numbers in user parts (RFC 3261 §19.1.6, RFC 3966 §5.1.1).

/// Whether a byte is there for the eye only.
pub(super) fn is_separator(c: u8) -> bool {
    matches!(c, b'-' | b'.' | b'(' | b')' | b' ')
}

/// Bytes of a service prefix such as `*31#`; 0 when there is none.
pub(super) fn service_prefix(b: &[u8]) -> usize {
    if !matches!(b.first(), Some(b'*' | b'#')) {
        return 0;
    }
    let run = b.iter().take_while(|c| matches!(c, b'*' | b'#') || c.is_ascii_digit()).count();
    memchr::memrchr(b'#', &b[..run]).map_or(0, |hash| hash + 1)
}

/// Whether a user part is a number in its normal form already.
#[inline]
pub(super) fn is_normal(user: &[u8]) -> bool {
    let digits = user.strip_prefix(b"+").unwrap_or(user);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && !user.starts_with(b"00")
}

/// The number that a user part is, in its normal form: digits, after `+` when it has that or `00`.
///
/// `user` has its escapes decoded. `room` is written over; it is as long as `user` at least.
#[inline]
pub(super) fn normal<'a>(user: &[u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
    if user.first().is_some_and(u8::is_ascii_alphabetic) {
        return None;
    }
    let rest = &user[service_prefix(user)..];
    let mut len = 0;
    let mut digits = 0;
    for c in rest {
        match *c {
            b'0'..=b'9' => digits += 1,
            b'+' if len == 0 => {}
            b';' if digits > 0 => break,
            c if is_separator(c) => continue,
            _ => return None,
        }
        *room.get_mut(len)? = *c;
        len += 1;
    }
    if digits == 0 {
        return None;
    }
    Some(international(&mut room[..len]))
}

/// `00` before another digit becomes `+`.
pub(super) fn international(number: &mut [u8]) -> &[u8] {
    match number {
        [b'0', b'0', third, ..] if *third != b'0' => {
            number[1] = b'+';
            &number[1..]
        }
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal_of(user: &str) -> Option<String> {
        let mut room = [0; 64];
        normal(user.as_bytes(), &mut room).map(|n| String::from_utf8(n.to_vec()).unwrap())
    }

    #[test]
    fn forms_of_one_number() {
        for user in [
            "+49123456789",
            "0049123456789",
            "+49 (123) 456-789",
            "*31#+49123456789",
            "#31#00 49.123456789",
            "+49123456789;npdi;rn=1",
        ] {
            assert_eq!(normal_of(user).as_deref(), Some("+49123456789"), "{user}");
        }
        assert_eq!(normal_of("49123456789").as_deref(), Some("49123456789"));
        assert_eq!(normal_of("*31#100").as_deref(), Some("100"));
        assert_eq!(normal_of("000").as_deref(), Some("000"));
    }

    #[test]
    fn no_numbers() {
        for user in ["alice", "", "+", "+;x", "49a", "4+9", "*31#", "*31", "-", "100#"] {
            assert_eq!(normal_of(user), None, "{user}");
        }
    }
}
