//! SIP (RFC 3261), read leniently: a monitor keeps going and says what was wrong.

mod framing;
mod headers;
mod message;
#[cfg(test)]
mod message_tests;
mod name_addr;
mod problems;
mod start_line;
pub(crate) mod text;
mod uri;

pub use framing::{frame, Framer, Framing, MAX_BODY, MAX_HEAD};
pub use message::{parse, Message};
pub use name_addr::NameAddr;
pub use problems::{Problem, Problems, Refusal};
pub use start_line::{starts, StartLine, MAX_METHOD};
pub(crate) use uri::host;
pub use uri::Uri;
