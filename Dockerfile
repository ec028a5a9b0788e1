# The image of Weighbridge: everything from requirements.lock by hash, nothing else; runs as uid 10001, read-only.
# Pin the base by digest in your own build: --build-arg PYTHON_IMAGE=python@sha256:…
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
# valkey: the driver of the optional engine of budgets. EXTRAS="valkey zttp" adds the experimental HTTP/2 option,
# "valkey opentelemetry-exporter-otlp-proto-http" the push to a collector.
ARG EXTRAS="valkey"
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements.lock ./
COPY .ci/locked .ci/locked
RUN python .ci/locked weighbridge ${EXTRAS} > runtime.lock \
 && python .ci/locked hatchling > build.lock \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --only-binary :all: -r build.lock \
 && python -m venv /opt/weighbridge \
 && /opt/weighbridge/bin/pip install --require-hashes --only-binary :all: -r runtime.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY config config
COPY migrations migrations
COPY gateway gateway
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir dist . \
 && /opt/weighbridge/bin/pip install --no-deps --no-index dist/*.whl \
 && /opt/weighbridge/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 weighbridge \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/weighbridge --shell /usr/sbin/nologin weighbridge \
 && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/weighbridge
COPY --from=build /opt/weighbridge /opt/weighbridge
COPY LICENSE NOTICE /opt/weighbridge/
ENV PATH=/opt/weighbridge/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WEIGHBRIDGE_SERVER_HOST=0.0.0.0 \
    WEIGHBRIDGE_STORAGE_FOLDER=/var/lib/weighbridge
USER 10001:10001
WORKDIR /var/lib/weighbridge
VOLUME /var/lib/weighbridge
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/-/live', timeout=2)"]
ENTRYPOINT ["weighbridge"]
CMD ["serve", "--config", "/etc/weighbridge/weighbridge.toml"]
