-- A command names who gives it, and the API server knows Argo CD by this account alone.
local account = "system:serviceaccount:argocd:argocd-server"

obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["leeward.dev/resume"] = account .. ": in Argo CD, whose log names the person"
return obj
