"""Small objects to and from an S3 server in one plain request each: what every chunk asks for a dozen times.

boto3 spends more than half of a small request's CPU time on its own machinery (`python -m tests.bench.requests`). Here
botocore signs and urllib3 sends, and nothing but success is believed: whatever else comes, an error, a redirect, a
connection that breaks, is left to boto3, which asks again and knows what every answer means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import boto3
import botocore.session
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_s3 import S3Client

USER_AGENT = f"render-farm Boto3/{boto3.__version__}"
"""What we are called in a server's log."""
POOL = 32
"""Connections kept open: more than the threads of one worker, so that none waits."""
SMALL_BYTES = 8 << 20
"""What is larger goes through boto3: a second try of it would cost more than is saved."""
MISSING = b"<Code>NoSuchKey</Code>"

_PROBE = "a"


class DirectRequests:
    """Gets and puts of one bucket. Safe for threads; not for use after a fork."""

    def __init__(self, session: Session, client: S3Client, bucket: str) -> None:
        """
        Args:
            client: boto3's, which says where the bucket's objects lie.
        """
        self._credentials = session.get_credentials()
        self._region = client.meta.region_name
        # A signed link is made here, without asking anybody; before its question mark it is the object's own address.
        signed = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": _PROBE})
        self._base = signed.partition("?")[0].removesuffix(_PROBE)
        self._path = urlsplit(self._base).path
        self._pool = None if get_environ_proxies(self._base) else _pool(self._base)

    def get(self, key: str) -> bytes | None:
        """The object's bytes; None: ask boto3.

        Raises:
            ClientError: there is no such object.
        """
        answer = self._ask("GET", key, None, {})
        if answer is not None and answer.status == 404 and MISSING in answer.data:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return answer.data if answer is not None and answer.status == 200 else None

    def put(self, key: str, data: bytes, content_type: str) -> bool:
        """Store an object; False: have boto3 do it."""
        if len(data) > SMALL_BYTES:
            return False
        answer = self._ask("PUT", key, data, {"Content-Type": content_type})
        return answer is not None and answer.status == 200

    def _ask(
        self, method: str, key: str, data: bytes | None, headers: dict[str, str]
    ) -> urllib3.BaseHTTPResponse | None:
        """An answer of any kind; None where there was none."""
        if self._pool is None or self._credentials is None:
            return None
        name = quote(key, safe="/~")
        request = AWSRequest(method, self._base + name, {**headers, "User-Agent": USER_AGENT}, data)
        try:
            S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", self._region).add_auth(request)
            sent = dict(request.headers.items())
            # As they lie there: who stores compressed bytes gets them back.
            return self._pool.urlopen(
                method, self._path + name, body=data, headers=sent, redirect=False, decode_content=False
            )
        except (HTTPError, OSError, BotoCoreError):
            return None


def _pool(base: str) -> urllib3.HTTPConnectionPool:
    trusted = botocore.session.get_session().get_config_variable("ca_bundle") or get_cert_path(True)
    tls = {"ca_certs": trusted, "cert_reqs": "CERT_REQUIRED"} if base.startswith("https:") else {}
    return urllib3.connection_from_url(
        base, maxsize=POOL, timeout=urllib3.Timeout(connect=5, read=60), retries=False, **tls
    )
