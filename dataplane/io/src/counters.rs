//! What a sink counts: `offered = written + queued + Σ dropped`, in every snapshot.

/// Why a sink did not write a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum DropReason {
    /// The queue was full and the source does not wait (live capture).
    QueueFull,
    /// Above the rate limit, and the source does not wait.
    RateLimit,
    /// Too short for a reader of the device to see it.
    Short,
    /// No EtherType is known for the frame, so it has no place on a TAP.
    NoEthertype,
    /// No IP packet in it, so it has no place on a TUN device.
    NotIp,
    /// The interface was down.
    LinkDown,
    /// The interface was deleted.
    Gone,
    /// No space on the file system, or the quota or size limit was reached.
    NoSpace,
    /// The reader of a pipe went away.
    Closed,
    /// The format holds one link type, and this frame has another.
    LinkType,
    /// The number of files that rotation allows was reached.
    FileLimit,
    /// The end was asked for before the frame's turn.
    Stopped,
    /// Another error of the system.
    Error,
}

impl DropReason {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 13] = [
        Self::QueueFull,
        Self::RateLimit,
        Self::Short,
        Self::NoEthertype,
        Self::NotIp,
        Self::LinkDown,
        Self::Gone,
        Self::NoSpace,
        Self::Closed,
        Self::LinkType,
        Self::FileLimit,
        Self::Stopped,
        Self::Error,
    ];

    /// The name in metrics and summaries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::RateLimit => "rate_limit",
            Self::Short => "short",
            Self::NoEthertype => "no_ethertype",
            Self::NotIp => "not_ip",
            Self::LinkDown => "link_down",
            Self::Gone => "gone",
            Self::NoSpace => "no_space",
            Self::Closed => "closed",
            Self::LinkType => "link_type",
            Self::FileLimit => "file_limit",
            Self::Stopped => "stopped",
            Self::Error => "error",
        }
    }
}

/// Drops by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// Counts `n` frames.
    #[inline]
    pub fn add(&mut self, reason: DropReason, n: u64) {
        self.0[reason as usize] += n;
    }

    /// Adds another count to this one.
    pub fn merge(&mut self, other: &Self) {
        for (sum, n) in self.0.iter_mut().zip(other.0) {
            *sum += n;
        }
    }

    /// Frames dropped for one reason.
    #[must_use]
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// Frames dropped for any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        DropReason::ALL.iter().map(|&reason| (reason.as_str(), self.get(reason))).filter(|&(_, n)| n > 0)
    }
}

/// A sink's accounting at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkCounters {
    /// Frames given to the sink.
    pub offered: u64,
    /// Frames that the kernel took.
    pub written: u64,
    /// Frames on their way.
    pub queued: u64,
    /// Frames that were not written.
    pub dropped: Drops,
}

impl SinkCounters {
    /// The sums of both.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.offered += other.offered;
        self.written += other.written;
        self.queued += other.queued;
        self.dropped.merge(&other.dropped);
        self
    }

    /// Whether the equation holds.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.offered == self.written + self.queued + self.dropped.total()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_matches_the_index() {
        for (i, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
        }
    }

    #[test]
    fn only_what_occurred_is_listed() {
        let mut drops = Drops::default();
        drops.add(DropReason::NoSpace, 2);
        drops.add(DropReason::Short, 1);
        assert_eq!(drops.iter().collect::<Vec<_>>(), [("short", 1), ("no_space", 2)]);
        let counters = SinkCounters { offered: 5, written: 1, queued: 1, dropped: drops };
        assert!(counters.is_closed());
    }
}
