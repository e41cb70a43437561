# numerai-bot: `bot run` as an unprivileged user, everything it writes in one volume.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS dependencies
# Where pip looks besides its own configuration, such as a folder or index with torch's much smaller build for the CPU:
# --build-arg PIP_FIND_LINKS=... or PIP_EXTRA_INDEX_URL=...; nothing of it reaches the final image.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
WORKDIR /src
RUN python3 -m venv /opt/bot
# The pins first, with empty packages in place of the code: only a changed version installs this layer again.
COPY constraints.txt pyproject.toml ./
RUN mkdir bot models && touch README.md bot/__init__.py models/__init__.py \
    && /opt/bot/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt '.[train,sandbox]' \
    && /opt/bot/bin/pip uninstall --yes --quiet numerai-bot

FROM dependencies AS code
COPY README.md ./
COPY bot bot
COPY models models
RUN /opt/bot/bin/pip wheel --no-cache-dir --disable-pip-version-check --no-deps --wheel-dir /dist .

FROM ${BASE}
# LightGBM's and scikit-learn's OpenMP runtime, which the slim image lacks.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
RUN groupadd --gid 10001 bot && useradd --uid 10001 --gid bot --no-create-home --home-dir /data bot \
    && install --directory --owner bot --group bot /data
COPY --from=dependencies /opt/bot /opt/bot
# A layer of its own, so that new code does not copy the dependencies again.
RUN --mount=type=bind,from=code,source=/dist,target=/dist \
    /opt/bot/bin/pip install --no-cache-dir --disable-pip-version-check --no-index --no-deps /dist/*.whl
# onnxruntime would report every session it opens, hashes of the model included, and keep a device id in the volume.
ENV PATH=/opt/bot/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    BOT_STATE_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["bot"]
CMD ["run"]
