-- A run of a recovery plan. What waits for a person is Suspended; a run that was cancelled or came
-- too late is Degraded as one that failed is: none of them did what its manifest asks for.
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
if holds("Succeeded") then
  health.status = "Healthy"
  health.message = conditions["Succeeded"].message
  return health
end
for _, name in ipairs({"Paused", "WaitingForDecision", "WaitingForApproval"}) do
  if holds(name) then
    health.status = "Suspended"
    health.message = conditions[name].message
    return health
  end
end
health.status = "Progressing"
health.message = conditions["Reconciling"] ~= nil and conditions["Reconciling"].message or "Running"
return health
