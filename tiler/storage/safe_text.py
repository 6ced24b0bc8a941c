"""Text that is safe to show: without secrets and without control characters."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

MASK = "***"
"""The replacement for a secret."""

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]|\r(?!\n)")
"""C0 and C1 controls except tabs and line ends; line separators; text direction overrides."""

_NAMES = (
    r"(?:pass(?:word|wd|phrase)|pwd|secrets?|tokens?|credentials?|authorization|signature"
    r"|(?:api|access|account|private|secret)[-_]?keys?(?:[-_]id)?)"
)
_SECRET_KEY = re.compile(f".*{_NAMES}", re.IGNORECASE)
# Possessive quantifiers: text without an @ takes linear time. A password may contain a slash, but
# HOST:PORT/… contains no password.
_PASSWORD = re.compile(r"(://[^\s:/@]*+:)(?!\d*/)[^\s@]{1,1000}+(?:@[^\s@/]*+(?=@))*(?=@)")
_TOKEN = re.compile(r"(://)[^\s:/?#@'\"]++(?=@)")
_VALUE = re.compile(
    rf"({_NAMES})(=|['\"]?:[ ]+)(?!\$\{{|null\b)"
    r"(?:'(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\"|(?:(?:basic|bearer)[ ]+)?[^\s&,;'\"{}\[\]()]+)",
    re.IGNORECASE,
)
_HINTS = re.compile("[=:]")

_LISTED = 20
"""Maximum number of names in a list."""


def masked(text: str) -> str:
    """Return text with ``***`` for the secrets in it.

    Secrets are the text before the ``@`` of a URL, without a user's name before a password, and the
    value of a name such as ``password``, ``token`` or ``api_key``.
    """
    if "@" in text:
        text = _TOKEN.sub(rf"\1{MASK}", _PASSWORD.sub(rf"\1{MASK}", text))
    return _VALUE.sub(_without_value, text) if _HINTS.search(text) else text


def _without_value(found: re.Match[str]) -> str:
    quote = "" if found[2] == "=" else '"'  # in YAML and JSON, where a plain * begins an alias
    return f"{found[1]}{found[2]}{quote}{MASK}{quote}"


def without_secrets(value: Any) -> Any:
    """Return plain values with ``***`` for their secrets: see ``masked``."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {
            key: MASK if _is_secret(str(key), item) else without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value


def _is_secret(key: str, value: Any) -> bool:
    return _names_secret(key) and isinstance(value, str | int) and value not in ("", True, False)


@cache
def _names_secret(key: str) -> bool:
    return bool(_SECRET_KEY.fullmatch(key))


def has_mask(value: Any) -> bool:
    """Return whether a plain value is, or contains, text with a masked secret."""
    if isinstance(value, list):
        return any(map(has_mask, value))
    return isinstance(value, str) and (value == MASK or f"{MASK}@" in value or f"={MASK}" in value)


def visible(text: str) -> str:
    r"""Return text with control characters escaped, such as ``\x1b`` and ``\u202e``."""
    return CONTROL.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shown(text: str) -> str:
    """Return text that is safe to show: ``masked`` and ``visible``."""
    return visible(masked(text))


def json_text(value: Any, indent: int | None = None) -> str:
    r"""Return JSON without secrets; control characters are escaped, such as ``\u009b``."""
    text = json.dumps(without_secrets(value), ensure_ascii=False, indent=indent)
    return visible_json(text)


def visible_json(text: str) -> str:
    r"""Return JSON text with the control characters of its strings as ``\u009b``."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def listed(names: Sequence[str]) -> str:
    """Return names in one line; the first 20 of them if there are more."""
    more = f", … ({len(names)} of them)" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def plain_text(text: str) -> str:
    """Return a text that is valid UTF-8: bytes of a name that are not become escapes."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
