# The service with the notes that ship: model prepared and notes indexed while it is built, so that
# it answers at once and offline. Mount your own notes at /notes. docs/docker.md tells how.
FROM python:3.11-slim-bookworm AS build

# PyTorch's own index has builds without CUDA, gigabytes smaller; empty for PyPI's.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_EXTRA_INDEX_URL=${TORCH_INDEX} \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PATH=/opt/kotae/bin:${PATH}

WORKDIR /src
RUN python -m venv /opt/kotae

# What is needed first: this layer stays while only the sources change.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = project['optional-dependencies']; \
print(*project['dependencies'], *extras['slack'], *extras['mcp'], sep='\n')" > requirements.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt

COPY README.md LICENSE NOTICE.md ./
COPY rag rag
COPY api api
COPY eval eval
RUN pip install --no-cache-dir --no-deps .

COPY corpus /notes
ENV KOTAE_CORPUS=/notes \
    KOTAE_INDEX=/index \
    KOTAE_CACHE=/model
RUN kotae index


FROM python:3.11-slim-bookworm

RUN groupadd --gid 10001 kotae && useradd --uid 10001 --gid kotae --create-home kotae

COPY --from=build /opt/kotae /opt/kotae
COPY --from=build --chown=kotae:kotae /model /model
COPY --from=build --chown=kotae:kotae /index /index
COPY --from=build /notes /notes

ENV PATH=/opt/kotae/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    KOTAE_CORPUS=/notes \
    KOTAE_INDEX=/index \
    KOTAE_CACHE=/model \
    KOTAE_HOST=0.0.0.0 \
    KOTAE_PORT=8000

USER 10001:10001
WORKDIR /home/kotae
EXPOSE 8000
VOLUME /index

# Notes of one's own are indexed at the first start, which may take minutes.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15m --start-interval=2s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['KOTAE_PORT'] + '/readyz', timeout=4)"]

ENTRYPOINT ["kotae"]
CMD ["serve"]
