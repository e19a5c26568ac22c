"""What is read live of accounts, beyond what a task has frozen.

A task freezes which role it works through; whether the account is still for it, under which
external id the role is assumed, and with which tags of the platform team's, is read live. All of it
comes from the TargetAccount: an external id of somebody else's making only by a Secret in the
operator's own namespace, where no tenant writes.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from leeward.api.account import TargetAccount, TargetAccountSpec
from leeward.engine.kube import ApiError, Kube, Object
from leeward.engine.objects import read_all

SECRET_TYPE: Final = "leeward.dev/external-id"
KEY: Final = "externalId"
_EXTERNAL_ID: Final = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)


class ExternalIdError(Exception):
    """The Secret that a TargetAccount names cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one account, and what its sessions carry."""

    external_id: str | None = field(default=None, repr=False)
    """None: the one that Leeward issues for the namespace."""
    session_tags: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    """Why the external id that is meant is not known."""
    spec: TargetAccountSpec | None = None
    """What the platform's administrators allow; None: there is no such account."""
    uid: str = ""


class AccountBook:
    """The entries of all TargetAccounts, by name."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._entries: dict[str, Entry] = {}

    def entry(self, name: str) -> Entry:
        """What is known of the account; of an unknown one, nothing special."""
        return self._entries.get(name, Entry())

    async def load(self, kube: Kube) -> None:
        """Read all accounts, before anything works with them. Raises `ApiError`."""
        for held in await read_all(kube, TargetAccount, None):
            await self.learn(kube, held.model)

    async def learn(self, kube: Kube, target: TargetAccount) -> Entry:
        """Read what the account says now. Raises `ApiError` where the API server has trouble."""
        external_id, problem = None, ""
        if target.spec.external_id_secret_ref is not None:
            try:
                external_id = await self._secret(kube, target.spec.external_id_secret_ref.name)
            except ExternalIdError as error:
                problem = str(error)
        metadata, tags = target.metadata, dict(target.spec.session_tags)
        entry = Entry(external_id, tags, problem, target.spec, metadata.uid)
        self._entries[metadata.name] = entry
        return entry

    def saw(self, body: Object) -> None:
        """A watch showed the account. What it allows counts at once, its next pass may be far off.

        A body that cannot be read is left to the pass, which says why.
        """
        if "spec" not in body:
            return  # metadata alone was listed
        try:
            target = TargetAccount.model_validate(body)
        except ValueError:
            return
        name, uid = target.metadata.name, target.metadata.uid
        self._entries[name] = replace(self.entry(name), spec=target.spec, uid=uid)

    def forget(self, name: str, uid: str) -> None:
        """The account of that uid is gone; there may be another of its name."""
        if self.entry(name).uid == uid:
            self._entries.pop(name, None)

    async def _secret(self, kube: Kube, name: str) -> str:
        where = f"Secret {self._namespace}/{name}"
        try:
            secret = await kube.get(f"/api/v1/namespaces/{self._namespace}/secrets/{name}")
        except ApiError as error:
            if error.status not in {403, 404}:
                raise
            raise ExternalIdError(
                f"{where} cannot be read ({error.status}): a platform administrator must create "
                f"it, with type {SECRET_TYPE} and the key {KEY}"
            ) from error
        return external_id_of(secret, where)


def external_id_of(secret: Mapping[str, Any], where: str) -> str:
    """The external id in a Secret. Raises `ExternalIdError`; never says what is in it."""
    if secret.get("type") != SECRET_TYPE:
        raise ExternalIdError(
            f"{where} must be of type {SECRET_TYPE}, so that it is meant for this"
        )
    try:
        text = base64.b64decode((secret.get("data") or {}).get(KEY, ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ExternalIdError(f"{where}: {KEY} is not text in base64") from error
    if not _EXTERNAL_ID.fullmatch(text):
        raise ExternalIdError(
            f"{where}: {KEY} must be 2 to 1224 letters, digits and any of _+=,.@:/- "
            "(a line break at its end is one character too many)"
        )
    return text
