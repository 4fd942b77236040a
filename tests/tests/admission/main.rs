//! Admission: what is wrong with an image is told in the answer to the POST, by its exact reason
//! and at its place, before a layer is asked for; and nobody is led anywhere else.
//!
//! The registry of these tests misbehaves by name (`parts::misbehaving`); its lure is where it, and
//! references, would lead us.

mod ask;
mod documents;
mod hosts;
mod limits;
mod rows;
