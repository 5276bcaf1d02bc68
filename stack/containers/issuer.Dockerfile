# syntax=docker/dockerfile:1
# The libraries the development issuer needs; itself it runs from the checkout, mounted read-only.
FROM python:3.11-slim
COPY shared/requirements.lock /tmp/requirements.lock
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --require-hashes -r /tmp/requirements.lock && useradd --uid 10001 --no-create-home tandem
USER tandem
WORKDIR /tandem
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["python", "-m", "stack.issuer"]
