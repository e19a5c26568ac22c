"""Systems Manager Automation, which moto lacks; documents and the rest of SSM are moto's."""

from leeward_sandbox.aws.automation.backend import AutomationBackend, AutomationTags
from leeward_sandbox.aws.automation.documents import AutomationDocument, AutomationStep, content

__all__ = [
    "AutomationBackend",
    "AutomationDocument",
    "AutomationStep",
    "AutomationTags",
    "content",
]
