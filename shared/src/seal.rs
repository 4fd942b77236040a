//! Sealing: what must be read again and must not lie open in the database, such as private keys and
//! the secrets of webhooks.
//!
//! AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits, under a key that every process
//! reads from a file of its own machine (`PORTCALL_SEAL_KEY_FILE`). What is sealed is bound to its
//! purpose and its document: moved to another place it does not open. A sealed text says nothing
//! about the key; a process with another key cannot open it and says so.

use std::{fmt, fs, io, path::Path, sync::Arc};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

/// How many bytes a key has.
pub const KEY: usize = 32;

/// Why a key cannot be used, or something not opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file cannot be read.
    #[error("the key file cannot be read")]
    File(#[source] io::Error),
    /// The file holds something else.
    #[error("the key file holds no key: 64 hexadecimal digits (`openssl rand -hex 32`)")]
    Key,
    /// It was sealed with another key, for something else, or was changed.
    #[error("what is sealed does not open with this key")]
    Opaque,
}

/// Seals and opens with one key. Cheap to clone.
#[derive(Clone)]
pub struct Sealer(Arc<RandomizedNonceKey>);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// With the key in a file: 64 hexadecimal digits.
    ///
    /// # Errors
    /// When there is none in it.
    pub fn from_file(path: &Path) -> Result<Self, SealError> {
        let text = fs::read_to_string(path).map_err(SealError::File)?;
        Self::from_hex(text.trim())
    }

    fn from_hex(text: &str) -> Result<Self, SealError> {
        if text.len() != KEY * 2 || !text.is_ascii() {
            return Err(SealError::Key);
        }
        let pairs = (0..KEY).map(|n| u8::from_str_radix(&text[n * 2..n * 2 + 2], 16));
        let bytes = pairs.collect::<Result<Vec<u8>, _>>().map_err(|_| SealError::Key)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| SealError::Key)?;
        Ok(Self(Arc::new(key)))
    }

    /// Seals something for a purpose, such as `webhook 0190…`.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut sealed = secret.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(purpose), &mut sealed);
        let nonce = nonce.map_err(|_| SealError::Opaque)?;
        let mut all = nonce.as_ref().to_vec();
        all.append(&mut sealed);
        Ok(all)
    }

    /// Opens what was sealed for the same purpose.
    ///
    /// # Errors
    /// When it does not open.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError::Opaque)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Opaque)?;
        let mut rest = rest.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(purpose), &mut rest);
        opened.map(|opened| opened.to_vec()).map_err(|_| SealError::Opaque)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(digit: &str) -> Sealer {
        Sealer::from_hex(&digit.repeat(KEY * 2)).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_alone() {
        let sealed = sealer("a").seal("webhook 1", b"secret").unwrap();
        assert_eq!(sealer("a").open("webhook 1", &sealed).unwrap(), b"secret");
        assert!(sealer("a").open("webhook 2", &sealed).is_err());
        assert!(sealer("b").open("webhook 1", &sealed).is_err());
        let mut changed = sealed.clone();
        changed[NONCE_LEN] ^= 1;
        assert!(sealer("a").open("webhook 1", &changed).is_err());
        for short in 0..sealed.len() {
            assert!(sealer("a").open("webhook 1", &sealed[..short]).is_err());
        }
        assert_ne!(sealer("a").seal("x", b"secret").unwrap()[..], sealed[..]);
    }

    #[test]
    fn a_key_is_64_digits() {
        for bad in ["", "a", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert!(matches!(Sealer::from_hex(bad), Err(SealError::Key)), "{bad}");
        }
        assert!(matches!(Sealer::from_file(Path::new("/nowhere/key")), Err(SealError::File(_))));
    }
}
