//! Runs of losses: their mean length, and bursts and gaps as RFC 3611 §4.7.2 tells them apart.

/// Packets that must come between two losses of different bursts (RFC 3611 §4.7.2, Gmin).
pub const GMIN: u32 = 16;

/// Losses of a stream, in runs and in bursts.
#[derive(Clone, Debug, Default)]
pub struct Gaps {
    /// Numbers that never came.
    pub losses: u64,
    /// Runs of consecutive ones.
    pub runs: u64,
    /// Bursts: sections between losses nearer than [`GMIN`], with two losses at least.
    pub bursts: u64,
    /// Numbers in bursts.
    pub burst_packets: u64,
    /// Losses in bursts.
    pub burst_losses: u64,
    /// Numbers outside of bursts; known after [`Gaps::apart`].
    pub gap_packets: u64,
    /// First and last loss of the section that runs, and its losses.
    section: Option<(u32, u32, u64)>,
    total: u64,
}

impl Gaps {
    /// `n` numbers from `first` on are lost; in rising order.
    pub fn lost(&mut self, first: u32, n: u32) {
        let last = first.wrapping_add(n - 1);
        self.losses += u64::from(n);
        self.section = match self.section {
            Some((from, to, losses)) if first.wrapping_sub(to) <= GMIN => {
                self.runs += u64::from(first.wrapping_sub(to) > 1);
                Some((from, last, losses + u64::from(n)))
            }
            _ => {
                self.runs += 1;
                self.end_section();
                Some((first, last, u64::from(n)))
            }
        };
    }

    /// A sequence of `span` numbers ended: no run goes on.
    pub fn apart(&mut self, span: u32) {
        self.end_section();
        self.total += u64::from(span);
        self.gap_packets = self.total.saturating_sub(self.burst_packets);
    }

    fn end_section(&mut self) {
        if let Some((from, to, losses)) = self.section.take().filter(|s| s.2 > 1) {
            self.bursts += 1;
            self.burst_packets += u64::from(to.wrapping_sub(from)) + 1;
            self.burst_losses += losses;
        }
    }

    /// Mean length of a run of losses; none without one.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // packets of a stream: below 2^52
    pub fn mean_run(&self) -> Option<f64> {
        (self.runs > 0).then(|| self.losses as f64 / self.runs as f64)
    }

    /// BurstR for a share of losses: mean run times what came (G.107 §3.5), at least 1: independent losses.
    #[must_use]
    pub fn burst_ratio(&self, loss: f64) -> f64 {
        self.mean_run().map_or(1.0, |mean| (mean * (1.0 - loss)).max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_bursts() {
        let mut g = Gaps::default();
        for n in [10, 11, 12, 20, 100, 200, 216, 217] {
            g.lost(n, 1);
        }
        g.apart(300);
        // 10-12 with 20 is a burst of 11 with 4 losses, 200 to 217 one of 18 with 3; 100 stands alone
        assert_eq!((g.losses, g.runs), (8, 5));
        assert_eq!((g.bursts, g.burst_packets, g.burst_losses, g.gap_packets), (2, 29, 7, 271));
        assert!((g.mean_run().unwrap() - 1.6).abs() < 1e-12);
    }

    #[test]
    fn burst_ratio_is_one_for_independent_losses() {
        let mut g = Gaps::default();
        assert!((g.burst_ratio(0.0) - 1.0).abs() < 1e-12);
        [1, 40, 80].into_iter().for_each(|n| g.lost(n, 1));
        assert!((g.burst_ratio(0.05) - 1.0).abs() < 1e-12, "0.95 by the formula");
        g.lost(200, 5);
        assert!((g.burst_ratio(0.1) - 1.8).abs() < 1e-12); // 8 losses in 4 runs
    }
}
