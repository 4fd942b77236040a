//! Fuzz targets for what strangers write, one file each in `targets`: names of images, event
//! files, manifests and configurations from registries, JSON from containers.
//!
//! ```text
//! cargo install --locked cargo-fuzz                      # once
//! cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none image_ref -- -max_total_time=60
//! ```
//!
//! From the top of the checkout, with the stable compiler; leave `--sanitizer none` away on a
//! nightly one. The other targets are the other files. The first build takes some minutes, since it
//! compiles the libraries once more, with coverage. Seeds are in `corpus/<target>` under names;
//! what a run adds there has a hash for its name and is not kept. An input that breaks a target is
//! left in `artifacts/<target>`: mend it, and add it to the parser's own tests.
//!
//! A target does more than wait for a panic: it states what must hold for whatever is accepted.
