-- Rehearses the plan in its drill network, as it stands, with all its gates. The cluster makes the
-- name up, since a name runs once.
local drill = {}
drill.apiVersion = obj.apiVersion
drill.kind = "DRExecution"
drill.metadata = {
  ["generateName"] = obj.metadata.name .. "-drill-",
  ["namespace"] = obj.metadata.namespace
}
drill.spec = {
  ["planRef"] = {["name"] = obj.metadata.name},
  ["operation"] = "Test",
  ["reason"] = "Started in Argo CD, whose log names the person."
}

return {{["operation"] = "create", ["resource"] = drill}}
