"""Where packets and records go."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le
from pydantic import BeforeValidator

from lippycatd.config.section import Option, RotateSize, Seconds, Section, Text, split

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
