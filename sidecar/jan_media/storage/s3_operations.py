"""botocore's description of S3, without what nobody here will call.

It has more than a hundred operations with all their manuals, and a client keeps it: 3 MiB.
"""

from typing import Any

import botocore.session

_CALLED = (
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateMultipartUpload",
    "DeleteObjects",
    "GetBucketCors",
    "GetObject",
    "HeadObject",
    "ListObjectsV2",
    "PutObject",
    "UploadPart",
    # By botocore itself: to find a bucket's region, and for buckets of S3 Express.
    "CreateSession",
    "HeadBucket",
)


def keep_called_operations(session: botocore.session.Session) -> None:
    """Drop the other operations. Call it before ``session`` has made a client of S3."""
    # The loader keeps what it has read: the client will find it as it is left here.
    described = session.get_component("data_loader").load_service_model("s3", "service-2")
    operations, shapes = described["operations"], described["shapes"]
    described["operations"] = {name: operations[name] for name in _CALLED}
    described["shapes"] = {}
    _keep_shapes(described["operations"], shapes, described["shapes"])


def _keep_shapes(part: Any, shapes: dict[str, Any], kept: dict[str, Any]) -> None:
    """Keep what ``part`` of the description refers to, and none of its manuals."""
    if isinstance(part, list):
        for each in part:
            _keep_shapes(each, shapes, kept)
    elif isinstance(part, dict):
        if isinstance(part.get("documentation"), str):
            del part["documentation"]
        name = part.get("shape")
        if isinstance(name, str) and name not in kept:
            kept[name] = shapes[name]
            _keep_shapes(shapes[name], shapes, kept)
        for each in part.values():
            _keep_shapes(each, shapes, kept)
