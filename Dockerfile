# syntax=docker/dockerfile:1

# Build with `make image`, which names version and revision; with podman and buildah it needs --format docker, or HEALTHCHECK is
# lost. Give the bases by digest to pin them: --build-arg BASE_IMAGE=debian:bookworm-slim@sha256:...
#
# Debian 12 in both stages: the binary links glibc (2.36), and a build for a newer one would not start on an older one.
ARG SWIFT_IMAGE=swift:6.3-bookworm
ARG BASE_IMAGE=debian:bookworm-slim
# What the program stands on: `debian`, or `bare`, which has the libraries that it needs and nothing else, not even a shell.
ARG VARIANT=debian

FROM ${SWIFT_IMAGE} AS build
WORKDIR /src
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends libssl-dev python3 zlib1g-dev \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*

# Only what the program is made of: a change of a test, a page or a tool builds nothing again.
COPY Package.swift ./
COPY Sources Sources
# The contract and the pages are built into the program.
COPY openapi.yaml ./
COPY web web
COPY Examples Examples
COPY tools/licences.py tools/licences.py
COPY LICENSE NOTICE ./
# Objects and dependencies stay in a cache of the builder. lld drops functions that nothing calls, packs relocations (glibc 2.36 reads
# them) and leaves out the tables for unwinding, 2.6 MB that nothing here reads: backtraces follow frame pointers. Of the program's
# symbols the names of its own functions are kept, for backtraces: all others would be 10 MB.
RUN --mount=type=cache,target=/src/.build,sharing=locked \
    export PACKAGE_SOURCES_ONLY=1 \
    && echo 'SECTIONS { /DISCARD/ : { *(.eh_frame) *(.eh_frame_hdr) } } INSERT AFTER .text;' >/tmp/no-unwinding.ld \
    && build="swift build --configuration release --product crop --static-swift-stdlib -Xswiftc -use-ld=lld \
       -Xswiftc -Xfrontend -Xswiftc -function-sections -Xlinker -z -Xlinker pack-relative-relocs -Xlinker --no-export-dynamic \
       -Xlinker --no-eh-frame-hdr -Xlinker --script=/tmp/no-unwinding.ld" \
    && $build \
    && install -D "$($build --show-bin-path)/crop" /out/usr/local/bin/crop \
    && ls Sources | awk '{ printf "^[$]s%d%s\n", length($0), $0 }' >/tmp/own \
    && nm --defined-only /out/usr/local/bin/crop | awk '$2 ~ /^[tT]$/ { print $3 }' | grep --file /tmp/own >/tmp/kept \
    && objcopy --strip-all --keep-symbols=/tmp/kept /out/usr/local/bin/crop \
    && install -D -m 755 "$(dirname "$(dirname "$(readlink -f "$(command -v swift)")")")/libexec/swift/linux/swift-backtrace-static" \
       /out/usr/local/libexec/swift-backtrace-static \
    && strip --strip-all /out/usr/local/libexec/swift-backtrace-static

FROM ${BASE_IMAGE} AS debian
# From the distribution, linked dynamically, so that security updates of OpenSSL need no new build of crop. All three are named:
# that another package brings them along is no promise.
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends libssl3 libstdc++6 zlib1g \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /usr/share/doc/*/changelog* \
         /var/cache/debconf/*-old /var/cache/ldconfig/* /var/lib/dpkg/*-old /var/log/*

# The libraries that the loader finds, with their licences and entries in the list of packages.
FROM debian AS libraries
COPY --from=build /out/usr/local/bin/crop /tmp/crop
RUN set -e; \
    install -d /out/var/lib/dpkg/status.d; \
    for file in $(ldd /tmp/crop | grep -o '/[^ ]*'); do \
      install -D "$(readlink -f "$file")" "/out$file"; \
      package=$(dpkg-query --search "$file" "$(readlink -f "$file")" 2>/dev/null | head -n 1 | cut -d: -f1); \
      install -D -m 644 -t "/out/usr/share/doc/$package" "/usr/share/doc/$package/copyright"; \
      dpkg-query --status "$package" >"/out/var/lib/dpkg/status.d/$package"; \
    done

# The list of what the program is made of names the distribution's packages as well.
FROM build AS contents
ARG VARIANT
COPY --from=debian /var/lib/dpkg/status /tmp/debian/
COPY --from=libraries /out/var/lib/dpkg/status.d /tmp/bare/
RUN --mount=type=cache,target=/src/.build,sharing=locked \
    python3 tools/licences.py --build .build --out /out/usr/share/doc/crop --dpkg "/tmp/$VARIANT"

FROM scratch AS bare
ENV PATH=/usr/local/bin
COPY --from=libraries /out /

FROM ${VARIANT} AS crop
COPY --from=contents /out /
COPY config/production.yaml /etc/crop/production.yaml
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
ARG BASE_IMAGE
LABEL org.opencontainers.image.title="crop" \
      org.opencontainers.image.description="Visual token pruning for vision-language models over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

# Says where a crash happened: names of its own functions, and nothing of registers or memory, which may hold
# parts of a request.
ENV SWIFT_BACKTRACE="enable=yes,swift-backtrace=/usr/local/libexec/swift-backtrace-static,interactive=no,color=no,registers=none,images=none,threads=crashed,cache=no"

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
