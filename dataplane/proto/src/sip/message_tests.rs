//! Whole messages, written out.

use super::*;

const INVITE: &[u8] = b"INVITE sip:bob@biloxi.com SIP/2.0\r\n\
Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds, SIP/2.0/UDP x;branch=second\r\n\
Max-Forwards: 70\r\n\
To: Bob <sip:bob@biloxi.com>\r\n\
From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n\
Call-ID: a84b4c76e66710@pc33.atlanta.com\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:alice@pc33.atlanta.com>\r\n\
User-Agent: Softphone Beta1.5\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 4\r\n\r\nv=0\n";

fn problems(m: &Message<'_>) -> Vec<&'static str> {
    m.problems.iter().map(Problem::as_str).collect()
}

fn labels(b: &[u8]) -> Vec<&'static str> {
    problems(&parse(b).unwrap())
}

/// A good message with one header line put in.
fn with(line: &str) -> Vec<u8> {
    let text = String::from_utf8(INVITE.to_vec()).unwrap();
    text.replace("Max-Forwards: 70\r\n", &format!("{line}\r\n")).into_bytes()
}

/// A good message with one header replaced.
fn instead(old: &str, new: &str) -> Vec<u8> {
    let text = String::from_utf8(INVITE.to_vec()).unwrap();
    assert!(text.contains(old));
    text.replace(old, new).into_bytes()
}

#[test]
fn the_invite_of_rfc_3261() {
    let m = parse(INVITE).unwrap();
    assert_eq!(m.start, StartLine::Request { method: b"INVITE", uri: b"sip:bob@biloxi.com" });
    assert_eq!(m.call_id, b"a84b4c76e66710@pc33.atlanta.com");
    assert_eq!(
        (m.from.display, m.from.uri, m.from.tag),
        (&b"Alice"[..], &b"sip:alice@atlanta.com"[..], &b"1928301774"[..])
    );
    assert_eq!(
        (m.from.user, m.from.host, m.to.user, m.to.tag),
        (&b"alice"[..], &b"atlanta.com"[..], &b"bob"[..], &b""[..])
    );
    assert_eq!((m.cseq, m.cseq_method, m.branch), (Some(314_159), &b"INVITE"[..], &b"z9hG4bK776asdhds"[..]));
    assert_eq!((m.user_agent, m.content_type), (&b"Softphone Beta1.5"[..], &b"application/sdp"[..]));
    assert_eq!((m.content_length, m.body), (Some(4), &b"v=0\n"[..]));
    assert_eq!((m.head_len, m.total_len), (INVITE.len() - 4, INVITE.len()));
    assert!(m.problems.is_empty(), "{:?}", m.problems);
}

#[test]
fn a_response_without_a_reason() {
    let m = parse(b"SIP/2.0 100 \r\nv: SIP/2.0/UDP x\r\ni: 1\r\nf: sip:a@b;tag=1\r\nt: sip:c@d\r\nCSeq: 35 INVITE\r\nl: 0\r\n\r\n").unwrap();
    assert_eq!(m.start, StartLine::Response { status: 100, reason: b"" });
    assert_eq!((m.call_id, m.from.user, m.from.tag, m.to.user), (&b"1"[..], &b"a"[..], &b"1"[..], &b"c"[..]));
    assert!(m.problems.is_empty() && m.branch.is_empty());
}

#[test]
fn white_space_wherever_it_may_stand() {
    let m = b"BYE sip:v@c SIP/2.0\r\nTO :\r\n sip:v@c ;   tag    = 1918181833n\r\n\
        from   : \"J \\\\\\\"\"       <sip:j@e>\r\n  ;\r\n  tag = 98asjd8\r\nCall-ID:\r\n\t w@h\t\r\n\
        cseq: 0009\r\n  BYE\r\nVia  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2; branch =\r\n 390skdjuw\r\n\r\n";
    let m = parse(m).unwrap();
    assert_eq!((m.to.user, m.to.tag), (&b"v"[..], &b"1918181833n"[..]));
    assert_eq!((m.from.user, m.from.tag), (&b"j"[..], &b"98asjd8"[..]));
    assert_eq!((m.call_id, m.cseq, m.cseq_method, m.branch), (&b"w@h"[..], Some(9), &b"BYE"[..], &b"390skdjuw"[..]));
    assert!(m.problems.is_empty(), "{:?}", m.problems);
}

