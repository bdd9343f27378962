"""The cases, a table for each subject, in the order of the document. `conformance.case` says how to read one."""

from conformance.case import Case
from conformance.cases import (
    chunks,
    content_length,
    fields,
    files,
    host,
    limits,
    persistence,
    request_line,
    transfer_encoding,
)

SUBJECTS: dict[str, tuple[Case, ...]] = {
    "Request line and version": request_line.CASES,
    "Request-target and Host": host.CASES,
    "Field lines": fields.CASES,
    "Content-Length": content_length.CASES,
    "Transfer-Encoding, and both": transfer_encoding.CASES,
    "Chunks and trailers": chunks.CASES,
    "Persistence, pipelining, Expect, Upgrade": persistence.CASES,
    "Limits and time-outs": limits.CASES,
    "Methods, ranges and conditions on a file": files.CASES,
}
ALL_CASES: tuple[Case, ...] = tuple(case for cases in SUBJECTS.values() for case in cases)
