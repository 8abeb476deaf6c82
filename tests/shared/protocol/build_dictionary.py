"""Make an SDP dictionary of the descriptions in corpus/dictionary: `python -m tests.shared.protocol.build_dictionary`.

Prints it. A dictionary that was shipped never changes, since its bytes are part of the wire contract: a better one gets
the next version. What differs between two conversations (identifiers, keys, addresses, ports) is cut out; of lines that
several descriptions share in the same order one copy is kept, nearest to the end of the dictionary for the descriptions
named last, because a short distance costs fewer bits.
"""

import re
import sys
from itertools import pairwise
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus") / "dictionary"
# From the least to the most important: the offers of browsers are the largest by far, and the rest finds most of its
# lines in them.
ORDER = ("*-watch-answer", "*-watch-offer", "*-publish-answer", "*-publish-offer", "plain-publish-offer")

# What differs between conversations, by the part that stays.
_CUTS = (
    (r"^(o=- )\d+( .*)$", r"\1\2"),
    (r"^(a=(?:ice-ufrag|ice-pwd|msid|fingerprint:sha-256)[: ]).*$", r"\1"),
    (r"^(a=msid-semantic: WMS )(?!\*).*$", r"\1"),
    (r"^(a=ssrc:)\d+( (?:cname|msid):).*$", r"\1\2"),
    (r"^(a=ssrc-group:\w+ ).*$", r"\1"),
    (r"^(a=candidate:)\d+( \d \w+ )\d+ \S+ \d+( typ .*)$", r"\1\2\3"),
    (r"^(m=\w+ )(?!9 )\d+( .*)$", r"\1\2"),
    (r"^(c=IN IP[46] )(?!0\.0\.0\.0).*$", r"\1"),
)


def _without_values(line: str) -> str:
    for pattern, kept in _CUTS:
        line = re.sub(pattern, kept, line)
    return line


def build(order: tuple[str, ...] = ORDER) -> bytes:
    """The dictionary of the descriptions in the corpus."""
    documents: list[list[str]] = []
    for pattern in order:
        for path in sorted(CORPUS.glob(f"{pattern}.sdp")):
            lines = [_without_values(line) for line in path.read_bytes().decode().split("\r\n") if line]
            documents = [document for document in documents if document != lines] + [lines]
    kept: list[list[str]] = []
    known: set[tuple[str, str]] = set()
    for document in reversed(documents):
        pairs = list(pairwise(["", *document, ""]))
        fresh = [pair not in known for pair in pairs]
        known.update(pairs)
        # A line stays when it stands beside another neighbour than so far.
        kept.insert(0, [line for index, line in enumerate(document) if fresh[index] or fresh[index + 1]])
    return "".join(f"{line}\r\n" for document in kept for line in document).encode()


if __name__ == "__main__":
    sys.stdout.buffer.write(build())
