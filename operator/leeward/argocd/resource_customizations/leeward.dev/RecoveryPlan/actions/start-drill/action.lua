-- Rehearses the plan in its drill network, as it stands, with all its gates. The cluster makes the
-- name up, since a name runs once. Before Kubernetes 1.36 nobody but the requester writes who asks; the
-- API server knows Argo CD by this account alone.
local account = "system:serviceaccount:argocd:argocd-server"

local drill = {}
drill.apiVersion = obj.apiVersion
drill.kind = "DRExecution"
drill.metadata = {
  ["generateName"] = obj.metadata.name .. "-drill-",
  ["namespace"] = obj.metadata.namespace,
  ["annotations"] = {["leeward.dev/requested-by"] = account}
}
drill.spec = {
  ["planRef"] = {["name"] = obj.metadata.name},
  ["operation"] = "Test",
  ["reason"] = "Started in Argo CD, whose log names the person."
}

return {{["operation"] = "create", ["resource"] = drill}}
