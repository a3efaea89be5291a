"""Sipp between namespaces: the scenario of a caller, and namespaces that end with their processes."""

from __future__ import annotations

import collections
import csv
import os
import re
import subprocess

from demo.live import end

SCENARIO = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller">
<send retrans="500"><![CDATA[
INVITE sip:callee@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:caller@[local_ip]:[local_port]>;tag=[pid]t[call_number]
To: <sip:callee@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: sip:caller@[local_ip]:[local_port]
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=caller 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 8
a=rtpmap:8 PCMA/8000
]]></send>
<recv response="100" optional="true"/>
<recv response="180" optional="true"/>
<recv response="200"/>
<send><![CDATA[
ACK sip:callee@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:caller@[local_ip]:[local_port]>;tag=[pid]t[call_number]
To: <sip:callee@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<nop><action><exec rtp_stream="SOUND,1,8,PCMA/8000"/></action></nop>
<pause milliseconds="DURATION"/>
<send retrans="500"><![CDATA[
BYE sip:callee@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:caller@[local_ip]:[local_port]>;tag=[pid]t[call_number]
To: <sip:callee@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"""
"""Put SOUND (a file of A-law) and DURATION (milliseconds) in."""


class Hosts:
    """Namespaces by the role that they play, and what was started in them."""

    def __init__(self, scratch, *roles):
        self.scratch = scratch
        self.names = {role: f"lc-{role}{os.getpid()}" for role in roles}
        self.begun = []
        for name in self.names.values():
            self.run("ip", "netns", "add", name)

    @staticmethod
    def run(*command):
        return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout

    def ip(self, role, *arguments):
        self.run("ip", "-n", self.names[role], *arguments)

    def inside(self, role, *command):
        return ["nsenter", f"--net=/run/netns/{self.names[role]}", *map(str, command)]

    def start(self, role, *command, name):
        """Start a command in a namespace; (process, its output, its errors)."""
        out, err = self.scratch / f"{name}.out", self.scratch / f"{name}.err"
        with out.open("w") as stdout, err.open("w") as stderr:
            process = subprocess.Popen(
                self.inside(role, *command), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, cwd=self.scratch
            )
        self.begun.append(process)
        return process, out, err

    def close(self):
        for process in self.begun:
            end(process)
        for name in self.names.values():
            self.run("ip", "netns", "delete", name)


def last_row(path):
    """The last line of one of sipp's CSV files, by the names in its first."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))[-1]


def sent_messages(path):
    """What `-trace_counts` says was sent, retransmissions included: a Counter by method or code."""
    row, sent = last_row(path), collections.Counter()
    for name, count in row.items():
        told = re.fullmatch(r"(\d+_(\w+?))_Sent", name or "")
        if told:
            sent[told[2]] += int(count) + int(row[f"{told[1]}_Retrans"])
    return sent
