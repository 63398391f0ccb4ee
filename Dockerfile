# syntax=docker/dockerfile:1
# Two images from one file:
#   docker build --target kong -t jan-media-kong .
#   docker build --target sidecar -t jan-media-sidecar .
# Written without a Docker engine at hand: not built yet.

FROM kong:3.9 AS kong
USER root
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml constraints.txt README.md /src/
COPY sidecar /src/sidecar
COPY kong-plugin /src/kong-plugin
RUN python3 -m venv /opt/jan \
 && /opt/jan/bin/pip install --no-cache-dir '/src[plugin]' -c /src/constraints.txt \
 && ln -s /opt/jan/lib/python3*/site-packages /opt/jan/lua \
 && rm -rf /src
COPY kong-errors.json /etc/kong/kong-errors.json
COPY kong.yml /etc/kong/kong.yml
ENV KONG_DATABASE=off \
    KONG_DECLARATIVE_CONFIG=/etc/kong/kong.yml \
    KONG_PLUGINS=bundled,jan-media-gate,jan-media \
    KONG_LUA_PACKAGE_PATH="/opt/jan/lua/?.lua;;" \
    KONG_PLUGINSERVER_NAMES=jan-media \
    KONG_PLUGINSERVER_JAN_MEDIA_SOCKET=/usr/local/kong/jan-media.sock \
    KONG_PLUGINSERVER_JAN_MEDIA_START_CMD="/opt/jan/bin/python -m jan_media_plugin --kong-prefix /usr/local/kong" \
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

FROM python:3.13-slim AS sidecar
COPY pyproject.toml constraints.txt README.md /src/
COPY sidecar /src/sidecar
COPY kong-plugin /src/kong-plugin
RUN pip install --no-cache-dir '/src[sidecar]' -c /src/constraints.txt \
 && rm -rf /src \
 && useradd --system --create-home --home-dir /data jan
USER jan
ENV MEDIA_LISTEN=0.0.0.0:8285 \
    MEDIA_INTERNAL_LISTEN=0.0.0.0:8286 \
    MEDIA_DATA_DIR=/data/media
VOLUME /data
EXPOSE 8285 8286
CMD ["jan-media", "serve"]

# The demo model, for compose.yaml.
FROM sidecar AS demo-llm
COPY demo /app/demo
WORKDIR /app
CMD ["python", "-m", "demo.llm", "--host", "0.0.0.0"]
