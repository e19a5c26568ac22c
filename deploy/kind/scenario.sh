#!/usr/bin/env bash
# A failover with its gate, on whatever cluster KUBECONFIG names: Leeward is installed there and reaches an
# AWS with the estate `small`. The user must be allowed to impersonate.
set -euo pipefail
cd "$(dirname "$0")/../.."

leeward=${LEEWARD:-.venv/bin/leeward}
approver=(--as approver-a@example.com --as-group dr-approvers --as-group system:authenticated)
run=orders-failover-1
gate=leeward.dev/approve-wave-app

say() { echo "== $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

say "a tenant with its accounts and plan"
kubectl get namespace orders >/dev/null 2>&1 || kubectl create namespace orders
kubectl apply -f sandbox/leeward_sandbox/cluster/manifests
kubectl apply -f examples/small/targetaccounts.yaml -f examples/small/recoveryplan.yaml
kubectl wait ta --all --for=condition=Ready --timeout=120s
kubectl wait rp/orders -n orders --for=condition=Ready --timeout=120s

say "a failover stops at its gate"
# Before Kubernetes 1.36 nobody fills in who asks for a run.
me=$(kubectl auth whoami -o jsonpath='{.status.userInfo.username}')
kubectl annotate --local -f examples/small/failover.yaml "leeward.dev/requested-by=$me" -o yaml |
  kubectl apply -f -
kubectl wait "drx/$run" -n orders --for=condition=WaitingForApproval --timeout=180s

say "nobody approves in another's name"
if said=$(kubectl annotate "drx/$run" -n orders "$gate=approver-a@example.com" 2>&1); then
  fail "a forged approval was taken"
fi
grep -q "must be your own user name" <<<"$said" || fail "it was refused for another reason: $said"

say "an approver's own word counts"
kubectl "${approver[@]}" annotate "drx/$run" -n orders "$gate=approver-a@example.com: checked the lag"
kubectl wait "drx/$run" -n orders --for=condition=Succeeded --timeout=10m
done=$(kubectl get "drx/$run" -n orders -o jsonpath='{.status.resources.complete}/{.status.resources.total}')
[ "$done" = 47/47 ] || fail "$done resources are complete, not 47/47"

say "the installation holds what it promises"
# Its exit code counts more than is tried here: keys in the operator's environment, which a sandbox needs.
found=$($leeward verify deployment -o json) || true
.venv/bin/python -c '
import json, sys
found = json.load(sys.stdin)["findings"]
tried = [f for f in found if f["section"] == "Policies in force"]
reached = [f for f in found if f["section"] == "Accounts"]
wrong = [f["text"] for f in tried + reached if f["verdict"] != "ok"]
sys.exit("\n".join(wrong) if wrong or len(tried) < 4 or not reached else 0)
' <<<"$found" || fail "see above"
say "done"
