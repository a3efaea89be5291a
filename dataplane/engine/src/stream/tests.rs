use super::codecs::Unrated;
use super::quality::mos;
use super::rating::Rated;
use super::*;

const MS: u64 = 1_000_000;
const PCMU: Clock = Clock { rate: 8000, carries: Carries::Media };
const DTMF: Clock = Clock { rate: 8000, carries: Carries::Events };
const CN: Clock = Clock { rate: 8000, carries: Carries::Noise };

fn at(ms: u64, sequence: u16, timestamp: u32) -> Arrival {
    Arrival {
        ts: 1_000_000_000_000 + ms * MS,
        sequence,
        timestamp,
        payload_type: 0,
        marker: false,
        bytes: 172,
        payload: 160,
        first: Some([0; 4]),
    }
}

fn stream(packets: &[(Arrival, Clock)]) -> Stream {
    let mut s = Stream::new(1, packets[0].0, (0, 1));
    for (a, clock) in packets {
        if s.asks(a.payload_type, 1) {
            s.learn(a.payload_type, 1, *clock);
        }
        s.arrive(*a, Measure::default());
    }
    s
}

/// Packets 20 ms apart but those that `lost` names.
fn talk(n: u32, lost: impl Fn(u32) -> bool) -> Vec<(Arrival, Clock)> {
    let all = (0..n).filter(|i| !lost(*i));
    all.map(|i| (at(u64::from(i) * 20, i as u16, i * 160), PCMU)).collect()
}

const RATED: Rated<'_> = Rated { codec: "PCMU", no_annexb: false, srtp: false, round_trip: None };

#[test]
fn two_cache_lines_and_a_small_rest() {
    assert!(std::mem::size_of::<Stream>() <= 128, "{}", std::mem::size_of::<Stream>());
    assert!(std::mem::size_of::<More>() <= 176, "{}", std::mem::size_of::<More>());
}

#[test]
fn loss_over_a_wrap_and_with_a_duplicate() {
    let nine: Vec<_> =
        [65530, 65531, 65532, 65533, 65534, 65535, 0, 1, 3].map(|q| (at(u64::from(q), q, 0), PCMU)).to_vec();
    let s = stream(&nine);
    assert_eq!((s.expected(), s.lost(), s.unique_lost(), s.wraps_and_restarts()), (10, 1, 1, (1, 0)));
    // the fraction of RFC 3550 A.3
    assert_eq!((s.lost() << 8) / s.expected() as i64, 25);
    let mut ten = nine;
    ten.push((at(9, 3, 0), PCMU));
    let s = stream(&ten);
    assert_eq!((s.lost(), s.unique_lost(), s.duplicates_and_reordered()), (0, 1, (1, 0)));
}

#[test]
fn events_and_noise_are_no_jitter() {
    let mut packets = talk(20, |_| false);
    let event =
        |ms, sequence, first| (Arrival { payload_type: 101, first: Some(first), ..at(ms, sequence, 3200) }, DTMF);
    packets.extend([event(400, 20, [5, 10, 0, 160]), event(500, 21, [5, 0x8a, 1, 64])]);
    packets.push((Arrival { payload_type: 13, ..at(700, 22, 5600) }, CN));
    packets.push((at(800, 23, 6400), PCMU));
    let s = stream(&packets);
    assert_eq!((s.more.events, s.more.noise, s.digits().len()), (2, 1, 1));
    assert!(s.jitter_ms().unwrap()[2] < 1e-9);
    assert_eq!((s.ptime_ms(), s.payload_type(), s.more.type_changes), (Some(20.0), 0, 0));
    let types: Vec<_> = s.types().iter().map(|t| (t.payload_type, t.packets)).collect();
    assert_eq!(types, [(0, 21), (101, 2), (13, 1)]);
}

