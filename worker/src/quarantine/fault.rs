//! Whose fault it is when an image cannot be copied, and in which words.
//!
//! What is wrong with the image is the participant's, a registry that does not deliver is the
//! registry's, and our own registry and store are the platform's: never anybody else's.

use portcall_shared::{
    domain::{
        image::{Digest, ImageRef},
        verdict::{
            Fault, Limit, ParticipantCode, ParticipantFault, PlatformCode, PlatformFault,
            RegistryCode, RegistryFault,
        },
    },
    registry::push::PushError,
    store::StoreError,
};

use super::{
    inspect::{Bomb, LayerFault},
    limits::CopyLimits,
    room::NoRoom,
    scan::TarFault,
};

const MIB: u64 = 1024 * 1024;

pub(super) fn invalid(message: impl Into<String>) -> Fault {
    ParticipantFault::new(ParticipantCode::ImageManifestInvalid, message).into()
}

/// What is wrong with a layer, told to whoever made the image.
pub(super) fn layer(digest: &Digest, fault: &LayerFault, limits: &CopyLimits) -> Fault {
    let name = short(digest);
    let fault = match fault {
        LayerFault::Bomb(Bomb::Size) => {
            let message = format!("with layer {name} the image is too large when unpacked");
            ParticipantFault::new(ParticipantCode::ImageBomb, message)
                .limit(Limit::new("unpacked size", limits.unpacked / MIB, "MiB"))
                .hint("use a smaller base image, and look for sparse files")
        }
        LayerFault::Bomb(Bomb::Ratio) => {
            let message = format!("layer {name} becomes far larger when it is unpacked");
            ParticipantFault::new(ParticipantCode::ImageBomb, message)
                .limit(Limit::new("unpacked to compressed", limits.ratio.most, "times"))
                .hint("look for large files of zeros")
        }
        LayerFault::Archive(TarFault::TooMany { .. }) => {
            let message = format!("with layer {name} the image has too many files");
            ParticipantFault::new(ParticipantCode::ImageConfigRefused, message)
                .limit(Limit::new("files", limits.entries, "entries"))
                .hint("remove caches and sources from the image")
        }
        LayerFault::Archive(fault @ TarFault::Refused { .. }) => {
            let message = format!("layer {name}: {fault}");
            ParticipantFault::new(ParticipantCode::ImageConfigRefused, message)
                .hint("build the image with `docker build` from files that are plain")
        }
        LayerFault::Archive(fault) => {
            let message = format!("layer {name}: {fault}");
            ParticipantFault::new(ParticipantCode::ImageManifestInvalid, message)
                .hint("build and push the image again")
        }
        LayerFault::Compression(with) => {
            let message =
                format!("layer {name} is compressed with {with}, which nodes cannot read");
            ParticipantFault::new(ParticipantCode::ImageManifestInvalid, message)
                .hint("push it with gzip, such as by `docker push`")
        }
        LayerFault::Packing => {
            let message = format!("layer {name} cannot be unpacked: its gzip is damaged");
            ParticipantFault::new(ParticipantCode::ImageManifestInvalid, message)
                .hint("build and push the image again")
        }
    };
    fault.into()
}

/// The beginning of a digest, as people know it.
pub(super) fn short(digest: &Digest) -> &str {
    digest.as_str().get(..19).unwrap_or_default()
}

fn registry(code: RegistryCode, message: String) -> Fault {
    RegistryFault { code, message, retry_after: None }.into()
}

pub(super) fn slow(image: &ImageRef, limits: &CopyLimits) -> Fault {
    let rate = limits.rate.least / 1024;
    let seconds = limits.rate.over.as_secs();
    let host = image.host();
    let message = format!("{host} delivered less than {rate} KiB a second for {seconds} s");
    registry(RegistryCode::RegistrySlow, message)
}

pub(super) fn silent(image: &ImageRef) -> Fault {
    registry(RegistryCode::RegistryDown, format!("{} stopped sending the image", image.host()))
}

/// The time for pulling is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Something came until the end.
    Dripping,
    /// Nothing came any more.
    Stalled,
    /// Our own side was waited for.
    Ours,
}

pub(super) fn over(image: &ImageRef, how: Over) -> Fault {
    let host = image.host();
    let code = match how {
        Over::Dripping => RegistryCode::RegistrySlow,
        Over::Stalled => RegistryCode::RegistryDown,
        Over::Ours => {
            let message = "the platform had no time to copy the image";
            return PlatformFault::new(PlatformCode::NoCapacity, message).into();
        }
    };
    registry(code, format!("{host} did not deliver the image in time"))
}

pub(super) fn other_blob(image: &ImageRef) -> Fault {
    let message = format!("{} answered with another blob than was asked for", image.host());
    registry(RegistryCode::RegistryDown, message)
}

fn platform(message: &str) -> Fault {
    PlatformFault::new(PlatformCode::PlatformError, message).into()
}

/// There is no room for the image now.
pub(super) fn full() -> Fault {
    let message = "the platform has no room for the image at the moment";
    PlatformFault::new(PlatformCode::NoCapacity, message).into()
}

/// No room could be made; the cause goes to the log.
pub(super) fn no_room(error: &NoRoom) -> Fault {
    match error {
        NoRoom::Registry(error) => own(error),
        NoRoom::Store(error) => stored(error),
    }
}

/// Our own registry failed; the cause goes to the log.
pub(super) fn own(error: &PushError) -> Fault {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::error!(%error, cause, "the quarantine failed");
    platform("the platform's own registry failed")
}

/// It lost what it had said that it has.
pub(super) fn lost() -> Fault {
    platform("the platform's own registry lost a part of the image")
}

pub(super) fn stored(error: &StoreError) -> Fault {
    tracing::warn!(%error, "the store failed while an image was copied");
    platform("the platform could not look up the image")
}

pub(super) fn broken() -> Fault {
    platform("the copy of the image ended early")
}
