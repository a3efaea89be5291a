//! R factor and MOS of a stream: as a whole, and of its intervals.

use super::codecs::{impairment, Mode, Unrated};
use super::intervals::INTERVAL;
use super::quality::{mos, r_factor, Seen};
use super::{Measure, Stream};

/// What is known of a stream's codec when it is rated.
#[derive(Clone, Copy, Debug)]
pub struct Rated<'a> {
    /// Encoding name; empty when nobody says.
    pub codec: &'a str,
    /// `annexb=no` (G.729).
    pub no_annexb: bool,
    /// Whether it is SRTP.
    pub srtp: bool,
    /// Round trip as RTCP tells it, ms.
    pub round_trip: Option<f64>,
}

/// Figures of a stream's quality.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rating {
    /// R factor.
    pub r: f64,
    /// MOS.
    pub mos: f64,
    /// Lowest and mean MOS of its intervals.
    pub intervals: Option<(f64, f64)>,
    /// One-way delay that went in, ms; none when no RTCP told it.
    pub delay: Option<f64>,
}

impl Stream {
    /// Share of packets lost or too late for the jitter buffer, 0 to 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn loss(&self) -> f64 {
        let lost = self.gaps().losses + u64::from(self.more.late);
        (lost as f64 / self.expected().max(1) as f64).min(1.0)
    }

    /// R factor and MOS.
    ///
    /// # Errors
    /// Why there are none.
    pub fn rate_quality(&self, of: Rated<'_>, measure: Measure) -> Result<Rating, Unrated> {
        let mode = Mode { plc: measure.plc, no_annexb: of.no_annexb, sizes: self.more.sizes, srtp: of.srtp };
        let codec = impairment(of.codec, mode)?;
        let wait = f64::from(measure.buffer) * 1000.0 + self.ptime_ms().unwrap_or(0.0);
        let delay = of.round_trip.map(|rtt| rtt / 2.0 + wait);
        let loss = self.loss();
        let seen = |loss: f64| Seen { loss: loss * 100.0, burst_ratio: self.gaps().burst_ratio(loss), delay };
        let r = r_factor(codec, seen(loss)).ok_or(Unrated::NoLossFigure)?;
        let parts: Vec<f64> =
            self.interval_losses().into_iter().filter_map(|l| r_factor(codec, seen(l)).map(mos)).collect();
        let mean = parts.iter().sum::<f64>() / f64::from(u32::try_from(parts.len().max(1)).unwrap_or(1));
        let lowest = parts.iter().copied().reduce(f64::min);
        Ok(Rating { r, mos: mos(r), intervals: lowest.map(|low| (low, mean)), delay })
    }

    fn interval_losses(&self) -> Vec<f64> {
        let rest = self.end.saturating_sub(self.boundary.saturating_sub(INTERVAL));
        match &self.more.intervals {
            None => vec![self.loss()],
            Some(i) => i.losses((2 * rest >= INTERVAL).then(|| self.counters())),
        }
    }
}
