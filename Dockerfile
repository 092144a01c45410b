# Two stages: the compiler stays behind, and the program runs without root, on a root file system that may be read-only.
FROM node:20.19.6-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY config config
COPY adapters adapters
COPY vault vault
COPY src src
RUN npx tsc -p tsconfig.build.json && npm prune --omit=dev --ignore-scripts

FROM node:20.19.6-bookworm-slim
ENV NODE_ENV=production \
    KAMIGATE_DATA_DIR=/data \
    KAMIGATE_HOST=0.0.0.0
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json ./
COPY config/catalog.example.yaml config/
COPY src/demo/catalog.yaml src/demo/
RUN mkdir /data && chown node:node /data && printf '#!/bin/sh\nexec node /app/dist/src/cli.js "$@"\n' > /usr/local/bin/kamigate \
    && chmod 755 /usr/local/bin/kamigate
USER node
VOLUME /data
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/app/dist/src/cli.js"]
CMD ["serve"]
