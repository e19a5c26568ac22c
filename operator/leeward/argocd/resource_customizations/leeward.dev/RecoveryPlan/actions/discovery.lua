-- A drill can be started while no run holds the plan.
local status = obj.status or {}

local ready = false
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" and condition.status == "True" then
    ready = true
  end
end

return {
  ["start-drill"] = {
    ["disabled"] = not (ready and status.activeExecution == nil),
    ["displayName"] = "Start a drill",
    ["iconClass"] = "fa fa-fw fa-play-circle"
  }
}
