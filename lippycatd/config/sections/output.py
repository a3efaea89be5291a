"""Where packets and records go."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator

from lippycatd.config import checks
from lippycatd.config.section import Duration, Option, RotateSize, Seconds, Section, Size, Text, split

RecordType = Literal["call", "stream", "transaction", "sip"]


class Output(Section):
    """Where the selected packets and the records go."""

    section: ClassVar[str] = "output"
    title: ClassVar[str] = "Output"

    write_file: Annotated[
        Text,
        Option(
            "write the selected packets to this file, or - for standard output; .pcapng gives pcapng, else pcap (ns)",
            ("--write-file", "-w"),
            unit="file",
            hot=True,
        ),
    ] = ""
    rotate_size: Annotated[
        RotateSize,
        Le(1 << 50),
        Option(
            "start a new file at this size: a bare number is millions of bytes, as with tcpdump",
            ("-C",),
            unit="size",
            needs="output.write_file",
        ),
    ] = 0
    rotate_seconds: Annotated[
        Seconds,
        Le(10**9),
        Option(
            "start a new file every so many seconds; the name may hold strftime's % fields",
            ("-G",),
            unit="seconds",
            needs="output.write_file",
        ),
    ] = 0
    rotate_count: Annotated[
        int,
        Ge(0),
        Le(10**6),
        Option(
            "with -C a ring of so many files, with -G end after so many files",
            ("-W",),
            unit="files",
            needs="output.write_file",
        ),
    ] = 0
    per_call_dir: Annotated[
        Text,
        Option(
            "write the packets of each call into a file of its own below this directory; sniff voip -w without a value "
            "is short for the current one",
            ("--per-call-pcap",),
            unit="directory",
        ),
    ] = ""
    pcap_pattern: Annotated[
        str,
        AfterValidator(checks.name_pattern),
        Option(
            "names of these files: {date} and {time} (UTC) of the beginning, {from}, {to}, {callid}, directories "
            "too; .pcapng gives pcapng, .pcap gives pcap (ns)",
            ("--pcap-pattern",),
            unit="pattern",
            needs="output.per_call_dir",
        ),
    ] = "{date}/{from}_{to}_{callid}.pcapng"
    max_open_files: Annotated[
        int,
        Ge(2),
        Le(100_000),
        Option("files of calls that are open at once; the others are opened again to go on", unit="files"),
    ] = 256
    call_grace: Annotated[
        Duration,
        Ge(10**9),
        Option(
            "how long a call's file waits for late packets once its call is over (32 s after the end, RFC 3261, 17), "
            "in capture time; on a pipe or a wire",
            unit="duration",
        ),
    ] = 5 * 10**9
    retain_size: Annotated[
        Size,
        Ge(0),
        Le(1 << 60),
        Option("bytes of all files of calls together: the oldest ones are removed beyond; 0 for no limit", unit="size"),
    ] = 0
    retain_age: Annotated[
        Duration,
        Ge(0),
        Option("files of calls that were finished so long ago are removed; 0 for no limit", unit="duration"),
    ] = 0
    rtp_snap: Annotated[
        int | None,
        Ge(0),
        Le(65535),
        Option(
            "write only so many bytes of each RTP packet's payload into files, 0 for headers without speech; "
            "a virtual interface has the whole packets",
            ("--rtp-snap",),
            unit="bytes",
        ),
    ] = None
    format: Annotated[
        Literal["text", "json", "csv"], Option("how records are printed on standard output", ("--format",))
    ] = "text"
    records: Annotated[
        Text,
        Option(
            "write records to this file: .jsonl or .json, .csv (one file a type), .sqlite or .db",
            ("--records",),
            unit="file",
        ),
    ] = ""
    record_types: Annotated[
        tuple[RecordType, ...],
        BeforeValidator(split),
        Option(
            "the types of records that --records writes, comma separated; sip is one record a message",
            ("--record-types",),
            needs="output.records",
        ),
    ] = ("call", "stream", "transaction")
    pod_names: Annotated[
        bool,
        Option(
            "tell pod, namespace and node of both ends in call and stream records, from the Kubernetes API by way of "
            "lippycat-relay (lippycatd)"
        ),
    ] = False
    pseudonymise: Annotated[
        bool,
        Option("replace users, numbers and Call-IDs in all records by tokens that a key makes", ("--pseudonymise",)),
    ] = False
    pseudonym_key: Annotated[
        Text,
        Option(
            "file with the key of the tokens, 16 bytes or more; without it every run has its own",
            ("--pseudonym-key",),
            unit="file",
            needs="output.pseudonymise",
        ),
    ] = ""
