//! Protocols above UDP and TCP: SIP, SDP, RTP, RTCP, WebSocket, HEP; and whose a SIP message is.
//!
//! Every parser takes bytes and gives slices of them. Nothing here keeps state between messages. What is wrong but
//! readable is a [`sip::Problem`] beside the message; what cannot be read is a refusal with its reason.
#![forbid(unsafe_code)]

pub mod hep;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod sip;
pub mod tls;
pub mod users;
pub mod websocket;