#[test]
fn another_payload_type_is_told() {
    let mut packets = talk(10, |_| false);
    packets.extend((10..40).map(|i| (Arrival { payload_type: 8, ..at(i * 20, i as u16, i as u32 * 160) }, PCMU)));
    let s = stream(&packets);
    assert_eq!((s.more.type_changes, s.payload_type()), (1, 8));
}

#[test]
fn jitter_needs_a_clock() {
    let unknown = Clock { rate: 0, carries: Carries::Media };
    let packets: Vec<_> = talk(10, |_| false).into_iter().map(|(a, _)| (a, unknown)).collect();
    let s = stream(&packets);
    assert_eq!((s.jitter_ms(), s.ptime_ms(), s.packets), (None, None, 10));
}

#[test]
fn five_percent_of_loss() {
    let s = stream(&talk(1000, |i| i % 20 == 7));
    let rating = s.rate_quality(RATED, Measure::default()).unwrap();
    assert!((s.loss() - 0.05).abs() < 1e-12);
    assert!((rating.r - 77.419).abs() < 5e-4 && (rating.mos - 3.923).abs() < 5e-4, "{rating:?}");
    assert_eq!(rating.delay, None);
}

#[test]
fn late_packets_are_losses() {
    let mut packets = talk(1000, |_| false);
    for n in (7..1000).step_by(20) {
        packets[n].0.ts += 70 * MS;
    }
    packets.sort_by_key(|p| p.0.ts);
    let s = stream(&packets);
    assert_eq!((s.lost(), s.more.late), (0, 50));
    let rating = s.rate_quality(RATED, Measure::default()).unwrap();
    assert!((rating.mos - 3.923).abs() < 5e-4, "{rating:?}");
    let deep = Measure { buffer: 0.1, plc: true };
    let mut s = Stream::new(1, packets[0].0, (0, 1));
    s.learn(0, 1, PCMU);
    packets.iter().for_each(|(a, _)| s.arrive(*a, deep));
    assert_eq!(s.more.late, 0);
}

#[test]
fn one_bad_interval() {
    // 50 s of it, a tenth lost between 20 and 30 s
    let s = stream(&talk(2500, |i| (1000..1500).contains(&i) && i % 10 == 3));
    let rating = s.rate_quality(RATED, Measure::default()).unwrap();
    let (low, mean) = rating.intervals.unwrap();
    let bad = mos(93.2 - 95.0 * 10.0 / (10.0 + 25.1));
    assert!((low - bad).abs() < 0.02, "{low} is not {bad}");
    let want = (4.0 * mos(93.2) + bad) / 5.0;
    assert!((mean - want).abs() < 0.02, "{mean} is not {want}");
}

#[test]
fn delay_by_rtcp_and_codecs_without_figures() {
    let s = stream(&talk(100, |_| false));
    // 440 / 2 + 60 + 20 = 300 ms
    let rating = s.rate_quality(Rated { round_trip: Some(440.0), ..RATED }, Measure::default()).unwrap();
    assert!((rating.r - (93.2 - 14.761)).abs() < 5e-3 && (rating.delay.unwrap() - 300.0).abs() < 1e-3, "{rating:?}");
    let unrated = |codec| s.rate_quality(Rated { codec, ..RATED }, Measure::default()).unwrap_err();
    assert_eq!([unrated(""), unrated("opus")], [Unrated::UnknownCodec, Unrated::Wideband]);
}

#[test]
fn a_slow_clock_is_seen() {
    // 100 ppm slow: 20.002 ms a packet
    let packets = (0..6000u32).map(|i| {
        let a = at(0, i as u16, i * 160);
        (Arrival { ts: a.ts + u64::from(i) * 20_002_000, ..a }, PCMU)
    });
    let s = stream(&packets.collect::<Vec<_>>());
    let ppm = s.skew_ppm().unwrap();
    assert!((ppm + 100.0).abs() < 2.0, "{ppm}");
    assert_eq!(s.more.late, 0);
}
