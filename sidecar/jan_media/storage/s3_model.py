"""What botocore knows of S3, read once for all sessions of a process.

It is a description in JSON, which takes 14 MiB when it is read, and a quarter of a second. Each of
boto3's sessions would read its own. Workers that are forked after it was read share it.
"""

from contextlib import suppress
from functools import cache

import botocore.session
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader


def session_with_model() -> botocore.session.Session:
    """A session of botocore's that reads nothing which another one has read."""
    session = botocore.session.get_session()
    session.register_component("data_loader", _loader())
    return session


def read_model() -> None:
    """Read now what clients will need. What is wrong with the surroundings, they will tell."""
    with suppress(BotoCoreError):
        session_with_model().create_client(
            "s3",
            region_name="us-east-1",
            aws_access_key_id="-",
            aws_secret_access_key="-",  # noqa: S106
        ).close()


@cache
def _loader() -> Loader:
    loader: Loader = botocore.session.get_session().get_component("data_loader")
    return loader
