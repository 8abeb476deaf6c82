"""Puts one file into the object store, part by part, and says that it is there only when it has been looked at there.

Every part goes with its MD5, which the store checks on receipt. What an interrupted upload has left there is found by
its key and used: parts that are the same are not sent again. At most one part is in memory.
"""

import hashlib
import os
from base64 import b64encode
from collections.abc import Callable
from typing import Any, BinaryIO

from shared.object_store import ObjectStore

# S3: a part but the last has at least 5 MiB, an upload at most 10,000 parts.
PART_BYTES = 8 * 1024 * 1024
_MAX_PARTS = 10_000


class UploadMismatchError(Exception):
    """What the store has is not what was sent."""


class UploadAbandonedError(Exception):
    """The upload was told not to go on; what was sent stays for the next one."""


def upload(store: ObjectStore, file: BinaryIO, key: str, media_type: str, goes_on: Callable[[], bool]) -> int:
    """Upload a file and verify it; its size. `goes_on` is asked before each part.

    Raises:
        UploadAbandonedError: `goes_on` said no.
        UploadMismatchError: the store has something else than was sent.
        STORE_ERRORS: the store refuses, or cannot be reached.
        OSError: the file cannot be read.
    """
    size = os.fstat(file.fileno()).st_size
    part_bytes = max(PART_BYTES, -(-size // _MAX_PARTS))
    if size <= part_bytes:
        file.seek(0)
        content = file.read(size)
        tag = _put(store, key, media_type, content)
    else:
        tag = _put_in_parts(store, file, key, media_type, part_bytes, goes_on)
    seen = store.client.head_object(Bucket=store.bucket, Key=key)
    if seen["ContentLength"] != size or seen["ETag"] != tag:
        raise UploadMismatchError(f"{size} bytes were sent, the store has {seen['ContentLength']}")
    return size


def abandon(store: ObjectStore, key: str) -> None:
    """Delete whatever there is of an upload in the store, finished or not.

    Raises:
        STORE_ERRORS: the store refuses, or cannot be reached.
    """
    for begun in _begun(store, key):
        store.client.abort_multipart_upload(Bucket=store.bucket, Key=key, UploadId=begun)
    store.delete(key)


def _put(store: ObjectStore, key: str, media_type: str, content: bytes) -> str:
    answer = store.client.put_object(
        Bucket=store.bucket,
        Key=key,
        Body=content,
        ContentType=media_type,
        ContentMD5=_sent_form(_digest(content)),
    )
    return str(answer["ETag"])


def _put_in_parts(
    store: ObjectStore, file: BinaryIO, key: str, media_type: str, part_bytes: int, goes_on: Callable[[], bool]
) -> str:
    place = {"Bucket": store.bucket, "Key": key}
    begun = _begun(store, key)
    for older in begun[:-1]:
        store.client.abort_multipart_upload(**place, UploadId=older)
    if begun:
        place["UploadId"] = begun[-1]
    else:
        place["UploadId"] = store.client.create_multipart_upload(**place, ContentType=media_type)["UploadId"]
    there = _parts(store, place)
    parts: list[dict[str, Any]] = []
    digests: list[bytes] = []
    file.seek(0)
    while content := file.read(part_bytes):
        if not goes_on():
            raise UploadAbandonedError
        digest, number = _digest(content), len(parts) + 1
        tag = f'"{digest.hex()}"'
        if there.get(number) != tag:
            answer = store.client.upload_part(**place, PartNumber=number, Body=content, ContentMD5=_sent_form(digest))
            tag = answer["ETag"]
        parts.append({"PartNumber": number, "ETag": tag})
        digests.append(digest)
    if not goes_on():
        raise UploadAbandonedError
    answer = store.client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
    tag = str(answer["ETag"])
    # Stores that tag parts with their MD5 tag the whole with that of all MD5s; those that encrypt with keys do not.
    plain = all(part["ETag"] == f'"{digest.hex()}"' for part, digest in zip(parts, digests, strict=True))
    if plain and tag.strip('"') != f"{_digest(b''.join(digests)).hex()}-{len(parts)}":
        raise UploadMismatchError("the store's tag of the whole is not that of the parts")
    return tag


def _begun(store: ObjectStore, key: str) -> list[str]:
    """Uploads of that key that are not finished, oldest first."""
    answer = store.client.list_multipart_uploads(Bucket=store.bucket, Prefix=key)
    found = [one for one in answer.get("Uploads", ()) if one["Key"] == key]
    return [one["UploadId"] for one in sorted(found, key=lambda one: one["Initiated"])]


def _parts(store: ObjectStore, place: dict[str, str]) -> dict[int, str]:
    pages = store.client.get_paginator("list_parts").paginate(**place)
    return {part["PartNumber"]: part["ETag"] for page in pages for part in page.get("Parts", ())}


def _digest(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _sent_form(digest: bytes) -> str:
    return b64encode(digest).decode()
