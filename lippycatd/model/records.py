"""The records of the core, by type: their fields in the order in which they are printed.

A record is a dict whose first key is `type`. Times (`ts`, `start`, …) are decimal seconds as text with nine digits,
addresses are text without brackets, IPv6 compressed (RFC 5952), `*_ms` are floats in milliseconds.
"""

from __future__ import annotations

from typing import Any, Final, Literal

Record = dict[str, Any]
Kind = Literal["packet", "voip"]

_PODS: Final = tuple(f"{end}_{what}" for end in ("src", "dst") for what in ("pod", "namespace", "node"))
_EVERY: Final = ("type", "ts", "source", "frame")
FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "packet": (*_EVERY, "src", "dst", "sport", "dport", "protocol", "length", "info"),
    "sip": (
        *_EVERY,
        *("frames", "src", "sport", "dst", "dport", "transport", "method", "request_uri", "status", "reason"),
        *("call_id", "from_user", "from_host", "from_tag", "to_user", "to_host", "to_tag", "cseq", "cseq_method"),
        *("branch", "user_agent", "content_type", "content_length", "retransmission", "problems", "sdp"),
    ),
    "stream": (
        *_EVERY,
        *("src", "sport", "dst", "dport", "ssrc", "payload_type", "codec", "call_id", "start", "end", "packets"),
        *("bytes", "expected", "lost", "unique_lost", "duplicates", "reordered", "late", "wraps", "restarts"),
        *("loss_runs", "mean_loss_run", "burst_ratio", "bursts", "burst_density", "gap_density", "jitter_ms"),
        *("max_jitter_ms", "mean_jitter_ms", "max_delta_ms", "ptime_ms", "skew_ppm", "mos", "r_factor", "min_mos"),
        *("mean_mos", "mos_reason", "delay_ms", "dtmf", "events", "dtmf_events", "comfort_noise", "markers"),
        *("payload_types", "payload_type_changes", "follows", "srtp", "latched", "after_end", "rtcp"),
        *_PODS,
    ),
    "call": (
        *_EVERY,
        *("call_id", "from_user", "to_user", "src", "sport", "dst", "dport", "transport", "trunk", "state", "start"),
        *("ring", "answer", "end", "pdd_ms", "srd_ms", "setup_ms", "duration_ms", "final", "cause", "hung_up_by"),
        *("challenged", "dialogs", "holds", "transferred_to_uri", "replaces_call_id", "messages", "retransmissions"),
        *("one_way", "streams", "packets", "file"),
        *_PODS,
    ),
    "file": ("type", "ts", "call_id", "file", "start", "end", "packets", "bytes"),
    "transaction": (
        *_EVERY,
        *("method", "call_id", "from_user", "to_user", "src", "sport", "dst", "dport", "transport", "trunk", "state"),
        *("start", "end", "response_ms", "final", "retransmissions"),
    ),
}
# Which types a line gives: plain packets, or what `sniff voip` follows.
TYPES: Final[dict[Kind, tuple[str, ...]]] = {
    "packet": ("packet",),
    "voip": ("sip", "stream", "call", "file", "transaction"),
}

# The version of the fields in files: it grows when a field changes its meaning or goes; a new field is no new version.
SCHEMA_VERSION: Final = 1
# What a file can hold: type → the name of its table, or of its part of a CSV file's name.
TABLES: Final[dict[str, str]] = {
    name: table
    for name, table in {
        "call": "calls",
        "stream": "streams",
        "transaction": "transactions",
        "sip": "messages",
    }.items()
    if name in FIELDS
}


def identifies(field: str) -> Literal["user", "uri", "call", "file"] | None:
    """What of a person or a call a field tells, by its name: a user, a URI with one, a Call-ID, a file named so."""
    if field == "call_id" or field.endswith("_call_id"):
        return "call"
    if field == "user" or field.endswith("_user"):
        return "user"
    if field == "file":
        return "file"
    return "uri" if field.endswith("_uri") else None


