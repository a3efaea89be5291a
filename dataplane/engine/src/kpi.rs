//! Counting: RFC 6076, E.411, E.425 and what else a trunk is judged by. One attempt a Call-ID; retransmissions,
//! retries with credentials and re-INVITEs are none.

use std::fmt::Debug;

/// Final statuses of an INVITE that have a counter: registered ones (RFC 3261 §21 and IANA's registry). Another one
/// counts as the x00 of its class (RFC 3261 §8.1.3.2).
pub const CODES: [u16; 71] = [
    200, 202, 204, 300, 301, 302, 305, 380, 400, 401, 402, 403, 404, 405, 406, 407, 408, 410, 412, 413, 414, 415, 416,
    417, 420, 421, 422, 423, 424, 425, 428, 429, 430, 433, 436, 437, 438, 439, 440, 469, 470, 480, 481, 482, 483, 484,
    485, 486, 487, 488, 489, 491, 493, 494, 500, 501, 502, 503, 504, 505, 513, 555, 580, 600, 603, 604, 606, 607, 608,
    697, 699,
];

/// Upper bounds of a histogram; the unit is the metric's.
pub type Bounds = &'static [f64];

/// Seconds until somebody answers a request.
pub const DELAY: Bounds =
    &[0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 16.0, 32.0];
/// Seconds that people talk.
pub const TALK: Bounds = &[1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0];
/// Mean opinion scores (ITU-T G.107: 4.4 is the most that narrowband reaches).
pub const MOS: Bounds = &[1.5, 2.0, 2.5, 2.8, 3.0, 3.1, 3.3, 3.6, 3.8, 4.0, 4.1, 4.2, 4.3, 4.4, 4.5];
/// Seconds of jitter.
pub const JITTER: Bounds = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5];

/// How often a value was at most each bound.
#[derive(Clone, PartialEq, Debug)]
pub struct Histogram {
    /// Upper bounds.
    pub bounds: Bounds,
    counts: [u64; 20],
    /// Sum of the values.
    pub sum: f64,
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        debug_assert!(bounds.len() < 20);
        Self { bounds, counts: [0; 20], sum: 0.0 }
    }

    /// One more value.
    pub fn observe(&mut self, value: f64) {
        let at = self.bounds.iter().position(|b| value <= *b).unwrap_or(self.bounds.len());
        self.counts[at] += 1;
        self.sum += value;
    }

    /// One more time, ns.
    #[allow(clippy::cast_precision_loss)] // far below 2^52 ns
    pub fn observe_ns(&mut self, ns: u64) {
        self.observe(ns as f64 / 1e9);
    }

    /// (upper bound, values at most so large), then how many there are.
    #[must_use]
    pub fn cumulative(&self) -> (Vec<(f64, u64)>, u64) {
        let mut n = 0;
        let below = self.bounds.iter().zip(self.counts).map(|(b, c)| {
            n += c;
            (*b, n)
        });
        (below.collect(), self.counts.iter().sum())
    }
}

/// What is counted of one trunk.
#[derive(Clone, PartialEq, Debug)]
pub struct Trunk {
    /// INVITEs that begin a call.
    pub attempts: u64,
    /// Final statuses of attempts, in the order of [`CODES`]; the last try's where there were several.
    pub results: [u64; CODES.len()],
    /// Calls that were answered and hung up.
    pub completed: u64,
    /// Calls that have not ended.
    pub active: u64,
    /// Most of them at once.
    pub peak: u64,
    /// REGISTERs that do not answer a challenge.
    pub registering: u64,
    /// Those of them that got a 2xx, and that failed (RFC 6076 §4.2).
    pub registered: [u64; 2],
    /// Session request delay: of answered, of failed attempts.
    pub srd: [Histogram; 2],
    /// Post-dial delay.
    pub pdd: Histogram,
    /// INVITE to 2xx.
    pub setup: Histogram,
    /// Session disconnect delay.
    pub sdd: Histogram,
    /// Session duration.
    pub sdt: Histogram,
    /// Registration request delay.
    pub rrd: Histogram,
    /// MOS of streams.
    pub mos: Histogram,
    /// Jitter of streams.
    pub jitter: Histogram,
}

