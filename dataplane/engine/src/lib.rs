//! Following calls: fragments, streams, the call table, choosing.
#![forbid(unsafe_code)]
