"""An S3-compatible object store: which one, how it is reached, and links that a browser may follow.

boto3 rather than one of its asynchronous relatives: whoever uses this does so on a thread of its own, since to hash and
encrypt gigabytes has no place on an event loop. Credentials come by boto3's usual chain (environment, profile, role).
"""

from typing import Any
from urllib.parse import urlsplit

import boto3  # type: ignore[import-untyped]
import botocore  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
ATTEMPTS = 3

STORE_ERRORS: tuple[type[Exception], ...] = (BotoCoreError, ClientError)
"""What every call of a store may raise."""


class ObjectStore:
    """One bucket, and in it everything under `prefix`. Nothing is asked of it before the first call; calls block."""

    def __init__(self, bucket: str, *, endpoint: str = "", region: str = "", prefix: str = "") -> None:
        self.bucket = bucket
        self._prefix = prefix.strip("/")
        self._endpoint = endpoint or None
        self._region = region or None
        # Stores with an address of their own seldom have a name for each bucket.
        self._style = "path" if endpoint else "auto"
        self.client = self._client("s3v4")

    def key(self, *parts: str) -> str:
        """The key of what these parts name."""
        return "/".join(part for part in (self._prefix, *parts) if part)

    def link(self, key: str, *, lifetime_s: int, media_type: str, disposition: str) -> str:
        """A URL under which the object can be read for a while, without credentials (a presigned GET)."""
        wanted = {"ResponseContentType": media_type, "ResponseContentDisposition": disposition}
        place = {"Bucket": self.bucket, "Key": key}
        return str(self.client.generate_presigned_url("get_object", Params=place | wanted, ExpiresIn=lifetime_s))

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is no error."""
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def origin(self) -> str:
        """Scheme, host and port of links, as a content security policy names them."""
        # Unsigned, so that it can be told before there are credentials.
        client = self._client(botocore.UNSIGNED)
        try:
            url = client.generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": "any"})
        finally:
            client.close()
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}"

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _client(self, signature: object) -> Any:  # noqa: ANN401 - boto3 makes its clients' types at run time
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self._endpoint,
            region_name=self._region,
            config=Config(
                signature_version=signature,
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"mode": "standard", "max_attempts": ATTEMPTS},
                s3={"addressing_style": self._style},
                # Checksums that came later than many a compatible store; ours are MD5, which all of them check.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