impl Default for Trunk {
    fn default() -> Self {
        let delay = || Histogram::new(DELAY);
        Self {
            attempts: 0,
            results: [0; CODES.len()],
            completed: 0,
            active: 0,
            peak: 0,
            registering: 0,
            registered: [0; 2],
            srd: [delay(), delay()],
            pdd: delay(),
            setup: delay(),
            sdd: delay(),
            sdt: Histogram::new(TALK),
            rrd: delay(),
            mos: Histogram::new(MOS),
            jitter: Histogram::new(JITTER),
        }
    }
}

/// A ratio of counters: numerator and denominator.
pub type Ratio = (u64, u64);

impl Trunk {
    /// A final status of an attempt.
    pub fn result(&mut self, status: u16) {
        let place = |code| CODES.binary_search(&code).ok();
        if let Some(at) = place(status).or_else(|| place(status / 100 * 100)) {
            self.results[at] += 1;
        }
    }

    /// A call begins or ends.
    pub fn moved(&mut self, was: bool, is: bool) {
        match (was, is) {
            (false, true) => {
                self.active += 1;
                self.peak = self.peak.max(self.active);
            }
            (true, false) => self.active = self.active.saturating_sub(1),
            _ => {}
        }
    }

    /// How many attempts ended with a status that is asked for.
    fn of(&self, wanted: impl Fn(u16) -> bool) -> u64 {
        CODES.iter().zip(self.results).filter(|(code, _)| wanted(**code)).map(|(_, n)| n).sum()
    }

