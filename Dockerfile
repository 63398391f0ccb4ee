# syntax=docker/dockerfile:1
# Three images from one file:
#   docker build --target kong -t jan-media-kong .          Kong with the plugin
#   docker build --target sidecar -t jan-media-sidecar .    the sidecar
#   docker build --target demo-llm -t jan-media-demo-llm .  the demo model, for compose.yaml
# `make images` builds them with buildah, runs them, and checks what they promise: an unprivileged
# user, a read-only root file system, no compiler, no pip.
#
# DEBIAN and KONG name the base images; SIDECAR names a sidecar image that is already built. If your
# packages come through a proxy, build with --volume FILE:/run/ca.pem:ro, where FILE has the proxy's
# certificates, and --build-arg PIP_CERT=/run/ca.pem.
ARG DEBIAN=debian:trixie-slim
ARG KONG=kong:3.9
ARG SIDECAR=sidecar

# ---------------------------------------------------------------------------------------------
# Kong with the plugin, installed on Kong's own image, for that image's Python.
# ---------------------------------------------------------------------------------------------
FROM ${KONG} AS kong-python
USER root
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/*

FROM kong-python AS kong-build
ARG PIP_CERT
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/jan
COPY pyproject.toml constraints.txt README.md /src/
COPY sidecar /src/sidecar
COPY kong-plugin /src/kong-plugin
RUN /build/bin/pip --python /opt/jan install --no-cache-dir '/src[plugin]' -c /src/constraints.txt \
 && rm -rf /opt/jan/bin/pip* /opt/jan/lib/python3*/site-packages/pip* \
 && ln -s /opt/jan/lib/python3*/site-packages /opt/jan/lua

FROM kong-python AS kong
COPY --from=kong-build /opt/jan /opt/jan
# Where Kong writes. Its usual folder, /usr/local/kong, holds libraries in Kong's own image, so a
# read-only container could not mount a writable folder over it.
RUN install -d -m 1777 /kong_prefix
COPY kong-errors.json kong.yml /etc/kong/
ENV KONG_PREFIX=/kong_prefix \
    KONG_DATABASE=off \
    KONG_DECLARATIVE_CONFIG=/etc/kong/kong.yml \
    KONG_PLUGINS=bundled,jan-media-gate,jan-media \
    KONG_LUA_PACKAGE_PATH="/opt/jan/lua/?.lua;;" \
    KONG_PLUGINSERVER_NAMES=jan-media \
    KONG_PLUGINSERVER_JAN_MEDIA_SOCKET=/kong_prefix/jan-media.sock \
    KONG_PLUGINSERVER_JAN_MEDIA_START_CMD="/opt/jan/bin/python -m jan_media_plugin --kong-prefix /kong_prefix" \
    KONG_PLUGINSERVER_JAN_MEDIA_QUERY_CMD="/opt/jan/bin/python -m jan_media_plugin --dump" \
    KONG_ERROR_TEMPLATE_JSON=/etc/kong/kong-errors.json \
    KONG_ERROR_DEFAULT_TYPE=application/json \
    KONG_NGINX_PROXY_ERROR_PAGE="501 505 /kong_error_handler" \
    KONG_PROXY_ACCESS_LOG=off \
    KONG_HEADERS=latency_tokens,X-Kong-Request-Id \
    KONG_REQUEST_DEBUG=off \
    KONG_NGINX_HTTP_CLIENT_BODY_BUFFER_SIZE=1m \
    KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE=64m \
    KONG_NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS="4 32k" \
    KONG_ADMIN_LISTEN=off
USER kong
# Checks the plugin too: Kong listens half a second before its plugin server does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["/opt/jan/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]

# ---------------------------------------------------------------------------------------------
# The sidecar.
# ---------------------------------------------------------------------------------------------
FROM ${DEBIAN} AS python
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --shell /usr/sbin/nologin --create-home --home-dir /data jan

# What the console needs from npm, unless `make console` has already installed it.
FROM ${DEBIAN} AS console
ARG PIP_CERT
WORKDIR /src
COPY .ci /src/.ci
COPY Makefile package.json /src/
COPY sidecar/jan_media/console/static /src/sidecar/jan_media/console/static
RUN test -f sidecar/jan_media/console/static/vendor/oauth4webapi.js \
 || { apt-get update && apt-get install -y --no-install-recommends make ca-certificates \
   && NODE_EXTRA_CA_CERTS=$PIP_CERT make console; }

FROM python AS build
ARG PIP_CERT
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/jan
COPY pyproject.toml constraints.txt README.md /src/
COPY sidecar /src/sidecar
COPY kong-plugin /src/kong-plugin
COPY --from=console /src/sidecar/jan_media/console/static /src/sidecar/jan_media/console/static
# sqlite-utils depends on pip, to install its own plugins. We install none, so pip is removed.
RUN /build/bin/pip --python /opt/jan install --no-cache-dir '/src[sidecar]' -c /src/constraints.txt \
 && rm -rf /opt/jan/bin/pip* /opt/jan/lib/python3*/site-packages/pip*

FROM python AS sidecar
COPY --from=build /opt/jan /opt/jan
# Run it with a read-only root: it writes only to /data and /tmp.
ENV PATH=/opt/jan/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    MEDIA_LISTEN=0.0.0.0:8285 \
    MEDIA_INTERNAL_LISTEN=0.0.0.0:8286 \
    MEDIA_DATA_DIR=/data/media
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8285 8286
STOPSIGNAL SIGTERM
# Checks that it is alive, not ready: a restart does not help while the storage is down.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["/opt/jan/bin/python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['MEDIA_LISTEN'].rpartition(':')[2] + '/healthz', timeout=4)"]
CMD ["jan-media", "serve"]

# ---------------------------------------------------------------------------------------------
# The demo model.
# ---------------------------------------------------------------------------------------------
FROM ${SIDECAR} AS demo-llm
COPY demo /app/demo
WORKDIR /app
EXPOSE 8287
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["/opt/jan/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8287/healthz', timeout=4)"]
CMD ["python", "-m", "demo.llm", "--host", "0.0.0.0"]
