//! R factor and MOS by the E-model, narrowband (ITU-T G.107 with the codec figures of G.113 Appendix I).

/// R without any impairment but the default ones of the room (G.107 §7.6 with all defaults).
pub const R_BASE: f64 = 93.2;

/// What a codec costs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Impairment {
    /// Ie: without loss.
    pub ie: f64,
    /// Bpl: how well it stands losses; none where G.113 has no figure.
    pub bpl: Option<f64>,
}

/// Ie,eff (G.107 eq. 7-29): `loss` is Ppl in percent, what came too late included.
#[must_use]
pub fn ie_eff(ie: f64, bpl: f64, loss: f64, burst_ratio: f64) -> f64 {
    if loss <= 0.0 {
        return ie;
    }
    ie + (95.0 - ie) * loss / (loss / burst_ratio + bpl)
}

/// Idd (G.107 eq. 7-27) for an absolute one-way delay `ta` in ms.
#[must_use]
pub fn idd(ta: f64) -> f64 {
    if ta <= 100.0 {
        return 0.0;
    }
    let x = (ta / 100.0).log2();
    25.0 * ((1.0 + x.powi(6)).powf(1.0 / 6.0) - 3.0 * (1.0 + (x / 3.0).powi(6)).powf(1.0 / 6.0) + 2.0)
}

/// MOS of an R factor (G.107 Annex B), never below 1.
#[must_use]
pub fn mos(r: f64) -> f64 {
    if r <= 0.0 {
        1.0
    } else if r >= 100.0 {
        4.5
    } else {
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
    }
}

/// What was measured of a stream, or of a part of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Seen {
    /// Packets lost or too late, percent of those expected.
    pub loss: f64,
    /// BurstR.
    pub burst_ratio: f64,
    /// One-way delay in ms, where RTCP tells it.
    pub delay: Option<f64>,
}

/// R factor; none when the codec has no figure for losses and there were some.
#[must_use]
pub fn r_factor(codec: Impairment, seen: Seen) -> Option<f64> {
    let ie = match codec.bpl {
        Some(bpl) => ie_eff(codec.ie, bpl, seen.loss, seen.burst_ratio),
        None if seen.loss <= 0.0 => codec.ie,
        None => return None,
    };
    Some(R_BASE - seen.delay.map_or(0.0, idd) - ie)
}

#[cfg(test)]
mod tests {
    use super::*;

    const G711_PLC: Impairment = Impairment { ie: 0.0, bpl: Some(25.1) };

    fn near(a: f64, b: f64, digits: i32) {
        assert!((a - b).abs() <= 0.500_001 * 10f64.powi(-digits), "{a} is not {b}");
    }

    #[test]
    fn worked_numbers_of_loss() {
        near(ie_eff(0.0, 25.1, 5.0, 1.0), 15.781, 3);
        let seen = Seen { loss: 5.0, burst_ratio: 1.0, delay: None };
        let r = r_factor(G711_PLC, seen).unwrap();
        near(r, 77.419, 3);
        near(mos(r), 3.923, 3);
        let r = r_factor(G711_PLC, Seen { burst_ratio: 2.0, ..seen }).unwrap();
        near(r, 75.990, 3);
        near(mos(r), 3.864, 3);
    }

    #[test]
    fn worked_numbers_of_delay() {
        for (ta, want) in [(0.0, 0.0), (100.0, 0.0), (200.0, 3.044), (300.0, 14.761), (400.0, 24.070)] {
            near(idd(ta), want, 3);
        }
        let seen = Seen { loss: 0.0, burst_ratio: 1.0, delay: Some(300.0) };
        near(r_factor(G711_PLC, seen).unwrap(), 93.2 - 14.761, 3);
    }

    #[test]
    fn worked_numbers_of_mos() {
        for (r, want) in [(93.2, 4.409), (90.0, 4.339), (80.0, 4.024), (70.0, 3.597), (60.0, 3.100)] {
            near(mos(r), want, 3);
        }
        near(1.0 + 0.035 * 3.0 + 3.0 * (3.0 - 60.0) * (100.0 - 3.0) * 7e-6, 0.989, 3);
        assert_eq!([mos(3.0), mos(0.0), mos(-40.0), mos(100.0), mos(129.0)], [1.0, 1.0, 1.0, 4.5, 4.5]);
    }

    #[test]
    fn a_codec_without_a_figure_for_loss() {
        let codec = Impairment { ie: 11.0, bpl: None };
        let seen = |loss| Seen { loss, burst_ratio: 1.0, delay: None };
        assert_eq!((r_factor(codec, seen(0.0)), r_factor(codec, seen(0.1))), (Some(R_BASE - 11.0), None));
    }
}
