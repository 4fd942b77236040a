//! Which certificate a client is shown: the one in use, whatever name it asks for, and a certificate
//! authority that looks for a proof (RFC 8737) the one that it looks for.
//!
//! Both change while connections are open and being made; the configuration of TLS stays the same.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{ACME_TLS, pair::Pair};

/// Chooses certificates.
#[derive(Debug)]
pub(super) struct Resolver {
    /// What is shown while there is none.
    stand_in: Option<Arc<CertifiedKey>>,
    current: ArcSwapOption<CertifiedKey>,
    /// By the name, in lower case, that the authority asks for.
    proofs: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
    /// Unix time; 0 while there is none.
    not_after: AtomicI64,
}

impl Resolver {
    pub(super) fn new(stand_in: Option<Arc<CertifiedKey>>) -> Self {
        metrics::gauge!("portcall_tls_cert_not_after_seconds").set(0.0);
        Self {
            stand_in,
            current: ArcSwapOption::empty(),
            proofs: ArcSwap::default(),
            not_after: AtomicI64::new(0),
        }
    }

    /// Shows this one from now on. Taking the one that is in use is no change.
    pub(super) fn take(&self, pair: Pair) {
        let end = pair.not_after.unix_timestamp();
        let chain = pair.certified.cert.clone();
        let before = self.current.swap(Some(pair.certified));
        self.not_after.store(end, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "exact for millions of years")]
        metrics::gauge!("portcall_tls_cert_not_after_seconds").set(end as f64);
        if before.is_none_or(|before| before.cert != chain) {
            metrics::counter!("portcall_tls_reloads_total", "outcome" => "taken").increment(1);
            let until = pair.not_after.format(&Rfc3339).unwrap_or_default();
            tracing::info!(certificate.until = until, "a new certificate is in use");
        }
    }

    /// Shows these to authorities that look for them, and no others.
    pub(super) fn prove(&self, proofs: HashMap<String, Arc<CertifiedKey>>) {
        self.proofs.store(Arc::new(proofs));
    }

    /// Whether a certificate is in use that is over. Without one there is nothing to be over.
    pub(super) fn is_over(&self, now: OffsetDateTime) -> bool {
        let end = self.not_after.load(Ordering::Relaxed);
        end != 0 && now.unix_timestamp() > end
    }

    /// What a client is shown that says which protocols it speaks, and which name it wants.
    fn choose<'a>(
        &self,
        protocols: Option<impl Iterator<Item = &'a [u8]>>,
        name: Option<&str>,
    ) -> Option<Arc<CertifiedKey>> {
        // Whoever offers something else too gets something else (RFC 8737, 3).
        let looks_for_proof = protocols.is_some_and(|mut protocols| {
            protocols.next() == Some(ACME_TLS) && protocols.next().is_none()
        });
        match looks_for_proof {
            true => self.proofs.load().get(&name?.to_ascii_lowercase()).cloned(),
            false => self.current.load_full().or_else(|| self.stand_in.clone()),
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.alpn(), hello.server_name())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::stand_in, *};

    #[test]
    fn a_proof_is_shown_to_whoever_looks_for_it_and_to_nobody_else() {
        let certified = || stand_in(&["a.example".to_owned()]).unwrap();
        let resolver = Resolver::new(Some(certified()));
        let choose = |protocols: Option<&[&'static [u8]]>, name| {
            resolver.choose(protocols.map(|all| all.iter().copied()), name)
        };
        let is = |shown: Option<Arc<CertifiedKey>>, expected: &Arc<CertifiedKey>| {
            shown.is_some_and(|shown| shown.cert == expected.cert)
        };
        let own = resolver.stand_in.clone().unwrap();
        assert!(is(choose(None, None), &own));
        assert!(choose(Some(&[ACME_TLS]), Some("a.example")).is_none(), "without a challenge");
        let proof = certified();
        resolver.prove(HashMap::from([("a.example".to_owned(), proof.clone())]));
        assert!(is(choose(Some(&[ACME_TLS]), Some("A.example")), &proof));
        assert!(choose(Some(&[ACME_TLS]), Some("b.example")).is_none());
        assert!(choose(Some(&[ACME_TLS]), None).is_none());
        for others in [&[b"h2".as_slice()][..], &[ACME_TLS, b"h2"], &[b"http/1.1", ACME_TLS]] {
            assert!(is(choose(Some(others), Some("a.example")), &own));
        }
        resolver.prove(HashMap::new());
        assert!(choose(Some(&[ACME_TLS]), Some("a.example")).is_none(), "after it");
    }

    #[test]
    fn a_new_pair_takes_the_place_of_the_one_before() {
        let certified = stand_in(&["a.example".to_owned()]).unwrap();
        let resolver = Resolver::new(None);
        let now = OffsetDateTime::now_utc();
        let none: Option<std::iter::Empty<&[u8]>> = None;
        assert!(resolver.choose(none, None).is_none() && !resolver.is_over(now));
        let second = time::Duration::SECOND;
        let pair = Pair { certified, not_before: now - second, not_after: now };
        resolver.take(pair);
        let none: Option<std::iter::Empty<&[u8]>> = None;
        assert!(resolver.choose(none, None).is_some());
        assert!(!resolver.is_over(now) && resolver.is_over(now + second));
    }
}
