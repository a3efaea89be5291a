//! Following calls: fragments, streams, the call table, choosing.
//!
//! [`follow::Follower`] takes frames in order and says to a [`verdict::Verdicts`] which of them are wanted: at once, or
//! when a later frame decides it. All state is bounded, all timers run on packet time, nothing depends on the order of
//! a hash table: the same frames give the same decisions.
#![forbid(unsafe_code)]

pub mod bpf;
pub mod call;
pub mod calls;
pub mod clock;
pub mod codecs;
pub mod defrag;
pub mod follow;
pub mod frames;
pub mod half;
pub mod hold;
pub mod kpi;
pub mod media;
pub mod offers;
pub mod owners;
pub mod pool;
pub mod record;
pub mod reports;
pub mod select;
pub mod session;
pub mod slab;
pub mod snap;
pub mod state;
pub mod stream;
pub mod tcp;
pub mod transactions;
pub mod trunks;
pub mod verdict;
