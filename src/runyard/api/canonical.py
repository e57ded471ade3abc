"""JSON as RFC 8785 writes it, for digests that another program can compute as well."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256


def digest(value: object) -> str:
    """Return sha256: and the digest of a value as canonical JSON, in lower-case hexadecimal."""
    return f"sha256:{sha256(canonical(value)).hexdigest()}"


def canonical(value: object) -> bytes:
    """Return a value as RFC 8785 writes JSON: UTF-8, no white space, names sorted by their UTF-16 code units.

    Numbers must be whole, and are written with all their digits. Python then differs from RFC 8785 in one thing alone,
    the order of names with characters beyond U+FFFF, which sorting by their UTF-16 form mends. Half of a surrogate
    pair, which RFC 8785 does not know, is written as JSON escapes it.
    """
    text = json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")


def order(name: str) -> bytes:
    """Return what sorts names as RFC 8785 does."""
    return name.encode("utf-16-be", errors="surrogatepass")


def _ordered(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _ordered(value[name]) for name in sorted(value, key=order)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_ordered(item) for item in value]
    return value
