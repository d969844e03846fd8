# syntax=docker/dockerfile:1

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src

# Libraries first: they change seldom. The lock holds every extra; as a constraint it pins only what the service needs.
COPY pyproject.toml requirements.lock ./
RUN python -m venv /opt/interlock \
    && python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > runtime.txt \
    && /opt/interlock/bin/pip install --constraint requirements.lock --requirement runtime.txt \
    && pip install --constraint requirements.lock hatchling

COPY README.md ./
COPY schemas schemas
COPY events events
COPY projections projections
COPY processors processors
COPY api api
COPY embedded embedded
COPY demo demo
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/interlock/bin/pip install --no-deps dist/*.whl


FROM python:3.11-slim-bookworm
RUN groupadd --system --gid 10001 interlock \
    && useradd --system --uid 10001 --gid interlock --no-create-home --home-dir /nonexistent interlock \
    && install --directory --owner interlock --group interlock /var/lib/interlock/archive
COPY --from=build /opt/interlock /opt/interlock
ENV PATH=/opt/interlock/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    INTERLOCK_API__HOST=0.0.0.0 \
    INTERLOCK_API__PORT=8080
USER interlock
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['INTERLOCK_API__PORT'] + '/health/liveness', timeout=2)"]
ENTRYPOINT ["interlock"]
CMD ["serve"]
