"""The one machine image that every account and Region of the sandbox has.

Moto would make 1,300 images of Amazon's, each with a snapshot, for every account and Region, and
look through them for each instance that it starts: a quarter of a second and eight megabytes for
an account that holds two servers.
"""

from __future__ import annotations

from typing import Any, Final

from moto.ec2.models.amis import Ami, AmiBackend

DEFAULT_IMAGE: Final = "ami-0a1b2c3d4e5f60718"
"""Of all servers, those that DRS launches too."""


def install() -> None:
    """Have this process's moto know that image alone."""
    setattr(AmiBackend, "_load_amis", _load)  # noqa: B010 - mypy refuses to assign to a method


def _load(ec2: Any) -> None:
    ec2.amis[DEFAULT_IMAGE] = Ami(
        ec2,
        DEFAULT_IMAGE,
        name="al2023-ami-2023.9.20260930.0-kernel-6.12-x86_64",
        description="Amazon Linux 2023 AMI 2023.9.20260930.0 x86_64 HVM kernel-6.12",
        owner_id="137112412989",
        owner_alias="amazon",
        public=True,
        virtualization_type="hvm",
        architecture="x86_64",
        hypervisor="xen",
        root_device_type="ebs",
        root_device_name="/dev/xvda",
        region_name=ec2.region_name,
    )
