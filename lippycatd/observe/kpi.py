"""What calls, registrations and streams are judged by (RFC 6076, E.411, E.425): metrics, and the queries for ratios.

One Call-ID is one attempt; retransmissions, retries with credentials and re-INVITEs are none. An answer counts at its
200, a refusal when no further try can come (32 s after it, or at the input's end), so rates of short windows are for
busy trunks. Codes that are not registered count as the x00 of their class (RFC 3261, 8.1.3.2).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from lippycatd.observe.family import Family, Histogram, Rows, Snapshot, Spreads

if TYPE_CHECKING:
    from collections.abc import Iterator

_COUNTER, _GAUGE = CounterMetricFamily, GaugeMetricFamily


def _trunks(stats: Snapshot) -> dict[str, Any]:
    found: dict[str, Any] = stats.get("kpi", {}).get("trunks", {})
    return found


def _trunk(field: str) -> Rows:
    return lambda stats: (((name,), part[field]) for name, part in _trunks(stats).items())


def _results(stats: Snapshot) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, part in _trunks(stats).items():
        for code, count in part["results"].items():
            yield (name, str(code)), count


def _registrations(stats: Snapshot) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, part in _trunks(stats).items():
        yield (name, "registered"), part["registered"]
        yield (name, "failed"), part["register_failed"]


def _ratios(stats: Snapshot) -> Iterator[tuple[tuple[str, ...], float]]:
    """Of all attempts since the start; none where there was no attempt."""
    for name, part in _trunks(stats).items():
        for kpi, ratio in part["ratios"].items():
            if ratio["of"]:
                yield (kpi, name), ratio["n"] / ratio["of"]


def _transactions(stats: Snapshot) -> Iterator[tuple[tuple[str, ...], float]]:
    for method, states in stats.get("kpi", {}).get("transactions", {}).items():
        for state, count in states.items():
            yield (method, state), count


def _counts(field: str) -> Rows:
    return lambda stats: (((str(name),), count) for name, count in stats.get("kpi", {}).get(field, {}).items())


FAMILIES: Final = (
    Family(_COUNTER, "call_attempts", "INVITEs that begin a call", ("trunk",), _trunk("attempts")),
    Family(_COUNTER, "call_results", "Final statuses of attempts", ("trunk", "code"), _results),
    Family(_COUNTER, "calls_completed", "Calls answered and hung up", ("trunk",), _trunk("completed")),
    Family(_GAUGE, "trunk_calls_active", "Calls of a trunk that have not ended", ("trunk",), _trunk("active")),
    Family(_GAUGE, "trunk_calls_peak", "Most calls of a trunk at once", ("trunk",), _trunk("peak")),
    Family(_GAUGE, "kpi_ratio", "Ratio of all attempts since the start", ("kpi", "trunk"), _ratios),
    Family(_COUNTER, "call_causes", "Calls by the cause of Q.850 in a Reason header", ("cause",), _counts("causes")),
    Family(_COUNTER, "call_hangups", "Calls by who hung up", ("by",), _counts("hung_up")),
    Family(_COUNTER, "call_codecs", "Calls by the codecs of their streams", ("codec",), _counts("calls")),
    Family(_COUNTER, "streams", "RTP streams by codec", ("codec",), _counts("streams")),
    Family(_COUNTER, "registration_attempts", "REGISTERs without a challenge", ("trunk",), _trunk("registering")),
    Family(_COUNTER, "registrations", "Outcomes of registrations", ("trunk", "result"), _registrations),
    Family(_COUNTER, "sip_transactions", "Transactions that are no call", ("method", "state"), _transactions),
)


def _spread(field: str) -> Spreads:
    return lambda stats: (((name,), part["histograms"][field]) for name, part in _trunks(stats).items())


def _request_delay(stats: Snapshot) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for name, part in _trunks(stats).items():
        for result in ("answered", "failed"):
            yield (name, result), part["histograms"][f"srd_{result}"]


def _responses(stats: Snapshot) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for method, figures in stats.get("kpi", {}).get("responses", {}).items():
        yield (method,), figures


_OF_A_TRUNK: Final = ("trunk",)
HISTOGRAMS: Final = (
    Histogram("session_request_delay_seconds", "SRD (RFC 6076, 4.3)", ("trunk", "result"), _request_delay),
    Histogram("post_dial_delay_seconds", "INVITE to the first 18x", _OF_A_TRUNK, _spread("pdd")),
    Histogram("call_setup_seconds", "INVITE to its 2xx", _OF_A_TRUNK, _spread("setup")),
    Histogram("session_disconnect_delay_seconds", "SDD: BYE to its 2xx (RFC 6076, 4.4)", _OF_A_TRUNK, _spread("sdd")),
    Histogram("session_duration_seconds", "SDT: 2xx to BYE (RFC 6076, 4.5)", _OF_A_TRUNK, _spread("sdt")),
    Histogram("registration_request_delay_seconds", "RRD (RFC 6076, 4.1)", _OF_A_TRUNK, _spread("rrd")),
    Histogram("sip_transaction_seconds", "Request to final response", ("method",), _responses),
    Histogram("stream_mos", "MOS of streams at their end (G.107)", _OF_A_TRUNK, _spread("mos")),
    Histogram("stream_jitter_seconds", "Jitter of streams at their end (RFC 3550)", _OF_A_TRUNK, _spread("jitter")),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio as a query over time: what it is called, where it is defined, its numerator and denominator."""

    name: str
    title: str
    source: str
    numerator: str
    denominator: str

    def query(self, window: str = "5m") -> str:
        """PromQL by trunk over a window."""
        return f"({self.numerator}) / ({self.denominator})".replace("$w", f"[{window}]")


_ATTEMPTS: Final = "sum by (trunk) (increase(lippycat_call_attempts_total$w))"


def _codes(pattern: str) -> str:
    return f'sum by (trunk) (increase(lippycat_call_results_total{{code=~"{pattern}"}}$w))'


_SESSIONS: Final = f"{_ATTEMPTS} - {_codes('3..')}"
_COMPLETED: Final = "sum by (trunk) (increase(lippycat_calls_completed_total$w))"
_REFUSED: Final = 'sum by (trunk) (increase(lippycat_registrations_total{result="failed"}$w))'
_REGISTERING: Final = "sum by (trunk) (increase(lippycat_registration_attempts_total$w))"
_UNAVAILABLE: Final = _codes("408|500|503|504")

RATIOS: Final = (
    Ratio("ser", "Session establishment ratio", "RFC 6076, 4.6", _codes("2.."), _SESSIONS),
    Ratio("seer", "Session establishment effectiveness", "RFC 6076, 4.7", _codes("2..|480|486|600|603"), _SESSIONS),
    Ratio("isa", "Ineffective session attempts", "RFC 6076, 4.8", _UNAVAILABLE, _ATTEMPTS),
    Ratio("scr", "Session completion ratio", "RFC 6076, 4.9", _COMPLETED, _ATTEMPTS),
    Ratio("asr", "Answer-seizure ratio", "E.411", _codes("2.."), _ATTEMPTS),
    Ratio("ner", "Network effectiveness ratio", "E.425", _codes("2..|480|486|487|600|603"), _ATTEMPTS),
    Ratio("ner_isa", "Network effectiveness as 1 - ISA", "RFC 6076", f"{_ATTEMPTS} - {_UNAVAILABLE}", _ATTEMPTS),
    Ratio("ira", "Ineffective registration attempts", "RFC 6076, 4.2", _REFUSED, _REGISTERING),
)
