# docker build -t needletail .
# docker run -p 6660:6660 -v needletail:/data needletail
#
# Each step is a script of this repository; deploy/test-image runs them without Docker.
# Container runtimes refuse io_uring by default, and the node then uses epoll. To allow it:
# --security-opt seccomp=deploy/seccomp.json

FROM swift:6.3-bookworm AS build
WORKDIR /source
COPY . .
RUN ./dev build
RUN deploy/build-image-root /image

# The same Debian as the build stage, so that glibc and libstdc++ are the ones it was linked with.
FROM debian:bookworm-slim
COPY --from=build /image/ /
ENV NEEDLETAIL_LISTEN=0.0.0.0:6660
ENV NEEDLETAIL_DIR=/data
USER 10001:10001
VOLUME /data
EXPOSE 6660/tcp 6660/udp
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["needletail-healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["needletail"]
