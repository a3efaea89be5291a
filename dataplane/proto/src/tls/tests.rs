//! Sessions record by record; whole connections are made by Python's ssl in tests/e2e/test_tls.py.

use super::*;

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &(body.len() as u16).to_be_bytes(), body].concat()
}

fn client_hello() -> Vec<u8> {
    let body = [&[3, 3][..], &[7; 32], &[0]].concat();
    record(HANDSHAKE, &[&[CLIENT_HELLO, 0, 0, body.len() as u8][..], &body].concat())
}

fn server_hello(suite: u16) -> Vec<u8> {
    let body = [&[3, 3][..], &[9; 32], &[0], &suite.to_be_bytes(), &[0]].concat();
    record(HANDSHAKE, &[&[SERVER_HELLO, 0, 0, body.len() as u8][..], &body].concat())
}

#[test]
fn beginnings() {
    assert_eq!(begins(&client_hello()), Some(true));
    assert_eq!(begins(&client_hello()[..4]), None);
    assert_eq!(begins(b"INVITE sip:"), Some(false));
    assert_eq!(begins(&[0x16, 3, 1, 0, 5, 9, 0]), Some(false));
}

#[test]
fn a_hello_cut_anywhere_and_what_is_missing() {
    let (hello, log) = (client_hello(), KeyLog::default());
    for cut in 0..hello.len() {
        assert_eq!(Session::default().record(0, &hello[..cut], &log), Step::NeedMore);
    }
    let mut s = Session::default();
    assert_eq!(s.record(0, &hello, &log), Step::Record(hello.len(), Vec::new()));
    assert_eq!(s.random(), Some(&[7; 32]));
    let data = record(APPLICATION, &[0; 40]);
    assert_eq!(s.record(0, &data, &log), Step::Waits, "the server's hello may come");
    assert_eq!(s.record(1, &server_hello(0x0005), &log), Step::Refused(Refusal::Suite));
    let answer = server_hello(0xc02f);
    assert_eq!(s.record(1, &answer, &log), Step::Record(answer.len(), Vec::new()));
    assert_eq!(s.record(0, &data, &log), Step::Refused(Refusal::Record), "no keys were agreed on");
    let change = record(CHANGE_CIPHER_SPEC, &[1]);
    assert_eq!(s.record(0, &change, &log), Step::Record(6, Vec::new()));
    assert_eq!(s.record(0, &data, &log), Step::Refused(Refusal::NoKeys));
    let mut grows = KeyLog::default();
    grows.grows = true;
    assert_eq!(s.record(0, &data, &grows), Step::Waits);
    let mut wrong = KeyLog::default();
    wrong.add(format!("CLIENT_RANDOM {} {}", "07".repeat(32), "00".repeat(48)).as_bytes());
    assert_eq!(s.record(0, &data, &wrong), Step::Refused(Refusal::Tag));
    assert_eq!(s.record(0, &record(99, &[]), &log), Step::Refused(Refusal::Record));
}
