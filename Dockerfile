# One image, three roles: `api`, `inference`, `worker` (and `base add`, `keys create`, every other command of permafrost).
# It holds no model and no secret: both come at run time.

ARG BASE_IMAGE=node:24.21.0-bookworm-slim

# ---- compiled JavaScript: needs the compiler, which is a development dependency
FROM ${BASE_IMAGE} AS build
WORKDIR /app
ENV ONNXRUNTIME_NODE_INSTALL=skip
COPY package.json package-lock.json .npmrc ./
RUN npm ci --include=dev --loglevel=error
COPY tsconfig.json ./
COPY src src
COPY workers workers
# Source maps would point to sources that the image does not have.
RUN node_modules/.bin/tsc --sourceMap false

# ---- what runs: production dependencies, and of ONNX Runtime only this platform's library (the package has all)
FROM ${BASE_IMAGE} AS dependencies
WORKDIR /app
ENV ONNXRUNTIME_NODE_INSTALL=skip
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --loglevel=error \
 && platform="linux/$(node -p process.arch)" \
 && find node_modules/onnxruntime-node/bin -mindepth 3 -maxdepth 3 -type d ! -path "*/${platform}" -exec rm -r {} + \
 && find node_modules/onnxruntime-node/bin -mindepth 2 -maxdepth 2 -type d -empty -delete \
 && find node_modules \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

# ---- the image
FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Permafrost" \
      org.opencontainers.image.description="One frozen language model, thousands of tasks: train, publish and serve soft prompts" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# tini is process 1: it passes signals on and reaps what a killed process leaves.
RUN apt-get update \
 && apt-get install -y --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
 && groupadd --gid 10001 permafrost \
 && useradd --uid 10001 --gid permafrost --home-dir /var/lib/permafrost --no-create-home --shell /usr/sbin/nologin permafrost \
 && install -d -o permafrost -g permafrost -m 0750 /var/lib/permafrost

WORKDIR /app
COPY package.json LICENSE ./
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY src/registry/lua src/registry/lua
COPY examples/prompts examples/prompts
RUN chmod 0755 dist/src/cli/main.js && ln -s /app/dist/src/cli/main.js /usr/local/bin/permafrost

ENV NODE_ENV=production \
    HOME=/var/lib/permafrost \
    PERMAFROST_HOME=/var/lib/permafrost \
    HOST=0.0.0.0 \
    PORT=8080 \
    INFERENCE_LISTEN=http://0.0.0.0:7070 \
    HEALTH_PORT=8081 \
    ORT_DISABLE_TELEMETRY=1

USER 10001:10001
VOLUME /var/lib/permafrost
# The api, and the health port of every role.
EXPOSE 8080 8081

# Each role answers on the health port; how it is ready, it knows itself.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["permafrost", "health"]

ENTRYPOINT ["tini", "--", "permafrost"]
