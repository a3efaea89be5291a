//! Message flows as tables: those of RFC 3665 §3 by their numbers, and the races and captures that are not in it.
//!
//! A line is `ms from>to METHOD cseq` or `ms from>to status cseq METHOD`: the tags of From and To, which a response
//! keeps. Then may come `#branch`, `sdp=direction` and, after `|`, a header. A line `ms .` is time that passes.

use lc_proto::{sdp, sip};

use super::{Overdue, Session};
use crate::offers::print;
use crate::state::Now;

const MS: u64 = 1_000_000;
const T0: u64 = 1_700_000_000_000 * MS;

fn text(line: &str) -> String {
    let (words, header) = line.split_once(" | ").map_or((line, ""), |(w, h)| (w, h));
    let mut words = words.split_whitespace().skip(1);
    let (from, to) = words.next().and_then(|w| w.split_once('>')).unwrap();
    let what = words.next().unwrap();
    let cseq = words.next().unwrap();
    let rest: Vec<&str> = words.collect();
    let option = |prefix: char| rest.iter().find_map(|w| w.strip_prefix(prefix));
    let method = rest.iter().find(|w| w.chars().all(char::is_uppercase)).copied().unwrap_or(what);
    let start = match what.parse::<u16>() {
        Ok(status) => format!("SIP/2.0 {status} x"),
        Err(_) => format!("{what} sip:b@b.example SIP/2.0"),
    };
    let branch = option('#').map_or_else(|| format!("{from}{cseq}{method}"), str::to_owned);
    let tag = |t: &str| if t.is_empty() { String::new() } else { format!(";tag={t}") };
    let sdp = rest.iter().find_map(|w| w.strip_prefix("sdp="));
    let body = match sdp {
        Some("zero") => "v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 0\r\n".to_owned(),
        Some(d) => format!("v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\na={d}\r\n"),
        None => header.split_once("sipfrag ").map_or(String::new(), |(_, f)| format!("{f}\r\n")),
    };
    let kind = if sdp.is_some() { "application/sdp" } else { "message/sipfrag;version=2.0" };
    let header = if header.starts_with("sipfrag") { String::new() } else { format!("{header}\r\n") };
    let head = format!("{start}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{branch}\r\nFrom: <sip:a@a>{}", tag(from));
    let rest = format!("To: <sip:b@b>{}\r\nCall-ID: x\r\nCSeq: {cseq} {method}\r\nContent-Type: {kind}", tag(to));
    format!("{head}\r\n{rest}\r\n{}\r\n{body}", header.trim_start_matches("\r\n"))
}

/// What becomes of a call: its state, status and times in ms; `done` counts what ends the media.
fn flow(lines: &str) -> String {
    let mut s = Session::default();
    let (mut seen, mut last, mut done) = (Vec::new(), T0, 0);
    for line in lines.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let ms: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
        let now = T0 + ms * MS;
        while s.deadline(last) <= now {
            let deadline = s.deadline(last);
            match s.overdue(deadline) {
                Overdue::Leaves => break,
                Overdue::HungUp => done += 1,
                Overdue::Stays => {}
            }
        }
        if line.ends_with(" .") {
            continue;
        }
        let text = text(line);
        let m = sip::parse(text.as_bytes()).unwrap();
        let p = print(&[text.as_bytes()]);
        let again = seen.contains(&p);
        seen.push(p);
        done += u32::from(s.message(&m, again, Now { sent: now, line: now }).over);
        last = now;
        if let Some(described) = sdp::find(m.content_type, m.body) {
            s.described(&m, &described);
        }
    }
    show(&s, done)
}

fn show(s: &Session, done: u32) -> String {
    let mut out = s.state().as_str().to_owned();
    s.status().into_iter().for_each(|n| out += &format!(" {n}"));
    for (name, time) in [("start", s.start), ("ring", s.ring), ("answer", s.answer), ("end", s.end)] {
        time.get().into_iter().for_each(|t| out += &format!(" {name}={}", (t - T0) / MS));
    }
    for (name, ns) in [("pdd", s.pdd()), ("srd", s.srd()), ("talk", s.duration())] {
        ns.into_iter().for_each(|n| out += &format!(" {name}={}", n / MS));
    }
    s.hung_up_by().into_iter().for_each(|by| out += &format!(" by={}", by.as_str()));
    s.cause().into_iter().for_each(|c| out += &format!(" cause={c}"));
    let counts =
        [("legs", s.dialogs()), ("holds", s.holds()), ("again", s.retransmissions as u16), ("done", done as u16)];
    counts.iter().filter(|(_, n)| *n > 0).for_each(|(name, n)| out += &format!(" {name}={n}"));
    if !s.transferred_to().is_empty() {
        out += &format!(" to={}", String::from_utf8_lossy(s.transferred_to()));
    }
    out
}

