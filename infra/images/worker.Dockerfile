# The worker of Portcall, with the two static programs that it puts into containers. Made by ./build.
FROM scratch
COPY --chown=0:0 root/ /
USER 65532:65532
ENV PORTCALL_WORKER_OPS_ADDR=0.0.0.0:9081 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
EXPOSE 9081
# Well once it was ready, which takes an examination of its nodes.
HEALTHCHECK --interval=2s --timeout=3s --start-period=180s --retries=3 CMD ["/portcall-worker", "--health"]
ENTRYPOINT ["/portcall-worker"]
