FROM python:3.11-slim AS build

WORKDIR /src
RUN python -m venv /opt/crmsync
COPY constraints.txt ./
COPY setup.cfg pyproject.toml README.md LICENSE celeryconfig.py ./
COPY crmsync crmsync
RUN /opt/crmsync/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.11-slim

RUN useradd --create-home --home-dir /var/lib/crmsync crmsync
COPY --from=build /opt/crmsync /opt/crmsync
ENV PATH=/opt/crmsync/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CRMSYNC_HOME=/var/lib/crmsync \
    CRMSYNC_HOST=0.0.0.0
USER crmsync
WORKDIR /var/lib/crmsync
VOLUME /var/lib/crmsync
EXPOSE 8000
CMD ["sh", "-c", "exec gunicorn crmsync.web.wsgi:app --config python:crmsync.web.serving"]
