//! What the fuzz targets do with their bytes. Every function must end, without a panic, whatever they are; what holds
//! for any input is asserted.
#![forbid(unsafe_code)]

pub mod framing;
pub mod line;
pub mod parsers;
pub mod readers;
pub mod script;
