//! Records: what Python gets instead of packets. Names as in docs/reference/records.md.

use lc_wire::Addr;

use crate::defrag::FrameId;
use crate::reports::Source;
use crate::stream::codecs::Unrated;
use crate::stream::rating::Rating;
use crate::stream::{Stream, Type};
use crate::transactions::Transaction;

/// How a SIP message travelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A TCP connection.
    Tcp,
    /// A WebSocket, RFC 7118.
    Ws,
    /// A TLS connection, RFC 3261 §26.2.1.
    Tls,
}

impl Transport {
    /// As records spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Ws => "ws",
            Self::Tls => "tls",
        }
    }
}

/// Addresses and ports of a message or stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// Sender.
    pub src: Addr,
    /// Sender's port.
    pub sport: u16,
    /// Receiver.
    pub dst: Addr,
    /// Receiver's port.
    pub dport: u16,
}

/// One SIP message; its bytes are parsed again where it is shown.
#[derive(Clone, Debug)]
pub struct SipRecord {
    /// Capture time of the frame that completed it, ns.
    pub ts: u64,
    /// Source of that frame.
    pub source: u16,
    /// Frames that carried it, in the order they came; the last one completed it.
    pub frames: Vec<FrameId>,
    /// Where from and to.
    pub ends: Ends,
    /// How.
    pub transport: Transport,
    /// Whether the same message had come before.
    pub retransmission: bool,
    /// The message.
    pub bytes: Box<[u8]>,
}

/// A datagram of RTCP reports; its bytes are parsed again where it is shown.
#[derive(Clone, Debug)]
pub struct RtcpRecord {
    /// Capture time, ns.
    pub ts: u64,
    /// Source of its frame.
    pub source: u16,
    /// Number of its frame.
    pub frame: u64,
    /// Where from and to.
    pub ends: Ends,
    /// Its call.
    pub call_id: Box<[u8]>,
    /// The datagram.
    pub bytes: Box<[u8]>,
}

/// One RTP stream at its end.
#[derive(Clone, Debug)]
pub struct StreamRecord {
    /// Source of its first frame.
    pub source: u16,
    /// Number of its first frame.
    pub frame: u64,
    /// Where from and to.
    pub ends: Ends,
    /// Its call; none: RTP without signalling.
    pub call_id: Option<Box<[u8]>>,
    /// Payload type of most of its media.
    pub payload_type: u8,
    /// Payload types with their codecs by SDP or RFC 3551 (empty: unknown), most packets first.
    pub types: Vec<(Type, Box<str>)>,
    /// Whether SDP says that it is SRTP.
    pub srtp: bool,
    /// No SDP names its source: an address translator stands before it.
    pub latched: bool,
    /// The SSRC that it took over from.
    pub follows: Option<u32>,
    /// What RTCP said of it.
    pub rtcp: Option<Source>,
    /// Quality, or why there is no figure.
    pub rating: Result<Rating, Unrated>,
    /// Statistics.
    pub stream: Stream,
}

/// One call at its end.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// Source of its first frame.
    pub source: u16,
    /// Number of its first frame.
    pub frame: u64,
    /// Call-ID.
    pub call_id: Box<[u8]>,
    /// User part of From.
    pub from_user: Box<[u8]>,
    /// User part of To.
    pub to_user: Box<[u8]>,
    /// Addresses of its first message.
    pub ends: Ends,
    /// How that travelled.
    pub transport: Transport,
    /// Name of its trunk.
    pub trunk: Box<str>,
    /// How it stood.
    pub state: &'static str,
    /// First INVITE, first 18x, 2xx, end: capture times, ns.
    pub times: [Option<u64>; 4],
    /// INVITE (the last one after 401 or 407) to the first 18x, ns.
    pub pdd: Option<u64>,
    /// INVITE to the first response but 100, ns.
    pub srd: Option<u64>,
    /// INVITE to the 2xx, ns.
    pub setup: Option<u64>,
    /// 2xx to the BYE, ns.
    pub duration: Option<u64>,
    /// Final status of the INVITE.
    pub status: Option<u16>,
    /// Cause of Q.850.
    pub cause: Option<u8>,
    /// Who sent the BYE.
    pub hung_up_by: Option<&'static str>,
    /// Whether a 401 or 407 came.
    pub challenged: bool,
    /// Dialogs, early ones too.
    pub dialogs: u16,
    /// How often one side held the other.
    pub holds: u16,
    /// Whom a REFER named; empty: nobody.
    pub transferred_to: Box<[u8]>,
    /// Call-ID of the call it replaces; empty: none.
    pub replaces: Box<[u8]>,
    /// SIP messages.
    pub messages: u32,
    /// Those of them that had come before.
    pub retransmissions: u32,
    /// Whether media went one way only, once it was answered; none where none went.
    pub one_way: Option<bool>,
    /// SSRCs of its streams.
    pub streams: Vec<u32>,
    /// Frames of the call.
    pub packets: u64,
    /// Serial of the call.
    pub call: u32,
    /// Name of its file; set by who writes it.
    pub file: Option<Box<str>>,
}

/// One transaction at its end.
#[derive(Clone, Debug)]
pub struct TransactionRecord {
    /// Call-ID.
    pub call_id: Box<[u8]>,
    /// Name of its trunk.
    pub trunk: Box<str>,
    /// All else.
    pub transaction: Transaction,
}

impl Record {
    /// Memory it takes, about; bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let more = match self {
            Self::Sip(sip) => sip.bytes.len() + sip.frames.len() * std::mem::size_of::<FrameId>(),
            Self::Rtcp(rtcp) => rtcp.bytes.len() + rtcp.call_id.len() + std::mem::size_of::<RtcpRecord>(),
            Self::Stream(stream) => {
                stream.call_id.as_ref().map_or(0, |id| id.len()) + std::mem::size_of::<StreamRecord>() + 256
            }
            Self::Call(call) => call.call_id.len() + std::mem::size_of::<CallRecord>(),
            Self::Transaction(t) => t.call_id.len() + std::mem::size_of::<TransactionRecord>(),
        };
        std::mem::size_of::<SipRecord>() + more
    }
}

/// What a line tells.
#[derive(Clone, Debug)]
pub enum Record {
    /// A SIP message.
    Sip(Box<SipRecord>),
    /// Reports of RTCP, where they are asked for.
    Rtcp(Box<RtcpRecord>),
    /// A stream's end.
    Stream(Box<StreamRecord>),
    /// A call's end.
    Call(Box<CallRecord>),
    /// A transaction's end.
    Transaction(Box<TransactionRecord>),
}
