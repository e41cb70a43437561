# numerai-bot: `bot run` as an unprivileged user, everything it writes in one volume.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
RUN python3 -m venv /opt/bot
# The pins first: this layer is rebuilt only when a version changes, not with every line of code.
COPY constraints.txt pyproject.toml README.md ./
RUN mkdir bot models && touch bot/__init__.py models/__init__.py \
    && printf '__version__ = "0"\n' > bot/__init__.py \
    && /opt/bot/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt '.[train,sandbox]' \
    && /opt/bot/bin/pip uninstall --yes --quiet numerai-bot
COPY bot bot
COPY models models
RUN /opt/bot/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --constraint constraints.txt .

FROM ${BASE}
# LightGBM's and scikit-learn's OpenMP runtime, which the slim image lacks.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 bot && useradd --uid 10001 --gid bot --no-create-home --home-dir /data bot \
    && install --directory --owner bot --group bot /data
COPY --from=build /opt/bot /opt/bot
ENV PATH=/opt/bot/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BOT_STATE_DIR=/data/state
USER bot
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["bot"]
CMD ["run"]
