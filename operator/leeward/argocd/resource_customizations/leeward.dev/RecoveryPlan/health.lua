-- A plan is Healthy while it could be started. What would not hold up a recovery, such as a lagging
-- server or an old drill, is told and does not make it less healthy: it would hold up every sync.
local health = {}
local status = obj.status or {}

-- kstatus: what is said of an older spec says nothing of this one.
if status.conditions == nil or (status.observedGeneration ~= nil and status.observedGeneration ~= obj.metadata.generation) then
  health.status = "Progressing"
  health.message = "Waiting for the operator to look at it"
  return health
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end

local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

if holds("Stalled") then
  health.status = "Degraded"
  health.message = conditions["Stalled"].message
  return health
end
local ready = conditions["Ready"]
health.status = holds("Ready") and "Healthy" or "Progressing"
health.message = ready ~= nil and ready.message or ""
if holds("Ready") then
  for _, name in ipairs({"Protected", "SourceFenced", "DrillCurrent"}) do
    local condition = conditions[name]
    if condition ~= nil and condition.status == "False" then
      health.message = health.message .. "; " .. condition.reason .. ": " .. condition.message
    end
  end
end
return health
