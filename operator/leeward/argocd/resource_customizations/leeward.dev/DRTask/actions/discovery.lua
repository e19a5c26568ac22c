-- A failed task can be looked at again and what is missing of it repeated, while its run lives.
local status = obj.status or {}
local labels = obj.metadata.labels or {}
local annotations = obj.metadata.annotations or {}

local retry = labels["leeward.dev/live"] == "true" and status.state == "Failed"
  and annotations["leeward.dev/retry"] == nil

return {
  ["retry"] = {
    ["disabled"] = not retry,
    ["displayName"] = "Retry",
    ["iconClass"] = "fa fa-fw fa-redo"
  }
}