    /// Names and ratios: RFC 6076 §4.2, 4.6 to 4.9; ASR of E.411; NER of E.425, and as 1 − ISA.
    #[must_use]
    pub fn ratios(&self) -> [(&'static str, Ratio); 8] {
        let answered = self.of(|c| c < 300);
        let redirected = self.of(|c| (300..400).contains(&c));
        let unavailable = self.of(|c| matches!(c, 408 | 500 | 503 | 504));
        let by_user = self.of(|c| matches!(c, 480 | 486 | 600 | 603));
        let given_up = self.of(|c| c == 487);
        let sessions = self.attempts.saturating_sub(redirected);
        [
            ("ser", (answered, sessions)),
            ("seer", (answered + by_user, sessions)),
            ("isa", (unavailable, self.attempts)),
            ("scr", (self.completed, self.attempts)),
            ("asr", (answered, self.attempts)),
            ("ner", (answered + by_user + given_up, self.attempts)),
            ("ner_isa", (self.attempts.saturating_sub(unavailable), self.attempts)),
            ("ira", (self.registered[1], self.registering)),
        ]
    }
}

/// Methods of transactions that have counters of their own; the last one stands for all others.
pub const METHODS: [&str; 9] =
    ["REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "INFO", "REFER", "other"];

/// Codecs that have counters of their own; the last one stands for all others.
pub const CODECS: [&str; 20] = [
    "PCMU", "PCMA", "G722", "G729", "G723", "G728", "GSM", "ILBC", "SPEEX", "OPUS", "AMR", "AMR-WB", "EVS", "SILK",
    "L16", "H264", "VP8", "H265", "T38", "other",
];

fn place<const N: usize>(names: [&str; N], name: &[u8]) -> usize {
    names.iter().position(|n| name.eq_ignore_ascii_case(n.as_bytes())).unwrap_or(N - 1)
}

/// All that is counted of calls, transactions and streams. Its size does not depend on the traffic.
#[derive(Clone, PartialEq, Debug)]
pub struct Kpi {
    /// By trunk; the last one is for everything else.
    pub trunks: Vec<Trunk>,
    /// Transactions by [`METHODS`] and outcome.
    pub transactions: [[u64; 5]; METHODS.len()],
    /// Their time to the final response.
    pub responses: [Histogram; METHODS.len()],
    /// Calls by the cause of Q.850 that a Reason header gave.
    pub causes: [u64; 128],
    /// Calls hung up by the caller, the callee, nobody knows whom.
    pub hung_up: [u64; 3],
    /// Streams by [`CODECS`].
    pub streams: [u64; CODECS.len()],
    /// Answered calls by [`CODECS`] of their streams.
    pub calls: [u64; CODECS.len()],
}

impl Kpi {
    /// For so many trunks and one for everything else.
    #[must_use]
    pub fn new(trunks: usize) -> Self {
        Self {
            trunks: vec![Trunk::default(); trunks + 1],
            transactions: [[0; 5]; METHODS.len()],
            responses: std::array::from_fn(|_| Histogram::new(DELAY)),
            causes: [0; 128],
            hung_up: [0; 3],
            streams: [0; CODECS.len()],
            calls: [0; CODECS.len()],
        }
    }

    /// A trunk's counters.
    pub fn trunk(&mut self, trunk: u8) -> &mut Trunk {
        let last = self.trunks.len() - 1;
        &mut self.trunks[usize::from(trunk).min(last)]
    }

    /// A transaction's outcome is known.
    pub fn transaction(&mut self, method: &[u8], outcome: usize, response: Option<u64>) {
        let at = place(METHODS, method);
        self.transactions[at][outcome] += 1;
        if let Some(ns) = response {
            self.responses[at].observe_ns(ns);
        }
    }

    /// Takes over what another pass counted of streams.
    pub fn take_media(&mut self, other: &Self) {
        (self.streams, self.calls) = (other.streams, other.calls);
        for (to, from) in self.trunks.iter_mut().zip(&other.trunks) {
            (to.mos, to.jitter) = (from.mos.clone(), from.jitter.clone());
        }
    }

    /// Calls that have not ended.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.trunks.iter().map(|t| t.active).sum()
    }

    /// Place of a codec in [`CODECS`].
    #[must_use]
    pub fn codec(name: &str) -> usize {
        place(CODECS, name.as_bytes())
    }
}

impl Default for Kpi {
    fn default() -> Self {
        Self::new(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `facts`: 2000 INVITEs ended as 1729 × 200, 70 × 486, 68 × 487, 61 × 404, 72 × 503.
    #[test]
    fn ratios_of_the_worked_example() {
        let mut trunk = Trunk { attempts: 2000, completed: 1729, ..Trunk::default() };
        for (status, n) in [(200, 1729), (486, 70), (487, 68), (404, 61), (503, 72)] {
            (0..n).for_each(|_| trunk.result(status));
        }
        let percent = |name| {
            let (_, (n, of)) = trunk.ratios().into_iter().find(|r| r.0 == name).unwrap();
            format!("{:.2}", n as f64 * 100.0 / of as f64)
        };
        let found = ["ser", "seer", "isa", "scr", "asr", "ner", "ner_isa"].map(percent);
        assert_eq!(found, ["86.45", "89.95", "3.60", "86.45", "86.45", "93.35", "96.40"]);
        assert_eq!(trunk.ratios()[7], ("ira", (0, 0)));
    }

    #[test]
    fn redirections_are_no_sessions_and_unknown_codes_count_by_their_class() {
        let mut trunk = Trunk { attempts: 10, ..Trunk::default() };
        [302, 399, 299, 200, 499, 699].into_iter().for_each(|s| trunk.result(s));
        assert_eq!(trunk.ratios()[0], ("ser", (2, 8)));
        assert!(CODES.is_sorted());
        let of = |code| trunk.results[CODES.binary_search(&code).unwrap()];
        assert_eq!([200, 300, 302, 400, 699].map(of), [2, 1, 1, 1, 1]);
    }

    #[test]
    fn a_histogram_counts_what_is_at_most_its_bound() {
        let mut h = Histogram::new(&[1.0, 2.0]);
        [0.5, 1.0, 1.5, 9.0].into_iter().for_each(|v| h.observe(v));
        assert_eq!(h.cumulative(), (vec![(1.0, 2), (2.0, 3)], 4));
        assert!((h.sum - 12.0).abs() < 1e-9);
    }

    #[test]
    fn calls_at_once() {
        let mut t = Trunk::default();
        [(false, true), (false, true), (true, false), (true, true), (false, true)]
            .into_iter()
            .for_each(|(a, b)| t.moved(a, b));
        assert_eq!((t.active, t.peak), (2, 2));
    }
}