macro_rules! flows {
    ($($name:ident: $lines:expr => $want:expr;)*) => { $(#[test] fn $name() { assert_eq!(flow($lines), $want); })* };
}

flows! {
    rfc3665_3_1_success: "0 a> INVITE 1\n 20 a>b 180 1 INVITE\n 900 a>b 200 1 INVITE\n 910 a>b ACK 1
        5000 b>a BYE 1\n 5010 b>a 200 1 BYE"
        => "ended 200 start=0 ring=20 answer=900 end=5000 pdd=20 srd=20 talk=4100 by=callee legs=1 done=1";
    // two proxies, the first challenges: four hops in one capture
    rfc3665_3_2_proxies: "0 a> INVITE 1\n 3 a>p 407 1 INVITE\n 4 a>p ACK 1\n 10 a> INVITE 2 #h1\n 12 a> INVITE 2 #h2
        13 a> 100 2 INVITE #h1\n 15 a> INVITE 2 #h3\n 16 a> 100 2 INVITE #h2\n 30 a>b 180 2 INVITE #h3
        32 a>b 180 2 INVITE #h2\n 34 a>b 180 2 INVITE #h1\n 100 a>b 200 2 INVITE #h3\n 102 a>b 200 2 INVITE #h2
        104 a>b 200 2 INVITE #h1\n 110 a>b ACK 2\n 900 b>a BYE 3 #k1\n 902 b>a BYE 3 #k2\n 910 b>a 200 3 BYE #k2
        912 b>a 200 3 BYE #k1"
        => "ended 200 start=0 ring=30 answer=100 end=900 pdd=20 srd=20 talk=800 by=callee legs=1 done=2";
    // the second proxy redirects, the caller tries again with the same Call-ID
    rfc3665_3_6_redirect: "0 a> INVITE 1\n 10 a>r 302 1 INVITE\n 11 a>r ACK 1\n 20 a> INVITE 2\n 60 a>b 180 2 INVITE
        90 a>b 200 2 INVITE\n 95 a>b ACK 2\n 400 a>b BYE 3\n 420 a>b 200 3 BYE"
        => "ended 200 start=0 ring=60 answer=90 end=400 pdd=40 srd=40 talk=310 by=caller legs=1 done=2";
    rfc3665_3_8_no_answer: "0 a> INVITE 1\n 5 a> 100 1 INVITE\n 40 a>b 180 1 INVITE\n 9000 a> CANCEL 1\n 9005 a>b 200 1 CANCEL
        9010 a>b 487 1 INVITE\n 9015 a>b ACK 1"
        => "cancelled 487 start=0 ring=40 end=9010 pdd=40 srd=40 legs=1 done=1";
    rfc3665_3_9_busy: "0 a> INVITE 1\n 5 a> 100 1 INVITE\n 40 a>b 486 1 INVITE\n 45 a>b ACK 1"
        => "failed 486 start=0 end=40 srd=40 done=1";
    // no answer from the next hop: the proxy gives up
    rfc3665_3_10_no_response: "0 a> INVITE 1 #h1\n 2 a> 100 1 INVITE #h1\n 5 a> INVITE 1 #h2\n 505 a> INVITE 1 #h2
        1505 a> INVITE 1 #h2\n 32000 a>p 408 1 INVITE #h1\n 32010 a>p ACK 1"
        => "failed 408 start=0 end=32000 srd=32000 again=2 done=1";
    rfc3665_3_11_unavailable: "0 a> INVITE 1\n 30 a>b 180 1 INVITE\n 20000 a>b 480 1 INVITE | Reason: Q.850;cause=19;text=\"x\""
        => "failed 480 start=0 ring=30 end=20000 pdd=30 srd=30 cause=19 legs=1 done=1";
    two_forks_early_one_answers: "0 a> INVITE 1\n 50 a>b1 180 1 INVITE\n 70 a>b2 183 1 INVITE\n 800 a>b2 200 1 INVITE
        900 a>b2 ACK 1\n 3000 a>b2 BYE 2\n 3010 a>b2 200 2 BYE"
        => "ended 200 start=0 ring=50 answer=800 end=3000 pdd=50 srd=50 talk=2200 by=caller legs=2 done=1";
    two_forks_answer_and_one_is_hung_up: "0 a> INVITE 1\n 50 a>b1 180 1 INVITE\n 70 a>b2 180 1 INVITE\n 800 a>b2 200 1 INVITE
        801 a>b1 200 1 INVITE\n 810 a>b2 ACK 1\n 811 a>b1 ACK 1\n 812 a>b1 BYE 2\n 820 a>b1 200 2 BYE\n 3000 b2>a BYE 1
        3010 b2>a 200 1 BYE"
        => "ended 200 start=0 ring=50 answer=800 end=3000 pdd=50 srd=50 talk=2200 by=callee legs=2 done=1";
    // at a forking proxy: one branch refuses, another answers
    a_branch_refuses_another_answers: "0 a> INVITE 1 #h\n 1 a> 100 1 INVITE #h\n 5 a> INVITE 1 #f1\n 6 a> INVITE 1 #f2
        40 a>b1 486 1 INVITE #f1\n 60 a>b2 180 1 INVITE #f2\n 61 a>b2 180 1 INVITE #h\n 90 a>b2 200 1 INVITE #f2
        91 a>b2 200 1 INVITE #h\n 99 a>b2 ACK 1"
        => "answered 200 start=0 ring=60 answer=90 pdd=60 srd=40 legs=1";
    a_cancel_loses_the_race: "0 a> INVITE 1\n 30 a>b 180 1 INVITE\n 500 a> CANCEL 1\n 501 a>b 200 1 INVITE\n 505 a>b 200 1 CANCEL
        510 a>b ACK 1\n 520 a>b BYE 2\n 540 a>b 200 2 BYE"
        => "ended 200 start=0 ring=30 answer=501 end=520 pdd=30 srd=30 talk=19 by=caller legs=1 done=1";
    a_cancel_and_nothing_more: "0 a> INVITE 1\n 30 a>b 180 1 INVITE\n 500 a> CANCEL 1\n 400000 ."
        => "cancelled start=0 ring=30 pdd=30 srd=30 legs=1";
    a_bye_without_answer: "0 a> INVITE 1\n 30 a>b 200 1 INVITE\n 40 a>b ACK 1\n 9000 a>b BYE 2\n 9500 a>b BYE 2\n 13000 ."
        => "ended 200 start=0 answer=30 end=9000 srd=30 talk=8970 by=caller legs=1 again=1 done=1";
    a_bye_is_challenged: "0 a> INVITE 1\n 30 a>b 200 1 INVITE\n 40 a>b ACK 1\n 100 a>b BYE 2\n 110 a>b 407 2 BYE\n 200 a>b BYE 3
        210 a>b 200 3 BYE"
        => "ended 200 start=0 answer=30 end=200 srd=30 talk=170 by=caller legs=1 done=1";
    late_responses_change_nothing: "0 a> INVITE 1\n 30 a>b 180 1 INVITE\n 50 a>b 486 1 INVITE\n 51 a>b ACK 1\n 60 a>b 180 1 INVITE
        70 a>b 486 1 INVITE"
        => "failed 486 start=0 ring=30 end=50 pdd=30 srd=30 legs=1 again=2 done=1";
    glare: "0 a> INVITE 1\n 30 a>b 200 1 INVITE\n 40 a>b ACK 1\n 100 a>b INVITE 2 sdp=sendonly\n 101 b>a INVITE 7 sdp=sendonly
        110 a>b 491 2 INVITE\n 111 b>a 491 7 INVITE\n 120 a>b ACK 2\n 121 b>a ACK 7"
        => "answered 200 start=0 answer=30 srd=30 legs=1";
    held_and_taken_back: "0 a> INVITE 1 sdp=sendrecv\n 30 a>b 200 1 INVITE sdp=sendrecv\n 40 a>b ACK 1
        100 b>a INVITE 7 sdp=sendonly\n 110 b>a 200 7 INVITE sdp=recvonly\n 120 b>a ACK 7
        200 a>b UPDATE 2 sdp=sendrecv\n 210 a>b 200 2 UPDATE sdp=sendonly
        300 b>a INVITE 8 sdp=sendrecv\n 310 b>a 200 8 INVITE sdp=sendrecv\n 320 b>a ACK 8
        400 a>b INVITE 3\n 410 a>b 200 3 INVITE sdp=sendrecv\n 420 a>b ACK 3 sdp=inactive"
        => "on_hold 200 start=0 answer=30 srd=30 legs=1 holds=2";
    held_by_no_address: "0 a> INVITE 1\n 30 a>b 200 1 INVITE\n 40 a>b ACK 1\n 50 a>b INVITE 2 sdp=zero\n 60 a>b 200 2 INVITE sdp=sendrecv"
        => "on_hold 200 start=0 answer=30 srd=30 legs=1 holds=1";
    media_one_way_from_the_start_is_no_hold: "0 a> INVITE 1 sdp=sendonly\n 30 a>b 200 1 INVITE sdp=recvonly\n 40 a>b ACK 1"
        => "answered 200 start=0 answer=30 srd=30 legs=1";
    transferred: "0 a> INVITE 1\n 30 a>b 200 1 INVITE\n 40 a>b ACK 1\n 500 b>a REFER 5 | Refer-To: <sip:c@c.example?Replaces=q>
        510 b>a 202 5 REFER\n 520 a>b NOTIFY 9 | sipfrag SIP/2.0 100 Trying\n 900 a>b NOTIFY 10 | sipfrag SIP/2.0 200 OK
        950 b>a BYE 6\n 960 b>a 200 6 BYE"
        => "transferred 200 start=0 answer=30 end=950 srd=30 talk=920 by=callee legs=1 done=1 to=sip:c@c.example";
    a_transfer_fails: "0 a> INVITE 1\n 30 a>b 200 1 INVITE\n 500 b>a REFER 5 | Refer-To: sip:c@c.example\n 510 b>a 202 5 REFER
        900 a>b NOTIFY 9 | sipfrag SIP/2.0 486 Busy\n 950 b>a BYE 6\n 960 b>a 200 6 BYE"
        => "ended 200 start=0 answer=30 end=950 srd=30 talk=920 by=callee legs=1 done=1";
    a_session_expires: "0 a> INVITE 1\n 30 a>b 200 1 INVITE | Session-Expires: 90;refresher=uac\n 40 a>b ACK 1\n 123000 ."
        => "expired 200 start=0 answer=30 srd=30 legs=1";
    a_session_is_refreshed: "0 a> INVITE 1\n 30 a>b 200 1 INVITE | x: 90\n 40 a>b ACK 1\n 60000 a>b UPDATE 2
        60010 a>b 200 2 UPDATE | x: 90\n 180000 ."
        => "answered 200 start=0 answer=30 srd=30 legs=1";
    nothing_for_an_hour: "0 a> INVITE 1\n 30 a>b 200 1 INVITE\n 40 a>b ACK 1\n 3599000 .\n 3601000 ."
        => "expired 200 start=0 answer=30 srd=30 legs=1";
    no_final_answer: "0 a> INVITE 1\n 30 a>b 180 1 INVITE\n 299000 .\n 301000 ." => "expired start=0 ring=30 pdd=30 srd=30 legs=1";
    only_responses: "10 a> 100 1 INVITE\n 30 a>b 180 1 INVITE\n 90 a>b 200 1 INVITE\n 700 b>a 200 5 BYE"
        => "ended 200 start=10 ring=30 answer=90 end=700 talk=610 legs=1 done=1";
    only_requests: "0 a> INVITE 1\n 50 a> INVITE 2\n 900 a>b ACK 2\n 5000 b>a BYE 1\n 8000 ."
        => "ended start=0 end=5000 by=callee legs=1 done=1";
    from_the_middle: "0 a>b INVITE 7 sdp=sendonly\n 10 a>b 200 7 INVITE sdp=recvonly\n 11 a>b ACK 7\n 500 b>a BYE 2\n 510 b>a 200 2 BYE"
        => "ended start=0 end=500 legs=1 holds=1 done=1";
    only_the_end: "0 b>a 200 2 BYE" => "ended start=0 end=0 done=1";
    a_bye_before_the_answer: "0 a> INVITE 1\n 30 a>b 180 1 INVITE\n 500 a>b BYE 2\n 510 a>b 200 2 BYE\n 520 a>b 487 1 INVITE\n 530 a>b ACK 1"
        => "cancelled 487 start=0 ring=30 end=520 pdd=30 srd=30 legs=1 done=2";
    an_early_dialog_ends: "0 a> INVITE 1\n 30 a>b1 183 1 INVITE\n 40 a>b1 199 1 INVITE\n 60 a>b2 180 1 INVITE\n 90 a>b2 200 1 INVITE"
        => "answered 200 start=0 ring=30 answer=90 pdd=30 srd=30 legs=2";
    an_interval_too_small: "0 a> INVITE 1\n 10 a>p 422 1 INVITE\n 12 a>p ACK 1\n 20 a> INVITE 2\n 40 a>b 180 2 INVITE"
        => "ringing start=0 ring=40 pdd=20 srd=20 legs=1 done=1";
    nothing_of_a_call: "0 a> OPTIONS 1\n 10 a>b 200 1 OPTIONS\n 20 a>b NOTIFY 2" => "transaction";
}

#[test]
fn causes_of_q850() {
    let found = [
        "Q.850;cause=16",
        "SIP;cause=200;text=\"x\", q.850 ;text=\"a\"; Cause=127",
        "Q.850;cause=128",
        "SIP;cause=16",
        "",
    ];
    assert_eq!(found.map(|r| super::cause(r.as_bytes())), [Some(16), Some(127), None, None, None]);
}
