//! One truth table, run over every backend.

use super::*;

const BACKENDS: [Backend; 2] = [Backend::CpuSimd, Backend::Disabled];

/// (pattern, URIs it matches, URIs it does not).
const TRUTH: &[(&str, &[&str], &[&str])] = &[
    (
        "alice",
        &[
            "sip:alice@a.com",
            "SIP:ALICE@b.org:5070;lr",
            "sips:alice:pw@[2001:db8::1]",
            "sip:al%69ce@x",
            "sip:%41lice@x",
        ],
        &[
            "sip:malice@a.com",
            "sip:alice1@a.com",
            "sip:alice.b@a.com",
            "sip:bob:alice@a.com",
            "sip:bob@alice",
            "sip:alice",
            "sip:bob@a;x=alice",
            "sip:alice;x=y@a.com",
            "http://alice@a.com",
            "tel:+1;alice",
            "",
        ],
    ),
    (
        "alice@example.com",
        &["sip:Alice@EXAMPLE.com:5060;lr?x=y"],
        &["sip:alice@example.org", "sip:alice@a.example.com", "sip:bob@example.com"],
    ),
    ("alice@Example.com:5060", &["sip:alice@example.com"], &["sip:alice@example.org"]),
    (
        "alice@[2001:DB8::1]:5060",
        &["sip:alice@[2001:db8::1]", "sip:alice@[2001:db8::1]:5070"],
        &["sip:alice@[2001:db8::2]"],
    ),
    ("sip:alice@example.com;transport=tcp", &["sip:alice@example.com"], &["sip:alice@example.org"]),
    ("alice@*.example.com", &["sip:alice@a.example.com"], &["sip:alice@example.com"]),
    ("*@example.com", &["sip:alice@example.com", "sip:+1@example.com"], &["sip:alice@example.org", "sip:example.com"]),
    ("*", &["sip:a@b", "tel:+1", "sip:*31#@x"], &["sip:b", "urn:service:sos"]),
    ("al*ce", &["sip:alice@x", "sip:alce@x", "sip:AL%20CE@x"], &["sip:alicex@x", "sip:xalice@x"]),
    ("a*c*e", &["sip:alice@x", "sip:ace@x"], &["sip:aec@x"]),
    ("Al*", &["sip:alice@x", "sip:al@x"], &["sip:mal@x"]),
    ("*CE", &["sip:alice@x"], &["sip:alicex@x"]),
    (r"\*31", &["sip:*31@x", "sip:%2a31@x"], &["sip:31@x", "sip:x31@x"]),
    (r"a\*b*", &["sip:a*bc@x"], &["sip:axbc@x"]),
    (r"a\b", &[r"sip:a\b@x"], &["sip:ab@x"]),
    (
        "+49 123 456-789",
        &[
            "sip:+49123456789@x",
            "sip:0049123456789@x",
            "sip:%2B49123456789@x",
            "sip:%2b49123456789;npdi@x;user=phone",
            "tel:+49-123-456-789;phone-context=x",
            "tel:+49(123)456.789",
            "sip:*31#+49123456789@x",
            "sip:*31%23+49123456789@x",
            "sip:+4912345678%39@x",
        ],
        &[
            "sip:+149123456789@x",
            "sip:+491234567891@x",
            "sip:+49123456789b@x",
            "sip:m+49123456789@x",
            "sip:9491234567899@x",
            "sip:49123456789@x",
            "sip:0123456789@x",
            "sip:x@49123456789.com",
            "sip:49123456789.com",
        ],
    ),
    ("0049123456789", &["sip:+49123456789@x"], &["sip:49123456789@x"]),
    ("tel:+49123456789;phone-context=x", &["sip:+49123456789@y"], &[]),
    ("sip:+49123456789@d;user=phone", &["sip:0049123456789@y", "tel:+49123456789"], &["sip:+49123456788@d"]),
    ("+49123456789@d", &["sip:0049123456789@D"], &["sip:+49123456789@e", "tel:+49123456789"]),
    ("49123456789", &["sip:49123456789@x", "sip:49-123-456-789@x"], &["sip:+49123456789@x"]),
    ("100", &["sip:100@x", "sip:1-00@x"], &["sip:1000@x", "sip:0100@x"]),
    (
        "*456789",
        &["sip:+49123456789@x", "sip:456789@x", "tel:+49-123-456-789"],
        &["sip:+491234567890@x", "sip:alice456789@x"],
    ),
    ("+49*", &["sip:+49123@x", "sip:0049123@x", "tel:+49-123"], &["sip:49123@x", "sip:+48123@x", "sip:+4@x"]),
    ("00 49*", &["sip:+49123@x", "sip:0049123@x"], &["sip:49123@x"]),
    ("+49*789", &["sip:0049123456789@x", "sip:+49789@x"], &["sip:+49123456780@x"]),
    (r"\*31#+49123456789", &["sip:+49123456789@x", "sip:*31#+49123456789@x"], &["sip:+4912345678@x"]),
    ("user*", &["sip:user1@x", "sip:USER@x"], &["sip:auser@x"]),
    ("jürgen", &["sip:j%C3%BCrgen@x", "sip:jürgen@x"], &["sip:jurgen@x"]),
];

