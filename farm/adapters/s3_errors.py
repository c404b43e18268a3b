"""What an S3 server's refusals mean for the farm: try again, or change something."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own, which is not the built-in one
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)

from farm.errors import FarmError, NotFound, Rejected, Unavailable

BUSY_CODES = frozenset({"RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete", "OperationAborted"})
"""Refusals with a 4xx status that pass by themselves."""

FULL_CODES = frozenset({"InsufficientStorage", "StorageFull", "XMinioStorageFull", "QuotaExceeded"})
"""The server has no room."""

REFUSED_CODES = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden", "401", "403"})
"""The key, or what it may do, is wrong."""

PLACE_CODES = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
"""The bucket is elsewhere."""


class StoreRefused(Rejected):
    """The S3 server will not do this, however often it is asked."""


class StoreUnavailable(Unavailable):
    """The S3 server does not answer, or says that it cannot just now."""


def translate(error: Exception, place: str, endpoint: str) -> FarmError:
    """The farm's word for an error of boto3.

    Args:
        error: what boto3 raised.   place: `s3://bucket/key` that was asked for.   endpoint: URL of the server.
    Returns:
        `NotFound`, `StoreRefused` or `StoreUnavailable`, with what to change.
    """
    if isinstance(error, ClientError):
        return _answered(error, place, endpoint)
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return StoreRefused(
            f"No keys for {endpoint}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role."
        )
    if isinstance(error, SSLError):
        return StoreRefused(
            f"{endpoint} has a certificate that is not trusted here: {error}. Correct FARM_S3_ENDPOINT, or name the "
            f"authority's file with AWS_CA_BUNDLE."
        )
    if isinstance(error, (ConnectionError, HTTPClientError, IncompleteReadError, FlexibleChecksumError)):
        return StoreUnavailable(f"{endpoint} did not answer, or broke off, for {place}: {error}")
    if isinstance(error, (BotoCoreError, ValueError)):
        return StoreRefused(f"The S3 client cannot ask {endpoint} for {place}: {error}. Check the FARM_S3 settings.")
    return StoreUnavailable(f"The connection to {endpoint} broke off for {place}: {error}")


def _answered(error: ClientError, place: str, endpoint: str) -> FarmError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"{endpoint} answered {status} {code} for {place}"
    if code == "NoSuchBucket":
        bucket = place.removeprefix("s3://").partition("/")[0]
        return StoreRefused(f"{said}: there is no bucket {bucket!r}. Create it, or set FARM_S3_BUCKET to one there is.")
    if status == 404 or code in ("NoSuchKey", "NotFound", "404"):
        return NotFound(f"No blob {place}.")
    if status == 507 or code in FULL_CODES:
        return StoreUnavailable(
            f"{said}. The store is full: free space there (old jobs lie in `jobs/`), or enlarge it."
        )
    if status >= 500 or status == 429 or code in BUSY_CODES or "Throttl" in code or code == "SlowDown":
        return StoreUnavailable(f"{said}.")
    return StoreRefused(f"{said}. {_advice(code)}")


def _advice(code: str) -> str:
    if code == "RequestTimeTooSkewed":
        return "The clocks of this machine and the server are more than 15 minutes apart: set this machine's clock."
    if code in PLACE_CODES or code.startswith("3"):
        return "The bucket lies in another region or behind another address: set FARM_S3_REGION and FARM_S3_ENDPOINT."
    if code in REFUSED_CODES:
        return (
            "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that this key may get, put, list and delete "
            "objects in this bucket (s3:GetObject, s3:PutObject, s3:ListBucket, s3:DeleteObject)."
        )
    if code == "EntityTooLarge":
        return "The object is larger than the server takes: raise its limit, or use shorter chunks."
    return "Check the FARM_S3 settings."
