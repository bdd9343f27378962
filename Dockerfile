# One file, a target per image: proxy, backend, tracker, peer, test (compose.yaml builds them all).
#   docker build --target tracker -t weaprous-tracker .
#   docker build --build-arg PYTHON_IMAGE=python:3.14-slim --target tracker .   # any Debian image with Python >= 3.11
ARG PYTHON_IMAGE=python:3.13-slim

# base: the user, the folders that volumes take their owner from, and how every service is run and stopped.
FROM ${PYTHON_IMAGE} AS base
LABEL org.opencontainers.image.vendor="WeApRous" org.opencontainers.image.licenses="MIT"
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN groupadd --gid 10001 weaprous \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin weaprous \
 && install -d -m 0700 -o 10001 -g 10001 /keys/tracker /keys/p2p /keys/session /users /data
WORKDIR /app
STOPSIGNAL SIGTERM
USER 10001:10001

# source: every file readable whatever the umask of the clone, compiled here because the root is read-only later.
# Hash-based bytecode holds no times: an image changes only when its own sources do.
FROM base AS source
USER root
COPY shared/ shared/
COPY services/ services/
COPY web/ web/
RUN chmod -R a+rX . && python -m compileall -q --invalidation-mode unchecked-hash shared services

FROM base AS service
COPY --from=source /app/shared/ shared/
COPY --from=source /app/services/__init__.py services/__init__.py
COPY --from=source /app/services/__pycache__/ services/__pycache__/
ENV WEAPROUS_SERVER_IP=0.0.0.0

# Each image ends with one `--help`: it leaves the bytecode of the standard library that the service uses (the public
# image has none) and fails the build when something the service imports is not in its image.

FROM service AS proxy
LABEL org.opencontainers.image.title="weaprous-proxy" org.opencontainers.image.description="Reverse proxy and load balancer"
COPY --from=source /app/services/proxy/ services/proxy/
USER root
RUN PYTHONDONTWRITEBYTECODE= python -m services.proxy --help >/dev/null
USER 10001:10001
ENV WEAPROUS_SERVER_PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --retries=2 --start-period=30s --start-interval=500ms \
    CMD exec python -m shared.runtime.probe "$WEAPROUS_SERVER_PORT" /_proxy/healthz
ENTRYPOINT ["python", "-m", "services.proxy"]

FROM service AS backend
LABEL org.opencontainers.image.title="weaprous-backend" org.opencontainers.image.description="Web application: login, session, REST, the page"
COPY --from=source /app/services/backend/ services/backend/
COPY --from=source /app/web/ web/
USER root
RUN PYTHONDONTWRITEBYTECODE= python -m services.backend --help >/dev/null
USER 10001:10001
ENV WEAPROUS_SERVER_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --retries=2 --start-period=30s --start-interval=500ms \
    CMD exec python -m shared.runtime.probe "$WEAPROUS_SERVER_PORT"
ENTRYPOINT ["python", "-m", "services.backend"]

FROM service AS tracker
LABEL org.opencontainers.image.title="weaprous-tracker" org.opencontainers.image.description="Discovery and liveness of peers"
COPY --from=source /app/services/tracker/ services/tracker/
USER root
RUN PYTHONDONTWRITEBYTECODE= python -m services.tracker --help >/dev/null
USER 10001:10001
ENV WEAPROUS_SERVER_PORT=9000
EXPOSE 9000
HEALTHCHECK --interval=15s --timeout=5s --retries=2 --start-period=30s --start-interval=500ms \
    CMD exec python -m shared.runtime.probe "$WEAPROUS_SERVER_PORT"
ENTRYPOINT ["python", "-m", "services.tracker"]

FROM service AS peer
LABEL org.opencontainers.image.title="weaprous-peer" org.opencontainers.image.description="Chat peer: HTTP API and TCP between peers"
COPY --from=source /app/services/peer/ services/peer/
USER root
RUN PYTHONDONTWRITEBYTECODE= python -m services.peer --help >/dev/null
USER 10001:10001
ENV WEAPROUS_IP=0.0.0.0 WEAPROUS_API_PORT=7510 WEAPROUS_P2P_PORT=7010 WEAPROUS_DATA_DIR=/data
EXPOSE 7510 7010
HEALTHCHECK --interval=15s --timeout=5s --retries=2 --start-period=30s --start-interval=500ms \
    CMD exec python -m shared.runtime.probe "$WEAPROUS_API_PORT"
ENTRYPOINT ["python", "-m", "services.peer"]

# test: pytest against the running stack, from inside its network; nothing of the program is in it.
FROM base AS test
LABEL org.opencontainers.image.title="weaprous-test" org.opencontainers.image.description="End-to-end tests of a running stack"
USER root
RUN pip install --no-cache-dir --root-user-action=ignore --disable-pip-version-check \
    "pytest>=8" "pytest-timeout>=2.3" "requests>=2.32" "websockets>=13"
COPY pyproject.toml ./
COPY tests/e2e/ tests/e2e/
RUN chmod -R a+rX .
USER 10001:10001
ENTRYPOINT ["python", "-m", "pytest", "-p", "no:cacheprovider"]
CMD ["tests/e2e"]
