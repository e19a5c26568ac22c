"""Sending of notices to SNS and EventBridge, in the background; knows nothing of Kubernetes."""
