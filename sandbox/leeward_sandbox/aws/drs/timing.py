"""How long things take in DRS, and how DRS writes times.

The launch profile was measured on two small Linux servers (output of an AWS sample); real waves
of larger servers take 15 to 20 minutes. Every server deviates from it by a seeded jitter.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

JOB_START = 0.4
JOB_END_AFTER_LAST_SERVER = 4.0
INITIATION_STEPS = (
    "WAIT",
    "CREATE_SECURITY_GROUP",
    "LAUNCH_REPLICATION_SERVER",
    "BOOT_REPLICATION_SERVER",
    "AUTHENTICATE_WITH_SERVICE",
    "DOWNLOAD_REPLICATION_SOFTWARE",
    "CREATE_STAGING_DISKS",
    "ATTACH_STAGING_DISKS",
    "PAIR_REPLICATION_SERVER_WITH_AGENT",
    "CONNECT_AGENT_TO_REPLICATION_SERVER",
    "START_DATA_TRANSFER",
)


def generator(seed: int, *parts: object) -> random.Random:
    """A random generator that depends on `seed` and `parts` only, not on the order of calls."""
    text = "\x1f".join((str(seed), *(str(part) for part in parts)))
    return random.Random(hashlib.sha256(text.encode()).digest())


def hex_id(prefix: str, seed: int, *parts: object, length: int = 17) -> str:
    """An AWS-like identifier: `prefix` and `length` hexadecimal digits drawn from the parts."""
    return f"{prefix}{generator(seed, prefix, *parts).getrandbits(4 * length):0{length}x}"


def iso(moment: datetime) -> str:
    """The moment as DRS writes it: microseconds and +00:00, never Z."""
    return moment.isoformat(timespec="microseconds")


def duration(value: timedelta) -> str:
    """The duration in ISO 8601 as DRS writes it: P0D for none, else days and time."""
    seconds = int(value.total_seconds())
    if seconds <= 0:
        return "P0D"
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    date = f"{days}D" if days else ""
    time = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if n)
    return f"P{date}T{time}" if time else f"P{date}"


@dataclass(frozen=True, slots=True)
class LaunchTimes:
    """Offsets in seconds from a job's creation for one server of it.

    `cleanup` is None where no earlier recovery instance is removed, the conversion's two are
    None in recovery mode FAST. `appears` is when the recovery instance is first listed.
    """

    cleanup: tuple[float, float] | None
    snapshot_start: float
    snapshot_end: float
    conversion: tuple[float, float] | None
    launch_start: float
    appears: float
    launch_end: float


def launch_times(factor: float, *, cleanup: bool, fast: bool) -> LaunchTimes:
    """The launch profile of one server, every step stretched by `factor`."""
    shift = 20.0 if cleanup else 0.0
    saved = 197.0 if fast else 0.0

    def at(seconds: float) -> float:
        return JOB_START + (seconds - JOB_START) * factor

    return LaunchTimes(
        cleanup=(at(0.6), at(0.6 + shift)) if cleanup else None,
        snapshot_start=at(0.8 + shift),
        snapshot_end=at(1.0 + shift),
        conversion=None if fast else (at(53.0 + shift), at(250.0 + shift)),
        launch_start=at(250.6 + shift - saved),
        appears=at(490.0 + shift - saved),
        launch_end=at(529.0 + shift - saved),
    )


def jitter_factor(seed: int, server: str, spread: float) -> float:
    """The server's own factor in [1 − spread, 1 + spread]."""
    return 1.0 + generator(seed, "jitter", server).uniform(-spread, spread)
