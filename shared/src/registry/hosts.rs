//! Where a conversation with a registry may lead: to the registry, to hosts that it is known to
//! send its clients to, and to addresses that everybody on the internet could reach.
//!
//! Which addresses those are is told in [`crate::outbound::addresses`]. Registries of the operator's
//! own are exempt, to the port.

use reqwest::Url;

use crate::domain::image::RegistryHost;
pub(super) use crate::outbound::addresses::{
    Lookup, Names, Reach, is_not_public, is_public, system,
};

/// Hosts that a registry is known to send its clients to, for tokens and for blobs. A name that
/// begins with a dot stands for every host under it.
const KNOWN: [(&str, &[&str]); 6] = [
    (
        "docker.io",
        &[
            "auth.docker.io",
            ".docker.io",
            ".docker.com",
            "docker-images-prod.r2.cloudflarestorage.com",
            "docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
            "docker-images-prod.s3.us-east-1.amazonaws.com",
            "docker-images-prod.s3.dualstack.us-east-1.amazonaws.com",
        ],
    ),
    ("ghcr.io", &["pkg-containers.githubusercontent.com"]),
    ("quay.io", &[".quay.io", "quayio-production-s3.s3.amazonaws.com"]),
    ("registry.gitlab.com", &["gitlab.com", "cdn.registry.gitlab-static.net"]),
    ("mcr.microsoft.com", &[".data.mcr.microsoft.com"]),
    ("public.ecr.aws", &["d5l0dvt14r5h8.cloudfront.net"]),
];

/// Whether the registry is known to send its clients there.
pub(super) fn is_known(registry: &RegistryHost, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let named = KNOWN
        .iter()
        .filter(|(name, _)| *name == registry.as_str())
        .flat_map(|(_, hosts)| hosts.iter())
        .any(|known| host == *known || (known.starts_with('.') && host.ends_with(known)));
    named && url.scheme() == "https" && url.port_or_known_default() == Some(443)
}
