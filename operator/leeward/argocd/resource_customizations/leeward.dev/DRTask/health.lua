-- One unit of a run, shown below its DRExecution. A task that is a person's own work is Suspended.
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
if holds("Ready") then
  health.status = "Healthy"
  health.message = conditions["Ready"].message
  return health
end
health.status = "Progressing"
if conditions["Ready"] ~= nil then
  health.message = conditions["Ready"].message
  if conditions["Ready"].reason == "PendingApproval" then
    health.status = "Suspended"
  end
end
return health
