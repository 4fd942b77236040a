//! Signatures as the Standard Webhooks specification has them (1.0.0, symmetric, `v1`): an HMAC-SHA256
//! of the message's id, the time and the body, with a secret that is written `whsec_` and base64.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use rand::RngCore as _;
use sha2::Sha256;

/// What every secret begins with, as it is written.
pub const PREFIX: &str = "whsec_";
/// How many random bytes a secret has.
pub const BYTES: usize = 32;

/// A fresh secret.
#[must_use]
pub fn secret() -> [u8; BYTES] {
    let mut secret = [0; BYTES];
    rand::rng().fill_bytes(&mut secret);
    secret
}

/// A secret as its receiver is given it.
#[must_use]
pub fn written(secret: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(secret))
}

/// The signature of a message: what stands in `webhook-signature`. `at` is in seconds since 1970.
#[must_use]
pub fn signature(secret: &[u8], id: &str, at: i64, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    hmac.update(format!("{id}.{at}.").as_bytes());
    hmac.update(body);
    format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification's libraries are tested with.
    #[test]
    fn the_published_example() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, at) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330);
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            signature(&secret, id, at, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_eq!(written(&secret), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    }

    #[test]
    fn everything_in_a_message_is_signed() {
        let one = signature(b"secret", "id", 1, b"body");
        for other in [
            signature(b"secreT", "id", 1, b"body"),
            signature(b"secret", "iD", 1, b"body"),
            signature(b"secret", "id", 2, b"body"),
            signature(b"secret", "id", 1, b"bodY"),
        ] {
            assert_ne!(one, other);
        }
        assert_ne!(secret(), secret());
    }
}
