"""Kubernetes' quantities (resource.Quantity) as numbers that can be compared."""

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d{1,3})|([KMGTPE]i|[numkMGTPE]))?", re.ASCII)
_BINARY = "KMGTPE"
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def quantity(text: str) -> Decimal | None:
    """Return what a quantity is; None where it is none.

    >>> quantity("1500m") == quantity("1.5"), quantity("1Ki"), quantity("2e3") == quantity("2k"), quantity("many")
    (True, Decimal('1024'), True, None)
    """
    found = _QUANTITY.fullmatch(text)
    if not found:
        return None
    number, exponent, suffix = found.groups()
    value = Decimal(number + (exponent or ""))
    if suffix and suffix.endswith("i"):
        return value * Decimal(1024 ** (_BINARY.index(suffix[0]) + 1))
    return value.scaleb(_DECIMAL[suffix]) if suffix else value
