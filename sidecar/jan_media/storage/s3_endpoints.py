"""botocore's list of the endpoints of AWS, without what nobody here will call.

It has all of AWS's services, four hundred of them, in every region, and a session keeps it: 7 MiB.
"""

import botocore.session

# S3, and those that hand out credentials. An endpoint that is not in the list follows from the
# name of its service.
_CALLED = ("s3", "sts", "sso", "sso-oidc", "signin")


def keep_called_services(session: botocore.session.Session) -> None:
    """Drop the endpoints of other services. Call it before ``session`` has made a client."""
    # The loader keeps what it has read: the session will find it as it is left here.
    endpoints, _ = session.get_component("data_loader").load_data_with_path("endpoints")
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in _CALLED if name in services}
