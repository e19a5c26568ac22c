"""Service accounts as the API server knows them when it is asked what they may do."""

from __future__ import annotations


def groups_of(user: str) -> list[str]:
    """The groups of `system:serviceaccount:NAMESPACE:NAME`: rights may be given to each of them.

    Source: Kubernetes, "Authenticating", service account tokens.
    """
    namespace = user.split(":")[2]
    everybody = "system:serviceaccounts"
    return ["system:authenticated", everybody, f"{everybody}:{namespace}"]