#[test]
fn every_backend_answers_the_truth_table() {
    for backend in BACKENDS {
        for (pattern, yes, no) in TRUTH {
            let p = Patterns::compile_for(&[pattern], backend).unwrap();
            assert_eq!(p.backend(), backend);
            assert!(!p.is_empty());
            yes.iter().for_each(|u| assert!(p.matches_uri(u.as_bytes()), "{backend:?}: {pattern} is {u}"));
            no.iter().for_each(|u| assert!(!p.matches_uri(u.as_bytes()), "{backend:?}: {pattern} is not {u}"));
        }
    }
}

#[test]
fn all_patterns_together() {
    let patterns: Vec<&str> = TRUTH.iter().map(|(p, ..)| *p).filter(|p| !p.starts_with("*")).collect();
    let sets = BACKENDS.map(|b| Patterns::compile_for(&patterns, b).unwrap());
    for (_, yes, no) in TRUTH {
        for u in yes.iter().chain(*no) {
            let [a, b] = sets.each_ref().map(|p| p.matches_uri(u.as_bytes()));
            assert_eq!(a, b, "{u}");
        }
    }
}

#[test]
fn one_user_at_several_hosts() {
    for backend in BACKENDS {
        let p = Patterns::compile_for(&["bob@b.com", "bob@a.com", "bob@*.c.com", "eve@a.com", "eve"], backend).unwrap();
        for (uri, want) in [
            ("sip:bob@a.com", true),
            ("sip:bob@b.com", true),
            ("sip:bob@x.c.com", true),
            ("sip:bob@c.com", false),
            ("sip:eve@c.com", true),
        ] {
            assert_eq!(p.matches_uri(uri.as_bytes()), want, "{uri}");
        }
    }
}

#[test]
fn patterns_that_are_refused() {
    for (pattern, why) in [
        ("", r#"SIP user pattern "": it is empty"#),
        ("  ", r#"SIP user pattern "  ": it is empty"#),
        ("sip:", r#"SIP user pattern "sip:": it is empty"#),
        ("@x", r#"SIP user pattern "@x": no user before the @; *@host is everybody there"#),
        ("bob@", r#"SIP user pattern "bob@": no host after the @"#),
        ("bob:pw@x", r#"SIP user pattern "bob:pw@x": a user part has no colon; leave the password or the scheme out"#),
    ] {
        assert_eq!(Patterns::compile(&[pattern]).unwrap_err().to_string(), why);
    }
    assert!(Patterns::compile::<&str>(&[]).unwrap().is_empty());
}

#[test]
fn long_user_parts() {
    let long = "a".repeat(5000);
    let p = Patterns::compile(&[long.as_str(), "b*"]).unwrap();
    assert!(p.matches_uri(format!("sip:{}@x", long.to_uppercase()).as_bytes()));
    assert!(p.matches_uri(format!("sip:b{long}@x").as_bytes()));
    assert!(!p.matches_uri(format!("sip:{long}a@x").as_bytes()));
}

/// A small generator: the same numbers on every run (xorshift, Marsaglia 2003).
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn the_backends_agree_on_random_patterns() {
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let letters: Vec<char> = r"ab0123+*\-;%4%2B#@. A".chars().collect();
    let mut word = |max: u64| -> String {
        let n = 1 + random(&mut seed) % max;
        (0..n).map(|_| letters[usize::try_from(random(&mut seed) % letters.len() as u64).unwrap()]).collect()
    };
    for _ in 0..20_000 {
        let patterns: Vec<String> = (0..3).map(|_| word(6)).collect();
        let Ok(fast) = Patterns::compile(&patterns) else { continue };
        let slow = Patterns::compile_for(&patterns, Backend::Disabled).unwrap();
        for _ in 0..5 {
            let uri = format!("sip:{}@{}", word(6), word(3));
            assert_eq!(fast.matches_uri(uri.as_bytes()), slow.matches_uri(uri.as_bytes()), "{patterns:?} {uri}");
        }
    }
}
