"""A real Kubernetes control plane on loopback."""

from leeward_sandbox.cluster.cluster import Cluster
from leeward_sandbox.cluster.errors import ClusterError
from leeward_sandbox.cluster.existing import ExistingCluster

__all__ = ["Cluster", "ClusterError", "ExistingCluster"]
