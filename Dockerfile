# numerai-bot as an unprivileged user, everything it writes in one volume. Two targets:
#   runtime   submits; without torch and without what only training needs      (the default)
#   trainer   syncs and trains; with torch, and with the sandbox; never needs the API key
# By name, because no digest of it could be read where this was written; pin one with --build-arg BASE=python@sha256:...
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS runtime-dependencies
# Where pip looks besides its own configuration, such as a folder or index with torch's much smaller build for the CPU:
# --build-arg PIP_FIND_LINKS=... or PIP_EXTRA_INDEX_URL=...; nothing of it reaches the final image.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PYTHONDONTWRITEBYTECODE=
WORKDIR /src
RUN python3 -m venv /opt/bot
# Only a changed version installs this layer again. Every file is checked against its hash.
COPY constraints.txt ./
COPY requirements requirements
RUN /opt/bot/bin/pip install --no-deps --require-hashes --requirement requirements/run.txt

FROM runtime-dependencies AS trainer-dependencies
# Not every engine hands an ARG of one stage on to the stages made from it.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
# torch is apart: which of its builds is right, and whether it needs CUDA parts, depends on the machine and on where pip looks.
RUN /opt/bot/bin/pip install --no-deps --require-hashes --requirement requirements/train.txt \
    && /opt/bot/bin/pip install --constraint constraints.txt torch

FROM runtime-dependencies AS code
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --no-deps --require-hashes --requirement requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY models models
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist .

FROM runtime-dependencies AS runtime-packages
COPY --from=code /dist /dist
# What only names that a running bot never calls would import (tests/test_supply.py keeps it so), tests, headers, and pip.
RUN /opt/bot/bin/pip install --no-index --no-deps /dist/*.whl \
    && /opt/bot/bin/pip uninstall --yes --quiet scikit-learn scipy joblib threadpoolctl narwhals cloudpickle \
        aiohttp aiohappyeyeballs aiosignal attrs frozenlist multidict propcache yarl flatbuffers packaging protobuf \
        setuptools pip \
    && cd /opt/bot/lib/python3*/site-packages \
    && rm -rf pyarrow/include pyarrow/tests pandas/tests \
    && find numpy -type d -name tests -prune -exec rm -rf {} + \
    && find . -type d -name __pycache__ -prune -exec rm -rf {} + \
    # Bytecode of exactly what a round imports: a read-only image could never keep it, and compiling takes seconds.
    && /opt/bot/bin/python -c 'import apprise, bot.doctor.examination, bot.web.prometheus, bot.daemon.process, bot.submission.submit, bot.daemon.wiring, bot.web.server, pandas'

FROM trainer-dependencies AS trainer-packages
COPY --from=code /dist /dist
RUN /opt/bot/bin/pip install --no-index --no-deps /dist/*.whl

FROM ${BASE} AS base
LABEL org.opencontainers.image.title="numerai-bot" \
    org.opencontainers.image.version="1.0.0" \
    org.opencontainers.image.licenses="MIT"
# LightGBM's OpenMP runtime, which the slim image lacks.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
RUN groupadd --gid 10001 bot && useradd --uid 10001 --gid bot --no-create-home --home-dir /data bot \
    && install --directory --owner bot --group bot /data \
    # What compose.yaml lays over: bot.toml, recipes and secrets beside it. Only root writes here.
    && mkdir --parents /config/recipes && touch /config/bot.toml && ln --symbolic /run/secrets /config/secrets
# onnxruntime would report every session it opens, hashes of the model included, and keep a device id in the volume.
# PYTHONSAFEPATH: no Python imports from the working folder.
ENV PATH=/opt/bot/bin:$PATH \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    BOT_STATE_DIR=/data
USER 10001:10001
# Settings are read from here, never from the volume that the trainer writes.
WORKDIR /config
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["bot"]

FROM base AS trainer
COPY --from=trainer-packages /opt/bot /opt/bot
CMD ["run", "--trainer"]
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["bot", "health", "--trainer"]

FROM base AS runtime
COPY --from=runtime-packages /opt/bot /opt/bot
CMD ["run"]
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["bot", "health"]
