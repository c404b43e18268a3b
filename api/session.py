"""Sessions of browsers: a signed cookie in place of the key, since pictures and event streams send no header.

The server keeps nothing: a session is signed with the digest of its owner's key, and ends with that key, everywhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

COOKIE = "farm_session"
LIFE_S = 12 * 3600
"""Seconds that a session lasts: a working day."""


def sign(user: str, secret: bytes, now: float) -> str:
    """The cookie of a session that begins now.

    Args:
        secret: what only the farm's servers and the user's key tell.
        now: seconds since 1970.
    """
    body = f"{base64.urlsafe_b64encode(user.encode()).decode()}.{int(now) + LIFE_S}"
    return f"{body}.{_mark(body, secret)}"


def owner(cookie: str) -> str:
    """Who a cookie claims to be of; "" if it cannot be read. Nothing is proved by it."""
    try:
        return base64.urlsafe_b64decode(cookie.partition(".")[0].encode()).decode()
    except (binascii.Error, ValueError):
        return ""


def valid(cookie: str, secrets: Sequence[bytes], now: float) -> bool:
    """Whether a cookie was signed with one of the secrets and has not run out."""
    body, _, mark = cookie.rpartition(".")
    until = body.partition(".")[2]
    signed = [hmac.compare_digest(mark.encode(), _mark(body, secret).encode()) for secret in secrets]
    return any(signed) and until.isdigit() and now < int(until)


def _mark(body: str, secret: bytes) -> str:
    return hmac.new(secret, b"farm session\0" + body.encode(), hashlib.sha256).hexdigest()
