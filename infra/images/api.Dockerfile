# The public side of Portcall: one static program, the page, certificates. Made by ./build.
FROM scratch
COPY --chown=0:0 root/ /
USER 65532:65532
ENV PORTCALL_API_ADDR=0.0.0.0:8080 \
    PORTCALL_API_OPS_ADDR=0.0.0.0:9080 \
    PORTCALL_WEB_DIR=/web \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
EXPOSE 8080 9080
# Well once it was ready: whoever waits for the database alone is not to be killed for it.
HEALTHCHECK --interval=2s --timeout=3s --start-period=60s --retries=3 CMD ["/portcall-api", "--health"]
ENTRYPOINT ["/portcall-api"]
