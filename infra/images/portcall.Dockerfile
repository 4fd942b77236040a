# The operators' command. Made by ./build.
FROM scratch
COPY --chown=0:0 root/ /
USER 65532:65532
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
ENTRYPOINT ["/portcall"]