#[test]
fn bare_line_feeds_nuls_and_bytes_over_127() {
    let m =
        b"REGISTER sip:x SIP/2.0\nVia: x\nf: <sip:a\0\xff@b>;tag=\xfe\nt: <sip:a@b>\ni: \xc3\x28\nCSeq: 1 REGISTER\n\n";
    let m = parse(m).unwrap();
    assert_eq!((m.from.user, m.from.tag, m.call_id), (&b"a\0\xff"[..], &b"\xfe"[..], &b"\xc3\x28"[..]));
    assert_eq!(problems(&m), ["line_ending", "from"]);
}

#[test]
fn what_is_wrong_is_labelled() {
    for (message, want) in [
        (instead("Content-Length: 4", "Content-Length: 9999"), "body_short"),
        (instead("Content-Length: 4", "Content-Length: 2"), "trailing_bytes"),
        (instead("Content-Length: 4", "Content-Length: -999"), "content_length"),
        (instead("Content-Length: 4", "Content-Length: 4\r\nl: 5"), "content_length_conflict"),
        (instead("CSeq: 314159", "CSeq: 36893488147419103232"), "cseq"),
        (instead("CSeq: 314159", "CSeq: 2147483648"), "cseq"),
        (instead("314159 INVITE", "314159INVITE"), "cseq"),
        (instead("314159 INVITE", "314159 BYE"), "cseq_method"),
        (instead("To: Bob", "To: \"Bob"), "to"),
        (instead("From: Alice", "From: Bell, Alice"), "from"),
        (instead("Call-ID", "Call-IX"), "call_id_missing"),
        (instead("From", "Frox"), "from_missing"),
        (instead("To", "Tx"), "to_missing"),
        (instead("CSeq", "CSex"), "cseq_missing"),
        (instead("Via", "Vix"), "via_missing"),
        (with("no header"), "header_syntax"),
        (with("t: sip:a@b"), "repeated"),
        (with("i: 2"), "repeated"),
        (with("Via: SIP/2.0/UDP 192.0.2.15;;,;,,"), "via"),
        (with("Via: x;a=b ; "), "via"),
        (with("v: x, y ,"), "via"),
        (with("m: \"Joe\" <sip:joe@x>;;"), "contact"),
        (with("Contact: sip:a@b?Route=%3Csip:x%3E"), "contact"),
        (with("Date: Fri, 01 Jan 2010 16:00:00 EST"), "date"),
        (instead("Bob <sip:bob@biloxi.com>", "Bob < sip:bob@biloxi.com>"), "to"),
    ] {
        assert_eq!(labels(&message), [want], "{}", String::from_utf8_lossy(&message));
    }
    assert_eq!(
        labels(&INVITE[..100]),
        ["head_unterminated", "call_id_missing", "from_missing", "to_missing", "cseq_missing"]
    );
}

#[test]
fn what_is_right_is_not_labelled() {
    for line in [
        "Via: SIP/2.0/UDP a;rport;x=\";;,\" , SIP/2.0/TCP b",
        "Contact: *",
        "m: \"a;;b\" <sip:a@b;lr?x=y>;q=1.0, <sip:c@d>",
        "Contact: sip:a@b;expires=5",
        "Date: Sat, 13 Nov 2010 23:29:00 GMT",
    ] {
        assert!(labels(&with(line)).is_empty(), "{line}");
    }
}

#[test]
fn bodies_and_content_length() {
    let body = |m: &[u8]| parse(m).unwrap().body.to_vec();
    assert_eq!(body(&instead("Content-Length: 4", "Content-Length: 2")), b"v=");
    assert_eq!(body(&instead("Content-Length: 4", "Content-Length: -999")), b"v=0\n");
    assert_eq!(body(&instead("Content-Length: 4", "Content-Length: 99999999999999999999")), b"v=0\n");
    assert_eq!(body(&instead("Content-Length: 4\r\n", "")), b"v=0\n");
    let two = instead("Content-Length: 4", "Content-Length: 2\r\nContent-Length: 4");
    let m = parse(&two).unwrap();
    assert_eq!((m.content_length, m.total_len), (Some(2), two.len() - 2));
}

#[test]
fn the_first_of_repeated_headers_counts() {
    let m = with("From: <sip:eve@x>;tag=2\r\nCall-ID: other\r\nCSeq: 1 BYE\r\nTo: <sip:mallory@x>");
    let m = parse(&m).unwrap();
    assert_eq!((m.call_id, m.from.user, m.to.user, m.cseq), (&b"other"[..], &b"eve"[..], &b"mallory"[..], Some(1)));
    let uris: Vec<_> = m.identity_uris().collect();
    let want =
        [&b"sip:bob@biloxi.com"[..], b"sip:eve@x", b"sip:mallory@x", b"sip:bob@biloxi.com", b"sip:alice@atlanta.com"];
    assert_eq!(uris, want, "the others still say whose it is");
}

