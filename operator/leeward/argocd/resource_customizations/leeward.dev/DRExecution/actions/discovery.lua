-- No action approves: Argo CD would do it with an account of its own, and nobody could tell whose
-- approval it was.
local status = obj.status or {}
local annotations = obj.metadata.annotations or {}

local ended = false
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Succeeded" and condition.status ~= "Unknown" then
    ended = true
  end
end

local function open(command)
  return not ended and annotations["leeward.dev/" .. command] == nil
end

return {
  ["pause"] = {
    ["disabled"] = not (open("pause") and not status.paused),
    ["displayName"] = "Pause",
    ["iconClass"] = "fa fa-fw fa-pause-circle"
  },
  ["resume"] = {
    ["disabled"] = not (open("resume") and status.paused == true),
    ["displayName"] = "Resume",
    ["iconClass"] = "fa fa-fw fa-play-circle"
  },
  ["cancel"] = {
    ["disabled"] = not (open("cancel") and not status.cancelling),
    ["displayName"] = "Cancel",
    ["iconClass"] = "fa fa-fw fa-stop-circle"
  }
}
