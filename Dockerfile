# syntax=docker/dockerfile:1

# The base is pinned by digest: python 3.13.15 on Debian trixie, slim. The digest is the one that public
# build logs and Dockerfiles of autumn 2026 name; it was not pulled where this file was written. Renew it:
#   docker buildx imagetools inspect python:3.13-slim --format '{{.Manifest.Digest}}'
# checkov:skip=CKV_DOCKER_7: the argument names tag and digest, which the rule does not see
ARG PYTHON_IMAGE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${PYTHON_IMAGE} AS build
ARG SOURCE_DATE_EPOCH=0
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE requirements-image.lock requirements-build.lock ./
COPY operator ./operator
COPY adapters ./adapters
COPY sandbox ./sandbox
COPY deploy/image ./deploy/image
RUN deploy/image/install.sh /src /opt/leeward \
    && mkdir -p /opt/leeward/share/sbom \
    && python deploy/image/sbom.py > /opt/leeward/share/sbom/leeward.cdx.json

# An AWS for clusters on a laptop (make kind). Never for production.
FROM build AS sandbox
COPY requirements.lock ./
RUN python -m venv /opt/sandbox \
    && /opt/sandbox/bin/pip install --quiet --require-hashes -r requirements.lock
ENV PATH=/opt/sandbox/bin:$PATH \
    PYTHONPATH=/src/operator:/src/adapters:/src/sandbox \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["python", "-m", "leeward_sandbox.aws"]

FROM ${PYTHON_IMAGE} AS operator
# Nothing is installed in a running container: what could is taken out of the base.
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip \
    && rm -rf /usr/local/lib/python3.*/ensurepip
COPY --from=build /opt/leeward /opt/leeward
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Leeward" \
      org.opencontainers.image.description="Moves an application estate out of a failing AWS Region, brings it back, and rehearses both" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
# Nothing is written beside /tmp, which the chart mounts: the root file system may be read-only.
ENV PATH=/opt/leeward/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /
USER 65532:65532
# Kubernetes asks /healthz and /readyz itself.
HEALTHCHECK NONE
ENTRYPOINT []
CMD ["leeward", "operator"]
