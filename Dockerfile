# The service without the training framework, for somebody who may write nothing:
#   docker build -t pawprint .
#   docker run --read-only --tmpfs /tmp -p 127.0.0.1:8000:8000 -v "$PWD/runs/pets:/models/pets:ro" \
#     pawprint serve /models/pets --host 0.0.0.0
# Without the last line it serves the starter. docs/serving.md tells the rest.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN python -m venv /opt/pawprint && \
    /opt/pawprint/bin/pip install --no-cache-dir -c constraints.txt '.[serve]' && \
    /opt/pawprint/bin/pip uninstall --yes pip

FROM python:3.12-slim
COPY --from=build /opt/pawprint /opt/pawprint
ENV PATH=/opt/pawprint/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN useradd --system --no-create-home --shell /usr/sbin/nologin pawprint
USER pawprint
EXPOSE 8000
# Ready is false while it ends, so that an orchestrator sends no more.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["pawprint"]
CMD ["serve", "--host", "0.0.0.0"]
