//! What the follower counts, as it is published.

use lc_engine::follow::Follower;
use lc_proto::rtcp::Damage;
use lc_proto::tls;
use lc_wire::Refusal;

use crate::shared::Follow;

/// As of this batch; `missed` frames were let go before their call was selected.
pub fn follow(f: &Follower, missed: u64) -> Follow {
    let (ends, flows) = f.calls.media.sizes();
    let media = f.calls.media.evicted;
    let tcp = f.connections.evicted;
    let mut refusals: Vec<(&str, &str, u64)> = Refusal::ALL
        .iter()
        .filter(|r| **r != Refusal::NotIp)
        .map(|r| (r.labels().0, r.labels().1, f.refused[*r as usize]))
        .collect();
    refusals
        .extend(["size", "too_many", "truncated"].iter().zip(f.fragments_refused).map(|(r, n)| ("fragment", *r, n)));
    refusals.extend(f.calls.stats.refused.iter().map(|(r, n)| ("sip", *r, *n)));
    refusals.extend(Damage::ALL.iter().zip(f.calls.stats.rtcp_damaged).map(|(r, n)| ("rtcp", r.as_str(), n)));
    refusals.extend(tls::Refusal::ALL.iter().zip(f.connections.secrets.refused).map(|(r, n)| ("tls", r.as_str(), n)));
    refusals.retain(|(_, _, n)| *n > 0);
    refusals.sort_unstable();
    Follow {
        calls: f.calls.stats.clone(),
        kpi: f.calls.kpi.clone(),
        tables: [f.calls.len(), ends, flows, f.connections.len(), f.datagrams.len()].map(|n| n as u64),
        streams: flows as u64,
        evictions: vec![
            ("calls", "limit", f.calls.stats.evicted[0]),
            ("calls", "idle", f.calls.stats.evicted[1]),
            ("flows", "limit", media.flows),
            ("flows", "idle", media.idle_flows),
            ("endpoints", "limit", media.endpoints),
            ("streams", "limit", media.streams),
            ("connections", "limit", tcp[0]),
            ("connections", "idle", tcp[1]),
            ("connections", "hole", tcp[2]),
            ("connections", "buffer", tcp[3]),
            ("tcp_buffers", "refused", f.connections.pool.refused),
            ("tcp_buffers", "overwritten", f.connections.pool.overwritten),
            ("datagrams", "idle", f.datagrams.evicted[0]),
            ("datagrams", "limit", f.datagrams.evicted[1]),
            ("records", "limit", f.calls.stats.records_lost),
        ],
        refusals,
        reassembly: f.connections.levels(),
        missed,
        shared: f.connections.shared,
        buffers: f.connections.pool.levels(),
        trims: f.connections.trims,
    }
}
