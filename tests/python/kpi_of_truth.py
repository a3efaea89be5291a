"""The KPIs of a gen_calls.py file, from its truth alone: a second way to the numbers of the metrics page.

`python tests/python/kpi_of_truth.py calls.pcap.truth.json` prints them.
"""

from __future__ import annotations

import collections
import json
import sys
from pathlib import Path

INEFFECTIVE = {408, 500, 503, 504}
BY_USER = {480, 486, 600, 603}


def delays(calls):
    """Seconds: the measured delays of RFC 6076, and PDD, each a list."""
    answered = [call for call in calls if call["outcome"] == "answered"]
    rang = [call for call in calls if call.get("t_ring")]
    return {
        "srd_answered": [call["t_ring"] - call["t_invite_last"] for call in answered],
        "srd_failed": [
            call.get("t_ring", call["t_final"]) - call["t_invite_last"] for call in calls if call not in answered
        ],
        "pdd": [call["pdd_ms"] / 1e3 for call in rang],
        "setup": [call["setup_ms"] / 1e3 for call in answered],
        "sdd": [call["t_end"] - call["t_bye"] - 0.001 for call in answered],
        "sdt": [call["duration_s"] for call in answered],
    }


def ratios(calls):
    """Numerator / denominator of every ratio, one attempt a Call-ID."""
    codes = collections.Counter(call["final"] for call in calls)
    attempts = len(calls)
    good = sum(n for code, n in codes.items() if code < 300)
    moved = sum(n for code, n in codes.items() if 300 <= code < 400)
    bad = sum(codes[code] for code in INEFFECTIVE)
    user = sum(codes[code] for code in BY_USER)
    return {
        "ser": good / (attempts - moved),
        "seer": (good + user) / (attempts - moved),
        "isa": bad / attempts,
        "scr": sum(call["outcome"] == "answered" and "t_bye" in call for call in calls) / attempts,
        "asr": good / attempts,
        "ner": (good + user + codes[487]) / attempts,
        "ner_isa": 1 - bad / attempts,
    }


def kpis(truth):
    """All of it."""
    calls, registrations = truth["calls"], truth["registrations"]
    return {
        "attempts": len(calls),
        "results": dict(collections.Counter(call["final"] for call in calls)),
        "ratios": ratios(calls) if calls else {},
        "delays": {**delays(calls), "rrd": [item["rrd_ms"] / 1e3 for item in registrations]},
        "registrations": len(registrations),
        "options": truth["options"],
    }


if __name__ == "__main__":
    json.dump(kpis(json.loads(Path(sys.argv[1]).read_text())), sys.stdout, indent=1)
