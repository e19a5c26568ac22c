"""The operator's own credentials: from the environment, IRSA, EKS Pod Identity, or as boto3 finds
them; and what to say when there are none.

botocore fetches and renews them. IRSA and Pod Identity give sessions of a role, so that what is
assumed with them is chained and ends after an hour (AWS STS API reference, AssumeRole).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
)
from botocore.exceptions import ConnectionError as NotConnectedError
from botocore.exceptions import HTTPClientError as NotAnsweredError
from botocore.parsers import ResponseParserError

from leeward_adapters.bad_answers import BadAnswerError
from leeward_adapters.base import ErrorClass
from leeward_adapters.errors import CredentialsDelayedError, classify

_SOURCES: Final = (
    ("AWS_ACCESS_KEY_ID", "keys of the environment"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "IRSA"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "EKS Pod Identity"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "the container's credentials"),
    ("AWS_PROFILE", "the profile"),
)
"""In botocore's order."""


def source(environment: Mapping[str, str] | None = None) -> str:
    """Where the operator's credentials should come from, for messages."""
    known = os.environ if environment is None else environment
    for variable, name in _SOURCES:
        if known.get(variable):
            shown = "" if variable == "AWS_ACCESS_KEY_ID" else f"={known[variable]}"
            return f"{name} ({variable}{shown})"
    return "nothing: neither keys of the environment, nor IRSA, nor EKS Pod Identity is set up"


_PASSING_CODES: Final = frozenset({"IDPCommunicationError"})
"""Of AssumeRoleWithWebIdentity, with HTTP status 400: STS did not reach the OIDC provider (AWS STS
API reference: "can be retried")."""
_PASSING_WORDS: Final = re.compile(
    r"Received error when attempting to retrieve|Received non 200 response (5\d\d|429)\b"
    r"|Unable to parse JSON"
)
"""What botocore's ContainerMetadataFetcher says of an agent that does not answer, or is not well.
It has no other way to tell that from a refusal."""
_PASSES: Final = frozenset({ErrorClass.TRANSIENT, ErrorClass.IN_DOUBT})


class BadCredentialsError(BadAnswerError):
    """What gives the credentials did not answer, but something else did."""

    fmt = (
        "the operator's own credentials, from {source}: what came cannot be read ({why}). "
        "Something on the way to STS, or to the agent, answers in its place, such as a proxy or a "
        "portal: see that the operator reaches it past that (HTTPS_PROXY, NO_PROXY)"
    )


@contextmanager
def explained() -> Iterator[None]:
    """Names where the credentials should have come from, and what to look at, in errors of that.

    Raises:
        CredentialsDelayedError: their source cannot be reached, or is busy. Nothing was sent.
        CredentialRetrievalError: in place of what botocore raises, a missing token file among it.
        BadCredentialsError: what came is no answer of their source. It is not repeated.
    """
    try:
        yield
    except (ResponseParserError, KeyError, ValueError) as error:
        why = type(error).__name__
        raise BadCredentialsError(source=source(), why=why, doubt=False) from error
    except (NotConnectedError, NotAnsweredError) as error:  # some are an OSError as well
        raise _delayed(error) from error
    except (NoCredentialsError, CredentialRetrievalError, MetadataRetrievalError, OSError) as error:
        if isinstance(error, BotoCoreError) and _PASSING_WORDS.search(str(error)):
            raise _delayed(error) from error
        raise _not_got(f"{type(error).__name__}: {error}") from error
    except ClientError as error:
        if error.operation_name != "AssumeRoleWithWebIdentity":
            raise
        said = error.response.get("Error", {})
        if said.get("Code") in _PASSING_CODES or classify(error).kind in _PASSES:
            raise _delayed(error) from error
        raise _not_got(
            f"{said.get('Code')}: {said.get('Message')}. The trust policy of "
            f"{os.environ.get('AWS_ROLE_ARN', 'the role')} must name the cluster's OIDC provider "
            "and the operator's service account"
        ) from error


def _delayed(error: Exception) -> CredentialsDelayedError:
    why = f"{type(error).__name__}: {error}. Their source is asked again; nothing was sent to AWS"
    return CredentialsDelayedError(provider=source(), error_msg=why)


def _not_got(why: str) -> CredentialRetrievalError:
    return CredentialRetrievalError(provider=source(), error_msg=why)
