//! The line: decoder, defragmenter, reassembler and follower, over a file and over a pipe.

use lc_engine::defrag::MAX_DATAGRAMS;
use lc_engine::follow::Follower;
use lc_engine::frames::FrameNo;
use lc_engine::hold::Hold;
use lc_engine::select::{Selection, VOIP};
use lc_engine::tcp::MAX_BYTES;
use lc_engine::verdict::{Decided, Marks, Verdicts};
use lc_proto::users::Patterns;
use lc_wire::{LinkType, Packet};

use crate::script::{self, Frame};

/// Calls that the table may hold here.
const CALLS: usize = 4;

/// Counts what is decided: the steps of the line's work.
struct Counted<V> {
    inner: V,
    steps: u64,
}

impl<V: Verdicts> Verdicts for Counted<V> {
    fn select(&mut self, frame: FrameNo) {
        self.steps += 1;
        self.inner.select(frame);
    }
    fn hold(&mut self, frame: FrameNo) {
        self.steps += 1;
        self.inner.hold(frame);
    }
    fn release(&mut self, frame: FrameNo) {
        self.steps += 1;
        self.inner.release(frame);
    }
    fn block(&mut self, frame: FrameNo) {
        self.steps += 1;
        self.inner.block(frame);
    }
    fn unblock(&mut self, frame: FrameNo) {
        self.steps += 1;
        self.inner.unblock(frame);
    }
    fn horizon(&self) -> u64 {
        self.inner.horizon()
    }
    fn missed(&mut self, n: u64) {
        self.inner.missed(n);
    }
}

fn selection() -> Selection {
    Selection::new(Some(Patterns::compile(&["alice"]).unwrap()), [], VOIP)
}

fn packet(n: usize, f: &Frame) -> Packet<'_> {
    Packet { ts: f.0, number: n as u64 + 1, orig_len: f.2.len() as u32, source: 0, link: f.1, data: &f.2 }
}

/// Every table at or under its limit.
fn bounded(f: &Follower) {
    assert!(f.calls.len() <= CALLS, "{} calls", f.calls.len());
    assert!(f.datagrams.len() <= MAX_DATAGRAMS);
    assert!(f.connections.levels().2 <= MAX_BYTES as u64);
}

/// Both passes over a file; gives which frames are kept and how many records were told.
fn file(frames: &[Frame]) -> (Vec<bool>, usize) {
    let mut f = Follower::new(selection(), false, None);
    f.calls = f.calls.limited(CALLS);
    let mut v = Counted { inner: Marks::default(), steps: 0 };
    let mut bytes = 0;
    for (n, frame) in frames.iter().enumerate() {
        bytes += frame.2.len() as u64;
        f.frame(&mut v, &packet(n, frame), n as u64);
        bounded(&f);
    }
    f.finish(&mut v);
    assert!(v.steps <= 64 * (frames.len() as u64 + bytes) + 64, "{} steps for {bytes} bytes", v.steps);
    let (selection, chosen) = f.calls.into_chosen();
    let mut teller = Follower::new(selection, true, Some(chosen));
    let mut told = 0;
    for (n, frame) in frames.iter().enumerate() {
        teller.frame(&mut Decided, &packet(n, frame), n as u64);
        told += teller.take_records().len();
    }
    teller.finish(&mut Decided);
    told += teller.take_records().len();
    ((0..frames.len()).map(|n| v.inner.0.get(n as u64)).collect(), told)
}

/// One pass over a pipe with little room: after every frame `in = selected + filtered + held`.
fn pipe(frames: &[Frame], time: u64, bytes: usize) -> Vec<u64> {
    let mut f = Follower::new(selection(), true, None);
    f.calls = f.calls.limited(CALLS);
    let mut hold = Hold::new(time, bytes);
    let (mut out, mut filtered) = (Vec::new(), 0);
    for (n, frame) in frames.iter().enumerate() {
        let p = packet(n, frame);
        hold.begin(n as u64);
        f.frame(&mut hold, &p, n as u64);
        hold.end(&p, |p, _| out.push(p.number));
        filtered += hold.take_filtered().count();
        assert_eq!(n + 1, out.len() + filtered + hold.len(), "accounting after frame {n}");
        assert_eq!(hold.len() as u64, hold.held_of(0));
        f.take_records();
        bounded(&f);
    }
    f.finish(&mut hold);
    hold.finish(|p, _| out.push(p.number));
    filtered += hold.take_filtered().count();
    assert_eq!((frames.len(), hold.len()), (out.len() + filtered, 0));
    let mut once = out.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), out.len(), "a frame went out twice");
    out
}

/// Structured frames as a file: the same input gives the same output.
pub fn follow(data: &[u8]) {
    let frames = script::frames(data);
    assert_eq!(file(&frames), file(&frames));
}

/// Bare Ethernet frames, each with its length before it, as a file and as a pipe.
pub fn follow_raw(data: &[u8]) {
    let (mut rest, mut frames, mut now) = (data, Vec::new(), 0u64);
    while let [low, high, more @ ..] = rest {
        let n = usize::from(u16::from_le_bytes([*low, *high]) & 0x7ff).min(more.len());
        now = now.wrapping_add(u64::from(*high >> 3) << 28);
        frames.push((now, LinkType::ETHERNET, more[..n].to_vec()));
        rest = &more[n..];
        if frames.len() == script::MAX_FRAMES {
            break;
        }
    }
    file(&frames);
    pipe(&frames, 1_000_000_000, 4096);
}

/// Structured frames as a pipe; the first byte says how long and how much is held.
pub fn hold(data: &[u8]) {
    let Some((limits, rest)) = data.split_first() else { return };
    let frames = script::frames(rest);
    let time = 1_000_000 << (limits & 15);
    let bytes = 512 << (limits >> 4 & 7);
    assert_eq!(pipe(&frames, time, bytes), pipe(&frames, time, bytes));
}