def columns(kind: Kind) -> tuple[str, ...]:
    """The columns of a CSV file: the fields of every type that can occur, each once."""
    return tuple(dict.fromkeys(field for name in TYPES[kind] for field in FIELDS[name]))


# What the fields mean, for the reference page; a field means the same in every record.
MEANING: Final[dict[str, str]] = {
    **{
        f"{end}_{what}": f"{said} of the {side}, where `output.pod_names` asks for it and the address is a pod's"
        for end, side in (("src", "sender"), ("dst", "receiver"))
        for what, said in (("pod", "pod"), ("namespace", "namespace"), ("node", "node"))
    },
    "type": "`packet`, `sip`, `stream`, `call`, `file`, `transaction` or `summary`",
    "ts": "time of the capture in decimal seconds since 1970, as text with nine digits, so that nothing is rounded",
    "source": "name of the input",
    "frame": "number of the frame in its source, from 1; of several frames the last one, of a stream or call the first",
    "frames": "numbers of all frames, where a message came in several",
    "src": "sender's address, without brackets, IPv6 compressed",
    "dst": "receiver's address",
    "sport": "sender's port",
    "dport": "receiver's port",
    "protocol": "the innermost protocol that was recognised",
    "length": "length of the frame on the wire, in bytes",
    "info": "the packet in tcpdump's words",
    "transport": "`udp`, `tcp`, `ws` or `tls`",
    "method": "method of a request",
    "request_uri": "Request-URI of a request",
    "status": "status code of a response",
    "reason": "reason phrase of a response",
    "call_id": "Call-ID; null for RTP without signalling",
    "from_user": "user part of From",
    "from_host": "host part of From",
    "from_tag": "tag of From",
    "to_user": "user part of To",
    "to_host": "host part of To",
    "to_tag": "tag of To",
    "cseq": "number in CSeq",
    "cseq_method": "method in CSeq",
    "branch": "branch of the topmost Via",
    "user_agent": "User-Agent",
    "content_type": "Content-Type",
    "content_length": "Content-Length as the message gives it",
    "retransmission": "whether the same message had come before",
    "problems": "what is wrong with the message, in words; an empty list for nothing",
    "sdp": "one object for each media line: `media ip port proto formats direction`",
    "ssrc": "SSRC in hexadecimal",
    "payload_type": "RTP payload type of most of the media packets",
    "codec": "codec as the receiver's SDP names it, or by the static payload types of RFC 3551; null where nobody says",
    "start": "time of a stream's first packet, of a call's first INVITE (or what was seen of it first), of a request",
    "end": "time of a stream's last packet, of a call's BYE or refusal, of a final response",
    "packets": "RTP packets of a stream; frames of a call",
    "bytes": "bytes of the RTP packets, headers included",
    "expected": "packets expected by sequence numbers (RFC 3550, A.3)",
    "lost": "expected less received (RFC 3550, A.3); a duplicate hides a loss",
    "unique_lost": "expected less different sequence numbers",
    "duplicates": "packets whose sequence number had come before",
    "reordered": "packets that came after a later one",
    "late": "packets too late for a jitter buffer of the depth `voip.jitter_buffer`; lost for the quality",
    "wraps": "turns of the 16-bit sequence number",
    "restarts": "times that the sender began another sequence with the same SSRC (RFC 3550, A.1)",
    "loss_runs": "runs of consecutive losses",
    "mean_loss_run": "their mean length, in packets; null without a loss",
    "burst_ratio": "BurstR (G.107): mean run times the share that came; 1 for independent losses",
    "bursts": "bursts: losses with fewer than 16 packets between them (RFC 3611, 4.7.2)",
    "burst_density": "losses within bursts, in percent of their packets",
    "gap_density": "losses outside of bursts, in percent of the packets there",
    "jitter_ms": "interarrival jitter at the end (RFC 3550, 6.4.1), in ms, without telephone events and comfort noise; "
    "null where the clock is not known",
    "max_jitter_ms": "the highest jitter, in ms",
    "mean_jitter_ms": "the mean jitter, in ms",
    "max_delta_ms": "the longest time between two packets, in ms",
    "ptime_ms": "media in a packet by its timestamps, in ms",
    "skew_ppm": "speed of the sender's clock against the capture's, in parts per million; null under 30 s",
    "mos": "mean opinion score, narrowband (G.107); null where it cannot be known",
    "r_factor": "R factor, narrowband (G.107); null where it cannot be known",
    "min_mos": "lowest MOS of ten seconds",
    "mean_mos": "mean MOS of the stream's parts of ten seconds",
    "mos_reason": "why there is no MOS",
    "delay_ms": "one-way delay that the R factor counts: round trip by RTCP / 2 + jitter buffer + ptime; null, and no "
    "delay counted, without RTCP",
    "dtmf": "DTMF digits, masked unless `voip.show_dtmf` is on; null in SRTP",
    "events": "packets of telephone events (RFC 4733)",
    "dtmf_events": "each digit: `digit start duration_ms ended`; `ended` when a packet with the end bit came",
    "comfort_noise": "packets of comfort noise (RFC 3389)",
    "markers": "media packets with the marker bit: talkspurts that began (RFC 3551, 4.1)",
    "payload_types": "each payload type: `payload_type codec packets`, most packets first",
    "payload_type_changes": "changes from one media payload type to another",
    "follows": "SSRC of the stream of the same endpoints that had ended before this one began",
    "srtp": "whether SDP says that it is SRTP: measured, its payload unread",
    "latched": "whether no SDP names its source (an address translator stands before it)",
    "after_end": "packets after the BYE was answered",
    "rtcp": "what RTCP said of the stream, null where nothing: `reports` of receivers, the last one's `fraction_lost` "
    "and the highest (percent), `cumulative_lost`, `remote_jitter_ms` and the highest, round trips between the capture "
    "and the receiver (`rtt_ms` the last, `min_rtt_ms`, `max_rtt_ms`), `sender_reports` and the last one's "
    "`sent_packets`, `cname`, `goodbye`, and `xr`, the VoIP metrics of RFC 3611",
    "state": "how a call stood at its end: `trying`, `ringing`, `early`, `answered`, `on_hold` where the input ended "
    "before; `transferred`, `ended`, `failed`, `cancelled` (487, or CANCEL and nothing after it), `expired` (no final "
    "answer for 300 s, no refresh and no packet for 32 s after the session's interval, or no packet for an hour). "
    "How a transaction ended: `completed` (2xx), `failed`, `challenged` (401, 407), `timeout` (no final answer for 32 "
    "s), `pending` where the input ended before",
    "ring": "time of the first 18x (of the last INVITE, where credentials made it come again)",
    "answer": "time of the first 2xx",
    "trunk": "the first of `voip.trunks` that fits, else `other`",
    "srd_ms": "session request delay (RFC 6076, 4.3): the INVITE (the last one after 401 or 407) to its first response "
    "but 100, in ms",
    "setup_ms": "the INVITE (the last one after 401 or 407) to its 2xx, in ms",
    "duration_ms": "the 2xx to the BYE, in ms",
    "cause": "cause of Q.850, where a Reason header (RFC 3326) of BYE, CANCEL or the refusal says it",
    "hung_up_by": "who sent the BYE: `caller` or `callee`",
    "challenged": "whether a 401 or 407 came",
    "dialogs": "dialogs of the call, early ones too: more than one where it forked",
    "holds": "how often one side held the other",
    "transferred_to_uri": "whom a REFER names that was accepted",
    "replaces_call_id": "Call-ID of the call that this one replaces (RFC 3891)",
    "messages": "SIP messages",
    "retransmissions": "messages that had come before",
    "response_ms": "the request to the final response, in ms",
    "pdd_ms": "post-dial delay: the INVITE (the last one after 401 or 407) to the first 18x, by their first bytes "
    "(of TCP: of their burst), ms",
    "final": "final status of the INVITE",
    "one_way": "whether media went one way only in an answered call; null where none went or it was not answered",
    "streams": "SSRCs of the call's streams",
    "file": "the call's own file, below `output.per_call_dir`; null where there is none, or the "
    "record is one without names",
}
