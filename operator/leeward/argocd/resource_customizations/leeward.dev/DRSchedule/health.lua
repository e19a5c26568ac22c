-- When drills of a plan start. One that is suspended is as its manifest wants it.
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
return health
