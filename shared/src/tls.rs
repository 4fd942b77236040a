//! One TLS provider for the process.

/// Makes aws-lc-rs the provider of every TLS connection. First thing in every `main`: with two
/// providers compiled in, rustls would panic at the first connection.
pub fn install_provider() {
    // It fails only if one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
