# syntax=docker/dockerfile:1

# Debian 12 in both stages: the binary links glibc, and a build for a newer one would not start on an older one.
FROM swift:6.3-bookworm AS build
WORKDIR /src
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends libssl-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*

# Dependencies first: this layer is rebuilt only when the manifest changes.
# It names exact versions; without a Package.resolved, whose commit ids would hold for one mirror only.
COPY Package.swift ./
RUN swift package resolve

# The manifest names the targets of tests and counts, so their folders have to be there; nothing of them is compiled.
# The contract and the pages are built into the program.
COPY openapi.yaml ./
COPY web web
COPY Examples Examples
COPY Sources Sources
COPY Tests Tests
COPY Benchmarks/HotPaths Benchmarks/HotPaths
RUN swift build --configuration release --product crop --static-swift-stdlib \
    && install -D "$(swift build --configuration release --product crop --static-swift-stdlib --show-bin-path)/crop" \
       /out/crop \
    && strip --strip-debug /out/crop \
    && cp "$(dirname "$(dirname "$(readlink -f "$(command -v swift)")")")/libexec/swift/linux/swift-backtrace-static" /out/

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="crop" \
      org.opencontainers.image.description="Visual token pruning for vision-language models over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0"

# OpenSSL from the distribution, linked dynamically, so that its security updates need no new build of crop.
# zlib is part of every Debian, but of this image only by way of dpkg: say that it is needed.
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/*

COPY --from=build /out/crop /usr/local/bin/crop
# Says where a crash happened: function names, which the program keeps, and nothing of registers or memory, which may hold
# parts of a request.
COPY --from=build /out/swift-backtrace-static /usr/local/libexec/swift-backtrace-static
ENV SWIFT_BACKTRACE="enable=yes,swift-backtrace=/usr/local/libexec/swift-backtrace-static,interactive=no,color=no,registers=none,images=none,threads=crashed,cache=no"
COPY config/production.yaml /etc/crop/production.yaml
COPY LICENSE NOTICE /usr/share/doc/crop/

# By number, so that an orchestrator can verify that it is not root. Nothing is written: a read-only root
# file system is fine.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM

# Asks /livez, so that neither load nor a drain makes a container unhealthy. The program that asks shares the container's
# processors, which may be a fraction of one and busy.
HEALTHCHECK --interval=10s --timeout=10s --start-period=10s --retries=3 \
  CMD ["crop", "healthcheck", "--timeout", "8s", "--config", "/etc/crop/production.yaml"]

ENTRYPOINT ["crop"]
CMD ["serve", "--config", "/etc/crop/production.yaml"]
