"""The sandbox's AWS as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest

from leeward_sandbox.aws.control import Control

pytestmark = pytest.mark.aws

SOURCES = Path(__file__).parents[2] / "sandbox"


def test_the_process_says_where_it_is_and_ends_cleanly_on_sigterm(tmp_path: Path) -> None:
    described = tmp_path / "state" / "aws.json"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "leeward_sandbox.aws"),
            *("--estate", "none", "--scale", "60", "--state-dir", str(described.parent)),
        ],
        env=os.environ | {"PYTHONPATH": str(SOURCES)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 120
        while not described.exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline, "no aws.json"
            time.sleep(0.05)
        place = json.loads(described.read_text())
        assert place["pid"] == process.pid
        control = Control(place["endpoint"])
        assert control.ready()
        assert control.now().tzinfo is not None
        sts = boto3.client(
            "sts",
            endpoint_url=place["endpoint"],
            region_name="us-east-2",
            aws_access_key_id="SANDBOX999999999999",
            aws_secret_access_key="sandbox",
        )
        assert sts.get_caller_identity()["Account"] == "999999999999"
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=60)
        assert process.returncode == 0
        assert not described.exists()
        assert b"SANDBOX999999999999" not in logged
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
