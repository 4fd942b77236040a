//! What the canary tries, and how it tells.
