# A tag can move: docker build --build-arg PYTHON_IMAGE=python@sha256:… builds on exactly one image. SECURITY.md says how.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build

WORKDIR /src
RUN python -m venv /opt/crmsync
COPY requirements.lock ./
RUN /opt/crmsync/bin/pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY setup.cfg pyproject.toml README.md LICENSE celeryconfig.py ./
COPY crmsync crmsync
RUN /opt/crmsync/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM ${PYTHON_IMAGE}

# By number, so that an orchestrator sees that it is not root; group 0 may write, so that any other number will do.
RUN useradd --uid 10001 --gid 0 --create-home --home-dir /var/lib/crmsync crmsync && chmod 0770 /var/lib/crmsync
COPY --from=build /opt/crmsync /opt/crmsync
ENV PATH=/opt/crmsync/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CRMSYNC_HOME=/var/lib/crmsync \
    CRMSYNC_HOST=0.0.0.0
USER 10001
WORKDIR /var/lib/crmsync
VOLUME /var/lib/crmsync
EXPOSE 8000
CMD ["sh", "-c", "exec gunicorn crmsync.web.wsgi:app --config python:crmsync.web.serving"]
