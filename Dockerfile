# syntax=docker/dockerfile:1
# One image for every binary of the fleet: docker build --build-arg SERVICE=sales .
# All binaries are built once, in a layer that the images share.
FROM rust:1.95-slim-bookworm AS chef
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential libpq-dev libssl-dev pkg-config zlib1g-dev \
 && rm -rf /var/lib/apt/lists/* \
 && cargo install cargo-chef --locked --version '^0.1'
WORKDIR /src

FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
COPY --from=plan /src/recipe.json recipe.json
RUN cargo chef cook --profile dist --workspace --bins --recipe-path recipe.json
COPY . .
RUN cargo build --profile dist --locked --workspace --bins \
 && mkdir /out \
 && find target/dist -maxdepth 1 -type f -executable -exec cp {} /out/ ';'

FROM debian:12-slim AS runtime
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libssl3 openssl zlib1g \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home bahi \
 && install -d -o bahi -g bahi /keys
COPY --chmod=755 infra/ready.sh /usr/local/bin/ready
COPY --chmod=755 infra/keys.sh /etc/bahi/keys.sh
COPY infra/services.txt deploy/services.toml /etc/bahi/
ARG SERVICE
# What prints are set in.
RUN [ "$SERVICE" != sales ] || { apt-get update && apt-get install -y --no-install-recommends fonts-noto-core && rm -rf /var/lib/apt/lists/*; }
COPY --from=build /out/${SERVICE} /usr/local/bin/service
USER bahi
ENTRYPOINT ["/usr/local/bin/service"]
