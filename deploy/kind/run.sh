#!/usr/bin/env bash
# A cluster of kind with image and chart, and the scenario in it. The cluster is removed at the end unless
# KEEP=1. Needs Docker, kind, kubectl and helm; the environment of `make setup`.
set -euo pipefail
cd "$(dirname "$0")/../.."

name=leeward
for tool in docker kind kubectl helm; do
  if ! command -v "$tool" >/dev/null; then
    echo "make kind needs $tool on the PATH" >&2
    exit 1
  fi
done
docker info >/dev/null || {
  echo "make kind needs a running Docker, which does not answer (see above)" >&2
  exit 1
}

KUBECONFIG=$(mktemp)
export KUBECONFIG
remove() {
  if [ "${KEEP:-0}" = 1 ]; then
    echo "kept: export KUBECONFIG=$KUBECONFIG; end it with: kind delete cluster --name $name"
  else
    kind delete cluster --name "$name" || true
    rm -f "$KUBECONFIG"
  fi
}
trap remove EXIT

docker build --target operator --tag leeward:kind .
docker build --target sandbox --tag leeward-sandbox:kind .

kind create cluster --config deploy/kind/cluster.yaml --wait 120s
kind load docker-image --name "$name" leeward:kind leeward-sandbox:kind

kubectl apply -f deploy/kind/aws.yaml
kubectl -n leeward-sandbox rollout status deployment/sandbox-aws --timeout=120s

kubectl create namespace leeward-system
kubectl label namespace leeward-system pod-security.kubernetes.io/enforce=restricted
helm install leeward charts/leeward --namespace leeward-system --values deploy/kind/values.yaml \
  --wait --timeout 5m

status=0
deploy/kind/scenario.sh || status=$?
if [ "$status" != 0 ]; then
  kubectl -n leeward-system logs -l app.kubernetes.io/name=leeward --tail=200 --prefix || true
  kubectl get drx,drt -A || true
fi
exit "$status"