#[test]
fn every_identity_header_and_value() {
    let m = with(
        "P-Asserted-Identity: \"A, B\" <sip:p1@x>, <tel:+1>\r\nP-Preferred-Identity: sip:p2@x;y\r\nREMOTE-PARTY-ID :\r\n <sip:r@x>;party=called\r\n\
         Diversion: <sip:d@x>;reason=no-answer\r\nHistory-Info: <sip:h1@x?Reason=SIP%3Bcause%3D302>;index=1,\r\n <sip:h2@x>\r\n\
         X-Asserted: <sip:no@x>\r\nReferred-By: <sip:no@x>",
    );
    let m = parse(&m).unwrap();
    let users: Vec<_> = m.identity_uris().map(|u| Uri::new(u).user).collect();
    assert_eq!(users, [&b"bob"[..], b"alice", b"bob", b"p1", b"+1", b"p2", b"r", b"d", b"h1", b"h2"]);
}

#[test]
fn more_identities_than_are_remembered() {
    let lines: Vec<String> = (0..50).map(|n| format!("Diversion: <sip:d{n}@x>, <sip:e{n}@x>\r\nSubject: x")).collect();
    let m = with(&lines.join("\r\n"));
    let m = parse(&m).unwrap();
    let found: Vec<_> =
        m.identity_uris().map(|u| Uri::new(u).user.to_vec()).filter(|u| u[0] != b'b' && u[0] != b'a').collect();
    let want: Vec<_> = (0..50).flat_map(|n| [format!("d{n}").into_bytes(), format!("e{n}").into_bytes()]).collect();
    assert_eq!(found, want);
    let p = crate::users::Patterns::compile(&["e49"]).unwrap();
    assert!(p.matches(&m));
}

#[test]
fn users_in_other_places_do_not_count() {
    let p = crate::users::Patterns::compile(&["eve"]).unwrap();
    for line in [
        "Contact: <sip:eve@x>",
        "Subject: sip:eve@x",
        "User-Agent: eve",
        "X-From: <sip:eve@x>",
        "Authorization: Digest username=\"eve\", realm=\"x\"",
        "P-Asserted-Identity: \"eve\" <sip:bob@x;user=eve>;eve, \"<sip:eve@x>\" <sip:carol@eve>",
        "Referred-By: <sip:eve@x>",
    ] {
        assert!(!p.matches(&parse(&with(line)).unwrap()), "{line}");
    }
    for line in
        ["P-Asserted-Identity: <sip:bob@x>,sip:EVE@y", "Diversion:\r\n <sips:eve@x>", "History-Info: <sip:e%76e@x?a=b>"]
    {
        assert!(p.matches(&parse(&with(line)).unwrap()), "{line}");
    }
    assert!(p.matches(&parse(&instead("INVITE sip:bob@", "INVITE sip:eve@")).unwrap()));
    assert!(p.matches(&parse(&instead("INVITE sip:bob@biloxi.com", "INVITE <sip:eve@biloxi.com>")).unwrap()));
}

#[test]
fn refusals_name_their_reason() {
    let why = |b: &[u8]| parse(b).unwrap_err().as_str();
    assert_eq!(why(b""), "sip_empty");
    assert_eq!(why(b"\r\n\r\n"), "sip_empty");
    assert_eq!(why(b"hello"), "sip_method");
    assert_eq!(why(b"INVITE bob SIP/2.0\r\n\r\n"), "sip_request_uri");
    assert_eq!(why(b"GET / HTTP/1.1\r\n\r\n"), "sip_version");
    assert_eq!(why(b"SIP/2.0 OK\r\n\r\n"), "sip_status_code");
    assert_eq!(Refusal::ALL.map(|r| r.to_string()).len(), 5);
}

#[test]
fn blank_lines_before_a_message_and_a_lone_cr_after_its_first_line() {
    let b = [b"\r\n\r\n", INVITE].concat();
    assert!(starts(&b));
    let m = parse(&b).unwrap();
    assert_eq!((m.total_len, m.problems.is_empty()), (b.len(), true));
    let m = parse(b"CANCEL sip:a@b SIP/2.0\r7Via: x\r\nCall-ID: 1\r\n\r\n")
        .map(|m| (m.call_id, m.problems.has(Problem::LineEnding)));
    assert_eq!(m.unwrap(), (&b"1"[..], true));
}
