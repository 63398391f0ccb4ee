"""Turns errors of S3 and botocore into the interface's errors, with advice for each."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from urllib3.exceptions import HTTPError

from jan_media.storage.interface import ObjectMissing, StorageRefused, StorageUnavailable

_ADVICE = {
    "NoSuchBucket": "The bucket does not exist: create it or correct MEDIA_S3_BUCKET.",
    "PermanentRedirect": "The bucket is in another region: correct MEDIA_S3_REGION.",
    "AuthorizationHeaderMalformed": "The region is not the bucket's: correct MEDIA_S3_REGION.",
    "AccessDenied": "The credentials may not do this: grant them, on MEDIA_S3_BUCKET, the actions "
    "that docs/operations.md lists, or correct MEDIA_S3_ACCESS_KEY.",
    "InvalidAccessKeyId": "The access key is unknown there: correct MEDIA_S3_ACCESS_KEY.",
    "SignatureDoesNotMatch": "The secret key is wrong: correct MEDIA_S3_SECRET_KEY.",
    "ExpiredToken": "The temporary credentials have expired: renew them.",
    "RequestTimeTooSkewed": "This machine's clock is wrong: synchronize it.",
}
# HEAD answers carry no error code, only a status.
_ADVICE_BY_STATUS = {301: "PermanentRedirect", 403: "AccessDenied", 404: "NoSuchBucket"}
_WRONG_SETTINGS = {301, 400, 403, 404}
_OBJECT_GONE = {"NoSuchKey", "404", "NotFound"}


@contextmanager
def failures_mapped(operation: str, key: str | None = None) -> Iterator[None]:
    """Raise `StorageUnavailable` for every failure of ``operation`` inside the block.

    "Not found" is `ObjectMissing` where ``key`` says that an object was asked for.
    """
    try:
        yield
    except ClientError as error:
        if key is not None and error_code(error) in _OBJECT_GONE:
            raise ObjectMissing(key) from error
        failure = StorageRefused if status_of(error) in _WRONG_SETTINGS else StorageUnavailable
        raise failure(f"S3 refused {operation}: {advice(error)}") from error
    except NoCredentialsError as error:
        raise StorageRefused(
            "There are no S3 credentials: set MEDIA_S3_ACCESS_KEY and MEDIA_S3_SECRET_KEY, or "
            "provide them as the AWS SDKs expect."
        ) from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise StorageUnavailable(
            f"S3 did not answer {operation} ({type(error).__name__}): check that "
            "MEDIA_S3_ENDPOINT is right and up."
        ) from error


def error_code(error: ClientError) -> str:
    """The service's error code; for an answer without one, its HTTP status."""
    return str(error.response["Error"].get("Code", ""))


def status_of(error: ClientError) -> int:
    """The HTTP status of the answer, 0 if unknown."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def advice(error: ClientError) -> str:
    """What is wrong and what to do, in one sentence."""
    code = error_code(error)
    known = _ADVICE.get(code) or _ADVICE.get(_ADVICE_BY_STATUS.get(status_of(error), ""))
    return known or f"it answered {code} ({status_of(error)})."
